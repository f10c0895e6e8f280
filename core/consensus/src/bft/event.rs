//! What the engine tells logs, metrics and subscribers. Facts, never orders.

use alloy_primitives::{Address, B256};
use kette_types::bft::{PublicKey, VoteKind};

/// A fact about voting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A round began.
    Round {
        /// The height.
        height: u64,
        /// The round, from 0.
        round: u32,
        /// Who leads it.
        leader: Address,
        /// Whether that is this node.
        ours: bool,
    },
    /// This node proposed a block.
    Proposed {
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// The block.
        block: B256,
        /// Transactions in it.
        again: bool,
    },
    /// A leader's proposal arrived.
    Proposal {
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// The block.
        block: B256,
        /// Who proposed.
        from: Address,
        /// Milliseconds since the round began here.
        after_ms: u64,
    },
    /// A vote counts now; this node's own ones as well.
    Vote {
        /// Prepare or precommit.
        kind: VoteKind,
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// The block; zero is nil.
        block: B256,
        /// Who voted.
        from: Address,
        /// Its key.
        key: PublicKey,
        /// Its weight.
        weight: u64,
        /// Weight for this block in this round so far.
        sum: u128,
        /// Weight of all validators.
        total: u128,
        /// Whether this node cast it.
        ours: bool,
    },
    /// Votes for one block (or nil) decide; once per kind, height and round.
    Quorum {
        /// Prepare or precommit.
        kind: VoteKind,
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// The block; zero is nil.
        block: B256,
        /// Weight that voted for it.
        weight: u128,
        /// Weight of all validators.
        total: u128,
        /// Milliseconds since the round began here.
        after_ms: u64,
    },
    /// A wait of a round ended without what was waited for.
    Timeout {
        /// The height.
        height: u64,
        /// The round.
        round: u32,
        /// `propose`, `prepare` or `precommit`.
        wait: &'static str,
    },
    /// A block is final.
    Final {
        /// The height.
        height: u64,
        /// The round in which it was decided.
        round: u32,
        /// The block.
        block: B256,
        /// Signers of the certificate.
        signers: usize,
        /// Weight of the signers.
        weight: u128,
        /// Weight of all validators.
        total: u128,
        /// Milliseconds from the block's time to here.
        after_ms: u64,
        /// This node was there: it was at this height when the block was made, give or take a second, and counted the
        /// votes itself. Otherwise it only learnt later what others had decided, and `after_ms` says how late.
        live: bool,
    },
    /// A validator signed two things of which it may sign one.
    Evidence {
        /// At which height.
        height: u64,
        /// Who.
        culprit: Address,
        /// `prepare`, `precommit` or `proposal`.
        what: &'static str,
    },
    /// The validators of a height are others than those before.
    Validators {
        /// From this height on.
        height: u64,
        /// How many.
        count: usize,
        /// Weight of all.
        total: u128,
        /// Least weight that decides.
        quorum: u128,
        /// Before.
        before: u128,
    },
}
