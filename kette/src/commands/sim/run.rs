//! `kette sim run`: runs a network from one seed or many, and judges it.

use super::{
    interrupt,
    pool::{Batch, Outcome, TraceOut},
    progress::Progress,
    seeds::Seeds,
    source::{Setting, Source},
    tally::{self, Cost, Tally},
    trace, words,
};
use crate::{
    commands::{
        exit::{self, Exit},
        output,
    },
    report,
};
use anyhow::{Context as _, bail};
use clap::Args;
use kette_sim::checkers::Violation;
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufWriter, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, atomic::Ordering},
};

/// Flags of `kette sim run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    setting: Setting,
    /// Seeds to run: 0..200 are 200 seeds. The file's own seed if neither this nor --seed is given.
    #[arg(long, value_name = "N..M", value_parser = Seeds::parse, conflicts_with = "seed")]
    seeds: Option<Seeds>,
    /// One seed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Writes one line per event, with a column per node; to standard output without a file or with `-`. Of one
    /// seed; with --twice of its first run.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    trace: Option<PathBuf>,
    /// Writes a report with plots as one HTML file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Threads, one run each; all cores if absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    jobs: Option<u16>,
    /// Goes on after a run in which something is wrong.
    #[arg(long)]
    keep_going: bool,
    /// Runs each seed twice and demands that both runs are the same.
    #[arg(long)]
    twice: bool,
}

const EXAMPLES: &str = "\
Examples:
  kette sim run atmn                                 ten nodes, the file's own seed
  kette sim run atmn --nodes 1000 --hours 1          a large network for an hour of virtual time
  kette sim run swarm --seeds 0..1000 --keep-going   a thousand networks drawn from their seeds
  kette sim run my.toml --seed 7 --trace | less -S   what happens, event by event
  kette sim run my.toml --seeds 0..20 --html report.html

Exit codes: 0 all is well, 1 a check failed or a seed does not repeat, 2 usage or input, 5 a checker objected,
130 Ctrl-C.
With several seeds, --json has heights over time and the distribution of delays for the first one only.";

/// Carries out `kette sim run`.
///
/// # Errors
/// If the network cannot be used, an output fails, or something is wrong with a run.
pub fn run(args: &RunArgs, json: bool) -> anyhow::Result<()> {
    let source = Source::load(&args.setting)?;
    let seeds = match (args.seeds, args.seed) {
        (Some(seeds), _) => seeds,
        (None, seed) => Seeds::one(seed.unwrap_or_else(|| source.default_seed())),
    };
    if args.trace.is_some() && seeds.count() > 1 {
        let count = seeds.count();
        bail!(
            "--trace shows one run and not {count}: give it one --seed, and each run a file of its own"
        );
    }
    let outputs: Vec<&Path> = args.trace.iter().chain(&args.html).map(PathBuf::as_path).collect();
    overwrites(&args.setting, &outputs)?;
    let to_stdout = args.trace.as_deref() == Some(Path::new("-"));
    if to_stdout && json {
        bail!("--trace and --json both want standard output: give --trace a file");
    }
    let trace = args.trace.as_deref().map(trace_out).transpose()?;
    // Made now: a long run must not end with a file that cannot be written.
    let html = match &args.html {
        Some(path) => {
            let file = File::create(path);
            Some(file.with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => None,
    };
    let stop = interrupt::flag()?;
    let jobs = args.jobs.map_or_else(words::cores, usize::from);
    let batch = Batch {
        source: &source,
        seeds,
        jobs,
        twice: args.twice,
        trace: Mutex::new(trace),
        stop: &stop,
    };
    let mut printer = Printer::new(json, &args.setting, args.twice)?;
    let mut progress = Progress::new(to_stdout);
    let mut tally = Tally::default();
    let ran = batch.run(&mut progress, &mut |outcome, progress| {
        progress.clear();
        printer.run(&outcome)?;
        let good = tally.add(outcome);
        if let (false, Some(row)) = (json, tally.rows.last()) {
            tally::print_row(row)?;
        }
        Ok(good || args.keep_going)
    });
    let cost = Cost {
        wall_seconds: progress.seconds(),
        threads: usize::try_from(seeds.count()).unwrap_or(jobs).min(jobs),
        peak_memory: words::peak_memory(),
    };
    drop(progress);
    let interrupted = stop.load(Ordering::Relaxed);
    let printed = printer.end(&tally, &cost, interrupted, ran.as_ref().err()).and_then(|()| {
        if json || tally.rows.is_empty() {
            return Ok(());
        }
        tally.print(seeds.count(), &cost, &args.setting)
    });
    // A verdict stands whether somebody reads it or not.
    for result in [printed, ran] {
        result.or_else(|error| if exit::is_broken_pipe(&error) { Ok(()) } else { Err(error) })?;
    }
    if let (Some(mut file), Some(first)) = (html, &tally.first) {
        let page = report::Page { tally: &tally, first, cost: &cost, setting: &args.setting };
        let path = args.html.as_deref().unwrap_or(Path::new("")).display();
        file.write_all(page.html().as_bytes()).with_context(|| format!("cannot write {path}"))?;
    }
    judge(&tally, seeds.count(), interrupted)
}

/// Refuses to write over the network file, or two outputs into one file.
fn overwrites(setting: &Setting, outputs: &[&Path]) -> anyhow::Result<()> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let source = whole(Path::new(&setting.source));
    if let Some(path) = outputs.iter().find(|path| whole(path) == source) {
        bail!("{} is the network file: write to another one", path.display());
    }
    match outputs {
        [a, b] if a == b => bail!("--trace and --html both write {}: name two files", a.display()),
        _ => Ok(()),
    }
}

fn trace_out(path: &Path) -> anyhow::Result<(TraceOut, Option<usize>)> {
    if path == Path::new("-") {
        let terminal = std::io::stdout().is_terminal();
        let width = if terminal { trace::terminal_width() } else { None };
        return Ok((Box::new(BufWriter::new(output::stdout())), width));
    }
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((Box::new(BufWriter::new(file)), None))
}

/// Turns what was seen into the exit code.
fn judge(tally: &Tally, wanted: u64, interrupted: bool) -> anyhow::Result<()> {
    let done = tally.rows.iter().filter(|row| row.ended).count();
    let differing = match tally.differing {
        1 => "1 seed that does not repeat".to_owned(),
        count => format!("{count} seeds that do not repeat"),
    };
    let what = format!(
        "{}, {}, {differing}, in {done} of {}",
        words::counted(tally.violations, "violation"),
        words::counted(tally.failed_checks, "failed check"),
        words::counted(wanted, "run"),
    );
    if interrupted {
        return Err(Exit::Interrupted(format!("interrupted: {what}")).into());
    }
    if tally.violations > 0 {
        return Err(Exit::Unsafe(what).into());
    }
    if !tally.is_good() {
        return Err(Exit::Failed(what).into());
    }
    Ok(())
}

/// The result for programs. Runs are written as they end: all of them at once would fill the memory.
struct Printer<'a> {
    json: bool,
    setting: &'a Setting,
    twice: bool,
    runs: u64,
}

