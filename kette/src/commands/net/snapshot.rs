//! `kette net snapshot`: a network's data at one moment, and back to it.

use super::Where;
use crate::{
    commands::{block_on, output},
    testnet::{control::Control, snapshot},
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
    /// Put the whole network back to a snapshot
    Load {
        /// The snapshot's name.
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// List the network's snapshots
    List(Where),
}

/// Saves, loads or lists.
///
/// # Errors
/// If a snapshot is there or not there, or a file cannot be copied.
pub fn run(args: &Snapshot, json: bool) -> anyhow::Result<()> {
    match args {
        Snapshot::Save { name, place } => {
            let mut control = Control::take(&place.directory()?)?;
            let (path, bytes) = snapshot::save(&mut control, name)?;
            block_on(control.answers(&control.running()))?;
            output::print(&json!({ "snapshot": name, "path": path, "bytes": bytes }), json)
        }
        Snapshot::Load { name, place } => {
            let mut control = Control::take(&place.directory()?)?;
            snapshot::load(&mut control, name)?;
            block_on(control.answers(&control.running()))?;
            output::print(&json!({ "snapshot": name, "nodes": control.manifest.nodes.len() }), json)
        }
        Snapshot::List(place) => {
            let directory = place.directory()?;
            directory.require()?;
            output::print(&json!(snapshot::names(&directory)?), json)
        }
    }
}
