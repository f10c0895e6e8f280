//! `kette net add` and `kette net rm`: nodes that join a running network, and nodes that leave it.

use super::Where;
use crate::{
    commands::{
        block_on,
        output::{self, counted},
    },
    testnet::{
        control::Control,
        live_links::LiveLinks,
        members::{self, Newcomer},
        votes::{self, MissingVotes, Votes},
    },
};
use anyhow::bail;
use clap::Args;
use kette_sim::scenario::region;
use serde_json::json;

/// Flags of `kette net add`.
#[derive(Args, Debug)]
pub struct Add {
    /// Name of the new node; without one, the next as the others are named: node10 after node9.
    #[arg(conflicts_with = "count")]
    name: Option<String>,
    /// So many new nodes.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// They mine.
    #[arg(long)]
    miner: bool,
    /// Hashes per second at most [default: as many as the network's first miner].
    #[arg(long)]
    hash_rate: Option<u64>,
    /// Region label, e.g. EU-WEST.
    #[arg(long, default_value = "")]
    region: String,
    /// Whom they dial first [default: the first four nodes].
    #[arg(long, value_name = "NODE")]
    dial: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// Returns how fast miners of this network are.
fn usual_rate(control: &Control) -> u64 {
    let mut plans = control.manifest.nodes.iter().map(|node| &node.plan);
    plans.find(|plan| plan.miner).map_or(DEFAULT_RATE, |plan| plan.mine_rate)
}

/// Hashes per second where nobody else mines.
const DEFAULT_RATE: u64 = 1_000;

/// Flags of `kette net rm`.
#[derive(Args, Debug)]
pub struct Rm {
    /// Nodes: a name, a group, `*`, `node*`, `miner-0..3`.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// Remove their data and logs as well.
    #[arg(long)]
    purge: bool,
    /// Take validators out although those that stay and are up cannot decide blocks without them.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Where,
}

/// Adds nodes and waits until they answer; they catch up by themselves.
///
/// # Errors
/// If the name is taken, no port is free, a node does not start, or is to mine on a chain without miners.
pub fn add(args: &Add, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(&args.place.directory()?)?;
    if args.miner && control.spec()?.bft().is_some() {
        bail!(
            "--miner: this chain has no miners, its validators make the blocks: add the node without --miner; \
             `kette validator register --help` says how it gets votes"
        );
    }
    if !args.region.is_empty() && !region::NAMES.contains(&args.region.as_str()) {
        bail!("there is no region `{}`: {}", args.region, region::NAMES.join(", "));
    }
    let dials = match args.dial.as_slice() {
        [] => Vec::new(),
        named => control.select(named, false)?,
    };
    let newcomer = Newcomer {
        name: args.name.clone(),
        region: args.region.clone(),
        miner: args.miner,
        mine_rate: args.hash_rate.unwrap_or_else(|| usual_rate(&control)),
        dials,
    };
    let mut added = Vec::new();
    for _ in 0..args.count {
        let index = members::add(&mut control, &newcomer)?;
        if block_on(joins(&control, index))? {
            eprintln!(
                "the network is cut: {} is on the side of {}",
                control.name(index),
                control.name(beside(&control, index))
            );
        }
        control.start(index)?;
        added.push(index);
    }
    let took = block_on(control.answers(&added))?;
    let nodes = || added.iter().map(|index| &control.manifest.nodes[*index]);
    if json {
        let list = nodes().map(|node| {
            json!({ "node": node.plan.name, "p2p": node.ports.p2p, "rpc": node.rpc_url(), "peer_id": node.peer_id })
        });
        return output::print(&list.collect(), true);
    }
    for node in nodes() {
        let (name, port, rpc) = (&node.plan.name, node.ports.p2p, node.rpc_url());
        output::line(&format!("{name}: joined, peers at 127.0.0.1:{port}, JSON-RPC {rpc}"))?;
    }
    eprintln!("{}, answering after {:.1} s", counted(added.len(), "new node"), took.as_secs_f64());
    Ok(())
}

/// Puts a newcomer on the side of the node that it dials first, if the network is cut: it must not join what is to be apart.
async fn joins(control: &Control, index: usize) -> anyhow::Result<bool> {
    LiveLinks::open(&control.directory)?.take_side(index, beside(control, index)).await
}

fn beside(control: &Control, index: usize) -> usize {
    control.manifest.nodes[index].plan.dials.first().copied().unwrap_or(0)
}

/// What is missing when nodes have left that have votes.
#[derive(Clone, Copy)]
struct Loss {
    /// Votes of those that stay and are up.
    votes: MissingVotes,
    /// Their leaving makes it worse: one of them votes now, or could be needed when all are up.
    worse: bool,
}

/// Says what is missing if nodes leave that have votes. Of a network that is down all nodes count: it may come up.
async fn without(control: &Control, leaving: &[usize]) -> anyhow::Result<Option<Loss>> {
    let Some(votes) = Votes::ask(control, &[]).await?.filter(|votes| votes.any(leaving)) else {
        return Ok(None);
    };
    let is_down = !control.manifest.is_alive();
    let stays = |node: usize| !leaving.contains(&node);
    let is_up = |node: usize| is_down || votes::takes_part(control, node);
    let votes_now = leaving.iter().any(|node| is_up(*node) && votes.any(&[*node]));
    let worse = votes_now || votes.missing(stays).is_some();
    let missing = votes.missing(|node| stays(node) && is_up(node));
    Ok(missing.map(|votes| Loss { votes, worse }))
}

/// Takes nodes out of the network.
///
/// # Errors
/// If one is the last, or does not end; without `--force`, if no block could become final because of it.
pub fn rm(args: &Rm, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(&args.place.directory()?)?;
    let nodes = control.select(&args.nodes, false)?;
    let names: Vec<String> = nodes.iter().map(|node| control.name(*node).to_owned()).collect();
    let loss = block_on(without(&control, &nodes))?;
    if let Some(Loss { votes, worse }) = loss {
        let text = format!(
            "without {} the validators that stay and are up have {votes}; who leaves a network keeps its votes on \
             the chain",
            names.join(", ")
        );
        if worse && !args.force {
            bail!(
                "{text}. Start others first (`kette net start`), give the votes back first (`kette validator unbond`), \
                 or take it out all the same with --force"
            );
        }
        eprintln!("warning: {text}");
    }
    // From the end, so that the indexes of those before stay.
    for node in nodes.into_iter().rev() {
        members::remove(&mut control, node, args.purge)?;
    }
    if json {
        return output::print(
            &json!({ "left": names, "purged": args.purge, "short": loss.map(|loss| loss.votes) }),
            true,
        );
    }
    for name in &names {
        output::line(&match args.purge {
            true => format!("{name}: out of the network, data and log removed"),
            false => format!(
                "{name}: out of the network; its data stays in {}",
                control.directory.node(name).display()
            ),
        })?;
    }
    Ok(())
}
