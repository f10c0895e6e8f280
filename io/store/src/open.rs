//! Opening a store: refuse what is not ours, create what is new, read what the node restarts from.

use crate::{
    Check, Reader, Store, StoreError, StoreOptions,
    codec::{all, blob, hash, int, one, run, uint},
    error::Failure,
    lock::Lock,
    read::{blocks, connection},
    schema::{self, APPLICATION_ID, SCHEMA_VERSION, meta},
    wal::WalKeeper,
    write::{blocks::insert_genesis, states},
};
use kette_chain::record::{Restored, StoredBlock};
use kette_ledger::StateCommit;
use kette_types::{B256, PeerId, SealedHeader, Time, U256};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::{
    io::Read as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What a new store begins with, and what an old one must have begun with.
type Genesis<'a> = (&'a SealedHeader, &'a StateCommit, u64);

impl Store {
    /// Opens a node's database, or creates it with block 0 (header, its state, chain id) as first checkpoint.
    /// Returns the writer, a reader and what the node restarts from.
    ///
    /// # Errors
    /// If the file is in use, of another chain, of a newer version, damaged, not a database, or unwritable.
    pub fn open(
        path: &Path,
        options: &StoreOptions,
        genesis: Genesis<'_>,
    ) -> Result<(Self, Reader, Restored), StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(path, &error))?;
        }
        let lock = Lock::take(path)?;
        check_magic(path)?;
        let prepare = || {
            let mut conn = writing_connection(path, options)?;
            let new = is_new(&conn)?;
            if new {
                create(&mut conn, genesis)?;
            }
            Ok((conn, new))
        };
        let (conn, new) = prepare().map_err(|failure: Failure| failure.at(path))?;
        if !new {
            check_ours(&conn, path, genesis)?;
            check_structure(&conn, path, options)?;
        }
        let start = || {
            schema::set_meta(&conn, meta::CLEAN, 0)?;
            restored(&conn)
        };
        let restored = start().map_err(|failure: Failure| failure.at(path))?;
        let wal = WalKeeper::start(path, options)
            .map_err(|error| StoreError::Io { path: path.to_owned(), detail: error.to_string() })?;
        let reader = Reader::new(path, options);
        let store =
            Self { conn, wal, path: path.to_owned(), options: options.clone(), _lock: lock };
        Ok((store, reader, restored))
    }
}

/// Opens the file for writing, with the settings that every writing connection has.
pub(crate) fn writing_connection(
    path: &Path,
    options: &StoreOptions,
) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    connection::settle(&conn, options.writer_cache_bytes, options.mmap_bytes)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |r| r.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Failure::Damaged(format!("journal mode is {mode}, not WAL")));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", int(options.wal_bytes))?;
    if let Some(bytes) = options.database_bytes_max {
        conn.pragma_update(None, "max_page_count", int(bytes / u64::from(PAGE_BYTES)).max(1))?;
    }
    Ok(conn)
}

/// SQLite itself says "not a database" only when the first query runs, and not for every damage.
fn check_magic(path: &Path) -> Result<(), StoreError> {
    let mut head = Vec::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unwritable(path, &error)),
        Ok(file) => file
            .take(MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(|error| unwritable(path, &error))?,
    };
    if head.is_empty() || head == MAGIC {
        return Ok(());
    }
    Err(StoreError::NotADatabase { path: path.to_owned() })
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::NotWritable { path: path.to_owned(), reason: error.to_string() }
}

fn is_new(conn: &Connection) -> Result<bool, Failure> {
    let tables = one(conn, "SELECT count(*) FROM sqlite_schema", [], |row| uint(row, 0))?;
    Ok(tables == Some(0) && pragma(conn, "application_id")? == 0)
}

fn pragma(conn: &Connection, name: &str) -> Result<i64, Failure> {
    Ok(conn.pragma_query_value(None, name, |row| row.get(0))?)
}

fn create(conn: &mut Connection, genesis: Genesis<'_>) -> Result<(), Failure> {
    let (header, commit, chain_id) = genesis;
    let tx = Transaction::new(conn, TransactionBehavior::Immediate)?;
    tx.execute_batch(schema::SCHEMA)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    schema::set_meta(&tx, meta::GENESIS, header.hash().as_slice())?;
    schema::set_meta(&tx, meta::CHAIN_ID, int(chain_id))?;
    schema::set_meta(&tx, meta::FINALIZED_NUMBER, int(header.number))?;
    schema::set_meta(&tx, meta::FINALIZED_HASH, header.hash().as_slice())?;
    insert_genesis(&tx, header)?;
    states::checkpoint(&tx, header.number, header.hash(), commit)?;
    tx.commit()?;
    Ok(())
}

