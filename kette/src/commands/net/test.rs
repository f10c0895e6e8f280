//! `kette net test`: tests of real networks by name, each an embedded network file with steps and checks.
//!
//! A file that asks for what processes of this build cannot do (liars, overtaking frames) runs in the simulator, with the
//! same nodes in virtual time, and the result says so.

use super::run::document;
use crate::{
    cli::default_home,
    commands::{exit::Exit, output, sim::words},
    report::junit::{self, Case, Suite},
    testnet::{
        directory::Directory,
        file,
        scenario::{
            self, Script, Wish, invariants,
            report::{Line, Report},
        },
        suite::{self, Part, Test},
    },
};
use anyhow::{Context as _, bail};
use clap::Args;
use kette_sim::{
    run::{RunOptions, RunReport, Scenario},
    scenario::{Verdict, units::parse_duration},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Flags of `kette net test`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// Which tests, or `all`.
    #[arg(value_name = "TEST", required_unless_present = "list", value_parser = names())]
    tests: Vec<String>,
    /// Print what there is, and run nothing.
    #[arg(long)]
    list: bool,
    /// Only these of their networks (see --list --json).
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    only: Vec<String>,
    /// Run them in full length.
    #[arg(long)]
    long: bool,
    /// Where the networks' files go, a directory for each; those of an earlier test there are replaced.
    #[arg(long, visible_alias = "dir", value_name = "DIR", default_value_os_t = default_home().join("test"))]
    home: PathBuf,
    /// Write the results as JUnit XML as well.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write each run into this directory as `kette net run --json` prints it, for `kette net report`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// First port for peers, instead of each network's own; those for clients follow. For two tests at the same time.
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// How long to wait until all nodes of a network answer.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

fn names() -> Vec<&'static str> {
    suite::TESTS.iter().map(|test| test.name).chain([suite::ALL]).collect()
}

const EXAMPLES: &str = "\
Examples:
  kette net test connectivity         ten nodes: all run, all are connected, and the first three are killed
  kette net test fork partition       two tests, one after the other
  kette net test all --junit out.xml  everything; --list says what that is and how long it takes

Exit codes: 0 all hold, 1 a check failed or a network did not come up, 2 usage, 5 nodes disagree about what is final or
money is not what it must be, 130 Ctrl-C.";

/// Names the format of the result.
const SCHEMA: &str = "kette-net-test";
/// What a network takes besides its own duration: to start, to converge, to come to rest.
const AROUND: Duration = Duration::from_secs(12);

/// What one network file showed.
#[derive(Debug, Serialize)]
struct Outcome {
    test: &'static str,
    file: &'static str,
    /// `processes` or `simulator`.
    host: &'static str,
    /// Why it ran in the simulator.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    ok: bool,
    seconds: f64,
    checks: Vec<Verdict>,
    /// Invariants that did not hold, and what kept the network from running.
    violations: Vec<String>,
    /// Ends of the logs of the nodes to look at.
    logs: BTreeMap<String, Vec<String>>,
    #[serde(skip)]
    is_unsafe: bool,
    #[serde(skip)]
    interrupted: bool,
}

