//! A real node's recording, replayed: did the same core do the same?

use super::{progress::Progress, words};
use crate::{
    commands::{exit::Exit, output},
    input::{self, Kind},
};
use anyhow::Context as _;
use kette_sim::recording::{ReplayReport, Tail, replay};
use serde_json::{Value, json};
use std::{io::Write as _, path::Path};

/// Replays a recording.
///
/// # Errors
/// If the file cannot be read, holds nothing to replay, is damaged, or the core did something else.
pub fn run(path: &Path, json: bool) -> anyhow::Result<()> {
    let bytes = input::bytes(path, Kind::Recording)?;
    let mut progress = Progress::new(false);
    let report = replay(&bytes, &mut |at| {
        let percent = at.bytes as f64 * 100.0 / bytes.len() as f64;
        progress.draw(&format!("input {}, height {}, {percent:.0} %", at.inputs, at.height));
    });
    progress.clear();
    let report = report.with_context(|| path.display().to_string())?;
    if json {
        output::print(&value(&report), true)?;
    } else {
        print(&report)?;
    }
    if report.matches() {
        return Ok(());
    }
    let why = match &report.first_difference {
        Some(difference) => format!("the replay differs at {difference}"),
        None => report.tail.to_string(),
    };
    Err(Exit::Failed(why).into())
}

fn value(report: &ReplayReport) -> Value {
    let difference = report.first_difference.as_ref().map(|difference| {
        json!({
            "input": difference.input,
            "at_ms": difference.at.as_millis(),
            "what": difference.what,
            "difference": difference.difference,
        })
    });
    json!({
        "schema": "kette-recording-replay",
        "schema_version": 1,
        "commit": words::COMMIT,
        "recorded_by": { "version": report.header.version, "commit": report.header.commit },
        "peer_id": report.header.config.peers.me,
        "moniker": report.header.config.peers.moniker,
        "inputs": report.inputs,
        "virtual_seconds": report.elapsed.as_secs_f64(),
        "head": {
            "number": report.head.number,
            "hash": report.head.hash,
            "state_root": report.head.state_root,
        },
        "stopped": report.stopped,
        "torn": matches!(report.tail, Tail::Torn { .. }),
        "damaged": matches!(report.tail, Tail::Damaged { .. }),
        "matches": report.matches(),
        "first_difference": difference,
    })
}

fn print(report: &ReplayReport) -> anyhow::Result<()> {
    let mut out = output::stdout().lock();
    let peers = &report.header.config.peers;
    writeln!(out, "node        {} {}", peers.moniker, peers.me)?;
    writeln!(out, "recorded by {} ({})", report.header.version, report.header.commit)?;
    let seconds = report.elapsed.as_secs_f64();
    writeln!(out, "replayed    {} inputs, {seconds:.3} s", report.inputs)?;
    writeln!(out, "head        {} {}", report.head.number, report.head.hash)?;
    writeln!(out, "state root  {}", report.head.state_root)?;
    let end = if report.stopped { "clean stop" } else { "no clean stop" };
    writeln!(out, "end         {end}; {}", report.tail)?;
    if report.matches() {
        writeln!(out, "the replay did the same")?;
    }
    Ok(())
}