fn check_ours(conn: &Connection, path: &Path, genesis: Genesis<'_>) -> Result<(), StoreError> {
    let at = |failure: Failure| failure.at(path);
    if pragma(conn, "application_id").map_err(at)? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let found = pragma(conn, "user_version").map_err(at)?;
    if found > SCHEMA_VERSION {
        let supported = SCHEMA_VERSION;
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, supported });
    }
    if found != SCHEMA_VERSION {
        return Err(at(Failure::Damaged(format!("schema version {found} never existed"))));
    }
    let stored = schema::meta_hash(conn, meta::GENESIS).map_err(at)?;
    let found = stored.ok_or_else(|| at(schema::missing(meta::GENESIS)))?;
    let expected = genesis.0.hash();
    if found != expected {
        return Err(StoreError::WrongGenesis { path: path.to_owned(), found, expected });
    }
    let stored = schema::meta_int(conn, meta::CHAIN_ID).map_err(at)?;
    let found = stored.ok_or_else(|| at(schema::missing(meta::CHAIN_ID)))?;
    if int(found) != int(genesis.2) {
        let expected = genesis.2;
        return Err(StoreError::WrongChainId { path: path.to_owned(), found, expected });
    }
    Ok(())
}

fn check_structure(
    conn: &Connection,
    path: &Path,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    let at = |failure: Failure| failure.at(path);
    let clean = schema::meta_int(conn, meta::CLEAN).map_err(at)? == Some(1);
    let bytes = std::fs::metadata(path).map_or(0, |data| data.len());
    let due = match options.check {
        Check::Never => false,
        Check::Always => true,
        Check::AfterCrash => !clean && bytes <= CHECKED_BYTES_MAX,
    };
    if !due {
        return Ok(());
    }
    tracing::info!(path = %path.display(), clean, "checking the database");
    let problem = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        .map_err(|error| at(error.into()))?;
    if problem == "ok" { Ok(()) } else { Err(at(Failure::Damaged(problem))) }
}

fn restored(conn: &Connection) -> Result<Restored, Failure> {
    let checkpoint = states::newest(conn)?
        .ok_or_else(|| Failure::Damaged("no state that the canonical chain contains".into()))?;
    let finalized = (
        schema::meta_int(conn, meta::FINALIZED_NUMBER)?
            .ok_or_else(|| schema::missing(meta::FINALIZED_NUMBER))?,
        schema::meta_hash(conn, meta::FINALIZED_HASH)?
            .ok_or_else(|| schema::missing(meta::FINALIZED_HASH))?,
    );
    // Bans that ended while the node was down.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    run(conn, "DELETE FROM bans WHERE until <= ?1", [now])?;
    Ok(Restored {
        checkpoint,
        checkpoint_weight: weight(conn, checkpoint.1)?,
        finalized,
        justification: blocks::justification(conn, finalized.0)?,
        canonical: tail(conn, CANONICAL_TAIL, checkpoint.0)?,
        side: tail(conn, SIDE_TAIL, checkpoint.0)?,
        engine: engine_log(conn)?,
        pending: all(conn, "SELECT bytes FROM pending ORDER BY sequence", [], |row| {
            Ok(blob(row, 0)?.to_vec().into())
        })?,
        addresses: all(conn, "SELECT address, last_success, failures FROM addresses", [], |row| {
            let text: String = row.get(0)?;
            let address =
                text.parse().map_err(|error| Failure::Damaged(format!("addresses: {error}")))?;
            Ok((address, Time::from_millis(uint(row, 1)?), crate::codec::small(row, 2)?))
        })?,
        bans: all(conn, "SELECT peer, until FROM bans", [], |row| {
            Ok((PeerId(hash(row, 0)?), Time::from_millis(uint(row, 1)?)))
        })?,
    })
}

/// Reads the engine's log, oldest first.
pub(crate) fn engine_log(conn: &Connection) -> Result<Vec<kette_types::Bytes>, Failure> {
    all(conn, "SELECT entry FROM engine_log ORDER BY sequence", [], |row| {
        Ok(blob(row, 0)?.to_vec().into())
    })
}

fn weight(conn: &Connection, hash: B256) -> Result<U256, Failure> {
    blocks::total_weight(conn, hash)?
        .ok_or_else(|| Failure::Damaged(format!("block {hash} of the last checkpoint is missing")))
}

fn tail(conn: &Connection, sql: &str, above: u64) -> Result<Vec<StoredBlock>, Failure> {
    all(conn, sql, [int(above)], blocks::stored_block)
}

const CANONICAL_TAIL: &str = "
    SELECT b.hash, b.header, b.seal, b.total_weight, o.body, o.senders
    FROM canonical c JOIN blocks b ON b.id = c.block JOIN bodies o ON o.block = b.id
    WHERE c.number > ?1 ORDER BY c.number";
/// By number: a parent's is lower than its child's.
const SIDE_TAIL: &str = "
    SELECT b.hash, b.header, b.seal, b.total_weight, o.body, o.senders
    FROM blocks b JOIN bodies o ON o.block = b.id
    LEFT JOIN canonical c ON c.number = b.number AND c.block = b.id
    WHERE b.number > ?1 AND c.number IS NULL ORDER BY b.number, b.id";

/// SQLite's default, and the page of most file systems.
const PAGE_BYTES: u32 = 4096;
/// First bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Larger files are not checked at start; `kette chain verify` does it.
const CHECKED_BYTES_MAX: u64 = 1 << 30;
