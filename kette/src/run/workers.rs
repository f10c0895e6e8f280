//! Performs the core's jobs on threads: signature recovery and nonce search.
//!
//! All nodes of a process share the pool that recovers signers. What panics there would end the process with all of
//! them: it is caught, and told to the node whose job it was.

use super::throttle::Throttle;
use crate::caught::caught;
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

/// A job that ended: its result, or the words of the panic that ended it.
pub(super) type Finished = (JobId, Result<JobResult, String>);

/// Job threads and the running jobs.
pub(super) struct Workers {
    done: mpsc::UnboundedSender<Finished>,
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
    pub(super) fn new(done: mpsc::UnboundedSender<Finished>) -> Self {
        Self { done, running: HashMap::new() }
    }

    pub(super) fn start(&mut self, id: JobId, job: Job) {
        match job {
            Job::Recover(transactions) => {
                let done = self.done.clone();
                rayon::spawn(move || {
                    perform(id, &done, || {
                        Some(JobResult::Senders(recover_parallel(&transactions)))
                    });
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
                    perform(id, &done, || {
                        let nonce = search(&job, index, &stop)?;
                        stop.set();
                        Some(JobResult::Nonce(nonce))
                    });
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

/// Does a job and sends what came of it, if it is not for another thread to say.
fn perform(
    id: JobId,
    done: &mpsc::UnboundedSender<Finished>,
    job: impl FnOnce() -> Option<JobResult>,
) {
    // What the job had is gone after a panic: nobody sees it half changed.
    let result = caught(job);
    if let Some(result) = result.transpose() {
        // The receiver is gone only when the node stops.
        let _ = done.send((id, result));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As a bad transaction in one of many tasks would: without the catch this ends the test's process.
    #[tokio::test]
    async fn a_panic_of_a_job_is_told_to_its_node_and_the_pool_goes_on() {
        let (sender, mut done) = mpsc::unbounded_channel();
        for id in 0..4 {
            let sender = sender.clone();
            rayon::spawn(move || {
                perform(JobId(id), &sender, || {
                    (0..100)
                        .into_par_iter()
                        .for_each(|n| assert!(id % 2 == 1 || n != 50, "no {id}"));
                    Some(JobResult::Senders(Vec::new()))
                });
            });
        }
        let mut results = Vec::new();
        for _ in 0..4 {
            results.push(done.recv().await.unwrap());
        }
        results.sort_by_key(|(id, _)| *id);
        let failed: Vec<Option<String>> = results.into_iter().map(|(_, it)| it.err()).collect();
        assert_eq!(failed, [Some("no 0".into()), None, Some("no 2".into()), None]);
        perform(JobId(9), &sender, || None);
        assert!(done.try_recv().is_err(), "another thread says it");
    }
}
