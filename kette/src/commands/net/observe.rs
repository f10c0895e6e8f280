//! `kette net exporter` and `kette net observability`: for Prometheus and Grafana.

use super::{Where, absolute};
use crate::{
    commands::{block_on, output},
    testnet::{
        directory::Directory,
        observe::{self, Files},
    },
};
use clap::Args;
use serde_json::json;
use std::{net::SocketAddr, path::PathBuf};

/// Flags of `kette net exporter`.
#[derive(Args, Debug)]
pub struct ExporterArgs {
    #[command(flatten)]
    place: Where,
    /// Address to listen on; without it the port before the first node's RPC, on loopback.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Answers requests that name this host; addresses, localhost and names without a dot need no leave. `*` is any.
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

/// Carries out `kette net exporter`.
///
/// # Errors
/// If there is no network, or the address is taken.
pub fn exporter(args: &ExporterArgs) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(args.place.home.clone())?);
    let manifest = directory.require()?;
    let listen = args.listen.unwrap_or_else(|| observe::exporter_address(&manifest));
    block_on(observe::exporter::serve(directory, listen, args.allow_host.clone()))
}

/// Flags of `kette net observability`.
#[derive(Args, Debug)]
pub struct ObservabilityArgs {
    #[command(flatten)]
    place: Where,
    /// Where to write; without it the network's own directory.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where `kette net exporter` will listen.
    #[arg(long)]
    exporter: Option<SocketAddr>,
}

/// Carries out `kette net observability`.
///
/// # Errors
/// If there is no network, or a file cannot be written.
pub fn observability(args: &ObservabilityArgs, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(args.place.home.clone())?);
    let manifest = directory.require()?;
    let out = args.out.clone().unwrap_or_else(|| directory.observability());
    let out = absolute(out)?;
    let exporter = args.exporter.unwrap_or_else(|| observe::exporter_address(&manifest));
    let files = Files::of(&manifest, exporter, &out)?;
    files.write(&out)?;
    let names: Vec<_> = files.names().collect();
    if json {
        let value = json!({ "directory": out, "exporter": exporter, "files": names });
        return output::print(&value, true);
    }
    for name in &names {
        output::line(&out.join(name).display().to_string())?;
    }
    eprintln!("wrote {} files; start with {}", names.len(), out.join("README.md").display());
    Ok(())
}
