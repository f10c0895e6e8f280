//! Performs the core's jobs on threads: signature recovery and nonce search.

use super::throttle::Throttle;
use kette_consensus::{Job, JobId, JobResult, job::MineJob, pow};
use kette_types::{Address, Transaction};
use rayon::prelude::*;
use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::mpsc;

/// Transactions recovered by one task: large enough to be worth a task, small enough to share.
const RECOVER_CHUNK: usize = 64;

/// Job threads and the running jobs.
pub(super) struct Workers {
    done: mpsc::UnboundedSender<(JobId, JobResult)>,
    running: HashMap<JobId, Arc<Stop>>,
}

/// Ends a job early.
#[derive(Debug, Default)]
struct Stop {
    flag: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.flag.store(true, Ordering::Relaxed);
        let _guard = self.lock.lock();
        self.wake.notify_all();
    }

    /// Waits until the time or the end of the job; tells whether the job goes on.
    fn wait_until(&self, at: Instant) -> bool {
        let Ok(mut guard) = self.lock.lock() else { return false };
        while !self.is_set() {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            match self.wake.wait_timeout(guard, left) {
                Ok((again, _)) => guard = again,
                Err(_) => return false,
            }
        }
        false
    }
}

impl Workers {
    /// Results arrive on `done`. The channel needs no bound: the core has few jobs out at once.
    pub(super) fn new(done: mpsc::UnboundedSender<(JobId, JobResult)>) -> Self {
        Self { done, running: HashMap::new() }
    }

    pub(super) fn start(&mut self, id: JobId, job: Job) {
        match job {
            Job::Recover(transactions) => {
                let done = self.done.clone();
                rayon::spawn(move || {
                    let senders = recover_parallel(&transactions);
                    // The receiver is gone only when the node stops.
                    let _ = done.send((id, JobResult::Senders(senders)));
                });
            }
            Job::Mine(job) => self.mine(id, &job),
        }
    }

    fn mine(&mut self, id: JobId, job: &MineJob) {
        let stop = Arc::new(Stop::default());
        self.running.insert(id, stop.clone());
        let threads = job.threads.max(1);
        for index in 0..threads {
            let (job, stop, done) = (job.clone(), stop.clone(), self.done.clone());
            let spawned =
                std::thread::Builder::new().name(format!("miner-{index}")).spawn(move || {
                    if let Some(nonce) = search(&job, index, &stop) {
                        stop.set();
                        let _ = done.send((id, JobResult::Nonce(nonce)));
                    }
                });
            if let Err(error) = spawned {
                tracing::error!(%error, "no thread for a miner");
            }
        }
    }

    pub(super) fn cancel(&mut self, id: JobId) {
        if let Some(stop) = self.running.remove(&id) {
            stop.set();
        }
    }

    pub(super) fn finished(&mut self, id: JobId) {
        self.running.remove(&id);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for stop in self.running.values() {
            stop.set();
        }
    }
}

/// Recovers signers on all cores.
pub fn recover_parallel(transactions: &[Transaction]) -> Vec<Option<Address>> {
    transactions.par_chunks(RECOVER_CHUNK).flat_map_iter(kette_ledger::recover).collect()
}

fn search(job: &MineJob, index: u32, stop: &Stop) -> Option<u64> {
    let threads = u64::from(job.threads.max(1));
    let mut throttle = Throttle::new(job.rate.map(|rate| (rate / threads).max(1)));
    // Threads search distant stretches of the nonce space.
    let stretch = u64::MAX / threads;
    let mut nonce = job.nonce_start.wrapping_add(stretch.wrapping_mul(u64::from(index)));
    while !stop.is_set() {
        let (count, wait) = throttle.portion();
        if let Some(at) = wait
            && !stop.wait_until(at)
        {
            return None;
        }
        if let Some(found) = pow::search(job, nonce, count) {
            return Some(found);
        }
        nonce = nonce.wrapping_add(count);
    }
    None
}
