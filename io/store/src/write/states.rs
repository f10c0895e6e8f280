//! States: which trie nodes are there, which were replaced and when, which may go.

use crate::{
    codec::{hash, int, one, position, run, uint},
    error::Failure,
};
use kette_ledger::StateCommit;
use kette_types::B256;
use rusqlite::{Connection, params};

/// Makes a state durable. One at or below the newest checkpoint replaces those from its number on: nodes
/// that they had made stale may be live again and are kept.
pub(crate) fn checkpoint(
    conn: &Connection,
    number: u64,
    block: B256,
    commit: &StateCommit,
) -> Result<(), Failure> {
    let known = one(conn, "SELECT 1 FROM blocks WHERE hash = ?1", [block.as_slice()], |_| Ok(()))?;
    known.ok_or(Failure::UnknownBlock(block))?;
    let number = int(number);
    abandon(conn, number - 1)?;

    // Sorted, so that neighbours on disk are written together.
    let mut stale: Vec<_> = commit.stale.iter().map(|key| key.to_bytes()).collect();
    stale.sort_unstable();
    let mut mark = conn.prepare_cached("UPDATE trie_nodes SET stale = ?1 WHERE key = ?2")?;
    for key in stale {
        mark.execute(params![number, key])?;
    }
    let mut nodes: Vec<_> = commit.nodes.iter().map(|(key, node)| (key.to_bytes(), node)).collect();
    nodes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut insert = conn.prepare_cached(INSERT_NODE)?;
    for (key, node) in nodes {
        insert.execute(params![key, node.as_ref()])?;
    }
    for (hash, code) in &commit.codes {
        let row = params![hash.as_slice(), code.as_ref()];
        run(conn, "INSERT OR IGNORE INTO codes VALUES (?1, ?2)", row)?;
    }
    accounts(conn, commit)?;
    let row = params![number, block.as_slice(), commit.root.as_slice()];
    run(conn, "INSERT INTO checkpoints VALUES (?1, ?2, ?3)", row).map(drop)
}

/// Forgets checkpoints above a number. What they made stale is live again as far as anyone knows.
pub(super) fn abandon(conn: &Connection, above: i64) -> Result<(), Failure> {
    run(conn, "UPDATE trie_nodes SET stale = NULL WHERE stale > ?1", [above])?;
    run(conn, "DELETE FROM checkpoints WHERE number > ?1", [above]).map(drop)
}

/// Returns the newest checkpoint of the canonical chain.
pub(crate) fn newest(conn: &Connection) -> Result<Option<(u64, B256)>, Failure> {
    let sql = "SELECT p.number, p.hash FROM checkpoints p
        JOIN canonical c ON c.number = p.number JOIN blocks b ON b.id = c.block
        WHERE b.hash = p.hash ORDER BY p.number DESC LIMIT 1";
    one(conn, sql, [], |row| Ok((uint(row, 0)?, hash(row, 1)?)))
}

/// Deletes nodes that went stale at or below a number: at most [`PRUNED_MAX`], or twice as many as the same
/// batch made stale, so that deleting keeps up. The rest goes at the next call. The newest checkpoint at or
/// below the number stays readable.
pub(super) fn prune(conn: &Connection, below: u64, made_stale: usize) -> Result<(), Failure> {
    let limit = int(below);
    let sql = "DELETE FROM checkpoints
        WHERE number < (SELECT max(number) FROM checkpoints WHERE number <= ?1)";
    run(conn, sql, [limit])?;
    let sql = "DELETE FROM trie_nodes WHERE key IN
        (SELECT key FROM trie_nodes WHERE stale <= ?1 ORDER BY stale, key LIMIT ?2)";
    let nodes = position(made_stale).saturating_mul(2).max(PRUNED_MAX);
    run(conn, sql, [limit, nodes]).map(drop)
}

fn accounts(conn: &Connection, commit: &StateCommit) -> Result<(), Failure> {
    let mut accounts: Vec<_> = commit.accounts.iter().collect();
    accounts.sort_unstable_by_key(|(address, _)| *address);
    for (address, account) in accounts {
        match account {
            None => run(conn, "DELETE FROM accounts WHERE address = ?1", [address.as_slice()])?,
            Some(account) => run(
                conn,
                INSERT_ACCOUNT,
                params![
                    address.as_slice(),
                    int(account.nonce),
                    account.balance.to_string(),
                    account.code_hash.as_slice(),
                    account.storage_root.as_slice(),
                ],
            )?,
        };
    }
    Ok(())
}

/// Nodes deleted at once while little happens, so that a write never waits long.
const PRUNED_MAX: i64 = 5_000;

const INSERT_NODE: &str = "INSERT INTO trie_nodes (key, node, stale) VALUES (?1, ?2, NULL)
    ON CONFLICT (key) DO UPDATE SET node = excluded.node, stale = NULL";
const INSERT_ACCOUNT: &str = "INSERT INTO accounts VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (address) DO UPDATE SET nonce = excluded.nonce, balance = excluded.balance,
        code_hash = excluded.code_hash, storage_root = excluded.storage_root";
