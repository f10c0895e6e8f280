//! Minimizing: the smallest scenario in which the same invariant still fails.
//!
//! In this order: shorten the time, drop steps (delta debugging, Zeller and Hildebrandt 2002), drop groups and nodes,
//! drop users, soften what is left. Every candidate is run; it is kept if the same checker objects. The result is an
//! explicit file, which survives changes of the code better than a seed does.

use crate::{
    checkers::Violation,
    run::{Run, RunOptions, Scenario},
    scenario::{NetworkFile, Profile, Shape, Step, Verdict, Workload, units},
    world::SetupError,
};
use std::time::Duration;

/// A smaller scenario that still fails.
#[derive(Clone, Debug)]
pub struct Minimized {
    /// The scenario.
    pub file: NetworkFile,
    /// The seed, unchanged.
    pub seed: u64,
    /// What fails in it.
    pub violation: Violation,
    /// Steps of the original.
    pub steps_before: usize,
    /// Steps that are left.
    pub steps_after: usize,
    /// Nodes of the original.
    pub nodes_before: usize,
    /// Nodes that are left.
    pub nodes_after: usize,
    /// Runs that were made.
    pub runs: usize,
    /// Whether it was asked to stop: something smaller may fail as well.
    pub stopped: bool,
}

/// How far it is.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// What is tried.
    pub trying: &'a str,
    /// Runs so far.
    pub runs: usize,
    /// Steps of the smallest failing scenario so far.
    pub steps: usize,
    /// Its nodes.
    pub nodes: usize,
}

/// A scenario cannot be minimized.
#[derive(Debug, thiserror::Error)]
pub enum MinimizeError {
    /// It cannot be run.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Nothing fails in it.
    #[error("seed {0} does not fail: there is nothing to minimize")]
    Passes(u64),
    /// Only what its file demands does not hold. That says nothing in another network: less time or fewer nodes fail
    /// such a check for reasons of their own.
    #[error(
        "seed {seed}: no checker objects, so there is nothing to minimize; a check of the file fails, {check}: {seen}. \
         What a check demands fits its own network only: look at the run (`kette sim replay`, `kette sim run --trace`), \
         then take steps out of the file or change the check"
    )]
    CheckFails {
        /// The seed.
        seed: u64,
        /// The check, in words.
        check: String,
        /// What was seen.
        seen: String,
    },
    /// It was asked to stop before anything failed.
    #[error("stopped before seed {0} failed")]
    Stopped(u64),
}

/// Hears how far it is; tells whether to go on.
pub type Listener<'a> = dyn FnMut(&Progress<'_>) -> bool + 'a;

/// Runs made at most.
const RUNS_MAX: usize = 400;
/// Events between two looks at whether to go on.
const SLICE: u64 = 20_000;
/// Virtual time kept after the violation.
const MARGIN: Duration = Duration::from_secs(5);

/// Finds a small scenario in which the checker that objects first still does. If `listener` says to stop, what is found
/// so far is the result.
///
/// # Errors
/// If the scenario cannot be run, or nothing fails in it.
pub fn minimize(
    scenario: &Scenario,
    options: &RunOptions,
    listener: &mut Listener<'_>,
) -> Result<Minimized, MinimizeError> {
    let now = Progress {
        trying: "the run as it is",
        runs: 0,
        steps: scenario.file.step.len(),
        nodes: scenario.plan.nodes.len(),
    };
    let mut run = Run::new(scenario, options)?;
    if !ended(&mut run, &mut || listener(&now)) {
        return Err(MinimizeError::Stopped(options.seed));
    }
    let violation = run.world.violations().first().cloned();
    let violation = violation.ok_or_else(|| passes(&mut run, options.seed))?;
    drop(run);
    let mut search = Search {
        best: scenario.clone(),
        violation,
        options: options.clone(),
        runs: 1,
        listener,
        stopped: false,
    };
    search.shorten();
    search.drop_steps();
    search.drop_nodes();
    search.drop_steps();
    search.simplify();
    search.soften();
    search.shorten();
    let best = search.best;
    Ok(Minimized {
        seed: options.seed,
        violation: search.violation,
        steps_before: scenario.file.step.len(),
        steps_after: best.file.step.len(),
        nodes_before: scenario.plan.nodes.len(),
        nodes_after: best.plan.nodes.len(),
        runs: search.runs,
        stopped: search.stopped,
        file: best.file,
    })
}

/// Runs to the end; tells whether nobody stopped it.
fn ended(run: &mut Run, go_on: &mut dyn FnMut() -> bool) -> bool {
    while run.advance(SLICE) {
        if !go_on() {
            return false;
        }
    }
    true
}

/// Says why a run without a violation is not minimized.
fn passes(run: &mut Run, seed: u64) -> MinimizeError {
    match run.report().checks.into_iter().find(|check| !check.ok) {
        Some(Verdict { check, seen, .. }) => MinimizeError::CheckFails { seed, check, seen },
        None => MinimizeError::Passes(seed),
    }
}

