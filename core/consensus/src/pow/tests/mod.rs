//! Tests of `pow`, and what they share: a chain in memory and a harness that performs an engine's outputs.

mod difficulty;
mod fork_choice;
mod miner;
mod retarget;
mod rules;
mod seal;

use super::{Pow, PowStatus, difficulty as schedule, rules as checks, seal as proof};
use crate::{Engine, Input, Job, JobId, Local, Output, Status, job::MineJob};
use alloy_primitives::B64;
use kette_chain::{BlockTree, ExecutedBlock, MemoryChain};
use kette_ledger::{Attributes, State};
use kette_types::spec::{PowSpec, Retarget};
use kette_types::{Address, B256, Block, Body, Bytes, Header, SealedHeader, Time, U256};
use std::sync::Arc;

/// Timestamp of the genesis block.
const EPOCH: u64 = 1_700_000_000;

fn spec() -> PowSpec {
    PowSpec {
        block_time: 10,
        retarget: Retarget::Asert,
        half_life: 300,
        pause_limit: 300,
        anchor_difficulty: U256::from(8),
        difficulty_min: U256::from(2),
        future_limit: 60,
        finality_depth: 3,
        reorg_limit: 4,
    }
}

fn local() -> Local {
    Local {
        beneficiary: Address::repeat_byte(0xbe),
        mining: false,
        on_demand: false,
        threads: 2,
        mine_rate: Some(500),
        seed: 7,
        ..Local::default()
    }
}

fn first_difficulty() -> U256 {
    U256::from(4)
}

fn genesis() -> SealedHeader {
    let header = Header { timestamp: EPOCH, difficulty: first_difficulty(), ..Header::default() };
    SealedHeader::new(header, Bytes::new())
}

fn executed(header: SealedHeader, weight: U256, total_weight: U256) -> Arc<ExecutedBlock> {
    Arc::new(ExecutedBlock {
        block: Block { header, body: Body::default() },
        senders: Vec::new(),
        receipts: Vec::new(),
        state: State::empty(),
        changed: Vec::new(),
        weight,
        total_weight,
        issued: U256::ZERO,
        burned: U256::ZERO,
    })
}

fn tree() -> BlockTree {
    BlockTree::new(executed(genesis(), U256::ZERO, U256::ZERO), Arc::new(MemoryChain::default()))
}

/// Attaches a block as a node does after `check` and execution.
fn attach(tree: &mut BlockTree, header: SealedHeader) {
    let weight = header.difficulty;
    let total = tree.total_weight(header.parent_hash).expect("parent is in the tree") + weight;
    tree.insert(executed(header, weight, total));
}

/// Makes an unsealed child that keeps all rules but that of the proof.
fn template(spec: &PowSpec, parent: &SealedHeader, timestamp: u64) -> Header {
    Header {
        parent_hash: parent.hash(),
        number: parent.number + 1,
        timestamp,
        difficulty: schedule::next_difficulty(spec, first_difficulty(), parent),
        mix_hash: checks::mix_hash(parent),
        extra_data: excess_bytes(schedule::next_excess(spec, parent, timestamp)),
        gas_used: 21_000,
        ..Header::default()
    }
}

fn excess_bytes(excess: i64) -> Bytes {
    Bytes::copy_from_slice(&excess.to_be_bytes())
}

/// Finds a nonce and seals.
fn seal_header(header: Header) -> SealedHeader {
    let job = MineJob {
        preimage: proof::seal_hash(&header),
        target: proof::target(header.difficulty),
        nonce_start: 0,
        rate: None,
        threads: 1,
    };
    let nonce = proof::search(&job, 0, 1 << 20).expect("test difficulties are low");
    let nonce = B64::from(nonce.to_be_bytes());
    SealedHeader::new(Header { nonce, ..header }, Bytes::new())
}

fn mine(spec: &PowSpec, parent: &SealedHeader, timestamp: u64) -> SealedHeader {
    seal_header(template(spec, parent, timestamp))
}

