//! Nakamoto proof of work, whole protocol on one page.
//!
//! **Header.** Ethereum's, used as follows; there is no seal beside it.
//!
//! | Field | Rule |
//! |---|---|
//! | `nonce` | SHA-256d(keccak256(RLP(header with nonce 0)) followed by nonce) is at most the target ([`seal`]) |
//! | `difficulty` | block 1: the genesis file's; then by ASERT from the parent's header ([`difficulty`]) |
//! | `mixHash` | the parent's proof-of-work hash, also for block 1 |
//! | `extraData` | 8 bytes of excess, see [`difficulty`]; up to 24 bytes of the miner's choice |
//! | `timestamp` | later than the median of the last eleven; not too far ahead of the receiver's clock |
//!
//! **Fork choice.** The weight of a block is its difficulty. Greatest total weight wins, ties go to the
//! smaller hash. The block that lies `finality_depth` below the head is final. A reorganization deeper than
//! `reorg_limit` waits for an operator (`fork_choice.rs`).
//!
//! **Mining.** A template is ordered on the head, searched by a job of the host, published with its nonce, and
//! becomes head like anybody's block (`miner.rs`). A template is renewed after 10 s, or 1 s if transactions came.
//! A node that does not mine has no deadline.
//!
//! Engine log: empty; everything follows from the tree. Messages of its own: none.

mod fork_choice;
mod miner;
mod rules;
mod status;

pub mod difficulty;
pub mod seal;
#[cfg(test)]
mod tests;

pub use difficulty::asert;
pub use rules::{EXTRA_DATA_MAX, EXTRA_DATA_MIN, MEDIAN_SPAN, Violation};
pub use seal::{pow_hash, seal_hash, search, target, work};
pub use status::{Alarm, PowStatus, Work};

use crate::{Command, CommandError, Engine, Input, JobResult, Local, Output, SealError, Status};
use fork_choice::ForkChoice;
use kette_chain::{BlockTree, Headers};
use kette_types::spec::PowSpec;
use kette_types::{B256, SealedHeader, Time, U256};
use miner::{Chain, Miner};

/// The engine `pow`.
#[derive(Debug)]
pub struct Pow {
    spec: PowSpec,
    /// Difficulty of block 1.
    first_difficulty: U256,
    fork_choice: ForkChoice,
    miner: Miner,
    outlook: Outlook,
    alarm: Option<Alarm>,
}

/// What follows from the head, computed once for each.
#[derive(Debug)]
struct Outlook {
    head: Option<B256>,
    next_difficulty: U256,
    hash_rate: U256,
    excess: i64,
    pause_skip: u64,
}

impl Pow {
    /// Builds the engine. `first_difficulty` is the genesis file's `difficulty`.
    pub const fn new(spec: PowSpec, first_difficulty: U256, local: Local) -> Self {
        Self {
            fork_choice: ForkChoice::new(spec.reorg_limit, spec.finality_depth),
            miner: Miner::new(local),
            outlook: Outlook {
                head: None,
                next_difficulty: first_difficulty,
                hash_rate: U256::ZERO,
                excess: 0,
                pause_skip: 0,
            },
            alarm: None,
            spec,
            first_difficulty,
        }
    }

    fn start(&mut self, tree: &BlockTree, out: &mut Vec<Output>) -> Option<B256> {
        self.miner.started = true;
        let leaves: Vec<B256> = tree.leaves().map(SealedHeader::hash).collect();
        let head = self.fork_choice.choose(tree, leaves, out);
        if head.is_none() {
            self.fork_choice.finalize_head(tree, out);
        }
        head
    }

    /// Carries out a command, or nothing of it. Returns the new head, if it leads to one.
    fn command(
        &mut self,
        now: Time,
        command: Command,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) -> Result<Option<B256>, CommandError> {
        match command {
            Command::Mining { on, threads } => self.miner.switch(on, threads, out),
            Command::OnDemand(on) => self.miner.switch_on_demand(on),
            Command::MineBlocks(blocks) => self.miner.order(blocks, out),
            Command::SubmitWork { preimage, nonce } => {
                self.miner.submit(now, preimage, nonce, out)?;
            }
            Command::ApproveReorg(hash) => return self.approve(hash, tree, out),
            Command::AddTime(seconds) => self.miner.add_time(seconds),
            Command::NextTimestamp(timestamp) => {
                if timestamp <= tree.head().timestamp {
                    return Err(CommandError::Unsupported(
                        "the timestamp must be later than that of the head",
                    ));
                }
                self.miner.set_next_timestamp(timestamp);
            }
        }
        Ok(None)
    }

    fn approve(
        &mut self,
        hash: B256,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) -> Result<Option<B256>, CommandError> {
        if !tree.contains(hash) {
            return Err(CommandError::UnknownBlock(hash));
        }
        if tree.is_canonical(hash) {
            return Err(CommandError::Unsupported("this block is canonical already"));
        }
        self.fork_choice.approve(hash);
        let leaves: Vec<B256> = tree.leaves().map(SealedHeader::hash).collect();
        Ok(self.fork_choice.choose(tree, leaves, out))
    }

