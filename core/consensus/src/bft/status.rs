//! What `bft` shows of itself.

use super::Fork;
use alloy_primitives::{Address, B256};
use kette_types::bft::{PublicKey, Quorum};
use serde::Serialize;

/// State of the voting, for status pages and `kette query`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BftStatus {
    /// The height that is being decided.
    pub height: u64,
    /// The round, from 0.
    pub round: u32,
    /// `wait`, `propose`, `prepare` or `precommit`.
    pub step: &'static str,
    /// Leader of this round.
    pub leader: Address,
    /// Seed of this height.
    pub seed: B256,
    /// Validators of this height.
    pub validators: usize,
    /// Weight of all of them.
    pub weight: u128,
    /// The rule.
    pub quorum_rule: Quorum,
    /// Least weight that decides.
    pub quorum: u128,
    /// Weight that may lie without two final blocks.
    pub safe_weight: u128,
    /// Weight that may be silent without a stop.
    pub live_weight: u128,
    /// This node's key, if it is a validator.
    pub key: Option<PublicKey>,
    /// This node's weight at this height; 0 if it has no vote.
    pub own_weight: u64,
    /// Whether this node signs; why not otherwise.
    pub signing: bool,
    /// Why this validator does not sign.
    pub silent: Option<String>,
    /// Why this node stands still, if the chain has forked.
    pub fork: Option<Fork>,
    /// The block that this node is locked on.
    pub locked: Option<B256>,
    /// The round of the lock.
    pub locked_round: Option<u32>,
    /// Weight of prepares in this round, for anything.
    pub prepares: u128,
    /// Weight of precommits in this round, for anything.
    pub precommits: u128,
    /// Last final height decided by votes seen here.
    pub last_final: u64,
    /// Its round.
    pub last_round: u32,
    /// Milliseconds from its time to its finality here.
    pub last_final_ms: u64,
    /// Keys in the last certificate of validators that did not sign.
    pub absent: Vec<PublicKey>,
    /// Votes counted since the start.
    pub votes: u64,
    /// Rounds begun beyond the first of a height, since the start.
    pub extra_rounds: u64,
    /// Evidence known and not in a block yet.
    pub evidence: usize,
    /// Wait for a proposal, milliseconds, as measured.
    pub propose_ms: u64,
    /// Wait for votes, milliseconds, as measured.
    pub vote_ms: u64,
    /// Ideal time between blocks, milliseconds.
    pub slot_ms: u64,
    /// Votes for a height that is past, since the start.
    pub late_votes: u64,
    /// Own messages sent again, since the start.
    pub resent: u64,
}
