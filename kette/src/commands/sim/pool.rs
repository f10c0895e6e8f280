//! Many runs on many threads: one run is one thread, results come in the order of the seeds.

use super::{
    progress::{Meters, Progress},
    seeds::Seeds,
    source::{Source, config_hash},
    trace,
};
use crate::caught::caught;
use alloy_primitives::B256;
use kette_sim::{
    checkers::Violation,
    run::{Run, RunOptions, RunReport, Scenario},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

/// Where a trace goes.
pub type TraceOut = Box<dyn Write + Send>;

/// What to run.
pub struct Batch<'a> {
    /// The network.
    pub source: &'a Source,
    /// From which seeds.
    pub seeds: Seeds,
    /// On how many threads.
    pub jobs: usize,
    /// Runs each seed twice and compares.
    pub twice: bool,
    /// Where the trace of the first seed goes, and how wide it may be.
    pub trace: Mutex<Option<(TraceOut, Option<usize>)>>,
    /// Asks to end.
    pub stop: &'a AtomicBool,
}

/// A run that ended, or was ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it showed. Series over time are there for the first seed only: the rest would fill the memory.
    pub report: RunReport,
    /// Hash of what ran.
    pub config: B256,
    /// Where a second run of the same seed differs.
    pub difference: Option<Difference>,
}

/// Where two runs first differ: after one checkpoint and before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Events up to here are the same.
    pub same_until: u64,
    /// Events up to here are not; absent if the runs ended before the next checkpoint.
    pub differs_by: Option<u64>,
}

pub use kette_sim::world::CHECKPOINT_EVERY;
/// Events between two looks at whether to stop.
const SLICE: u64 = 5_000;
/// Between two looks at the workers.
const REDRAW: Duration = Duration::from_millis(200);
/// A run executes blocks: as much as a program's first thread has.
const STACK_BYTES: usize = 16 << 20;

/// Compares two runs by their final hashes and checkpoints.
pub fn compare(
    (a, a_points): (&B256, &[B256]),
    (b, b_points): (&B256, &[B256]),
) -> Option<Difference> {
    if a == b {
        return None;
    }
    let same = a_points.iter().zip(b_points).take_while(|(a, b)| a == b).count();
    let differs = same < a_points.len().min(b_points.len());
    let same = same as u64;
    Some(Difference {
        same_until: same * CHECKPOINT_EVERY,
        differs_by: differs.then_some((same + 1) * CHECKPOINT_EVERY),
    })
}

impl Batch<'_> {
    /// Runs all; gives each outcome to `each` in the order of the seeds, until that says no.
    ///
    /// # Errors
    /// If a run cannot be prepared, or `each` fails.
    pub fn run(
        &self,
        progress: &mut Progress,
        each: &mut dyn FnMut(Outcome, &mut Progress) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let total = self.seeds.count();
        let workers = usize::try_from(total).unwrap_or(self.jobs).min(self.jobs).max(1);
        let meters = Meters::new(workers);
        let (next, enough) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (sender, results) = mpsc::channel();
            for slot in 0..workers {
                let worker = Worker { batch: self, meters: &meters, slot, enough: &enough };
                let (sender, next) = (sender.clone(), &next);
                std::thread::Builder::new()
                    .name(format!("run-{slot}"))
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, move || worker.work(next, &sender))?;
            }
            drop(sender);
            let (mut waiting, mut due, mut violations) = (BTreeMap::new(), 0, 0);
            let judged = loop {
                match results.recv_timeout(REDRAW) {
                    Ok((index, outcome)) => drop(waiting.insert(index, outcome)),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
                }
                let mut on_their_way = || -> anyhow::Result<bool> {
                    while let Some(outcome) = waiting.remove(&due) {
                        let outcome: Outcome = outcome?;
                        violations += outcome.report.violations.len() as u64;
                        due += 1;
                        if !each(outcome, progress)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                };
                match on_their_way() {
                    Ok(true) => {
                        progress.runs(&meters, due + waiting.len() as u64, total, violations)
                    }
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            enough.store(true, Ordering::Relaxed);
            progress.clear();
            judged
        })
    }
}

struct Worker<'a> {
    batch: &'a Batch<'a>,
    meters: &'a Meters,
    slot: usize,
    enough: &'a AtomicBool,
}

type Sender = mpsc::Sender<(u64, anyhow::Result<Outcome>)>;

