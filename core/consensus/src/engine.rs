//! The interface that all engines share, and the choice between them.

use crate::{
    bft,
    job::{Job, JobId, JobResult},
    pow,
};
use kette_chain::{BlockTree, Headers};
use kette_ledger::ReadError;
use kette_types::{Address, B256, Bytes, ChainSpec, EngineSpec, PeerId, SealedHeader, Time, U256};
use serde::Serialize;

/// A consensus protocol as a pure state machine.
///
/// # Contract
/// - Outputs are performed in order; [`Output::Persist`] is durable before any later output acts.
/// - [`Self::deadline`] moves past `now` with each [`Input::Tick`].
/// - The same inputs at the same times give the same outputs.
pub trait Engine: Send {
    /// Checks a header's seal against its ancestors, before execution. Returns the weight it adds.
    ///
    /// # Errors
    /// The rule that the header breaks, or that it cannot be judged yet.
    fn check(
        &self,
        now: Time,
        header: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<U256, SealError>;
    /// Takes one input; returns what must happen, in the order it must happen.
    fn handle(&mut self, now: Time, input: Input, tree: &BlockTree) -> Vec<Output>;
    /// Returns when [`Input::Tick`] is due; always later than the last `now`.
    fn deadline(&self) -> Option<Time>;
    /// Describes the engine for status, dashboard and external workers.
    fn status(&self) -> Status;
}

/// What an engine is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// An entry of the engine's own log, oldest first; only before [`Self::Start`].
    Restored(Bytes),
    /// What was written with the newest final block ([`Output::Finalize`]); after [`Self::Restored`], before
    /// [`Self::Start`].
    Justification {
        /// The block.
        hash: B256,
        /// As given to [`Output::Finalize`].
        bytes: Bytes,
    },
    /// The tree is complete; work may begin.
    Start,
    /// This block was executed, is valid and now in the tree (also our own blocks).
    Block(B256),
    /// This block broke a rule: of its header, its body or its execution.
    Invalid(B256),
    /// A session with this peer is ready; it may be told where we are.
    PeerUp(PeerId),
    /// Answer to [`Output::Propose`]: an unsealed header on that parent, from the mempool.
    Template(Box<kette_types::Header>),
    /// The mempool has transactions that the last template did not have.
    Pending,
    /// A message of the engine's own protocol.
    Message(PeerId, Bytes),
    /// Answer to [`Output::Start`]; unknown ids are ignored.
    Done(JobId, JobResult),
    /// An operator or an external worker asks for something.
    Command(Command),
    /// The deadline passed.
    Tick,
}

/// What must happen.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write to the engine's log; durable before any later output acts.
    Persist(Bytes),
    /// Build an unsealed block on this parent.
    Propose {
        /// The parent, in the tree.
        parent: B256,
        /// What the engine decides about the header.
        attributes: kette_ledger::Attributes,
    },
    /// The template with this header (but for the seal's fields) is sealed: attach and announce it.
    Publish(Box<SealedHeader>),
    /// Write what is about to be signed where a lost or restored database cannot take it back; durable before
    /// any later output acts. A host that finds it going back refuses and stops.
    Sign(bft::SignState),
    /// The log up to here, this turn's entries included, is no longer needed.
    Truncate,
    /// Send to all peers that neither sent nor got these bytes, on the consensus lane.
    Gossip(Bytes),
    /// Send to all peers on the consensus lane, whatever they have.
    Resend(Bytes),
    /// Send to one peer on the consensus lane.
    Send(PeerId, Bytes),
    /// This block of the tree is worth spreading although it is not head: announce it to who lacks it.
    Announce(B256),
    /// A block that we must have: ask this peer for it.
    Fetch(B256, PeerId),
    /// Start work.
    Start(JobId, Job),
    /// Stop work; its result may still come.
    Cancel(JobId),
    /// This block of the tree is head.
    Head(B256),
    /// This canonical block is final; with the proof of it.
    Finalize(B256, Bytes),
    /// This node stands still: no block is worth fetching before an operator acts.
    Halt,
    /// A peer provably broke the engine's protocol.
    Fault(PeerId, String),
    /// Something an operator must see.
    Alarm(String),
    /// A fact for logs, metrics and subscribers.
    Event(bft::Event),
    /// The command just handled was not carried out; comes first.
    Rejected(CommandError),
}

