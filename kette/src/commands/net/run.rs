//! `kette net run`: carries out a network file on real processes and judges it.

use crate::{
    cli::default_home,
    commands::{exit::Exit, output, sim::words},
    testnet::{
        directory::Directory,
        scenario::{
            self, Wish,
            report::{Line, Report},
        },
    },
};
use anyhow::Context as _;
use clap::Args;
use kette_sim::scenario::units::parse_duration;
use serde_json::{Value, json};
use std::{io::Write as _, path::PathBuf, time::Duration};

/// Flags of `kette net run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// A network file, or a name of `kette net presets` or `kette sim scenarios`.
    #[arg(value_name = "FILE|PRESET")]
    source: String,
    /// Where the network's files go; those of an earlier run there are replaced.
    #[arg(long, visible_alias = "dir", value_name = "DIR", default_value_os_t = default_home().join("run"))]
    home: PathBuf,
    /// Leaves the network running at the end.
    #[arg(long)]
    keep: bool,
    /// Where all choices that the file leaves open come from; the file's own seed if absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How long steps and users go on, instead of the file's duration: 90s, 10m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Writes what happened as an HTML page, and beside it as Markdown (see `kette net report`).
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Makes the network this large, as `kette sim run --nodes` does.
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Run all nodes in one process, so that a hundred fit; steps that kill or pause nodes are refused.
    #[arg(long)]
    in_process: bool,
    /// First P2P port; the other ports follow. Without it the next free block is taken.
    #[arg(long)]
    base_port: Option<u16>,
    /// How long to wait until all nodes answer.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  kette net run fork2                 six processes, cut in two for a minute
  kette net run churn                 ten processes that crash and return, for ten minutes
  kette net run my.toml --keep        and look around afterwards: kette net status --home ~/.kette/run

Exit codes: 0 all is well, 1 a check failed or a process, a ban or a lost transaction was wrong, 2 usage, input, or
steps that only the simulator can do, 3 a node did not start, 4 not up or not converged in time, 5 nodes disagree about
what is final or money is not what it must be, 130 Ctrl-C.";

/// Names the format of the result.
const SCHEMA: &str = "kette-net-run";

/// Carries out `kette net run`.
///
/// # Errors
/// If the file cannot be used, the network does not come up, or something is wrong with the run.
pub fn run(args: &RunArgs, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(super::absolute(args.home.clone())?);
    let wish = Wish {
        source: args.source.clone(),
        seed: args.seed,
        duration: args.duration,
        base_port: args.base_port,
        timeout: args.timeout,
        keep: args.keep,
        nodes: args.nodes,
        in_process: args.in_process,
    };
    // Data is the table at the end, or JSON; what happens meanwhile is prose.
    let mut say = |line: &Line| {
        let _ =
            writeln!(std::io::stderr(), "{:>7.1} s  {:<56}  {}", line.at, line.what, line.heights);
    };
    let report = crate::commands::block_on(scenario::run(&directory, &wish, &mut say))?;
    let value = document(&report, &directory, args.keep)?;
    // For `kette net report`.
    let run_file = directory.run_file();
    std::fs::write(&run_file, value.to_string())
        .with_context(|| format!("cannot write {}", run_file.display()))?;
    if let Some(path) = &args.report {
        super::report::write(path, std::slice::from_ref(&value))?;
    }
    if json {
        output::print(&value, true)?;
    } else {
        print(&report, &directory, args.keep)?;
    }
    explain(&report, &directory);
    judge(&report)
}

/// Returns a run for programs, with where it comes from.
///
/// # Errors
/// If a figure cannot be written as JSON.
pub(super) fn document(
    report: &Report,
    directory: &Directory,
    keep: bool,
) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(report)?;
    for (key, more) in [
        ("schema", json!(SCHEMA)),
        ("schema_version", json!(1)),
        ("command", json!(words::command_line())),
        ("commit", json!(words::COMMIT)),
        (
            "machine",
            json!({ "cores": words::cores(), "os": std::env::consts::OS, "arch": std::env::consts::ARCH }),
        ),
        ("home", json!(directory.path())),
        ("kept", json!(keep)),
        ("violation_count", json!(report.violations.len())),
        ("failed_checks", json!(report.failed_checks())),
    ] {
        value[key] = more;
    }
    Ok(value)
}