struct Search<'a> {
    best: Scenario,
    violation: Violation,
    options: RunOptions,
    runs: usize,
    listener: &'a mut Listener<'a>,
    stopped: bool,
}

impl Search<'_> {
    /// Runs a candidate; keeps it if the same checker objects.
    fn try_file(&mut self, trying: &str, file: NetworkFile) -> bool {
        if self.stopped || self.runs >= RUNS_MAX || file == self.best.file {
            return false;
        }
        let now = Progress {
            trying,
            runs: self.runs,
            steps: self.best.file.step.len(),
            nodes: self.best.plan.nodes.len(),
        };
        if !(self.listener)(&now) {
            self.stopped = true;
            return false;
        }
        // What names nodes that are gone is no scenario.
        let Ok(candidate) = self.best.with_file(file) else { return false };
        let Ok(mut run) = Run::new(&candidate, &self.options) else { return false };
        self.runs += 1;
        if !ended(&mut run, &mut || (self.listener)(&now)) {
            self.stopped = true;
            return false;
        }
        match run.world.violations().first() {
            Some(violation) if violation.checker == self.violation.checker => {
                self.violation = violation.clone();
                self.best = candidate;
                true
            }
            _ => false,
        }
    }

    fn shorten(&mut self) {
        let at = Duration::from_micros(self.violation.at_micros) + MARGIN;
        let whole = Duration::from_secs(at.as_secs());
        let mut file = self.best.file.clone();
        if whole < file.network.duration {
            file.network.duration = whole;
            if self.try_file("less time", file) {
                return;
            }
        }
        for part in [4, 2] {
            let mut file = self.best.file.clone();
            file.network.duration =
                Duration::from_secs((file.network.duration / part).as_secs().max(1));
            if self.try_file("less time", file) {
                return;
            }
        }
    }

    /// Delta debugging over the steps.
    fn drop_steps(&mut self) {
        let mut parts = 2;
        loop {
            let steps = self.best.file.step.clone();
            if steps.is_empty() {
                return;
            }
            let size = steps.len().div_ceil(parts);
            let mut smaller = false;
            for start in (0..steps.len()).step_by(size) {
                let rest: Vec<Step> = steps
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| !(start..start + size).contains(index))
                    .map(|(_, step)| step.clone())
                    .collect();
                let file = NetworkFile { step: rest, ..self.best.file.clone() };
                if self.try_file("fewer steps", file) {
                    smaller = true;
                    break;
                }
            }
            if smaller {
                parts = parts.saturating_sub(1).max(2);
            } else if size == 1 {
                return;
            } else {
                parts = (parts * 2).min(steps.len());
            }
        }
    }

    fn drop_nodes(&mut self) {
        let mut index = 0;
        while self.best.file.group.len() > 1 && index < self.best.file.group.len() {
            let mut file = self.best.file.clone();
            file.group.remove(index);
            if !self.try_file("fewer groups", file) {
                index += 1;
            }
        }
        for index in 0..self.best.file.group.len() {
            while self.shrink_group(index) {}
        }
    }

    fn shrink_group(&mut self, index: usize) -> bool {
        let mut file = self.best.file.clone();
        let group = &mut file.group[index];
        if group.names.len() > 1 {
            let per_node = group.regions.len() == group.names.len();
            group.names.pop();
            if per_node {
                group.regions.pop();
            }
        } else if let Some(count) = group.count.filter(|count| *count > 1) {
            group.count = Some(count - 1);
        } else {
            return false;
        }
        self.try_file("fewer nodes", file)
    }

    fn simplify(&mut self) {
        let plain = self.best.file.clone();
        self.try_file("no users", NetworkFile { workload: Workload::default(), ..plain.clone() });
        let plain = self.best.file.clone();
        let shape = Shape { profile: Profile::Lan, ..Shape::default() };
        self.try_file("plain links", NetworkFile { shape, link: Vec::new(), ..plain });
        let mut still = self.best.file.clone();
        for group in &mut still.group {
            group.clock_offset_ms = 0;
            group.clock_drift_ppm = 0;
            group.slow = None;
        }
        self.try_file("true clocks", still);
        let mut honest = self.best.file.clone();
        for group in &mut honest.group {
            group.byzantine = None;
        }
        self.try_file("no Byzantine actors", honest);
    }

    /// Halves the duration of what is left.
    fn soften(&mut self) {
        for index in 0..self.best.file.step.len() {
            for _ in 0..3 {
                let mut file = self.best.file.clone();
                let Some(lasts) = file.step.get_mut(index).and_then(|step| step.action.lasts_mut())
                else {
                    break;
                };
                let half = Duration::from_secs((*lasts / 2).as_secs());
                if half.is_zero() {
                    break;
                }
                *lasts = half;
                let trying = format!("{} instead", units::format_duration(half));
                if !self.try_file(&trying, file) {
                    break;
                }
            }
        }
    }
}
