//! `kette sim diff`: where two results first differ, by the checkpoints of their trace hashes.

use super::{
    pool::{self, Difference},
    run::SCHEMA,
    words,
};
use crate::{
    commands::{exit::Exit, output},
    input::{self, Kind},
};
use alloy_primitives::B256;
use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

/// Flags of `kette sim diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// A result of `kette sim run --json`.
    a: PathBuf,
    /// Another one.
    b: PathBuf,
}

/// What is read of a result.
#[derive(Debug, Deserialize)]
struct Recorded {
    schema: String,
    schema_version: u32,
    commit: String,
    runs: Vec<RecordedRun>,
}

#[derive(Debug, Deserialize)]
struct RecordedRun {
    seed: u64,
    trace_hash: B256,
    checkpoints: Vec<B256>,
    events: u64,
    config_hash: B256,
}

/// Two runs: of one seed, or the only ones of their files.
#[derive(Debug, Serialize)]
struct Pair {
    seeds: [u64; 2],
    same: bool,
    same_config: bool,
    events: [u64; 2],
    difference: Option<Difference>,
}

/// Carries out `kette sim diff`.
///
/// # Errors
/// If a file is no result, the files have no seed in common, or runs differ.
pub fn run(args: &DiffArgs, json: bool) -> anyhow::Result<()> {
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let pairs = pairs(&a, &b);
    if pairs.is_empty() {
        bail!("{} and {} have no seed in common", args.a.display(), args.b.display());
    }
    if json {
        let value = serde_json::json!({
            "schema": "kette-sim-diff",
            "schema_version": 1,
            "commits": [a.commit, b.commit],
            "runs": pairs,
        });
        output::print(&value, true)?;
    } else {
        let mut out = output::stdout().lock();
        writeln!(out, "commits {} and {}", a.commit, b.commit)?;
        for pair in &pairs {
            writeln!(out, "{}", pair.words())?;
        }
    }
    match pairs.iter().filter(|pair| !pair.same).count() {
        0 => Ok(()),
        count => {
            let verb = if count == 1 { "differs" } else { "differ" };
            let of = words::counted(pairs.len() as u64, "run");
            Err(Exit::Failed(format!("{count} of {of} {verb}")).into())
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Recorded> {
    let name = || path.display().to_string();
    let text = input::text(path, Kind::Results)?;
    let read: Recorded = serde_json::from_str(&text)
        .with_context(|| format!("{} is no result of `kette sim run --json`", name()))?;
    if read.schema != SCHEMA || read.schema_version != 1 {
        bail!("{}: {} {}, this reads {SCHEMA} 1", name(), read.schema, read.schema_version);
    }
    Ok(read)
}

/// Puts runs of one seed together; of two single runs, whatever their seeds.
fn pairs(a: &Recorded, b: &Recorded) -> Vec<Pair> {
    if let ([a], [b]) = (a.runs.as_slice(), b.runs.as_slice()) {
        return vec![Pair::new(a, b)];
    }
    let others: BTreeMap<u64, &RecordedRun> = b.runs.iter().map(|run| (run.seed, run)).collect();
    let of = |a: &RecordedRun| others.get(&a.seed).map(|b| Pair::new(a, b));
    a.runs.iter().filter_map(of).collect()
}

impl Pair {
    fn new(a: &RecordedRun, b: &RecordedRun) -> Self {
        Self {
            seeds: [a.seed, b.seed],
            same: a.trace_hash == b.trace_hash,
            same_config: a.config_hash == b.config_hash,
            events: [a.events, b.events],
            difference: pool::compare(
                (&a.trace_hash, &a.checkpoints),
                (&b.trace_hash, &b.checkpoints),
            ),
        }
    }

    fn words(&self) -> String {
        let Self { seeds: [seed, other], events: [a, b], .. } = self;
        let seeds = match seed == other {
            true => format!("seed {seed}"),
            false => format!("seeds {seed} and {other}"),
        };
        let config = if self.same_config { "" } else { " (another network or chain)" };
        match &self.difference {
            None => format!("{seeds}: the same, {}", words::counted(*a, "event")),
            Some(difference) => {
                let from = difference.same_until;
                let to = difference.differs_by.unwrap_or(*a.max(b));
                let show = |seed: &u64| {
                    format!(
                        "`kette sim replay ... --seed {seed} --from-event {from} --until-event {to}`"
                    )
                };
                let with =
                    if seed == other { String::new() } else { format!("\n  with {}", show(other)) };
                format!(
                    "{seeds}: {}{config}; {a} and {b} events\n  compare {}{with}",
                    difference.words(),
                    show(seed)
                )
            }
        }
    }
}
