//! Weighted voting with immediate finality, whole protocol on one page.
//!
//! Tendermint ("The latest gossip on BFT consensus", Buchman, Kwon and Milosevic, arXiv 1807.04938) with
//! weights, and leaders drawn by a VRF beacon. In the words of Kette's second seed a first vote is a *prepare*
//! (prevote) and a second one a *precommit*.
//!
//! **Height and round.** Validators decide one block per height, in rounds 0, 1, 2, ... A round has one leader
//! ([`leader`]), drawn by weight from the height's seed. It proposes; each validator executes the block and
//! prepares it, or nil; who sees a quorum of prepares locks on the block and precommits it; who sees a quorum
//! of precommits has decided. If that fails, longer waits each round (`waits.rs`) lead to the next round, where
//! a lock keeps a validator from preparing another block unless a later quorum shows that it may (`machine/`).
//!
//! **Header.** `mixHash` is the height's seed, `extraData` is keccak256 of the seal, `timestamp` the whole
//! seconds of the seal's milliseconds, difficulty and nonce are zero. The seal ([`kette_types::bft::Seal`])
//! holds round, time, VRF proof, the parent's certificate, the next validators if they change, evidence, and
//! the leader's signature. All of it can be checked from headers alone (`rules.rs`).
//!
//! **Blocks and head.** A proposed block is executed and joins the tree before it is voted on; it becomes head
//! and final in one step, when it is decided: by votes seen here, by a [`Message::Commit`], or by the
//! certificate in the seal of its child (`commit.rs`).
//!
//! **Validators** are ledger state. Changes in block `h` count from height `h + 2` on.
//!
//! **What is written.** Before anything signed leaves: the vote or proposal and the lock behind it in the
//! engine's log, and the sign state in a place of its own. The log is cut at each decision. Of others' votes only
//! the prepares behind a lock are written; the rest peers send again. A node whose sign state knows more than its
//! log only watches until that height is decided (`guard.rs`).
//!
//! **Forks.** A certificate that contradicts a block that is final here proves that at least a third of the weight
//! signed twice or forgot its locks; so does a block that carries such a certificate. The node keeps what is final and
//! goes on serving it, passes the certificate on, raises an alarm, writes the fork down, and signs, decides and takes
//! nothing any more, restarted or not: an operator must choose a chain (`fork.rs`).
//!
//! **Messages.** Proposals and votes are checked, counted and passed on. A node tells its position to new peers
//! and when nothing moves; who is ahead answers with what it lacks (`help.rs`).
//!
//! | File | Concern |
//! |---|---|
//! | `machine/` | the rules of one height, pure |
//! | `voting.rs` | one height as this node lives it |
//! | `drive.rs` | carries out what the machine says: signs, waits, tells |
//! | `propose.rs` | builds and seals blocks |
//! | `receive.rs` | judges what peers say |
//! | `commit.rs` | decisions, and the next height |
//! | `help.rs` | repetition, fetching, help for who lags behind |
//! | `rules.rs` | what a header must be |
//! | `fork.rs` | the stop after a fork |
//! | `guard.rs` | whether this node signs, and its log |
//! | `verify.rs` | the header rules for those who run no node |

mod commit;
mod commits;
mod drive;
mod event;
mod fork;
mod guard;
mod help;
mod identity;
mod message;
mod pool;
mod propose;
mod receive;
mod rules;
mod status;
mod verify;
mod voting;
mod waits;

pub mod leader;
pub mod machine;
pub mod vrf;

pub use event::Event;
pub use fork::Fork;
pub use identity::{Identity, SignRegression, SignState, SignatureMemo};
pub use message::{Message, Position};
pub use rules::{EVIDENCE_MAX, Violation};
pub use status::BftStatus;
pub use verify::Verifier;

use crate::{Command, CommandError, Engine, Input, Local, Output, SealError, Status};
use commits::Commits;
use fork::Forked;
use guard::{Entry, Guard};
use kette_chain::{BlockTree, Headers};
use kette_types::{
    Bytes, ChainSpec, PeerId, SealedHeader, Time, U256,
    bft::{BftSpec, Certificate},
};
use pool::Pool;
use rules::Rules;
use std::collections::{BTreeMap, VecDeque};
use voting::Voting;
use waits::Waits;

/// The engine `bft`.
#[derive(Debug)]
pub struct Bft {
    rules: Rules,
    ledger: kette_ledger::Rules,
    identity: Option<Identity>,
    guard: Guard,
    /// Entries of the log, until the height they belong to begins.
    log: Vec<Entry>,
    /// `None` before the start.
    voting: Option<Voting>,
    /// Messages of the next height, from peers that are a moment ahead; judged when it begins.
    early: Early,
    commits: Commits,
    pool: Pool,
    waits: Waits,
    /// There is something to put into a block, as far as is known.
    pending: bool,
    /// When each peer was helped last.
    helped: BTreeMap<PeerId, Time>,
    counters: Counters,
    forked: Forked,
}

/// Messages of the next height. Bounded in number, in all and per peer.
#[derive(Debug, Default)]
struct Early {
    messages: VecDeque<(PeerId, Bytes)>,
    per_peer: BTreeMap<PeerId, usize>,
}

