//! What many runs showed together: a row per run, and for people a summary of all.

use super::{
    pool::{Difference, Ended as _, Outcome},
    source::Setting,
    words::{self, grouped, millis, seconds},
};
use crate::commands::output;
use alloy_primitives::B256;
use kette_sim::{
    checkers::Violation,
    run::{BlockFigures, Propagation, RunReport, TransactionFigures},
};
use std::io::Write as _;

/// Runs whose failure is told in full.
const FAILURES_MAX: usize = 10;
/// Notes that are printed.
const NOTES_MAX: usize = 5;
/// Different checks that are listed.
const CHECKS_MAX: usize = 50;

/// What is kept of every run.
#[derive(Debug)]
pub struct Row {
    /// Its seed.
    pub seed: u64,
    /// Its trace hash.
    pub hash: B256,
    /// Its events.
    pub events: u64,
    /// Its virtual time.
    pub virtual_seconds: f64,
    /// Invariants that did not hold.
    pub violations: usize,
    /// Checks that do not hold.
    pub failed_checks: usize,
    /// Whether nobody interrupted it.
    pub ended: bool,
    /// Whether two runs of its seed differ.
    pub differs: bool,
    /// Number of the head at the end.
    pub height: u64,
    /// Its blocks.
    pub blocks: BlockFigures,
    /// Time until shares of the nodes had a block; without the distribution.
    pub reach: Propagation,
    /// Its transactions.
    pub transactions: TransactionFigures,
}

impl Row {
    fn new(outcome: &Outcome) -> Self {
        let report = &outcome.report;
        Self {
            seed: report.seed,
            hash: report.trace_hash,
            events: report.events,
            virtual_seconds: report.virtual_seconds,
            violations: report.violations.len(),
            failed_checks: report.checks.iter().filter(|check| !check.ok).count(),
            ended: report.complete_or_failed(),
            differs: outcome.difference.is_some(),
            height: report.height,
            blocks: report.blocks,
            reach: Propagation { cdf: Vec::new(), ..report.propagation },
            transactions: report.transactions,
        }
    }

    /// Tells whether nothing is wrong with it.
    pub const fn is_good(&self) -> bool {
        self.violations == 0 && self.failed_checks == 0 && !self.differs
    }

    /// Returns how it ended, in a word.
    pub const fn state(&self) -> &'static str {
        match self {
            Self { violations: 1.., .. } => "VIOLATION",
            Self { differs: true, .. } => "DIFFERS",
            Self { ended: false, .. } => "interrupted",
            Self { failed_checks: 1.., .. } => "FAIL",
            _ => "ok",
        }
    }
}

/// A run in which something is wrong.
#[derive(Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// Hash of what ran.
    pub config: B256,
    /// What checkers objected to.
    pub violations: Vec<Violation>,
    /// Where a second run of the same seed differs.
    pub difference: Option<Difference>,
}

/// How a check of the file ended in all runs.
#[derive(Debug)]
pub struct CheckCount {
    /// The check, in words.
    pub check: String,
    /// Runs in which it holds.
    pub held: u64,
    /// Runs that judged it.
    pub runs: u64,
    /// What was seen: where it failed first, or in the first run.
    pub seen: String,
}

/// All runs.
#[derive(Debug, Default)]
pub struct Tally {
    /// A row per run.
    pub rows: Vec<Row>,
    /// The first run, with its series over time.
    pub first: Option<RunReport>,
    /// Runs in which something is wrong, the first ones.
    pub failures: Vec<Failure>,
    /// Checks.
    pub checks: Vec<CheckCount>,
    /// What did not happen and need not, by seed.
    pub notes: Vec<(u64, String)>,
    /// Invariants that did not hold, in all runs.
    pub violations: u64,
    /// Checks that do not hold, in all runs.
    pub failed_checks: u64,
    /// Runs whose second run differs.
    pub differing: u64,
}

