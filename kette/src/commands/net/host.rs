//! `kette net host`: the process that runs all nodes of a network that has one. The launcher starts it.

use super::Where;
use crate::{
    commands::{block_on, node},
    telemetry::{self, LogFormat},
    testnet::host::serve,
};

/// What its own log lines are called, those of what all nodes share.
const NAME: &str = "host";

/// Runs nodes as told by other commands, until SIGTERM.
///
/// # Errors
/// If it cannot listen in the network's directory.
pub fn run(place: &Where) -> anyhow::Result<()> {
    let directory = place.directory()?;
    directory.require()?;
    telemetry::start(LogFormat::Json, None, NAME)?;
    block_on(serve::serve(&directory, node::settings))
}
