//! Work: what processors do in virtual time, and how long it takes.

use super::{
    World,
    queue::{Happening, Work},
};
use crate::{Moment, rng};
use kette_chain::Record;
use kette_consensus::{Job, JobId, JobResult, job::MineJob, pow};
use kette_node::{Input, Output};
use kette_types::B256;
use std::time::Duration;

/// Microseconds of one core, measured with this project's dev profile on a 2-core cloud machine (decision 0003 and the
/// benchmarks of `core/ledger`).
mod cost {
    /// Handling any input.
    pub(super) const INPUT: u64 = 5;
    /// Checking, executing and attaching an empty block.
    pub(super) const BLOCK: u64 = 150;
    /// Executing one transfer, with its share of the state root.
    pub(super) const TRANSACTION: u64 = 15;
    /// Recovering a signature (secp256k1, C library).
    pub(super) const SIGNATURE: u64 = 34;
}

/// Nonces tried for one win before the search is given up and drawn again: beyond any sensible difficulty.
const TRIES_MAX: u64 = 1 << 32;

/// Processor time spent in a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent(u64);

impl Spent {
    pub(super) const fn on(input: &Input) -> Self {
        match input {
            Input::Tick => Self(0),
            _ => Self(cost::INPUT),
        }
    }

    pub(super) fn and(self, outputs: &[Output]) -> Self {
        let blocks = outputs.iter().flat_map(|output| match output {
            Output::Persist(records) => records.as_slice(),
            _ => &[],
        });
        let micros = blocks.fold(self.0, |sum, record| match record {
            Record::Block(block) => {
                let transactions = block.block.body.transactions.len() as u64;
                sum + cost::BLOCK + cost::TRANSACTION * transactions
            }
            _ => sum,
        });
        Self(micros)
    }

    pub(super) fn time(self, pace: f64) -> Duration {
        Duration::from_micros((self.0 as f64 * pace) as u64)
    }
}

impl World {
    pub(super) fn start_job(&mut self, host: usize, at: Moment, id: JobId, job: Job) {
        match job {
            Job::Recover(transactions) => {
                let here = &mut self.hosts[host];
                here.jobs.insert(id, (0, None));
                let pace = self.cpu.unwrap_or(0.0) * here.slow;
                let spent = Spent(cost::SIGNATURE * transactions.len() as u64);
                let (to, life) = (host as u32, here.life);
                let work = Work::Recover(transactions);
                let happening = Happening::Done { host: to, life, id, draw: 0, work };
                self.queue.push(at + spent.time(pace), happening);
            }
            Job::Mine(job) => self.draw_search(host, at, id, 0, Box::new(job)),
        }
    }

    /// Draws how long a nonce search takes: independent tries, so an exponential distribution, whenever it begins.
    fn draw_search(&mut self, host: usize, at: Moment, id: JobId, draw: u32, job: Box<MineJob>) {
        let here = &mut self.hosts[host];
        here.jobs.insert(id, (draw, Some(job.clone())));
        let rate = here.mine_rate as f64 / here.slow;
        if rate <= 0.0 {
            return;
        }
        let difficulty = f64::from(pow::seal::work(job.target));
        let mean = Duration::from_secs_f64((difficulty / rate).min(1e9));
        let time = rng::exponential(&mut self.mining_rng[host], mean);
        let (to, life) = (host as u32, here.life);
        let work = Work::Search(job);
        self.queue.push(at + time, Happening::Done { host: to, life, id, draw, work });
    }

    /// Changes a host's hash rate: searches under way go on at the new one.
    pub(crate) fn set_mine_rate(&mut self, host: usize, rate: u64) {
        self.hosts[host].mine_rate = rate;
        let searches: Vec<_> = self.hosts[host]
            .jobs
            .iter()
            .filter_map(|(id, (draw, job))| Some((*id, *draw, job.clone()?)))
            .collect();
        for (id, draw, job) in searches {
            self.draw_search(host, self.now, id, draw + 1, job);
        }
    }

    pub(super) fn job_done(&mut self, host: usize, id: JobId, draw: u32, work: Work) {
        if self.hosts[host].jobs.get(&id).is_none_or(|(current, _)| *current != draw) {
            return;
        }
        if self.hosts[host].paused {
            // It stands still: the work ends when it goes on.
            let (to, life) = (host as u32, self.hosts[host].life);
            let at = self.now + Duration::from_millis(100);
            return self.queue.push(at, Happening::Done { host: to, life, id, draw, work });
        }
        let result = match work {
            Work::Recover(transactions) => JobResult::Senders(self.memo.recover(&transactions)),
            Work::Search(job) => match pow::search(&job, job.nonce_start, TRIES_MAX) {
                Some(nonce) => JobResult::Nonce(nonce),
                None => return self.draw_search(host, self.now, id, draw + 1, job),
            },
        };
        self.hosts[host].jobs.remove(&id);
        self.input(host, Input::Done(id, result));
    }
}

/// Shows the first digits of a hash.
pub(super) fn short(hash: B256) -> String {
    hash.to_string()[2..10].to_owned()
}
