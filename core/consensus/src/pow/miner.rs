//! The miner: when to order a template, when to search, and which block a nonce makes.
//!
//! ```text
//!   Idle --wanted--> Asked --Template--> Ready --Nonce, SubmitWork--> Published
//!    ^                 ^                   |                             |
//!    |                 +-- refresh --------+-------- 10 s, head ---------+
//!    +---------- no longer wanted: from every stage
//! ```
//! A new head drops all templates and jobs. While a refresh is on its way the old job goes on.

use super::{difficulty, rules, seal, status::Work};
use crate::{
    CommandError, Local, Output,
    job::{Job, JobId, MineJob},
};
use alloy_primitives::{B64, keccak256};
use kette_chain::BlockTree;
use kette_ledger::Attributes;
use kette_types::spec::PowSpec;
use kette_types::{B256, Bytes, Header, SealedHeader, Time, U256};
use std::{collections::VecDeque, time::Duration};

/// Produces blocks on the head.
#[derive(Debug)]
pub(super) struct Miner {
    pub(super) local: Local,
    pub(super) started: bool,
    pub(super) found: u64,
    /// Blocks still to be produced on command.
    pub(super) ordered: u64,
    /// Transactions wait and no template without any was seen since.
    demand: bool,
    /// Seconds that this node's chain is ahead of the clock.
    pub(super) offset: i64,
    next_timestamp: Option<u64>,
    head: Option<B256>,
    stage: Stage,
    /// When the newest template was ordered, or a block published.
    since: Time,
    /// Transactions came since the newest template was ordered.
    dirty: bool,
    /// Templates on the head, oldest first.
    templates: VecDeque<Template>,
    running: Option<JobId>,
    jobs: u64,
    published: Option<B256>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Asked,
    Ready,
    Published,
    /// No timestamp is late enough for the chain and early enough for the clock before this time.
    Waiting(Time),
}

#[derive(Debug)]
struct Template {
    header: Header,
    preimage: B256,
    target: U256,
    job: Option<JobId>,
}

impl Miner {
    pub(super) const fn new(local: Local) -> Self {
        Self {
            local,
            started: false,
            found: 0,
            ordered: 0,
            demand: false,
            offset: 0,
            next_timestamp: None,
            head: None,
            stage: Stage::Idle,
            since: Time::ZERO,
            dirty: false,
            templates: VecDeque::new(),
            running: None,
            jobs: 0,
            published: None,
        }
    }

