//! Why a store cannot be opened or written, and what to do next.

use kette_ledger::ReadError;
use kette_types::B256;
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// A store could not be opened or written. Each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error(
        "{} is in use by {}; stop that node or choose another --home or --db",
        path.display(),
        holder(*pid)
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// The process that holds it, if its lock file says so.
        pid: Option<u32>,
    },
    /// Another program keeps a write transaction open.
    #[error(
        "{} is being written by another program (a database browser?); close it and start again",
        path.display()
    )]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The file belongs to another chain.
    #[error(
        "{} belongs to another chain: its genesis is {found}, the genesis file gives {expected}; \
         use the genesis file it was made with, or choose another --home or --db",
        path.display()
    )]
    WrongGenesis {
        /// The database.
        path: PathBuf,
        /// Genesis hash in the database.
        found: B256,
        /// Genesis hash asked for.
        expected: B256,
    },
    /// The genesis block is the same and the chain id is not.
    #[error(
        "{} was made for chain id {found}, the genesis file says {expected}; \
         use the genesis file it was made with, or choose another --home or --db",
        path.display()
    )]
    WrongChainId {
        /// The database.
        path: PathBuf,
        /// Chain id in the database.
        found: u64,
        /// Chain id asked for.
        expected: u64,
    },
    /// A newer version of the program made the file.
    #[error(
        "{} has schema {found}, this version reads up to {supported}; \
         run the newer kette that made it, or choose another --home or --db",
        path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Schema version of the file.
        found: i64,
        /// Newest schema version that this program reads.
        supported: i64,
    },
    /// The file is not SQLite.
    #[error(
        "{} is not a database (or its first page is damaged); \
         move it away or delete it and sync again",
        path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is SQLite and not a node's.
    #[error(
        "{} is a database of another program; move it away or choose another --home or --db",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file's content is not what was written.
    #[error(
        "{} is damaged: {detail}; run `kette chain verify --db {}` to see how much, \
         or delete the file and sync again",
        path.display(),
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The folder or file may not be written.
    #[error(
        "cannot write {}: {reason}; make the folder writable for this user or choose another --home or --db",
        path.display()
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// No space is left.
    #[error(
        "the disk of {} is full; free some space and start again: nothing that was written is lost",
        path.display()
    )]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The disk failed.
    #[error(
        "the disk of {} failed: {detail}; check the disk and its cable or volume, then start again",
        path.display()
    )]
    Io {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// A record names a block that was never written. A fault of the program.
    #[error("block {0} is not stored: a fault of the program; nothing of the batch was written")]
    UnknownBlock(B256),
    /// A canonical block does not continue the one before it. A fault of the program.
    #[error(
        "block {hash} does not continue the canonical chain at {number}: a fault of the program; \
         nothing of the batch was written"
    )]
    Unlinked {
        /// The block.
        hash: B256,
        /// The number it was to have.
        number: u64,
    },
    /// SQLite refused for a reason of its own.
    #[error("{}: {detail}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What goes wrong inside, before it is known which file and which side it concerns.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Damaged(String),
    UnknownBlock(B256),
    Unlinked { hash: B256, number: u64 },
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    /// Names the file and what to do next.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        let error = match self {
            Self::Sqlite(error) => error,
            Self::Damaged(detail) => return StoreError::Damaged { path, detail },
            Self::UnknownBlock(hash) => return StoreError::UnknownBlock(hash),
            Self::Unlinked { hash, number } => return StoreError::Unlinked { hash, number },
        };
        let detail = error.to_string();
        let Some(code) = error.sqlite_error() else {
            // Rows of another type than the schema has: only a damaged or edited file gives those.
            return StoreError::Damaged { path, detail };
        };
        match code.code {
            ErrorCode::DiskFull => StoreError::DiskFull { path },
            ErrorCode::SystemIoFailure if code.extended_code == SQLITE_IOERR_SHORT_READ => {
                StoreError::Damaged { path, detail }
            }
            ErrorCode::SystemIoFailure => StoreError::Io { path, detail },
            ErrorCode::DatabaseCorrupt => StoreError::Damaged { path, detail },
            ErrorCode::NotADatabase => StoreError::NotADatabase { path },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy { path },
            ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                StoreError::NotWritable { path, reason: detail }
            }
            _ => StoreError::Sqlite { path, detail },
        }
    }

    /// Names the file, for the core.
    pub(crate) fn read(self, path: &Path) -> ReadError {
        ReadError::Store(self.at(path).to_string())
    }
}

/// A read that ended before the page did: the file was cut.
const SQLITE_IOERR_SHORT_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