#[derive(Debug, Default)]
struct Counters {
    votes: u64,
    late_votes: u64,
    extra_rounds: u64,
    resent: u64,
    last_round: u32,
    last_ms: u64,
}

/// Messages of the next height that are kept, in all.
const EARLY_MAX: usize = 4_096;
/// Of one peer.
const EARLY_PER_PEER_MAX: usize = 1_024;

impl Early {
    fn keep(&mut self, peer: PeerId, bytes: Bytes) {
        let count = self.per_peer.entry(peer).or_default();
        if self.messages.len() < EARLY_MAX && *count < EARLY_PER_PEER_MAX {
            *count += 1;
            self.messages.push_back((peer, bytes));
        }
    }

    fn take(&mut self) -> VecDeque<(PeerId, Bytes)> {
        self.per_peer.clear();
        std::mem::take(&mut self.messages)
    }
}

impl Bft {
    /// Builds the engine.
    pub fn new(spec: &ChainSpec, params: &BftSpec, local: Local) -> Self {
        let rules = Rules::new(spec, params, local.signatures);
        Self {
            guard: Guard::new(None, rules.domain, &[], 0, false),
            waits: Waits::new(params.timeouts),
            ledger: kette_ledger::Rules::new(std::sync::Arc::new(spec.clone())),
            rules,
            identity: local.validator,
            log: Vec::new(),
            voting: None,
            early: Early::default(),
            commits: Commits::default(),
            pool: Pool::default(),
            pending: false,
            helped: BTreeMap::new(),
            counters: Counters::default(),
            forked: Forked::new(local.resume_after_fork),
        }
    }

    fn restored(&mut self, entry: &Bytes) {
        // The store keeps entries whole or not at all; one that cannot be read is of another version.
        if let Ok(entry) = Entry::decode(entry) {
            self.forked.restored(&entry);
            self.log.push(entry);
        }
    }

    fn justification(&mut self, tree: &BlockTree, bytes: &Bytes) {
        let Ok(certificate) = <Certificate as alloy_rlp::Decodable>::decode(&mut bytes.as_ref())
        else {
            return;
        };
        let Some(header) = tree.get(certificate.block) else { return };
        let parent = tree.header(header.parent_hash).ok().flatten();
        let set = parent.and_then(|parent| self.rules.next_set(&parent, tree).ok());
        if let Some(set) = set {
            self.commits.add(certificate, set);
        }
    }

    fn tick(&mut self, now: Time, tree: &BlockTree, out: &mut Vec<Output>) {
        self.begin_if_due(now, tree, out);
        loop {
            let Some(voting) = &mut self.voting else { return };
            let Some(index) = voting.waits.iter().position(|(due, ..)| *due <= now) else { break };
            let (_, wait, round) = voting.waits.swap_remove(index);
            self.wait_over(now, wait, round, tree, out);
        }
        self.fetch_due(now, tree, out);
        self.resend_if_due(now, out);
    }

    fn command(&self, command: &Command) -> CommandError {
        CommandError::Unsupported(match command {
            Command::Mining { .. } | Command::MineBlocks(_) | Command::OnDemand(_) => {
                "this chain's engine is bft: validators make blocks by turns, nobody mines"
            }
            Command::SubmitWork { .. } => "this chain's engine is bft: there is no proof of work",
            Command::ApproveReorg(_) => "this chain's engine is bft: final blocks are not replaced",
            Command::AddTime(_) | Command::NextTimestamp(_) => {
                "this chain's engine is bft: validators agree on time, it cannot be set"
            }
        })
    }
}

impl Engine for Bft {
    fn check(
        &self,
        now: Time,
        header: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<U256, SealError> {
        self.forked.refuse(header)?;
        // Before proofs and signatures: a liar can make headers that pass without end.
        self.refuse_flood(header)?;
        self.rules.check(now, header, chain)?;
        Ok(U256::from(1))
    }

    fn handle(&mut self, now: Time, input: Input, tree: &BlockTree) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Restored(entry) => self.restored(&entry),
            Input::Justification { bytes, .. } => self.justification(tree, &bytes),
            Input::Start => self.start(now, tree, &mut out),
            Input::Block(hash) => self.block(now, hash, tree, &mut out),
            Input::Invalid(hash) => self.invalid(now, hash, tree, &mut out),
            Input::PeerUp(peer) => self.greet(peer, &mut out),
            Input::Template(header) => self.seal(now, *header, tree, &mut out),
            Input::Pending => {
                self.pending = true;
                self.begin_if_due(now, tree, &mut out);
            }
            Input::Message(peer, bytes) => self.message(now, peer, &bytes, tree, &mut out),
            Input::Command(command) => out.push(Output::Rejected(self.command(&command))),
            Input::Tick => self.tick(now, tree, &mut out),
            Input::Done(..) => {}
        }
        out
    }

    fn deadline(&self) -> Option<Time> {
        self.voting.as_ref().map(|voting| voting.deadline(self.has_begun()))
    }

    fn status(&self) -> Status {
        Status::Bft(Box::new(self.describe()))
    }
}