impl Tally {
    /// Takes a run in; tells whether all is well with it.
    pub fn add(&mut self, outcome: Outcome) -> bool {
        let row = Row::new(&outcome);
        self.violations += row.violations as u64;
        self.failed_checks += row.failed_checks as u64;
        self.differing += u64::from(row.differs);
        let report = &outcome.report;
        self.notes.extend(report.notes.iter().map(|note| (report.seed, note.clone())));
        for verdict in &report.checks {
            let known = self.checks.iter().position(|known| known.check == verdict.check);
            match known {
                Some(index) => {
                    let known = &mut self.checks[index];
                    if !verdict.ok && known.held == known.runs {
                        known.seen = format!("{} (seed {})", verdict.seen, report.seed);
                    }
                    known.held += u64::from(verdict.ok);
                    known.runs += 1;
                }
                None if self.checks.len() < CHECKS_MAX => self.checks.push(CheckCount {
                    check: verdict.check.clone(),
                    held: u64::from(verdict.ok),
                    runs: 1,
                    seen: verdict.seen.clone(),
                }),
                None => {}
            }
        }
        let good = row.is_good();
        if (row.violations > 0 || row.differs) && self.failures.len() < FAILURES_MAX {
            self.failures.push(Failure {
                seed: report.seed,
                config: outcome.config,
                violations: report.violations.clone(),
                difference: outcome.difference,
            });
        }
        self.rows.push(row);
        if self.first.is_none() {
            self.first = Some(outcome.report);
        }
        good
    }

    /// Events of all runs.
    pub fn events(&self) -> u64 {
        self.rows.iter().map(|row| row.events).sum()
    }

    /// Tells whether nothing is wrong with any run.
    pub const fn is_good(&self) -> bool {
        self.violations == 0 && self.failed_checks == 0 && self.differing == 0
    }

    /// The median of a figure over all runs that ended.
    pub fn median(&self, figure: impl Fn(&Row) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rows.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }

    /// The largest of a figure.
    pub fn max(&self, figure: impl Fn(&Row) -> f64) -> f64 {
        self.rows.iter().map(figure).fold(0.0, f64::max)
    }
}

/// Time and space that a command took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds.
    pub wall_seconds: f64,
    /// Threads.
    pub threads: usize,
    /// Bytes, if the system tells.
    pub peak_memory: Option<u64>,
}

/// Prints one run as one line.
///
/// # Errors
/// If standard output is closed.
pub fn print_row(row: &Row) -> anyhow::Result<()> {
    let Row { seed, blocks, .. } = row;
    let mut hash = row.hash.to_string();
    hash.truncate(18);
    let line = format!(
        "seed {seed:<6} {:<9} {:>13} events {:>10} height {:<6} stale {:>5.1} % reorg {:<3} {hash}",
        row.state(),
        grouped(row.events),
        seconds(row.virtual_seconds),
        row.height,
        blocks.stale_rate * 100.0,
        blocks.reorg_depth_max,
    );
    Ok(writeln!(output::stdout(), "{line}")?)
}