/// What an operator or an external worker asks of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start or stop producing blocks; `None` leaves threads as they are.
    Mining {
        /// On or off.
        on: bool,
        /// Worker threads.
        threads: Option<u32>,
    },
    /// Development only: produce a block whenever transactions wait, or stop doing so.
    OnDemand(bool),
    /// Produce this many blocks now, also while mining is off.
    MineBlocks(u64),
    /// A nonce found by an external miner for this preimage.
    SubmitWork {
        /// As told by the status.
        preimage: B256,
        /// The nonce found.
        nonce: u64,
    },
    /// Follow this branch although the reorganization is deeper than the limit.
    ApproveReorg(B256),
    /// Development only: seconds added to the clock for new blocks.
    AddTime(u64),
    /// Development only: timestamp of the next block, seconds.
    NextTimestamp(u64),
}

/// A command that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The work is not the current one.
    #[error("stale work: the chain moved on; ask for new work")]
    StaleWork,
    /// The nonce does not meet the target.
    #[error("the nonce does not meet the target")]
    BadNonce,
    /// No such block.
    #[error("block {0} is not known")]
    UnknownBlock(B256),
    /// The command is for another engine or another kind of chain.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// Why a header's seal is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A rule of `pow` is broken, whatever our state is.
    #[error(transparent)]
    Pow(#[from] pow::Violation),
    /// A rule of `bft` is broken, whatever our state is.
    #[error(transparent)]
    Bft(#[from] bft::Violation),
    /// Nothing is wrong with it, and we do not want it.
    #[error("{0}")]
    Unwanted(&'static str),
    /// The timestamp lies too far ahead; hold the header and ask again at this time.
    #[error("timestamp too far ahead, acceptable at {0}")]
    Future(Time),
    /// An ancestor is not known: no verdict.
    #[error("ancestor {0} is not known")]
    UnknownAncestor(B256),
    /// The store failed: no verdict.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl SealError {
    /// Tells whether the sender is answerable for it.
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::Pow(_) | Self::Bft(_))
    }

    /// Tells whether only the seal beside the header is wrong. The block hash does not cover it, so the
    /// same hash may be valid with another seal and must not be remembered as invalid.
    pub const fn spares_hash(&self) -> bool {
        matches!(
            self,
            Self::Pow(pow::Violation::SealNotEmpty { .. }) | Self::Bft(bft::Violation::Commitment)
        )
    }
}

/// What an engine shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "engine")]
#[expect(clippy::large_enum_variant, reason = "made when somebody asks, never kept in numbers")]
pub enum Status {
    /// Proof of work.
    Pow(pow::PowStatus),
    /// Weighted voting.
    Bft(Box<bft::BftStatus>),
}

/// What belongs to this node and not to the chain.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Who is paid for blocks of this node.
    pub beneficiary: Address,
    /// Produce blocks from the start.
    pub mining: bool,
    /// Produce a block whenever transactions wait (development chains).
    pub on_demand: bool,
    /// Worker threads.
    pub threads: u32,
    /// Hashes per second at most.
    pub mine_rate: Option<u64>,
    /// Bytes put into the first nonce and other choices that must differ between nodes.
    pub seed: u64,
    /// An operator chose the chain with this block, where the engine stopped with it as the newest final one.
    pub resume_after_fork: Option<B256>,
    /// Keys of a validator, where the engine has validators.
    pub validator: Option<bft::Identity>,
    /// Signatures that nodes of one process judged (only the simulator shares them).
    pub signatures: Option<std::sync::Arc<dyn bft::SignatureMemo>>,
}

/// Builds the engine that a chain's genesis names.
///
/// # Errors
/// If the genesis has no `config.kette`: such a chain can be read and imported, not extended.
pub fn build(spec: &ChainSpec, local: Local) -> Result<Box<dyn Engine>, NoEngine> {
    match spec.kette.as_ref().map(|kette| &kette.engine) {
        Some(EngineSpec::Pow(params)) => {
            Ok(Box::new(pow::Pow::new(params.clone(), spec.genesis.difficulty, local)))
        }
        Some(EngineSpec::Bft(params)) => Ok(Box::new(bft::Bft::new(spec, params, local))),
        None => Err(NoEngine),
    }
}

/// The genesis names no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this genesis has no `config.kette`, so no engine: it can be imported and read, not extended; \
     make one with `kette genesis new`"
)]
pub struct NoEngine;
