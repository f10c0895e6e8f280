//! Questions about the database as a whole.

use crate::{
    Reader,
    codec::{all, hash, int, one, uint},
    error::Failure,
    lock::beside,
    open::engine_log,
    schema::{self, meta},
    wal, write,
};
use kette_ledger::ReadError;
use kette_types::{B256, Bytes};
use rusqlite::{Connection, Row};

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Canonical blocks, genesis included.
    pub blocks: u64,
    /// Blocks on side branches.
    pub side_blocks: u64,
    /// Transactions of the canonical chain.
    pub transactions: u64,
    /// Accounts at the last checkpoint.
    pub accounts: u64,
    /// Bytes on disk: database, write-ahead log and its index.
    pub disk_bytes: u64,
}

/// A state that can be read: that of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatePoint {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub block: B256,
    /// The state's root.
    pub state_root: B256,
}

/// Every method's error means that the file could not be read or is damaged; what is absent is `None`.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Reader {
    /// Returns number and hash of the canonical chain's newest block.
    pub fn head(&self) -> Result<(u64, B256), ReadError> {
        let sql = "SELECT c.number, b.hash FROM canonical c JOIN blocks b ON b.id = c.block
            ORDER BY c.number DESC LIMIT 1";
        self.ask(|conn| {
            one(conn, sql, [], |row| Ok((uint(row, 0)?, hash(row, 1)?)))?
                .ok_or_else(|| schema::missing("head"))
        })
    }

    /// Returns number and hash of the newest final block.
    pub fn finalized(&self) -> Result<(u64, B256), ReadError> {
        self.ask(|conn| {
            let number = schema::meta_int(conn, meta::FINALIZED_NUMBER)?;
            let hash = schema::meta_hash(conn, meta::FINALIZED_HASH)?;
            number.zip(hash).ok_or_else(|| schema::missing(meta::FINALIZED_HASH))
        })
    }

    /// Returns number and hash of the newest checkpoint.
    pub fn checkpoint(&self) -> Result<(u64, B256), ReadError> {
        self.ask(|conn| write::states::newest(conn)?.ok_or_else(|| schema::missing("checkpoint")))
    }

    /// Returns the newest readable state at or below a number.
    pub fn state_at_or_below(&self, number: u64) -> Result<Option<StatePoint>, ReadError> {
        let sql = "SELECT number, hash, state_root FROM checkpoints
            WHERE number <= ?1 ORDER BY number DESC LIMIT 1";
        self.ask(|conn| one(conn, sql, [int(number)], state_point))
    }

    /// Returns all readable states, oldest first.
    pub fn states(&self) -> Result<Vec<StatePoint>, ReadError> {
        self.ask(states)
    }

    /// Returns the engine's log, oldest first.
    pub fn engine_log(&self) -> Result<Vec<Bytes>, ReadError> {
        self.ask(engine_log)
    }

    /// Counts what there is.
    pub fn counts(&self) -> Result<Counts, ReadError> {
        self.ask(|conn| {
            let count = |sql| -> Result<u64, Failure> {
                Ok(one(conn, sql, [], |row| uint(row, 0))?.unwrap_or_default())
            };
            let blocks = count("SELECT count(*) FROM canonical")?;
            Ok(Counts {
                blocks,
                side_blocks: count("SELECT count(*) FROM blocks")?.saturating_sub(blocks),
                transactions: count(
                    "SELECT transactions FROM canonical ORDER BY number DESC LIMIT 1",
                )?,
                accounts: count("SELECT count(*) FROM accounts")?,
                disk_bytes: self.disk_bytes(),
            })
        })
    }

    /// Returns the bytes on disk: database, write-ahead log and its index.
    pub fn disk_bytes(&self) -> u64 {
        let path = self.pool().path();
        [path.to_owned(), wal::wal_path(path), beside(path, "-shm")]
            .iter()
            .map(|file| std::fs::metadata(file).map_or(0, |data| data.len()))
            .sum()
    }
}

pub(crate) fn states(conn: &Connection) -> Result<Vec<StatePoint>, Failure> {
    let sql = "SELECT number, hash, state_root FROM checkpoints ORDER BY number";
    all(conn, sql, [], state_point)
}

fn state_point(row: &Row<'_>) -> Result<StatePoint, Failure> {
    Ok(StatePoint { number: uint(row, 0)?, block: hash(row, 1)?, state_root: hash(row, 2)? })
}