impl Tally {
    /// Prints the summary.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn print(&self, wanted: u64, cost: &Cost, setting: &Setting) -> anyhow::Result<()> {
        let mut out = output::stdout().lock();
        let runs = self.rows.len();
        let each = if runs > 1 { ", medians over runs" } else { "" };
        let events = self.events();
        let rate = events as f64 / cost.wall_seconds.max(1e-6);
        let virtual_seconds: f64 = self.rows.iter().map(|row| row.virtual_seconds).sum();
        let memory = cost.peak_memory.map_or_else(|| "unknown".to_owned(), words::megabytes);
        writeln!(out)?;
        let mut line = |name: &str, text: String| writeln!(out, "{name:<13}{text}");
        line(
            "runs",
            format!(
                "{runs} of {wanted}, {}, {}",
                words::counted(self.violations, "violation"),
                words::counted(self.failed_checks, "failed check"),
            ),
        )?;
        if let (1, Some(row)) = (runs, self.rows.first()) {
            line("trace hash", row.hash.to_string())?;
        }
        line("events", format!("{}, {} per second", grouped(events), words::short_number(rate)))?;
        line(
            "time",
            format!(
                "{} wall for {} virtual ({:.0} times faster), {} of {} cores",
                seconds(cost.wall_seconds),
                seconds(virtual_seconds),
                virtual_seconds / cost.wall_seconds.max(1e-6),
                cost.threads,
                words::cores(),
            ),
        )?;
        line("memory", format!("{memory} at most, whole process"))?;
        line(
            "block reach",
            format!(
                "50 % of nodes {}, 90 % {}, 99 % {}{each}",
                millis(self.median(|row| row.reach.p50_ms)),
                millis(self.median(|row| row.reach.p90_ms)),
                millis(self.median(|row| row.reach.p99_ms)),
            ),
        )?;
        let (produced, stale) = self.rows.iter().fold((0, 0), |(produced, stale), row| {
            (produced + row.blocks.produced, stale + row.blocks.stale)
        });
        line(
            "blocks",
            format!(
                "{} produced, {:.2} % stale, {:.1} s apart, deepest reorganization {}",
                grouped(produced),
                stale as f64 * 100.0 / produced.max(1) as f64,
                self.median(|row| row.blocks.interval_seconds),
                self.max(|row| row.blocks.reorg_depth_max as f64),
            ),
        )?;
        let (sent, included) = self.rows.iter().fold((0, 0), |(sent, included), row| {
            (sent + row.transactions.submitted, included + row.transactions.included)
        });
        if sent > 0 {
            line(
                "transactions",
                format!(
                    "{} of {} included, 50 % within {}, 95 % {}{each}",
                    grouped(included),
                    grouped(sent),
                    millis(self.median(|row| row.transactions.inclusion_p50_ms)),
                    millis(self.median(|row| row.transactions.inclusion_p95_ms)),
                ),
            )?;
        }
        drop(out);
        self.print_checks()?;
        self.print_notes()?;
        for failure in &self.failures {
            failure.print(setting)?;
        }
        Ok(())
    }

    fn print_notes(&self) -> anyhow::Result<()> {
        let mut out = output::stdout().lock();
        for (seed, note) in self.notes.iter().take(NOTES_MAX) {
            writeln!(out, "note: seed {seed}: {note}")?;
        }
        match self.notes.len().saturating_sub(NOTES_MAX) {
            0 => Ok(()),
            more => Ok(writeln!(
                out,
                "and {}; --json has all",
                words::counted(more as u64, "more note")
            )?),
        }
    }

    fn print_checks(&self) -> anyhow::Result<()> {
        if self.checks.is_empty() {
            return Ok(());
        }
        let row = |count: &CheckCount| {
            let verdict = words::verdict(count.held == count.runs);
            let runs = format!("{}/{}", count.held, count.runs);
            vec![verdict.to_owned(), runs, count.check.clone(), count.seen.clone()]
        };
        writeln!(output::stdout())?;
        let rows: Vec<Vec<String>> = self.checks.iter().map(row).collect();
        output::table(&["CHECK", "RUNS", "WHAT", "SEEN"], &rows)
    }
}

impl Failure {
    fn print(&self, setting: &Setting) -> anyhow::Result<()> {
        let mut out = output::stdout().lock();
        let seed = self.seed;
        for violation in &self.violations {
            let Violation { checker, what, event, at_micros } = violation;
            let at = *at_micros as f64 / 1e6;
            writeln!(out, "\nVIOLATION of {checker}: {what}")?;
            writeln!(out, "  seed      {seed}")?;
            writeln!(out, "  event     {event}, {at:.6} s virtual")?;
            writeln!(out, "  commit    {}", words::COMMIT)?;
            writeln!(out, "  config    {}", self.config)?;
            writeln!(out, "  show it   {}", setting.replay(seed, *event))?;
            writeln!(out, "  shrink it {}", setting.minimize(seed))?;
        }
        if let Some(difference) = &self.difference {
            writeln!(out, "\nseed {seed} does not repeat: {}", difference.words())?;
        }
        Ok(())
    }
}

impl Difference {
    /// Says where two runs differ.
    pub fn words(&self) -> String {
        let from = grouped(self.same_until);
        match self.differs_by {
            Some(to) => format!("same up to event {from}, different by event {}", grouped(to)),
            None => format!("same up to event {from}, different at the end"),
        }
    }
}
