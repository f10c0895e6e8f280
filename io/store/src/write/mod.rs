//! The only writer: each batch of records is one transaction, durable when the call returns.

pub(crate) mod blocks;
mod canonical;
mod lists;
pub(crate) mod states;

use crate::{
    StoreError, StoreOptions,
    error::Failure,
    lock::Lock,
    schema::{self, meta},
    wal::{self, WalKeeper},
};
use kette_chain::{ExecutedBlock, Record};
use kette_types::B256;
use rusqlite::{Connection, TransactionBehavior};
use std::{collections::HashMap, path::PathBuf};

/// The writing end of a node's database. There is one per file, held by a lock until dropped.
#[derive(Debug)]
pub struct Store {
    // Dropped first: closing the last connection copies the write-ahead log into the database.
    pub(crate) conn: Connection,
    pub(crate) wal: WalKeeper,
    pub(crate) path: PathBuf,
    pub(crate) options: StoreOptions,
    pub(crate) _lock: Lock,
}

impl Store {
    /// Performs a batch, in order, as one transaction: all of it is durable on return, or nothing of it
    /// was written.
    ///
    /// # Errors
    /// If the disk is full or fails, or a record contradicts what is stored. The same batch may be tried again.
    pub fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.perform(batch).map_err(|failure| failure.at(&self.path))?;
        self.shorten_wal();
        Ok(())
    }

    /// Marks the shutdown clean, copies the write-ahead log into the database and empties it.
    ///
    /// # Errors
    /// If the disk is full or fails. Nothing that was written is lost then: the next start repeats this.
    pub fn close(self) -> Result<(), StoreError> {
        let Self { conn, wal, path, .. } = self;
        drop(wal);
        schema::set_meta(&conn, meta::CLEAN, 1).map_err(|failure| failure.at(&path))?;
        wal::copy(&conn, "TRUNCATE").map_err(|error| Failure::from(error).at(&path))?;
        conn.close().map_err(|(_, error)| Failure::from(error).at(&path))
    }

    fn perform(&mut self, batch: &[Record]) -> Result<(), Failure> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut done = Batch::default();
        for record in batch {
            apply(&tx, record, &mut done, &self.options)?;
        }
        tx.commit()?;
        Ok(())
    }

    fn shorten_wal(&self) {
        let bytes = wal::bytes(&self.path);
        if bytes <= self.options.wal_bytes {
            return;
        }
        if bytes <= self.options.wal_bytes.saturating_mul(WAL_EXCESS_MAX) {
            self.wal.order();
            return;
        }
        // The thread cannot catch up with a writer that never rests, so the writer copies once itself.
        if let Err(error) = self.wal.copy_here(&self.conn) {
            tracing::warn!(%error, "the write-ahead log cannot be copied yet");
        }
    }
}

/// What later records of a batch use of earlier ones.
#[derive(Default)]
struct Batch<'a> {
    /// Blocks by hash: their content need not be read back.
    blocks: HashMap<B256, &'a ExecutedBlock>,
    /// Trie nodes that went stale.
    stale: usize,
}

fn apply<'a>(
    conn: &Connection,
    record: &'a Record,
    done: &mut Batch<'a>,
    options: &StoreOptions,
) -> Result<(), Failure> {
    match record {
        Record::Block(block) => {
            done.blocks.insert(block.hash(), block);
            blocks::insert(conn, block)
        }
        Record::Canonical { keep, added } => canonical::switch(conn, *keep, added, done),
        Record::Final { number, hash, justification } => {
            canonical::finalize(conn, *number, *hash, justification)
        }
        Record::Prune(hashes) => {
            for hash in hashes {
                done.blocks.remove(hash);
                blocks::remove(conn, *hash)?;
            }
            Ok(())
        }
        Record::Checkpoint { number, hash, commit } => {
            done.stale += commit.stale.len();
            states::checkpoint(conn, *number, *hash, commit)
        }
        Record::PruneStates { .. } if options.archive => Ok(()),
        Record::PruneStates { below } => states::prune(conn, *below, done.stale),
        Record::Engine(entry) => lists::engine(conn, entry),
        Record::EngineTruncate => lists::engine_truncate(conn),
        // The host keeps it in a file of its own: a database is restored from backups.
        Record::Sign(_) => Ok(()),
        Record::Pending(bytes) => lists::pending(conn, bytes),
        Record::PendingDone(hashes) => lists::pending_done(conn, hashes),
        Record::Address { address, last_success, failures } => {
            lists::address(conn, address, *last_success, *failures)
        }
        Record::AddressGone(address) => lists::address_gone(conn, address),
        Record::Ban(peer, until) => lists::ban(conn, *peer, *until),
        Record::Unban(peer) => lists::unban(conn, *peer),
    }
}

/// The log may exceed its limit this many times before the writer copies it itself.
const WAL_EXCESS_MAX: u64 = 4;
