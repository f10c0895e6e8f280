//! Both disks behind the same words, and everything that can be asked of them.

use super::history::History;
use kette_chain::{ExecutedBlock, Record, record};
use kette_ledger::{NodeKey, StateCommit};
use kette_node::Reader as AnyReader;
use kette_sim::{
    disk::{Disk, Loss},
    rng::{Purpose, stream},
};
use kette_store::{Reader, Store, StoreOptions};
use kette_types::{B256, Body, Bytes, PeerAddress, PeerId, SealedHeader, Time, U256};
use std::{
    cell::Cell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// How a node ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// It was asked to.
    Close,
    /// It came to an end without saying goodbye to its store.
    Drop,
    /// It was killed: the files are as they lay there at that moment.
    Kill,
}

/// [`record::Restored`], comparable.
#[derive(Debug, PartialEq)]
pub(super) struct Restored {
    pub(super) checkpoint: (u64, B256),
    weight: U256,
    finalized: (u64, B256),
    justification: Option<Bytes>,
    canonical: Vec<record::StoredBlock>,
    side: Vec<record::StoredBlock>,
    lists: [Vec<Bytes>; 2],
    addresses: Vec<(PeerAddress, Time, u32)>,
    bans: Vec<(PeerId, Time)>,
}

impl From<record::Restored> for Restored {
    fn from(restored: record::Restored) -> Self {
        Self {
            checkpoint: restored.checkpoint,
            weight: restored.checkpoint_weight,
            finalized: restored.finalized,
            justification: restored.justification,
            canonical: restored.canonical,
            side: restored.side,
            lists: [restored.engine, restored.pending],
            addresses: restored.addresses,
            bans: restored.bans,
        }
    }
}

/// The store in a folder of its own.
pub(super) struct Sql {
    folder: TempDir,
    genesis: SealedHeader,
    commit: Arc<StateCommit>,
    chain_id: u64,
    open: Option<(Store, Arc<Reader>, Restored)>,
}

impl Sql {
    pub(super) fn new(
        genesis: &Arc<ExecutedBlock>,
        commit: &Arc<StateCommit>,
        chain_id: u64,
    ) -> Self {
        let mut sql = Self {
            folder: tempfile::tempdir().expect("a folder"),
            genesis: genesis.block.header.clone(),
            commit: commit.clone(),
            chain_id,
            open: None,
        };
        sql.start();
        sql
    }

    fn start(&mut self) {
        // No thread copies the log while a test copies the files.
        let options = StoreOptions { wal_bytes: 1 << 40, ..StoreOptions::default() };
        let genesis = (&self.genesis, &*self.commit, self.chain_id);
        let (store, reader, restored) =
            Store::open(&self.file(), &options, genesis).expect("the store opens");
        self.open = Some((store, Arc::new(reader), restored.into()));
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("node.sqlite")
    }

    pub(super) fn write(&mut self, batch: &[Record]) {
        let (store, ..) = self.open.as_mut().expect("it is open");
        store.write(batch).expect("the store takes what a node writes");
    }

    pub(super) fn reader(&self) -> &Arc<Reader> {
        &self.open.as_ref().expect("it is open").1
    }

    /// What the last start found.
    pub(super) fn restored(&self) -> &Restored {
        &self.open.as_ref().expect("it is open").2
    }

    /// Ends it and starts it again.
    pub(super) fn end(&mut self, end: End) {
        let (store, ..) = self.open.take().expect("it is open");
        match end {
            End::Close => store.close().expect("it closes"),
            End::Drop => drop(store),
            End::Kill => {
                let copy = tempfile::tempdir().expect("a folder");
                for name in ["node.sqlite", "node.sqlite-wal"] {
                    copy_if_there(&self.folder.path().join(name), &copy.path().join(name));
                }
                drop(store);
                self.folder = copy;
            }
        }
        self.start();
    }
}

fn copy_if_there(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).expect("a file is copied");
    }
}

/// The simulator's disk; each write is synced, as the store does.
pub(super) struct Virtual {
    pub(super) disk: Arc<Disk>,
    lost: Cell<usize>,
}

impl Virtual {
    pub(super) fn new(genesis: &Arc<ExecutedBlock>, commit: &Arc<StateCommit>) -> Self {
        let disk = Disk::new(genesis, commit, stream(0, Purpose::Disk, 0));
        Self { disk: Arc::new(disk), lost: Cell::new(0) }
    }

    pub(super) fn write(&self, batch: &[Record]) {
        self.disk.write(batch).expect("the disk takes what a node writes");
        self.disk.sync();
    }

    /// Crashes before this batch is synced.
    pub(super) fn crash_with(&self, batch: &[Record]) {
        self.disk.write(batch).expect("the disk takes what a node writes");
        self.lost.set(self.lost.get() + usize::from(!batch.is_empty()));
        self.disk.crash(Loss::Unsynced);
    }

    /// How many batches were lost in crashes.
    pub(super) fn lost(&self) -> usize {
        self.lost.get()
    }

    pub(super) fn restored(&self) -> Restored {
        self.disk.restored().expect("an honest disk").into()
    }
}

/// Header, body and weight of a block.
type Parts = (Option<SealedHeader>, Option<Body>, Option<U256>);

/// All that can be read.
pub(super) struct Answers {
    canonical: Vec<Option<B256>>,
    blocks: BTreeMap<B256, Parts>,
    nodes: BTreeMap<NodeKey, Option<Bytes>>,
    codes: BTreeMap<B256, Option<Bytes>>,
}

impl Answers {
    /// Asks for everything that a history ever wrote, and for what nobody wrote.
    pub(super) fn of(reader: &dyn AnyReader, history: &History) -> Self {
        let hashes = history.blocks.keys().copied();
        let hashes = hashes.chain([history.genesis.hash(), B256::repeat_byte(7)]);
        let parts = |hash| {
            let header = reader.header(hash).expect("the disk answers");
            (
                header,
                reader.body(hash).expect("the disk answers"),
                reader.total_weight(hash).expect("the disk answers"),
            )
        };
        let node = |key: &NodeKey| (key.clone(), reader.node(key).expect("the disk answers"));
        let codes = history.codes.iter().copied().chain([B256::repeat_byte(7)]);
        Self {
            canonical: (0..=history.highest + 2)
                .map(|n| reader.canonical(n).expect("the disk answers"))
                .collect(),
            blocks: hashes.map(|hash| (hash, parts(hash))).collect(),
            nodes: history.nodes.iter().map(node).collect(),
            codes: codes.map(|hash| (hash, reader.code(hash).expect("the disk answers"))).collect(),
        }
    }

    /// Says what differs first.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        if self.canonical != other.canonical {
            return Some(format!("canonical {:?} and {:?}", self.canonical, other.canonical));
        }
        first("block", &self.blocks, &other.blocks)
            .or_else(|| first("node", &self.nodes, &other.nodes))
            .or_else(|| first("code", &self.codes, &other.codes))
    }
}

fn first<K: std::fmt::Debug + Ord, V: std::fmt::Debug + PartialEq>(
    what: &str,
    store: &BTreeMap<K, V>,
    disk: &BTreeMap<K, V>,
) -> Option<String> {
    let mut pairs = store.iter().zip(disk);
    let ((key, stored), (_, kept)) = pairs.find(|(a, b)| a != b)?;
    Some(format!("{what} {key:?}: the store has {stored:?}, the disk {kept:?}"))
}
