//! `kette sim minimize`: the smallest network file in which the same checker still objects.

use super::{
    interrupt, plant,
    progress::Progress,
    source::{Setting, Source},
    words,
};
use crate::{
    commands::{exit::Exit, output},
    presets,
};
use anyhow::{Context as _, bail};
use clap::Args;
use kette_sim::{
    minimize::{MinimizeError, Minimized, minimize},
    run::RunOptions,
    scenario::NetworkFile,
};
use serde_json::json;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// Flags of `kette sim minimize`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  kette sim minimize swarm --seed 7 -o small.toml

Ctrl-C stops: the smallest failing network so far is written, and the exit code is 130.")]
pub struct MinimizeArgs {
    #[command(flatten)]
    setting: Setting,
    /// The seed; the file's own if absent.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The file to write; named after network and seed if absent.
    #[arg(long, short, value_name = "OUT.toml")]
    out: Option<PathBuf>,
}

/// Returns a network's name as part of a file's: whatever it says, the file lies in the current folder.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    name.chars().take(64).map(plain).collect()
}

/// Carries out `kette sim minimize`.
///
/// # Errors
/// If the network cannot be used, nothing fails in it, or the file cannot be written.
pub fn run(args: &MinimizeArgs, json: bool) -> anyhow::Result<()> {
    let source = Source::load(&args.setting)?;
    let seed = args.seed.unwrap_or_else(|| source.default_seed());
    let scenario = source.scenario(seed)?;
    let out = args.out.clone().unwrap_or_else(|| {
        PathBuf::from(format!("{}-seed-{seed}.toml", file_name(&scenario.file.network.name)))
    });
    if out.exists() {
        bail!("{} exists: choose another file with -o", out.display());
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("there is no folder {}: make it, or choose another file with -o", folder.display());
    }
    let mut progress = Progress::new(false);
    let options = RunOptions { seed, ..RunOptions::default() };
    let stop = interrupt::flag()?;
    let small = minimize(&scenario, &options, &mut |now| {
        let (trying, runs) = (now.trying, now.runs);
        let (steps, nodes) = (counted(now.steps, "step"), counted(now.nodes, "node"));
        progress.draw(&format!("run {runs}: {trying}; so far {steps}, {nodes}"));
        !stop.load(Ordering::Relaxed)
    });
    let small = match small {
        Err(MinimizeError::Stopped(seed)) => {
            let what = format!("interrupted before seed {seed} failed: nothing is written");
            return Err(Exit::Interrupted(what).into());
        }
        small => small?,
    };
    let seconds = progress.seconds();
    drop(progress);
    let mut file = small.file.clone();
    keep_chain(&mut file, source.folder.as_deref(), &out)?;
    let text = write_down(&args.setting, &small, &file, &out)?;
    std::fs::write(&out, text).with_context(|| format!("cannot write {}", out.display()))?;
    let violation = &small.violation;
    let command = replay(&small, &out);
    if json {
        let value = json!({
            "schema": "kette-sim-minimize",
            "schema_version": 1,
            "commit": words::COMMIT,
            "file": out,
            "seed": seed,
            "violation": violation,
            "steps": { "before": small.steps_before, "after": small.steps_after },
            "nodes": { "before": small.nodes_before, "after": small.nodes_after },
            "runs": small.runs,
            "interrupted": small.stopped,
            "wall_seconds": seconds,
            "replay": command,
        });
        output::print(&value, true)?;
        return judge(&small, &out);
    }
    let mut stdout = output::stdout().lock();
    writeln!(stdout, "VIOLATION of {}: {}", violation.checker, violation.what)?;
    writeln!(
        stdout,
        "steps {} -> {}, nodes {} -> {}, after {} in {}",
        small.steps_before,
        small.steps_after,
        small.nodes_before,
        small.nodes_after,
        counted(small.runs, "run"),
        words::seconds(seconds),
    )?;
    writeln!(stdout, "file    {}", out.display())?;
    writeln!(stdout, "show it {command}")?;
    drop(stdout);
    judge(&small, &out)
}

/// A search that was stopped is not what was asked for, although it has a result.
fn judge(small: &Minimized, out: &Path) -> anyhow::Result<()> {
    match small.stopped {
        true => {
            let (runs, out) = (counted(small.runs, "run"), out.display());
            let what =
                format!("interrupted after {runs}: {out} has the smallest that failed so far");
            Err(Exit::Interrupted(what).into())
        }
        false => Ok(()),
    }
}

fn counted(number: usize, what: &str) -> String {
    words::counted(number as u64, what)
}

fn replay(small: &Minimized, out: &Path) -> String {
    let file = words::shell(&out.display().to_string());
    let (seed, event) = (small.seed, small.violation.event);
    format!("{}kette sim replay {file} --seed {seed} --until-event {event}", plant::prefix())
}

/// A chain file lies beside its network file: from another folder its name leads there in full.
fn keep_chain(file: &mut NetworkFile, from: Option<&Path>, out: &Path) -> anyhow::Result<()> {
    let Some(folder) = from.filter(|_| !presets::has_genesis(&file.network.chain)) else {
        return Ok(());
    };
    let whole = |path: &Path| {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        here.canonicalize().with_context(|| format!("no folder {}", here.display()))
    };
    let folder = whole(folder)?;
    if folder != whole(out.parent().unwrap_or(Path::new(".")))? {
        file.network.chain = folder.join(&file.network.chain).display().to_string();
    }
    Ok(())
}

fn write_down(
    setting: &Setting,
    small: &Minimized,
    file: &NetworkFile,
    out: &Path,
) -> anyhow::Result<String> {
    // What was seen may hold line ends; a comment must not.
    let what: String =
        small.violation.what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok(format!(
        "# Made smaller by `{}` (commit {}).\n# {} objects at event {}: {what}\n# {}\n{}",
        setting.minimize(small.seed),
        words::COMMIT,
        small.violation.checker,
        small.violation.event,
        replay(small, out),
        file.to_toml()?,
    ))
}