impl Worker<'_> {
    fn work(&self, next: &AtomicU64, results: &Sender) {
        while !self.is_over() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = self.batch.seeds.get(index) else { break };
            let outcome = self.outcome(index, seed);
            self.meters.set(self.slot, 0.0);
            if results.send((index, outcome)).is_err() {
                break;
            }
        }
    }

    fn is_over(&self) -> bool {
        self.enough.load(Ordering::Relaxed) || self.batch.stop.load(Ordering::Relaxed)
    }

    fn outcome(&self, index: u64, seed: u64) -> anyhow::Result<Outcome> {
        let scenario = self.batch.source.scenario(seed)?;
        let trace = match index {
            0 => self.batch.trace.lock().ok().and_then(|mut trace| trace.take()),
            _ => None,
        };
        let parts = if self.batch.twice { 2.0 } else { 1.0 };
        let mut report = self.one(&scenario, seed, (0.0, parts), trace)?;
        let mut difference = None;
        if self.batch.twice && report.complete_or_failed() && !self.is_over() {
            let again = self.one(&scenario, seed, (1.0, parts), None)?;
            if again.complete_or_failed() {
                difference = compare(
                    (&report.trace_hash, &report.checkpoints),
                    (&again.trace_hash, &again.checkpoints),
                );
            }
        }
        if index > 0 {
            report.heights = Vec::new();
            report.propagation.cdf = Vec::new();
        }
        Ok(Outcome { report, config: config_hash(&scenario), difference })
    }

    fn one(
        &self,
        scenario: &Scenario,
        seed: u64,
        (part, parts): (f64, f64),
        trace: Option<(TraceOut, Option<usize>)>,
    ) -> anyhow::Result<RunReport> {
        let options = RunOptions { seed, ..RunOptions::default() };
        // Bugs are planted per thread.
        super::plant::from_env()?;
        let mut run = Run::new(scenario, &options)?;
        let mut reader = trace.map(|(out, width)| trace::Reader::new(&mut run, out, width));
        let mut seen = 0;
        loop {
            let more = advance(&mut run, reader.as_mut());
            let events = run.world.trace().events;
            self.meters.events.fetch_add(events - seen, Ordering::Relaxed);
            seen = events;
            self.meters.set(self.slot, (part + run.progress()) / parts);
            let more = match more {
                Ok(more) => more?,
                Err(what) => return Ok(panicked(&mut run, what)),
            };
            if !more || self.is_over() {
                break;
            }
        }
        if let Some(reader) = &mut reader {
            reader.flush()?;
        }
        Ok(run.report())
    }
}

/// Goes on for a while. A node's panic is caught: it is a finding like any other, with seed and event.
fn advance(
    run: &mut Run,
    reader: Option<&mut trace::Reader>,
) -> Result<anyhow::Result<bool>, String> {
    caught(|| match reader {
        Some(reader) => reader.advance(run, SLICE),
        None => Ok(run.advance(SLICE)),
    })
}

fn panicked(run: &mut Run, what: String) -> RunReport {
    let mut report = run.report();
    report.ok = false;
    report.violations.push(Violation {
        checker: "panic",
        what,
        event: run.world.trace().events,
        at_micros: run.world.now().as_micros(),
    });
    report
}

/// Whether a run ended by itself: all was judged, or a checker objected.
pub trait Ended {
    /// Tells whether nobody interrupted it.
    fn complete_or_failed(&self) -> bool;
}

impl Ended for RunReport {
    fn complete_or_failed(&self) -> bool {
        self.complete || !self.violations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_first_differing_checkpoint() {
        let hash = B256::repeat_byte;
        let points = |bytes: &[u8]| bytes.iter().map(|b| hash(*b)).collect::<Vec<_>>();
        let rows = [
            (vec![1, 2, 3], vec![1, 9, 8], 100_000, Some(200_000)),
            (vec![9], vec![1], 0, Some(100_000)),
            (vec![1, 2], vec![1, 2], 200_000, None),
            (vec![1, 2], vec![1], 100_000, None),
        ];
        for (a, b, same_until, differs_by) in rows {
            let (a, b) = (points(&a), points(&b));
            let found = compare((&hash(1), &a), (&hash(2), &b));
            assert_eq!(found, Some(Difference { same_until, differs_by }), "{a:?} {b:?}");
            assert_eq!(compare((&hash(1), &a), (&hash(1), &b)), None);
        }
    }
}
