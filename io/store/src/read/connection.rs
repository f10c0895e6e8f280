//! A small pool of reading connections, opened when first needed.

use crate::{StoreOptions, codec::int, error::Failure};
use rusqlite::{Connection, OpenFlags};
use std::{
    path::{Path, PathBuf},
    sync::{Condvar, Mutex},
    time::Duration,
};

/// Reading connections that threads borrow and give back.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    cache_bytes: usize,
    mmap_bytes: u64,
    max: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Connection>,
    /// Open ones, idle or lent.
    open: usize,
}

impl Pool {
    pub(crate) fn new(path: &Path, options: &StoreOptions) -> Self {
        Self {
            path: path.to_owned(),
            cache_bytes: options.reader_cache_bytes,
            mmap_bytes: options.mmap_bytes,
            max: options.readers_max.max(1),
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lends a connection to a question; waits if all are lent.
    pub(crate) fn with<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        while state.idle.is_empty() && state.open >= self.max {
            state = self.returned.wait(state).expect("no holder of this lock panics");
        }
        let idle = state.idle.pop();
        state.open += usize::from(idle.is_none());
        drop(state);
        // From here on the count is given back whatever happens, also if the question panics.
        let mut lent = Lent { pool: self, conn: idle };
        if lent.conn.is_none() {
            lent.conn = Some(self.open()?);
        }
        question(lent.conn.as_ref().expect("it was opened above"))
    }

    fn open(&self) -> Result<Connection, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        settle(&conn, self.cache_bytes, self.mmap_bytes)?;
        Ok(conn)
    }
}

struct Lent<'a> {
    pool: &'a Pool,
    conn: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock().expect("no holder of this lock panics");
        match self.conn.take() {
            Some(conn) => state.idle.push(conn),
            None => state.open -= 1,
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

/// Settings that every connection has.
pub(crate) fn settle(conn: &Connection, cache: usize, mmap: u64) -> Result<(), Failure> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let kib = i64::try_from(cache / 1024).unwrap_or(i64::MAX).max(1);
    // Negative: KiB instead of pages.
    conn.pragma_update(None, "cache_size", -kib)?;
    conn.pragma_update_and_check(None, "mmap_size", int(mmap), |_| Ok(()))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

/// How long another program's write transaction is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: about all that there are.
const STATEMENTS_MAX: usize = 64;
