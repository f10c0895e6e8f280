//! `kette net snapshot`: a network's data at one moment, and back to it.

use super::Where;
use crate::{
    commands::{
        block_on,
        output::{self, counted},
    },
    testnet::{
        control::Control,
        directory::Directory,
        snapshot::{self, Restored, Saved},
    },
};
use clap::Subcommand;
use serde_json::json;

/// What to do with snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Save the network's data under a name; nodes that run are stopped for it and started again
    Save {
        /// The snapshot's name.
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// Put the whole network back to a snapshot, its list of nodes as well
    Load {
        /// The snapshot's name.
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// List the network's snapshots
    List(Where),
    /// Remove snapshots
    Rm {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        place: Where,
    },
}

/// Saves, loads, lists or removes.
///
/// # Errors
/// If a snapshot is there or not there, or a file cannot be copied.
pub fn run(args: &Snapshot, json: bool) -> anyhow::Result<()> {
    match args {
        Snapshot::Save { name, place } => save(&place.directory()?, name, json),
        Snapshot::Load { name, place } => load(&place.directory()?, name, json),
        Snapshot::List(place) => list(&snapshot::list(&place.directory()?)?, json),
        Snapshot::Rm { names, place } => {
            let directory = place.directory()?;
            for name in names {
                snapshot::remove(&directory, name)?;
            }
            if json {
                return output::print(&json!({ "removed": names }), true);
            }
            names.iter().try_for_each(|name| output::line(&format!("{name}: removed")))
        }
    }
}

fn save(directory: &Directory, name: &str, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(directory)?;
    let (path, bytes) = snapshot::save(&mut control, name)?;
    let running = control.running();
    block_on(control.answers(&running))?;
    if json {
        return output::print(&json!({ "snapshot": name, "path": path, "bytes": bytes }), true);
    }
    let nodes = counted(control.manifest.nodes.len(), "node");
    output::line(&format!("{name}: {nodes}, {}, in {}", mib(bytes), path.display()))?;
    if !running.is_empty() {
        eprintln!("{} stopped for it and run again", counted(running.len(), "node"));
    }
    Ok(())
}

fn load(directory: &Directory, name: &str, json: bool) -> anyhow::Result<()> {
    let mut control = snapshot::take(directory, name)?;
    let restored = snapshot::load(&mut control, name)?;
    block_on(control.answers(&control.running()))?;
    if json {
        let mut value = serde_json::to_value(&restored)?;
        value["snapshot"] = json!(name);
        return output::print(&value, true);
    }
    tell(name, &restored)
}

fn tell(name: &str, restored: &Restored) -> anyhow::Result<()> {
    output::line(&format!("back to {name}: {}", counted(restored.nodes.len(), "node")))?;
    if !restored.back.is_empty() {
        output::line(&format!("in the network again: {}", restored.back.join(", ")))?;
    }
    if !restored.gone.is_empty() {
        let gone = restored.gone.join(", ");
        output::line(&format!("joined later, now out, with data and log: {gone}"))?;
    }
    let down: Vec<&str> = restored
        .nodes
        .iter()
        .filter(|name| !restored.started.contains(name))
        .map(String::as_str)
        .collect();
    if !down.is_empty() {
        let all = down.len() == restored.nodes.len();
        let verb = if all { "up".to_owned() } else { format!("start {}", down.join(" ")) };
        output::line(&format!("down, as before: {}; `kette net {verb}`", down.join(", ")))?;
    }
    if let Some(parts) = restored.cut_into {
        let end = match restored.cut_for_seconds {
            Some(seconds) => {
                format!("the nodes heal it in {seconds} s, `kette net heal` makes it one now")
            }
            None => "`kette net heal` makes it one".to_owned(),
        };
        output::line(&format!("cut into {parts} components, as it was then; {end}"))?;
    }
    if restored.cut_ended {
        output::line(
            "it was cut then, for a time that is over: the network is whole; `kette net partition` cuts it again",
        )?;
    }
    Ok(())
}

fn list(saved: &[Saved], json: bool) -> anyhow::Result<()> {
    if json {
        return output::print(&serde_json::to_value(saved)?, true);
    }
    if saved.is_empty() {
        eprintln!("no snapshots: `kette net snapshot save NAME` makes one");
        return Ok(());
    }
    let row = |saved: &Saved| {
        vec![
            saved.snapshot.clone(),
            saved.nodes.to_string(),
            mib(saved.bytes),
            saved.path.display().to_string(),
        ]
    };
    output::table(
        &["SNAPSHOT", "NODES", "SIZE", "PATH"],
        &saved.iter().map(row).collect::<Vec<_>>(),
    )
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