/// Names the format of the result.
pub const SCHEMA: &str = "kette-sim-run";

impl<'a> Printer<'a> {
    fn new(json: bool, setting: &'a Setting, twice: bool) -> anyhow::Result<Self> {
        let printer = Self { json, setting, twice, runs: 0 };
        let head = json!({
            "schema": SCHEMA,
            "schema_version": 1,
            "command": words::command_line(),
            "commit": words::COMMIT,
            "machine": { "cores": words::cores(), "os": std::env::consts::OS, "arch": std::env::consts::ARCH },
        });
        if json {
            // The runs go between the head's last field and the tail's first one.
            let head = head.to_string();
            let open = head.strip_suffix('}').unwrap_or(&head);
            write!(output::stdout(), "{open},\"runs\":[")?;
        }
        Ok(printer)
    }

    fn run(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut value = serde_json::to_value(&outcome.report)?;
        let report = &outcome.report;
        value["name"] = self.setting.source.clone().into();
        value["violation_count"] = report.violations.len().into();
        value["config_hash"] = outcome.config.to_string().into();
        if self.twice {
            value["repeats"] = outcome.difference.is_none().into();
            value["difference"] = serde_json::to_value(outcome.difference)?;
        }
        if let Some(Violation { event, .. }) = report.violations.first() {
            value["replay"] = self.setting.replay(report.seed, *event).into();
            value["minimize"] = self.setting.minimize(report.seed).into();
        }
        let comma = if self.runs == 0 { "" } else { "," };
        self.runs += 1;
        writeln!(output::stdout(), "{comma}")?;
        write!(output::stdout(), "{value}")?;
        Ok(())
    }

    fn end(
        &self,
        tally: &Tally,
        cost: &Cost,
        interrupted: bool,
        error: Option<&anyhow::Error>,
    ) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        let events = tally.events();
        let tail: Value = json!({
            "violations": tally.violations,
            "failed_checks": tally.failed_checks,
            "ok": tally.is_good() && error.is_none() && !interrupted,
            "interrupted": interrupted,
            "error": error.map(|error| format!("{error:#}")),
            "performance": {
                "events": events,
                "events_per_second": events as f64 / cost.wall_seconds.max(1e-6),
                "wall_seconds": cost.wall_seconds,
                "threads": cost.threads,
                "peak_memory_bytes": cost.peak_memory,
            },
        });
        let tail = tail.to_string();
        let rest = tail.strip_prefix('{').unwrap_or(&tail);
        writeln!(output::stdout(), "\n],{rest}")?;
        Ok(())
    }
}