/// Runs tests.
///
/// # Errors
/// If a file cannot be written, or anything does not hold.
pub fn run(args: &TestArgs, json: bool) -> anyhow::Result<()> {
    if args.list {
        return list(json);
    }
    let mut tests: Vec<Test> = Vec::new();
    for test in args.tests.iter().flat_map(|name| suite::named(name)) {
        if !tests.contains(&test) {
            tests.push(test);
        }
    }
    let mut parts = suite::parts(&tests, args.long);
    let there: Vec<&str> = parts.iter().map(|(_, part)| part.file).collect();
    if let Some(name) = args.only.iter().find(|name| !there.contains(&name.as_str())) {
        bail!("--only {name}: these tests have the networks {}", there.join(", "));
    }
    parts.retain(|(_, part)| args.only.is_empty() || args.only.iter().any(|it| it == part.file));
    let junit = args.junit.as_ref().map(|path| {
        // Made now: a long test must not end with a file that cannot be written.
        fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))
    });
    let junit = junit.transpose()?;
    if let Some(out) = &args.out {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    }
    let expected =
        parts.iter().map(|(_, part)| expected(*part)).sum::<anyhow::Result<Duration>>()?;
    eprintln!(
        "{}, about {}",
        words::counted(parts.len() as u64, "network"),
        words::seconds(expected.as_secs_f64())
    );
    let began = Instant::now();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (index, (test, part)) in parts.iter().enumerate() {
        eprintln!("\n[{} of {}] {}: {}", index + 1, parts.len(), test.name, part.file);
        let outcome = one(args, *test, *part)?;
        explain(&outcome);
        let interrupted = outcome.interrupted;
        outcomes.push(outcome);
        if interrupted {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if let Some(mut file) = junit {
        let suites: Vec<Suite> = outcomes.iter().map(as_suite).collect();
        file.write_all(junit::document("kette net test", &suites).as_bytes())?;
    }
    print(&outcomes, seconds, expected, json)?;
    judge(&outcomes)
}

fn list(json: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for test in suite::TESTS {
        let time = |parts: &[Part]| -> anyhow::Result<f64> {
            Ok(parts
                .iter()
                .map(|part| expected(*part))
                .sum::<anyhow::Result<Duration>>()?
                .as_secs_f64())
        };
        let (short, long) = (time(test.short)?, time(test.long)?);
        let files = |parts: &[Part]| parts.iter().map(|part| part.file).collect::<Vec<_>>();
        values.push(
            json!({ "name": test.name, "about": test.about, "seconds": short, "long_seconds": long,
            "files": files(test.short), "long_files": files(test.long) }),
        );
        let texts = [test.name, &words::seconds(short), &words::seconds(long), test.about];
        rows.push(texts.map(str::to_owned).to_vec());
    }
    if json {
        return output::print(&Value::Array(values), true);
    }
    output::table(&["TEST", "TIME", "--long", "WHAT IT SHOWS"], &rows)
}

/// Returns about how long a part takes on processes.
fn expected(part: Part) -> anyhow::Result<Duration> {
    let own = || anyhow::Ok(file::load(part.file)?.network.duration);
    Ok(part.duration().map_or_else(own, Ok)? + AROUND)
}

fn one(args: &TestArgs, test: Test, part: Part) -> anyhow::Result<Outcome> {
    let wish = Wish {
        source: part.file.to_owned(),
        seed: None,
        duration: part.duration(),
        base_port: args.base_port,
        timeout: args.timeout,
        keep: false,
        nodes: part.nodes,
        in_process: false,
    };
    let began = Instant::now();
    let unshaped = file::unshaped(&file::load(part.file)?);
    let refused = match (Script::new(&wish), unshaped) {
        (Err(error), _) => Some(error.to_string()),
        (Ok(_), unshaped) => unshaped,
    };
    let mut outcome = match refused {
        Some(why) => simulate(test, part, why)?,
        None => on_processes(args, &wish, test, part)?,
    };
    outcome.seconds = began.elapsed().as_secs_f64();
    Ok(outcome)
}

fn on_processes(args: &TestArgs, wish: &Wish, test: Test, part: Part) -> anyhow::Result<Outcome> {
    let home = super::absolute(args.home.join(part.file))?;
    let directory = Directory::new(home);
    fs::create_dir_all(directory.path())
        .with_context(|| format!("cannot make {}", directory.path().display()))?;
    let mut say = |line: &Line| {
        let _ =
            writeln!(std::io::stderr(), "{:>7.1} s  {:<56}  {}", line.at, line.what, line.heights);
    };
    let mut outcome = Outcome {
        test: test.name,
        file: part.file,
        host: "processes",
        why: None,
        ok: false,
        seconds: 0.0,
        checks: Vec::new(),
        violations: Vec::new(),
        logs: BTreeMap::new(),
        is_unsafe: false,
        interrupted: false,
    };
    let report = match crate::commands::block_on(scenario::run(&directory, wish, &mut say)) {
        Ok(report) => report,
        Err(error) => {
            // The others can still run.
            outcome.interrupted = matches!(error.downcast_ref(), Some(Exit::Interrupted(_)));
            outcome.violations.push(format!("{error:#}"));
            return Ok(outcome);
        }
    };
    if let Some(out) = &args.out {
        let path = out.join(format!("{}.json", part.file));
        let text = serde_json::to_string_pretty(&document(&report, &directory, false)?)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tables(test, &report)?;
    let words = |it: &invariants::Violation| format!("{}: {}", it.checker, it.what);
    outcome.violations = report.violations.iter().map(words).collect();
    outcome.is_unsafe = report.violations.iter().any(invariants::Violation::is_unsafe);
    outcome.interrupted = report.interrupted;
    outcome.ok = report.ok;
    outcome.checks = report.checks;
    outcome.logs = report.logs;
    Ok(outcome)
}

fn simulate(test: Test, part: Part, why: String) -> anyhow::Result<Outcome> {
    eprintln!("in the simulator, because processes of this build cannot do it: {why}");
    let mut file = file::load_scaled(part.file, part.nodes)?;
    if let Some(duration) = part.duration() {
        file.network.duration = duration;
    }
    let genesis = crate::presets::genesis_text(&file.network.chain).unwrap_or_default();
    let seed = file.network.seed;
    let scenario = Scenario::new(file, genesis)?;
    let report: RunReport =
        kette_sim::run::run(&scenario, &RunOptions { seed, ..RunOptions::default() })?;
    let violations: Vec<String> =
        report.violations.iter().map(|it| format!("{}: {}", it.checker, it.what)).collect();
    Ok(Outcome {
        test: test.name,
        file: part.file,
        host: "simulator",
        why: Some(why),
        ok: report.ok,
        seconds: 0.0,
        checks: report.checks,
        is_unsafe: !violations.is_empty(),
        violations,
        logs: BTreeMap::new(),
        interrupted: false,
    })
}

/// Blocks whose latency is printed.
const BLOCKS_SHOWN: usize = 10;

/// Prints what a test is about besides its verdicts: who is connected with whom, or how long blocks took.
fn tables(test: Test, report: &Report) -> anyhow::Result<()> {
    let mut err = std::io::stderr().lock();
    match test.name {
        "connectivity" => {
            writeln!(
                err,
                "{:<10} {:>4} {:>9} {:>10} {:>10}",
                "node", "tier", "sessions", "handshakes", "bootstraps"
            )?;
            for (index, node) in report.list.iter().enumerate() {
                let boot = report.list.iter().filter(|other| other.dials.contains(&index)).count();
                let state = if node.up { "" } else { "  down" };
                writeln!(
                    err,
                    "{:<10} {:>4} {:>9} {:>10} {boot:>10}{state}",
                    node.name,
                    node.tier,
                    node.sessions.len(),
                    node.handshakes
                )?;
            }
        }
        "propagation" => {
            writeln!(
                err,
                "{:>7} {:<12} {:>5} {:>10} {:>10} {:>10}",
                "block", "of", "nodes", "50 %", "95 %", "all"
            )?;
            for row in report.block_reach.iter().take(BLOCKS_SHOWN) {
                writeln!(
                    err,
                    "{:>7} {:<12} {:>5} {:>10} {:>10} {:>10}",
                    row.number,
                    row.producer.as_deref().unwrap_or("-"),
                    row.nodes,
                    words::millis(row.p50_ms),
                    words::millis(row.p95_ms),
                    words::millis(row.max_ms)
                )?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Says what is wrong, at which node, and what it logged last.
fn explain(outcome: &Outcome) {
    for check in &outcome.checks {
        eprintln!("{:>5}  {}: {}", words::verdict(check.ok), check.check, check.seen);
    }
    for violation in &outcome.violations {
        eprintln!(" FAIL  {violation}");
    }
    for check in outcome.checks.iter().filter(|check| !check.ok && !check.nodes.is_empty()) {
        eprintln!("\n{}: look at {}", check.check, check.nodes.join(", "));
    }
    for (node, lines) in &outcome.logs {
        eprintln!("\nthe end of the log of {node}:\n  {}", lines.join("\n  "));
    }
}

fn as_suite(outcome: &Outcome) -> Suite {
    let check = |it: &Verdict| {
        let at = if it.ok || it.nodes.is_empty() {
            String::new()
        } else {
            format!(" ({})", it.nodes.join(", "))
        };
        Case { name: it.check.clone(), seen: format!("{}{at}", it.seen), ok: Some(it.ok) }
    };
    let invariants = Case {
        name: "invariants".to_owned(),
        seen: outcome.violations.join("; "),
        ok: Some(outcome.violations.is_empty()),
    };
    let mut output: String = outcome.why.iter().map(|why| format!("simulated: {why}\n")).collect();
    for (node, lines) in &outcome.logs {
        output.push_str(&format!("the end of the log of {node}:\n{}\n", lines.join("\n")));
    }
    Suite {
        name: format!("{}.{}", outcome.test, outcome.file),
        seconds: outcome.seconds,
        cases: outcome.checks.iter().map(check).chain([invariants]).collect(),
        output,
    }
}

fn print(outcomes: &[Outcome], seconds: f64, expected: Duration, json: bool) -> anyhow::Result<()> {
    let ok = outcomes.iter().all(|outcome| outcome.ok);
    if json {
        let value = json!({
            "schema": SCHEMA,
            "schema_version": 1,
            "command": words::command_line(),
            "commit": words::COMMIT,
            "machine": { "cores": words::cores(), "os": std::env::consts::OS, "arch": std::env::consts::ARCH },
            "ok": ok,
            "seconds": seconds,
            "expected_seconds": expected.as_secs(),
            "tests": outcomes,
        });
        return output::print(&value, true);
    }
    eprintln!();
    let row = |it: &Outcome| {
        let held = it.checks.iter().filter(|check| check.ok).count();
        vec![
            words::verdict(it.ok).to_owned(),
            it.test.to_owned(),
            it.file.to_owned(),
            it.host.to_owned(),
            format!("{held} of {}", it.checks.len()),
            it.violations.len().to_string(),
            words::seconds(it.seconds),
        ]
    };
    let rows: Vec<Vec<String>> = outcomes.iter().map(row).collect();
    output::table(&["", "TEST", "NETWORK", "ON", "CHECKS", "VIOLATIONS", "TIME"], &rows)?;
    eprintln!(
        "\n{} in {}",
        words::counted(outcomes.len() as u64, "network"),
        words::seconds(seconds)
    );
    Ok(())
}

/// Turns what was seen into the exit code.
fn judge(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.ok)
        .map(|outcome| {
            let checks =
                outcome.checks.iter().filter(|check| !check.ok).map(|check| check.check.as_str());
            let all: Vec<&str> =
                checks.chain(outcome.violations.iter().map(String::as_str)).collect();
            format!("{} ({}): {}", outcome.test, outcome.file, all.join("; "))
        })
        .collect();
    let what = failed.join("\n  ");
    if outcomes.iter().any(|outcome| outcome.is_unsafe) {
        return Err(Exit::Unsafe(what).into());
    }
    if outcomes.iter().any(|outcome| outcome.interrupted) {
        return Err(Exit::Interrupted(format!("interrupted {what}")).into());
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Exit::Failed(what).into()),
    }
}
