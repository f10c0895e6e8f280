//! `kette net exec`: a `kette` command that asks a node of a network.

use super::Where;
use crate::commands::{exit::Exit, output};
use anyhow::{Context as _, bail};
use clap::Args;
use std::process::Command;

/// Flags of `kette net exec`.
#[derive(Args, Debug)]
pub struct Exec {
    /// The node.
    node: String,
    /// What follows `kette`, e.g. `-- query account 0x...`.
    #[arg(required = true, last = true)]
    args: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// Runs `kette ARGS` with the node's JSON-RPC and directory as defaults.
///
/// # Errors
/// If there is no such node; ends as the command did.
pub fn run(args: &Exec, json: bool) -> anyhow::Result<()> {
    let directory = args.place.directory()?;
    let manifest = directory.require()?;
    let nodes = manifest.select(std::slice::from_ref(&args.node))?;
    let [node] = nodes.as_slice() else {
        bail!("`{}` means {} nodes: name one", args.node, nodes.len());
    };
    let node = &manifest.nodes[*node];
    let mut command = Command::new(std::env::current_exe()?);
    command
        .env("KETTE_RPC_URL", node.rpc_url())
        .env("KETTE_HOME", directory.node(&node.plan.name))
        .env("KETTE_DB", directory.database(&node.plan.name));
    if json {
        command.arg("--json");
    }
    let status = command.args(&args.args).status().context("cannot run kette")?;
    // What it printed is the result, its error as well.
    output::begin();
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Exit::Failed("the command failed".to_owned()).into()),
        Some(3) => Err(Exit::NotUp("the node does not answer".to_owned()).into()),
        Some(4) => Err(Exit::TimedOut("the command took too long".to_owned()).into()),
        Some(5) => Err(Exit::Unsafe("the command found conflicting finality".to_owned()).into()),
        _ => bail!("the command ended with {status}"),
    }
}
