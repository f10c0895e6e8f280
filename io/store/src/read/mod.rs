//! The reading end: any number of threads, a few connections, the same file as the writer.

pub(crate) mod activity;
pub(crate) mod blocks;
pub(crate) mod connection;
pub(crate) mod logs;
pub(crate) mod status;

use crate::{
    StoreError, StoreOptions,
    codec::{blob, one},
    error::Failure,
};
use connection::Pool;
use kette_chain::ChainReader;
use kette_ledger::{NodeKey, NodeReader, ReadError};
use kette_types::{B256, Body, Bytes, SealedHeader, U256};
use rusqlite::Connection;
use std::{path::Path, sync::Arc};

/// Reads a node's database. Cheap to clone; sees what is committed, also while the writer writes.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: Arc<Pool>,
}

impl Reader {
    /// Opens a reader of its own, for tools that look at a database, also while its node runs.
    ///
    /// # Errors
    /// If the file is missing, unreadable, or not a node's database.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let reader = Self::new(path, options);
        let id = reader.pool.with(|conn| {
            Ok(conn.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0))?)
        });
        match id.map_err(|failure: Failure| failure.at(path))? {
            crate::schema::APPLICATION_ID => Ok(reader),
            _ => Err(StoreError::Foreign { path: path.to_owned() }),
        }
    }

    pub(crate) fn new(path: &Path, options: &StoreOptions) -> Self {
        Self { pool: Arc::new(Pool::new(path, options)) }
    }

    /// Asks one question; connections are borrowed for as long.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        self.pool.with(question).map_err(|failure| failure.read(self.pool.path()))
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl ChainReader for Reader {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        self.ask(|conn| blocks::header(conn, hash))
    }
    fn body(&self, hash: B256) -> Result<Option<Body>, ReadError> {
        self.ask(|conn| blocks::body(conn, hash))
    }
    fn canonical(&self, number: u64) -> Result<Option<B256>, ReadError> {
        self.ask(|conn| blocks::canonical(conn, number))
    }
    fn total_weight(&self, hash: B256) -> Result<Option<U256>, ReadError> {
        self.ask(|conn| blocks::total_weight(conn, hash))
    }
}

/// Content is not checked against its hash here: the ledger does that for every node and code it loads.
impl NodeReader for Reader {
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, ReadError> {
        let key = key.to_bytes();
        self.ask(|conn| {
            one(conn, "SELECT node FROM trie_nodes WHERE key = ?1", [key], |row| {
                Ok(blob(row, 0)?.to_vec().into())
            })
        })
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, ReadError> {
        self.ask(|conn| {
            one(conn, "SELECT code FROM codes WHERE hash = ?1", [hash.as_slice()], |row| {
                Ok(blob(row, 0)?.to_vec().into())
            })
        })
    }
}
