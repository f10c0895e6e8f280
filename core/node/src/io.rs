//! What a node is told and what it orders: the border between the pure core and its two hosts.

use kette_chain::{ExecutedBlock, Record};
use kette_consensus::{Job, JobId, JobResult, bft};
use kette_types::{
    B256, Block, DecodeError, Direction, DisconnectReason, Fault, Lane, Message, PeerAddress,
    PeerId, Recovered, Time, Transaction,
};
use serde::Serialize;
use std::sync::Arc;

/// Names a question of a client, so that its answer finds back.
pub type Ticket = u64;

/// What a node is told.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "an input is moved once and never stored in numbers")]
pub enum Input {
    /// Restored and connected to its host: work may begin.
    Start,
    /// A session with an authenticated peer exists; the hello has not been said.
    Connected {
        /// Who it is, proven by the transport.
        peer: PeerId,
        /// Where we see it.
        address: PeerAddress,
        /// Who dialled.
        direction: Direction,
    },
    /// The session is over.
    Disconnected {
        /// Who it was.
        peer: PeerId,
        /// Why, as far as known.
        reason: DisconnectReason,
    },
    /// A dial did not lead to a session.
    DialFailed {
        /// What was dialled.
        address: PeerAddress,
    },
    /// Addresses found by the host's discovery (Kademlia, DNS).
    Discovered(Vec<PeerAddress>),
    /// A message, decoded.
    Message(PeerId, Message),
    /// Bytes that were no message.
    Malformed(PeerId, Lane, DecodeError),
    /// A client hands in a transaction; its signature was recovered by the host.
    Submit(Ticket, Recovered<Transaction>),
    /// A client hands in a sealed block (external miners, import).
    SubmitBlock(Ticket, Box<Block>),
    /// An operator asks for something.
    Command(Ticket, Command),
    /// Answer to [`Output::Start`].
    Done(JobId, JobResult),
    /// The deadline passed.
    Tick,
}

/// What must happen, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write atomically; durable before any later output acts. If it fails the node stops.
    Persist(Vec<Record>),
    /// Send to these peers. A peer whose queue is full is disconnected as too slow.
    Send(Vec<PeerId>, Arc<Message>),
    /// Answer a peer's request for stored blocks with [`crate::serve`]; does not pass through the node again.
    Serve(PeerId, Message),
    /// Open a session.
    Dial(PeerAddress),
    /// End a session after a goodbye with this reason.
    Disconnect(PeerId, DisconnectReason),
    /// Start work.
    Start(JobId, Job),
    /// Stop work; its result may still come.
    Cancel(JobId),
    /// Answer a client.
    Reply(Ticket, Result<Reply, CommandError>),
    /// A fact for subscribers, logs and metrics.
    Event(Event),
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Connect to this address now and keep it connected.
    AddPeer(PeerAddress),
    /// Disconnect and forget a configured peer.
    RemovePeer(PeerId),
    /// Disconnect and refuse for a while, seconds.
    Ban(PeerId, u64),
    /// Lift a ban.
    Unban(PeerId),
    /// For the engine.
    Engine(kette_consensus::Command),
    /// Development only: make an earlier canonical block the head again; later blocks are dropped.
    Rollback(B256),
    /// Development only: drop a pending transaction.
    DropTransaction(B256),
}

/// A client's question answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// The transaction is in the pool.
    Transaction(B256),
    /// The block was attached (or was there already).
    Block(B256),
}

/// A refused transaction or command, in words a client understands.
pub type Submitted = Result<Reply, CommandError>;

/// Why a client's question was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The pool does not take the transaction.
    #[error(transparent)]
    Transaction(#[from] crate::Rejection),
    /// The block breaks a rule.
    #[error("invalid block: {0}")]
    Block(String),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] kette_consensus::CommandError),
    /// No such peer.
    #[error("peer {0} is not known")]
    UnknownPeer(PeerId),
    /// Only on development chains.
    #[error("only on development chains (`development: true` under config.kette)")]
    NotDevelopment,
    /// The host or its store failed.
    #[error("{0}")]
    Failed(String),
}

/// A fact, for subscribers, logs and metrics. Never an order.
#[derive(Clone, Debug)]
pub enum Event {
    /// The canonical chain changed; blocks are whole.
    Head {
        /// Blocks that are no longer canonical, newest first.
        removed: Vec<Arc<ExecutedBlock>>,
        /// Blocks that became canonical, ascending.
        added: Vec<Arc<ExecutedBlock>>,
        /// Where a fork was resolved: depth of the reorganization, 0 for a plain extension.
        depth: u64,
    },
    /// A block became final.
    Finalized {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: B256,
    },
    /// A valid block that is not canonical joined the tree, on a chain where that is a fork and not a proposal.
    SideBlock {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: B256,
    },
    /// This node produced a block.
    Produced {
        /// Its number.
        number: u64,
        /// Its hash.
        hash: B256,
    },
    /// A block broke a rule.
    InvalidBlock {
        /// Its hash.
        hash: B256,
        /// The rule.
        reason: String,
        /// Who sent it.
        peer: Option<PeerId>,
    },
    /// A transaction entered the pool.
    Pending(Arc<Recovered<Transaction>>),
    /// A transaction left the pool without being in a block.
    Dropped {
        /// Its hash.
        hash: B256,
        /// Why.
        reason: &'static str,
    },
    /// The hello of both sides is done.
    PeerUp {
        /// Who.
        peer: PeerId,
        /// Where.
        address: PeerAddress,
        /// Who dialled.
        direction: Direction,
        /// Name given by its operator.
        moniker: String,
        /// How long connecting and hello took, milliseconds.
        handshake_ms: u64,
    },
    /// A session ended or was refused.
    PeerDown {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: DisconnectReason,
    },
    /// A peer did something wrong.
    PeerFault {
        /// Who.
        peer: PeerId,
        /// What.
        fault: Fault,
        /// Its score afterwards, of 100.
        score: i32,
    },
    /// Sync began or moved on.
    SyncProgress {
        /// Our head.
        number: u64,
        /// The best claim that was backed by headers.
        target: u64,
    },
    /// Caught up with every peer.
    Synced {
        /// Our head.
        number: u64,
    },
    /// A fact of the engine.
    Engine(bft::Event),
    /// Something an operator must see.
    Alarm(String),
}

/// Which side's clock is off, for status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClockSkew {
    /// Median of what peers' clocks are ahead of ours, milliseconds.
    pub median_ms: i64,
}

/// When something happened last; helper for machines that report ages.
pub(crate) fn earliest(deadlines: impl IntoIterator<Item = Option<Time>>) -> Option<Time> {
    deadlines.into_iter().flatten().min()
}
