//! Tables, indexes, and the views that people read with `sqlite3 node.sqlite`.

use crate::{codec::one, error::Failure};
use kette_types::B256;
use rusqlite::{Connection, ToSql};

/// `KETT` in ASCII: says whose file it is.
pub(crate) const APPLICATION_ID: i64 = 0x4b45_5454;
/// Version of the tables below.
pub(crate) const SCHEMA_VERSION: i64 = 1;

/// Names of `meta` rows.
pub(crate) mod meta {
    /// Hash of block 0.
    pub(crate) const GENESIS: &str = "genesis";
    /// EIP-155 chain id.
    pub(crate) const CHAIN_ID: &str = "chain_id";
    /// 1 between a clean shutdown and the next start.
    pub(crate) const CLEAN: &str = "clean";
    /// Number of the newest final block.
    pub(crate) const FINALIZED_NUMBER: &str = "finalized_number";
    /// Hash of the newest final block.
    pub(crate) const FINALIZED_HASH: &str = "finalized_hash";
}

/// Everything about canonical blocks only (`canonical`, `transactions`, `activity`, `logs`) has the number
/// first, so that a reorganization forgets it by range.
pub(crate) const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- Blocks on whatever branch; id is the order of arrival.
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    parent BLOB NOT NULL,
    timestamp INTEGER NOT NULL,
    miner BLOB NOT NULL,
    gas_used INTEGER NOT NULL,
    difficulty TEXT NOT NULL,
    total_weight TEXT NOT NULL,
    issued TEXT NOT NULL,
    burned TEXT NOT NULL,
    transactions INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    header BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE INDEX blocks_number ON blocks (number);
CREATE TABLE bodies (block INTEGER PRIMARY KEY, body BLOB NOT NULL, senders BLOB NOT NULL) STRICT;
CREATE TABLE receipts (block INTEGER PRIMARY KEY, receipts BLOB NOT NULL) STRICT;

-- The canonical chain, with totals from genesis on.
CREATE TABLE canonical (
    number INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    transactions INTEGER NOT NULL,
    issued TEXT NOT NULL,
    burned TEXT NOT NULL
) STRICT;
CREATE TABLE justifications (number INTEGER PRIMARY KEY, justification BLOB NOT NULL) STRICT;

CREATE TABLE transactions (
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    sender BLOB NOT NULL,
    recipient BLOB,
    created BLOB,
    nonce INTEGER NOT NULL,
    value TEXT NOT NULL,
    gas_used INTEGER NOT NULL,
    success INTEGER NOT NULL,
    PRIMARY KEY (number, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX transactions_hash ON transactions (hash, number, position);
CREATE TABLE activity (
    address BLOB NOT NULL,
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (address, number, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE logs (
    number INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    position INTEGER NOT NULL,
    address BLOB NOT NULL,
    topic0 BLOB,
    topic1 BLOB,
    topic2 BLOB,
    topic3 BLOB,
    data BLOB NOT NULL,
    PRIMARY KEY (number, log_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX logs_address ON logs (address, number, log_index);
CREATE INDEX logs_topic0 ON logs (topic0, number, log_index);

-- States: trie nodes by (owner, path, hash); stale is the checkpoint that replaced the node.
CREATE TABLE checkpoints (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, state_root BLOB NOT NULL) STRICT;
CREATE TABLE trie_nodes (key BLOB PRIMARY KEY, node BLOB NOT NULL, stale INTEGER) STRICT, WITHOUT ROWID;
CREATE INDEX trie_stale ON trie_nodes (stale, key) WHERE stale IS NOT NULL;
CREATE TABLE codes (hash BLOB PRIMARY KEY, code BLOB NOT NULL) STRICT;
CREATE TABLE accounts (
    address BLOB PRIMARY KEY,
    nonce INTEGER NOT NULL,
    balance TEXT NOT NULL,
    code_hash BLOB NOT NULL,
    storage_root BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What the node itself remembers.
CREATE TABLE engine_log (sequence INTEGER PRIMARY KEY AUTOINCREMENT, entry BLOB NOT NULL) STRICT;
CREATE TABLE pending (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE addresses (
    address TEXT PRIMARY KEY,
    last_success INTEGER NOT NULL,
    failures INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE bans (peer BLOB PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE VIEW v_blocks AS SELECT
    b.number,
    '0x' || lower(hex(b.hash)) AS hash,
    c.number IS NOT NULL AS canonical,
    datetime(b.timestamp, 'unixepoch') AS time,
    '0x' || lower(hex(b.miner)) AS miner,
    b.transactions,
    b.gas_used,
    b.difficulty,
    b.total_weight,
    b.issued,
    b.burned,
    b.bytes,
    '0x' || lower(hex(b.parent)) AS parent
FROM blocks b LEFT JOIN canonical c ON c.number = b.number AND c.block = b.id
ORDER BY b.number;
CREATE VIEW v_transactions AS SELECT
    number,
    position,
    '0x' || lower(hex(hash)) AS hash,
    '0x' || lower(hex(sender)) AS sender,
    CASE WHEN recipient IS NOT NULL THEN '0x' || lower(hex(recipient)) END AS recipient,
    CASE WHEN created IS NOT NULL THEN '0x' || lower(hex(created)) END AS created,
    nonce,
    value,
    gas_used,
    success
FROM transactions ORDER BY number, position;
CREATE VIEW v_accounts AS SELECT
    '0x' || lower(hex(address)) AS address,
    nonce,
    balance,
    '0x' || lower(hex(code_hash)) AS code_hash,
    '0x' || lower(hex(storage_root)) AS storage_root
FROM accounts;
";

/// Reads a number of the `meta` table.
pub(crate) fn meta_int(conn: &Connection, name: &str) -> Result<Option<u64>, Failure> {
    one(conn, META, [name], |row| crate::codec::uint(row, 0))
}

/// Reads a hash of the `meta` table.
pub(crate) fn meta_hash(conn: &Connection, name: &str) -> Result<Option<B256>, Failure> {
    one(conn, META, [name], |row| crate::codec::hash(row, 0))
}

/// Writes a value of the `meta` table.
pub(crate) fn set_meta(conn: &Connection, name: &str, value: impl ToSql) -> Result<(), Failure> {
    let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    crate::codec::run(conn, sql, rusqlite::params![name, value]).map(drop)
}

/// Says what `meta` must have.
pub(crate) fn missing(name: &str) -> Failure {
    Failure::Damaged(format!("`{name}` is missing in table meta"))
}

const META: &str = "SELECT value FROM meta WHERE name = ?1";
