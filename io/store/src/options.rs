//! What an operator may choose about a store.

/// Sizes and habits of a store. The default keeps a node at rest small.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Page cache of the writer, bytes.
    pub writer_cache_bytes: usize,
    /// Page cache of each reading connection, bytes.
    pub reader_cache_bytes: usize,
    /// Reading connections at most; they open when first needed.
    pub readers_max: usize,
    /// Bytes of the file that may be mapped into memory; the kernel owns those pages.
    pub mmap_bytes: u64,
    /// The write-ahead log is copied into the database when it exceeds this, bytes.
    pub wal_bytes: u64,
    /// Largest database, bytes: beyond it writes fail as on a full disk. `None` for no limit.
    pub database_bytes_max: Option<u64>,
    /// Keeps all states: nothing is pruned.
    pub archive: bool,
    /// When the file's structure is checked at start.
    pub check: Check,
}

/// When the file's structure is checked at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// After a shutdown that was not clean, if the file is at most 1 GiB.
    #[default]
    AfterCrash,
    /// At every start.
    Always,
    /// Never.
    Never,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            writer_cache_bytes: 2 * 1024 * 1024,
            reader_cache_bytes: 1024 * 1024,
            readers_max: 4,
            mmap_bytes: 64 * 1024 * 1024,
            wal_bytes: 8 * 1024 * 1024,
            database_bytes_max: None,
            archive: false,
            check: Check::AfterCrash,
        }
    }
}
