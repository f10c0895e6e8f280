//! Keeps the write-ahead log short without making the writer wait.
//!
//! SQLite appends each transaction to the log and copies it into the database at a checkpoint. A thread
//! with a connection of its own does that (PASSIVE: it waits for nobody and nobody waits for it).

use crate::{StoreOptions, lock::beside, open};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

/// The thread that copies the log. Ends when dropped.
#[derive(Debug)]
pub(crate) struct WalKeeper {
    orders: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Held while somebody copies: SQLite lets only one, and refuses the other.
    turn: Arc<Mutex<()>>,
}

impl WalKeeper {
    /// Starts the thread; its connection opens at the first order.
    pub(crate) fn start(path: &Path, options: &StoreOptions) -> std::io::Result<Self> {
        let (orders, received) = sync_channel(1);
        let (path, options) = (path.to_owned(), options.clone());
        let turn = Arc::new(Mutex::new(()));
        let shared = turn.clone();
        let thread = std::thread::Builder::new()
            .name("kette-wal".into())
            .stack_size(STACK_BYTES)
            .spawn(move || copy_on_order(&received, &path, &options, &shared))?;
        Ok(Self { orders: Some(orders), thread: Some(thread), turn })
    }

    /// Orders a copy, unless one is ordered already.
    pub(crate) fn order(&self) {
        if let Some(orders) = &self.orders {
            // A full channel holds an order that will see everything written until now.
            let _ = orders.try_send(());
        }
    }

    /// Copies on the caller's connection and thread, after a copy that is under way.
    pub(crate) fn copy_here(&self, conn: &Connection) -> rusqlite::Result<()> {
        let _turn = self.turn.lock().expect("no holder of this lock panics");
        copy(conn, "PASSIVE")
    }
}

impl Drop for WalKeeper {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed; the log is copied at the next start.
            let _ = thread.join();
        }
    }
}

fn copy_on_order(orders: &Receiver<()>, path: &Path, options: &StoreOptions, turn: &Mutex<()>) {
    let mut conn = None;
    while orders.recv().is_ok() {
        if conn.is_none() {
            conn = match open::writing_connection(path, options) {
                Ok(conn) => Some(conn),
                Err(failure) => {
                    let error = failure.at(path);
                    tracing::warn!(%error, "the write-ahead log cannot be copied yet");
                    None
                }
            };
        }
        let _turn = turn.lock().expect("no holder of this lock panics");
        if let Some(Err(error)) = conn.as_ref().map(|conn| copy(conn, "PASSIVE")) {
            tracing::warn!(%error, "the write-ahead log cannot be copied yet");
        }
    }
}

/// Copies the log into the database: PASSIVE waits for nobody, TRUNCATE for readers and then empties it.
pub(crate) fn copy(conn: &Connection, mode: &str) -> rusqlite::Result<()> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

/// Returns the log's size; zero if there is none.
pub(crate) fn bytes(database: &Path) -> u64 {
    std::fs::metadata(wal_path(database)).map_or(0, |data| data.len())
}

/// Returns the write-ahead log beside a database.
pub(crate) fn wal_path(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// SQLite needs little, and the thread nothing else.
const STACK_BYTES: usize = 256 * 1024;