    /// Looks ahead from a head that is new.
    fn look(&mut self, tree: &BlockTree, head: &SealedHeader) {
        if self.outlook.head == Some(head.hash()) {
            return;
        }
        let pause = tree
            .get(head.parent_hash)
            .filter(|parent| parent.number > 0)
            .map_or(0, |parent| head.timestamp.saturating_sub(parent.timestamp));
        self.outlook = Outlook {
            head: Some(head.hash()),
            next_difficulty: difficulty::next_difficulty(&self.spec, self.first_difficulty, head),
            hash_rate: hash_rate(tree, head),
            excess: difficulty::excess(head).filter(|_| head.number > 0).unwrap_or_default(),
            pause_skip: pause.saturating_sub(self.spec.pause_limit),
        };
    }
}

impl Engine for Pow {
    fn check(
        &self,
        now: Time,
        header: &SealedHeader,
        chain: &dyn Headers,
    ) -> Result<U256, SealError> {
        // Blocks that this node itself made ahead of the clock, in development, are not held back by it.
        let clock = self.miner.clock(now).max(now);
        match rules::check(&self.spec, self.first_difficulty, clock, header, chain) {
            Ok(()) => Ok(header.difficulty),
            Err(SealError::Future(at)) => Err(SealError::Future(now + at.since(clock))),
            Err(error) => Err(error),
        }
    }

    fn handle(&mut self, now: Time, input: Input, tree: &BlockTree) -> Vec<Output> {
        let mut out = Vec::new();
        let mut new_head = None;
        match input {
            Input::Start => new_head = self.start(tree, &mut out),
            Input::Block(hash) => new_head = self.fork_choice.choose(tree, [hash], &mut out),
            Input::Invalid(hash) if self.miner.invalid(hash) => {
                out.push(Output::Alarm(format!("our own block {hash} is invalid")));
            }
            Input::Template(header) => self.miner.template(*header, &mut out),
            Input::Pending => self.miner.pending(),
            Input::Done(job, JobResult::Nonce(nonce)) => {
                self.miner.nonce(now, job, nonce, &mut out);
            }
            Input::Command(command) => match self.command(now, command, tree, &mut out) {
                Ok(head) => new_head = head,
                Err(error) => out.push(Output::Rejected(error)),
            },
            Input::Message(peer, _) => {
                out.push(Output::Fault(peer, "pow has no consensus messages".to_owned()));
            }
            Input::Restored(_)
            | Input::Justification { .. }
            | Input::PeerUp(_)
            | Input::Invalid(_)
            | Input::Done(_, JobResult::Senders(_))
            | Input::Tick => {}
        }
        // Until the host performs `Output::Head` the tree still has the old one.
        let head = new_head.and_then(|hash| tree.get(hash)).unwrap_or_else(|| tree.head());
        self.look(tree, head);
        self.alarm = self.fork_choice.alarm(tree);
        let chain =
            Chain { spec: &self.spec, tree, head, next_difficulty: self.outlook.next_difficulty };
        self.miner.settle(now, chain, &mut out);
        out
    }

    fn deadline(&self) -> Option<Time> {
        self.miner.deadline()
    }

    fn status(&self) -> Status {
        let local = &self.miner.local;
        Status::Pow(PowStatus {
            mining: local.mining,
            on_demand: local.on_demand,
            threads: local.threads,
            mine_rate: local.mine_rate,
            blocks_found: self.miner.found,
            blocks_ordered: self.miner.ordered,
            difficulty: self.outlook.next_difficulty,
            target: target(self.outlook.next_difficulty),
            work: self.miner.work(),
            hash_rate_estimate: self.outlook.hash_rate,
            excess_seconds: self.outlook.excess,
            pause_skip_seconds: self.outlook.pause_skip,
            alarm: self.alarm,
            block_time: self.spec.block_time,
            finality_depth: self.spec.finality_depth,
            reorg_limit: self.spec.reorg_limit,
            pause_limit: self.spec.pause_limit,
            time_offset: self.miner.offset,
        })
    }
}

/// Estimates the network's hashes per second from the work of recent blocks and the time that it took.
fn hash_rate(tree: &BlockTree, head: &SealedHeader) -> U256 {
    let (mut work, mut first) = (U256::ZERO, head);
    for _ in 0..HASH_RATE_SPAN {
        // Genesis is made beforehand: the time to block 1 says nothing.
        let Some(parent) = tree.get(first.parent_hash).filter(|parent| parent.number > 0) else {
            break;
        };
        work = work.saturating_add(first.difficulty);
        first = parent;
    }
    let seconds = head.timestamp.saturating_sub(first.timestamp).max(1);
    work / U256::from(seconds)
}

/// How many blocks the hash rate is estimated from.
const HASH_RATE_SPAN: usize = 32;
