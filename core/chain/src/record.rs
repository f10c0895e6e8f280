//! What a node writes: the durable log of a chain, one atomic batch at a time.

use crate::ExecutedBlock;
use kette_ledger::StateCommit;
use kette_types::{B256, Bytes, PeerAddress, PeerId, Time, U256, bft::SignState};
use std::sync::Arc;

/// One thing to write. A batch of records is written atomically and in order.
#[derive(Clone, Debug)]
pub enum Record {
    /// A block with receipts and senders, on whatever branch. Idempotent.
    Block(Arc<ExecutedBlock>),
    /// The canonical chain changed: numbers above `keep` are forgotten, then `added` (ascending) apply.
    /// Transaction and log indexes follow it.
    Canonical {
        /// Highest number that stays as it was.
        keep: u64,
        /// Hashes of the blocks `keep + 1 ..`, ascending; the last one is the head.
        added: Vec<B256>,
    },
    /// A block became final, with the engine's justification (empty if depth alone makes it final).
    Final {
        /// The block's number.
        number: u64,
        /// The block's hash.
        hash: B256,
        /// Certificate or other proof, for sync and light clients.
        justification: Bytes,
    },
    /// Blocks that can never become canonical any more: side branches below the final block.
    Prune(Vec<B256>),
    /// A state becomes durable. Restart executes the canonical blocks above `number` again.
    Checkpoint {
        /// The block's number.
        number: u64,
        /// The block's hash.
        hash: B256,
        /// Nodes, code and accounts.
        commit: Arc<StateCommit>,
    },
    /// A node of the state trie that was replaced at a checkpoint may be deleted from this number on:
    /// states below it are no longer readable.
    PruneStates {
        /// Lowest checkpoint number that stays readable.
        below: u64,
    },
    /// An entry of the engine's own log (votes, locks); given back in order at restart.
    Engine(Bytes),
    /// The engine's log up to here is no longer needed.
    EngineTruncate,
    /// What a validator is about to sign. Not part of the chain: the host keeps the last one in a place of its own,
    /// durable after the batch and before anything leaves, and refuses one that [`SignState::allows`] does not.
    Sign(Box<SignState>),
    /// A transaction that a client handed to this node and that is not in a block yet.
    Pending(Bytes),
    /// Pending transactions that are in a block or gone.
    PendingDone(Vec<B256>),
    /// An address of the address book, or a change of it.
    Address {
        /// Where.
        address: PeerAddress,
        /// When a session with it last worked; zero if never.
        last_success: Time,
        /// Failed dials since then.
        failures: u32,
    },
    /// An address is forgotten.
    AddressGone(PeerAddress),
    /// A peer is banned until this time.
    Ban(PeerId, Time),
    /// A ban ended.
    Unban(PeerId),
}

/// What a node finds at start.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Number and hash of the last checkpoint; genesis in a new database.
    pub checkpoint: (u64, B256),
    /// Total weight of the checkpoint's block.
    pub checkpoint_weight: U256,
    /// Number and hash of the newest final block.
    pub finalized: (u64, B256),
    /// What was written with the newest final block, unless a reorganization went below it since.
    pub justification: Option<Bytes>,
    /// Canonical blocks above the checkpoint, ascending, with senders.
    pub canonical: Vec<StoredBlock>,
    /// Side-branch blocks above the checkpoint, parents before children.
    pub side: Vec<StoredBlock>,
    /// The engine's log, oldest first.
    pub engine: Vec<Bytes>,
    /// Pending transactions of clients, EIP-2718.
    pub pending: Vec<Bytes>,
    /// The address book: address, last success, failures.
    pub addresses: Vec<(PeerAddress, Time, u32)>,
    /// Bans that were still running.
    pub bans: Vec<(PeerId, Time)>,
}

/// A block as read back: what cannot be computed again cheaply is with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Header, seal, body.
    pub block: kette_types::Block,
    /// Who signed each transaction.
    pub senders: Vec<kette_types::Address>,
    /// Weight of the branch up to this block.
    pub total_weight: U256,
}