fn print(report: &Report, directory: &Directory, keep: bool) -> anyhow::Result<()> {
    let mut out = output::stdout().lock();
    writeln!(out)?;
    let mut line = |name: &str, text: String| writeln!(out, "{name:<13}{text}");
    line(
        "run",
        format!(
            "{} of {} processes, seed {}, {} violations, {} failed checks",
            report.name,
            report.nodes,
            report.seed,
            report.violations.len(),
            report.failed_checks()
        ),
    )?;
    line(
        "time",
        format!(
            "{} up to the first answers of all, {} from then on",
            words::seconds(report.start_seconds),
            words::seconds(report.seconds)
        ),
    )?;
    if let Some(time) = report.converged_seconds {
        line("converged", format!("{} after all faults had ended", words::seconds(time)))?;
    }
    let reach = &report.propagation;
    line(
        "block reach",
        format!(
            "50 % of nodes {}, 90 % {}, 99 % {}",
            words::millis(reach.p50_ms),
            words::millis(reach.p90_ms),
            words::millis(reach.p99_ms)
        ),
    )?;
    let blocks = &report.blocks;
    line(
        "blocks",
        format!(
            "{} produced, {:.2} % stale, {:.1} s apart, deepest reorganization {}",
            words::grouped(blocks.produced),
            blocks.stale_rate * 100.0,
            blocks.interval_seconds,
            blocks.reorg_depth_max
        ),
    )?;
    let sent = &report.transactions;
    if sent.submitted > 0 {
        line(
            "transactions",
            format!(
                "{} of {} included, 50 % within {}, 95 % {}",
                words::grouped(sent.included),
                words::grouped(sent.submitted),
                words::millis(sent.inclusion_p50_ms),
                words::millis(sent.inclusion_p95_ms)
            ),
        )?;
    }
    let place = directory.path().display();
    let stays = if keep { "; the network runs: `kette net down --home` stops it" } else { "" };
    line("files", format!("{place}{stays}"))?;
    if !report.checks.is_empty() {
        writeln!(out)?;
        let rows: Vec<Vec<String>> = report
            .checks
            .iter()
            .map(|it| vec![words::verdict(it.ok).to_owned(), it.check.clone(), it.seen.clone()])
            .collect();
        drop(out);
        output::table(&["CHECK", "WHAT", "SEEN"], &rows)?;
    }
    Ok(())
}

/// Alarms of a node that people read; `--json` has all that nodes keep.
const ALARMS_MAX: usize = 2;

/// Says what is wrong, where, and what the nodes there logged last.
fn explain(report: &Report, directory: &Directory) {
    for note in &report.notes {
        eprintln!("note: {note}");
    }
    for (node, alarms) in &report.alarms {
        for alarm in alarms.iter().take(ALARMS_MAX) {
            eprintln!("alarm on {node}: {alarm}");
        }
        if alarms.len() > ALARMS_MAX {
            eprintln!("alarm on {node}: and {} more", alarms.len() - ALARMS_MAX);
        }
    }
    for violation in &report.violations {
        eprintln!("\nVIOLATION of {}: {}", violation.checker, violation.what);
    }
    for check in report.checks.iter().filter(|check| !check.ok) {
        eprintln!("\nFAIL {}: {}", check.check, check.seen);
    }
    for (node, lines) in &report.logs {
        eprintln!("\nthe end of {}:\n  {}", directory.log(node).display(), lines.join("\n  "));
    }
}

/// Turns what was seen into the exit code.
fn judge(report: &Report) -> anyhow::Result<()> {
    let suspects = match report.suspects() {
        names if names.is_empty() => String::new(),
        names => format!("; see {}", names.join(", ")),
    };
    let what = format!(
        "{} violations, {} failed checks of {}{suspects}",
        report.violations.len(),
        report.failed_checks(),
        report.checks.len()
    );
    if report.violations.iter().any(scenario::invariants::Violation::is_unsafe) {
        return Err(Exit::Unsafe(what).into());
    }
    if report.interrupted {
        return Err(Exit::Interrupted(format!("interrupted: {what}")).into());
    }
    if report.ok {
        return Ok(());
    }
    if report.only_late() {
        return Err(Exit::TimedOut(what).into());
    }
    Err(Exit::Failed(what).into())
}
