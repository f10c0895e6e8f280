//! `kette status`: what a node is doing.

use crate::{cli::RpcArgs, client::Client, commands::output};
use serde_json::{Value, json};

/// Prints a node's status.
///
/// # Errors
/// If no node answers.
pub fn run(args: &RpcArgs, json: bool) -> anyhow::Result<()> {
    let client = Client::new(&args.rpc)?;
    let status: Value = super::block_on(client.ask("kette_status", []))?;
    if json {
        return output::print(&status, true);
    }
    let peers = status["peers"].as_array().map_or(0, Vec::len);
    let syncing = match &status["syncing"] {
        Value::Null => "no".to_owned(),
        sync => format!("{} of {}", sync["current"], sync["highest"]),
    };
    let short = json!({
        "node": status["moniker"],
        "peer id": status["peerId"],
        "chain id": status["chainId"],
        "engine": status["engine"]["engine"],
        "height": status["height"],
        "hash": status["hash"],
        "state root": status["stateRoot"],
        "weight": status["weight"],
        "finalized": status["finalized"],
        "syncing": syncing,
        "peers": peers,
        "pending": status["pending"],
        "queued": status["queued"],
        "alarms": status["alarms"].as_array().map_or(0, Vec::len),
    });
    output::print(&short, false)
}
