//! One process per store: an operating-system lock on a file beside the database.
//!
//! The lock ends with the process, however it ends. The file stays: removing it could hand two processes
//! a lock each.

use crate::StoreError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{ErrorKind, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

/// Holds the store for this process until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a database and writes this process's id into it.
    pub(crate) fn take(database: &Path) -> Result<Self, StoreError> {
        let unwritable = |error: std::io::Error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { path: database.to_owned() }
            }
            _ => StoreError::NotWritable { path: database.to_owned(), reason: error.to_string() },
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_path(database))
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Whatever the file says, the lock is what counts.
                let _ = file.take(PID_BYTES_MAX).read_to_string(&mut text);
                let pid = text.trim().parse().ok();
                return Err(StoreError::Locked { path: database.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        file.set_len(0).map_err(unwritable)?;
        file.rewind().map_err(unwritable)?;
        writeln!(file, "{}", std::process::id()).map_err(unwritable)?;
        Ok(Self { _file: file })
    }
}

/// Returns the lock file beside a database.
pub(crate) fn lock_path(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

/// Returns a file with a longer name in the same folder.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// A process id in decimal, with room.
const PID_BYTES_MAX: u64 = 16;