/// An engine with its tree. Performs heads and finality; shows every output in one word or two.
struct Harness {
    engine: Pow,
    tree: BlockTree,
    now: Time,
    /// The last proposal, not yet answered.
    asked: Option<(B256, Attributes)>,
    /// Jobs that run.
    jobs: Vec<(JobId, MineJob)>,
    published: Vec<SealedHeader>,
}

impl Harness {
    fn new(spec: PowSpec, local: Local) -> Self {
        Self {
            engine: Pow::new(spec, first_difficulty(), local),
            tree: tree(),
            now: Time::from_secs(EPOCH + 100),
            asked: None,
            jobs: Vec::new(),
            published: Vec::new(),
        }
    }

    fn say(&mut self, input: Input) -> Vec<String> {
        let outputs = self.engine.handle(self.now, input, &self.tree);
        let deadline = self.engine.deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "deadline {deadline:?} is not later");
        outputs.into_iter().map(|output| self.perform(output)).collect()
    }

    fn perform(&mut self, output: Output) -> String {
        match output {
            Output::Head(hash) => {
                self.tree.set_head(hash);
                format!("head {}", self.tree.head().number)
            }
            Output::Finalize(hash, proof) => {
                assert!(proof.is_empty() && self.tree.is_canonical(hash));
                self.tree.finalize(hash);
                format!("final {}", self.tree.finalized().0)
            }
            Output::Propose { parent, attributes } => {
                let on = self.tree.get(parent).expect("proposals build on the tree").number;
                let after = attributes.timestamp - EPOCH;
                self.asked = Some((parent, attributes));
                format!("propose on {on} at {after}")
            }
            Output::Start(id, Job::Mine(job)) => {
                let threads = job.threads;
                self.jobs.push((id, job));
                format!("start {} with {threads}", id.0)
            }
            Output::Cancel(id) => {
                self.jobs.retain(|(job, _)| *job != id);
                format!("cancel {}", id.0)
            }
            Output::Publish(header) => {
                let number = header.number;
                self.published.push(*header);
                format!("publish {number}")
            }
            Output::Alarm(_) => "alarm".to_owned(),
            Output::Rejected(error) => format!("rejected: {error}"),
            Output::Fault(..) => "fault".to_owned(),
            other => panic!("pow never orders {other:?}"),
        }
    }

    /// Answers the last proposal.
    fn answer(&mut self, gas_used: u64) -> Vec<String> {
        let (parent, attributes) = self.asked.take().expect("a template was ordered");
        let number = self.tree.get(parent).expect("in the tree").number + 1;
        self.say(Input::Template(Box::new(Header {
            parent_hash: parent,
            number,
            timestamp: attributes.timestamp,
            beneficiary: attributes.beneficiary,
            extra_data: attributes.extra_data,
            difficulty: attributes.difficulty,
            mix_hash: attributes.mix_hash,
            nonce: attributes.nonce,
            gas_used,
            ..Header::default()
        })))
    }

    /// Finishes the newest job.
    fn finish(&mut self) -> Vec<String> {
        let (id, job) = self.jobs.pop().expect("a job runs");
        let nonce = proof::search(&job, job.nonce_start, 1 << 20).expect("low difficulty");
        self.say(Input::Done(id, crate::JobResult::Nonce(nonce)))
    }

    /// Attaches a block and tells the engine.
    fn block(&mut self, header: SealedHeader) -> Vec<String> {
        let hash = header.hash();
        attach(&mut self.tree, header);
        self.say(Input::Block(hash))
    }

    /// Attaches the block that was published last.
    fn own_block(&mut self) -> Vec<String> {
        let header = self.published.last().expect("a block was published").clone();
        self.engine.check(self.now, &header, &self.tree).expect("our own blocks keep the rules");
        self.block(header)
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now = Time::from_millis(self.now.as_millis() + millis);
        self
    }

    fn status(&self) -> PowStatus {
        let Status::Pow(status) = self.engine.status() else { panic!("not pow") };
        status
    }
}