    /// Returns when the miner wants to act again.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::Idle => None,
            Stage::Waiting(until) => Some(until),
            Stage::Ready if self.dirty => Some(self.since + REFRESH_PENDING),
            Stage::Asked | Stage::Ready | Stage::Published => Some(self.since + REFRESH),
        }
    }

    /// Returns the newest template.
    pub(super) fn work(&self) -> Option<Work> {
        self.templates.back().map(|template| Work {
            preimage: template.preimage,
            target: template.target,
            parent: template.header.parent_hash,
            number: template.header.number,
        })
    }

    /// Returns the time that this node's blocks live in: the clock, but for development offsets.
    pub(super) fn clock(&self, now: Time) -> Time {
        let ahead = Duration::from_secs(self.offset.unsigned_abs());
        if self.offset < 0 { now - ahead } else { now + ahead }
    }

    /// Notes that the mempool has more than the last template.
    pub(super) const fn pending(&mut self) {
        self.dirty = true;
        self.demand = true;
    }

    /// Switches production on or off.
    pub(super) fn switch(&mut self, on: bool, threads: Option<u32>, out: &mut Vec<Output>) {
        self.local.mining = on;
        let threads = threads.unwrap_or(self.local.threads);
        if threads != self.local.threads {
            self.local.threads = threads;
            if on {
                self.search(out);
            }
        }
    }

    /// Orders blocks, whether production is on or off.
    pub(super) fn order(&mut self, blocks: u64, out: &mut Vec<Output>) {
        self.ordered = self.ordered.saturating_add(blocks);
        if self.running.is_none() {
            self.search(out);
        }
    }

    /// Moves the time of new blocks.
    pub(super) fn add_time(&mut self, seconds: u64) {
        self.offset = self.offset.saturating_add_unsigned(seconds);
        self.discard_template();
    }

    /// Sets the timestamp of the next block; later ones go on from there.
    pub(super) fn set_next_timestamp(&mut self, timestamp: u64) {
        self.next_timestamp = Some(timestamp);
        self.discard_template();
    }

    /// Takes a template and starts to search.
    pub(super) fn template(&mut self, header: Header, out: &mut Vec<Output>) {
        if self.stage != Stage::Asked || self.head != Some(header.parent_hash) {
            return;
        }
        if header.gas_used == 0 && !self.local.mining && self.ordered == 0 {
            // Nothing to include: production on demand rests until the mempool has news.
            self.demand = self.dirty;
            self.clear(out);
            return;
        }
        let preimage = seal::seal_hash(&header);
        let target = seal::target(header.difficulty);
        self.templates.push_back(Template { header, preimage, target, job: None });
        if self.templates.len() > TEMPLATES_MAX {
            self.templates.pop_front();
        }
        self.stage = Stage::Ready;
        self.search(out);
    }

    /// Takes a worker's nonce. A template that was replaced still makes a block as long as the head stays.
    pub(super) fn nonce(&mut self, now: Time, job: JobId, nonce: u64, out: &mut Vec<Output>) {
        let Some(at) = self.templates.iter().position(|t| t.job == Some(job)) else { return };
        if self.running == Some(job) {
            self.running = None;
        }
        if self.templates[at].wins(nonce) {
            self.publish(now, at, nonce, out);
        } else {
            out.push(Output::Alarm(format!(
                "worker returned nonce {nonce:#x}, which does not win"
            )));
        }
    }

    /// Takes an external miner's nonce.
    pub(super) fn submit(
        &mut self,
        now: Time,
        preimage: B256,
        nonce: u64,
        out: &mut Vec<Output>,
    ) -> Result<(), CommandError> {
        let at = self.templates.iter().position(|t| t.preimage == preimage);
        let at = at.ok_or(CommandError::StaleWork)?;
        if !self.templates[at].wins(nonce) {
            return Err(CommandError::BadNonce);
        }
        self.publish(now, at, nonce, out);
        Ok(())
    }

    /// Notes that a block failed execution; returns whether it was ours.
    pub(super) fn invalid(&self, hash: B256) -> bool {
        self.published == Some(hash)
    }

    /// Produces a block whenever transactions wait, or stops doing so.
    pub(super) const fn switch_on_demand(&mut self, on: bool) {
        self.local.on_demand = on;
        // What waits already is wanted as well; a template without transactions ends it.
        self.demand = on;
    }

    /// Brings work in line with the head and with what is wanted. Runs after every input, so that no input
    /// needs to know what follows from it, and the deadline is never in the past.
    pub(super) fn settle(&mut self, now: Time, chain: Chain<'_>, out: &mut Vec<Output>) {
        if !self.started {
            return;
        }
        let hash = chain.head.hash();
        if self.head != Some(hash) {
            self.head = Some(hash);
            self.clear(out);
        }
        if !self.local.mining && self.ordered == 0 && !(self.local.on_demand && self.demand) {
            self.clear(out);
        } else if self.deadline().is_none_or(|deadline| deadline <= now) {
            self.propose(now, chain, out);
        }
    }

    fn propose(&mut self, now: Time, chain: Chain<'_>, out: &mut Vec<Output>) {
        self.since = now;
        self.dirty = false;
        self.stage = Stage::Asked;
        let earliest = match rules::median_time_past(chain.head, chain.tree) {
            Ok(median) => median.saturating_add(1),
            Err(error) => {
                out.push(Output::Alarm(format!("no template: {error}")));
                return;
            }
        };
        // The median rule would allow to go back behind the parent; contracts do not expect that.
        let clock = self.clock(now);
        let natural = clock.as_secs().max(earliest).max(chain.head.timestamp);
        let pinned = self.next_timestamp.filter(|next| *next >= earliest);
        let timestamp = pinned.unwrap_or(natural);
        let acceptable = Time::from_secs(timestamp.saturating_sub(chain.spec.future_limit));
        if pinned.is_none() && clock < acceptable {
            self.stage = Stage::Waiting(now + acceptable.since(clock));
            return;
        }
        let excess = difficulty::next_excess(chain.spec, chain.head, timestamp);
        out.push(Output::Propose {
            parent: chain.head.hash(),
            attributes: Attributes {
                timestamp,
                beneficiary: self.local.beneficiary,
                extra_data: Bytes::copy_from_slice(&excess.to_be_bytes()),
                difficulty: chain.next_difficulty,
                mix_hash: rules::mix_hash(chain.head),
                gas_limit: None,
                nonce: B64::ZERO,
                seal: Bytes::new(),
            },
        });
    }

    /// Searches the newest template, instead of what is searched now.
    fn search(&mut self, out: &mut Vec<Output>) {
        self.cancel(out);
        let on_command = !self.local.mining || self.ordered > 0;
        let threads = self.local.threads.max(u32::from(on_command));
        let Some(template) = self.templates.back_mut() else { return };
        if threads == 0 {
            return;
        }
        self.jobs += 1;
        let id = JobId(self.jobs);
        template.job = Some(id);
        self.running = Some(id);
        out.push(Output::Start(
            id,
            Job::Mine(MineJob {
                preimage: template.preimage,
                target: template.target,
                nonce_start: nonce_start(self.local.seed, self.jobs),
                rate: self.local.mine_rate,
                threads,
            }),
        ));
    }

    fn publish(&mut self, now: Time, at: usize, nonce: u64, out: &mut Vec<Output>) {
        let Some(mut template) = self.templates.remove(at) else { return };
        template.header.nonce = B64::from(nonce.to_be_bytes());
        self.clear(out);
        if self.next_timestamp == Some(template.header.timestamp) {
            self.next_timestamp = None;
            let ahead = i128::from(template.header.timestamp) - i128::from(now.as_secs());
            self.offset = i64::try_from(ahead).unwrap_or(i64::MAX);
        }
        self.found += 1;
        self.ordered = self.ordered.saturating_sub(1);
        self.stage = Stage::Published;
        self.since = now;
        let header = SealedHeader::new(template.header, Bytes::new());
        self.published = Some(header.hash());
        out.push(Output::Publish(Box::new(header)));
    }

    /// Has a new template made at once, unless a block is on its way.
    const fn discard_template(&mut self) {
        if matches!(self.stage, Stage::Asked | Stage::Ready | Stage::Waiting(_)) {
            self.stage = Stage::Idle;
        }
    }

    fn clear(&mut self, out: &mut Vec<Output>) {
        self.cancel(out);
        self.templates.clear();
        self.stage = Stage::Idle;
    }

    fn cancel(&mut self, out: &mut Vec<Output>) {
        out.extend(self.running.take().map(Output::Cancel));
    }
}

impl Template {
    fn wins(&self, nonce: u64) -> bool {
        seal::pow_hash(self.preimage, nonce) <= self.target
    }
}

/// What the miner builds on.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) spec: &'a PowSpec,
    pub(super) tree: &'a BlockTree,
    pub(super) head: &'a SealedHeader,
    pub(super) next_difficulty: U256,
}

/// Returns where a search begins: elsewhere for each node and each job.
fn nonce_start(seed: u64, job: u64) -> u64 {
    let hash = keccak256([seed.to_be_bytes(), job.to_be_bytes()].concat());
    u64::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}

/// A template is renewed after this time, so that its timestamp moves on.
const REFRESH: Duration = Duration::from_secs(10);
/// A template is renewed after this time if transactions came.
const REFRESH_PENDING: Duration = Duration::from_secs(1);
/// Templates on the head for which nonces are accepted.
const TEMPLATES_MAX: usize = 4;
