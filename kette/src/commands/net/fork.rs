//! `kette net fork`: a fork of a chosen depth on a chain of proof of work, made by cutting the miners in two.

use super::Where;
use crate::{
    commands::{block_on, exit::Exit, output},
    interrupt::Interrupt,
    testnet::{control::Control, live_links::LiveLinks, scenario::facts::Answer},
};
use anyhow::bail;
use clap::{Args, Subcommand};
use kette_sim::scenario::units::parse_duration;
use serde_json::json;
use std::time::{Duration, Instant};

/// What to do about forks.
#[derive(Debug, Subcommand)]
pub enum Fork {
    /// Cut the network in two until each side has made so many blocks, heal it, and wait for one chain
    Create(Create),
}

/// Flags of `kette net fork create`.
#[derive(Args, Debug)]
pub struct Create {
    /// Blocks that each side makes of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    depth: u64,
    /// How long cut and heal may take.
    #[arg(long, default_value = "5m", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    place: Where,
}

/// How often nodes are asked how far they are.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The nodes end a cut by themselves so much later than this command would.
const GRACE: Duration = Duration::from_secs(5);

/// Makes a fork.
///
/// # Errors
/// If there are not two miners, a node does not answer, or it takes too long; the network is healed before.
pub fn run(args: &Fork, json: bool) -> anyhow::Result<()> {
    let Fork::Create(args) = args;
    let control = Control::take(&args.place.directory()?)?;
    let sides = sides(&control)?;
    let deadline = Instant::now() + args.timeout;
    block_on(async {
        let mut interrupt = Interrupt::new()?;
        let grown = tokio::select! {
            grown = cut_and_wait(&control, &sides, args.depth, deadline) => grown,
            () = interrupt.heard() => Err(Exit::Interrupted("interrupted; the links are whole again".to_owned()).into()),
        };
        let healed = heal(&control).await;
        let (from, heights) = grown?;
        healed?;
        let one = converge(&control, &sides.concat(), deadline).await?;
        let names = |side: &[usize]| -> Vec<String> {
            side.iter().map(|node| control.name(*node).to_owned()).collect()
        };
        let report = json!({
            "depth": args.depth,
            "sides": [names(&sides[0]), names(&sides[1])],
            "cut_at_height": from,
            "heights_when_healed": heights,
            "converged_height": one.height,
            "converged_hash": one.hash,
            "reorg_depth_max": one.deepest,
        });
        if json {
            return output::print(&report, true);
        }
        let [left, right] = &sides;
        output::line(&format!(
            "a fork from block {from}: {} at {}, {} at {} when healed; one chain at {}, deepest reorganization {}",
            names(left).join(","),
            heights[0],
            names(right).join(","),
            heights[1],
            one.height,
            one.deepest,
        ))
    })
}

/// Splits the running nodes: miners in turn, and the others in turn.
fn sides(control: &Control) -> anyhow::Result<[Vec<usize>; 2]> {
    let running = control.running();
    let is_miner = |node: &usize| control.manifest.nodes[*node].plan.miner;
    let (miners, others): (Vec<usize>, Vec<usize>) = running.into_iter().partition(is_miner);
    if miners.len() < 2 {
        bail!(
            "a fork needs a miner on each side, and {} run: `kette net mine NODE on`",
            miners.len()
        );
    }
    let mut sides = [Vec::new(), Vec::new()];
    for (index, node) in miners.into_iter().chain(others).enumerate() {
        sides[index % 2].push(node);
    }
    Ok(sides)
}

async fn answer(control: &Control, node: usize) -> anyhow::Result<Answer> {
    control.client(node)?.ask("kette_status", []).await
}

async fn highest(control: &Control, nodes: &[usize]) -> anyhow::Result<u64> {
    let mut heights = Vec::new();
    for node in nodes {
        heights.push(answer(control, *node).await?.height);
    }
    Ok(heights.into_iter().max().unwrap_or(0))
}

/// Cuts both sides off each other, and waits until each has made so many blocks. Returns the highest block that both may
/// have, and their heights.
async fn cut_and_wait(
    control: &Control,
    sides: &[Vec<usize>; 2],
    depth: u64,
    deadline: Instant,
) -> anyhow::Result<(u64, [u64; 2])> {
    let side = |node: usize| sides.iter().position(|side| side.contains(&node));
    let places: Vec<Option<usize>> = (0..control.manifest.nodes.len()).map(side).collect();
    // If this process is killed, the nodes heal the cut.
    let lasts = deadline.saturating_duration_since(Instant::now()) + GRACE;
    LiveLinks::open(&control.directory)?.part(&places, Some(lasts)).await?;
    let from = highest(control, &sides.concat()).await?;
    let height = from + depth;
    eprintln!("cut in two; waiting for block {height} on both sides");
    loop {
        let mut heights = [0, 0];
        for (side, nodes) in sides.iter().enumerate() {
            heights[side] = answer(control, nodes[0]).await?.height;
        }
        if heights.iter().all(|at| *at >= height) {
            return Ok((from, heights));
        }
        if Instant::now() > deadline {
            let text = format!(
                "the sides are at {heights:?} and not at {height}; the links are whole again"
            );
            return Err(Exit::TimedOut(text).into());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn heal(control: &Control) -> anyhow::Result<()> {
    let everybody = vec![None; control.manifest.nodes.len()];
    let deaf = LiveLinks::open(&control.directory)?.part(&everybody, None).await?;
    let alive = |node: &usize| control.manifest.nodes[*node].is_alive();
    let deaf: Vec<&str> = deaf.into_iter().filter(alive).map(|node| control.name(node)).collect();
    if !deaf.is_empty() {
        bail!("{} did not answer when it was to heal its links: `kette net heal`", deaf.join(", "));
    }
    Ok(())
}

/// One chain on all nodes.
struct One {
    height: u64,
    hash: alloy_primitives::B256,
    deepest: u64,
}

async fn converge(control: &Control, nodes: &[usize], deadline: Instant) -> anyhow::Result<One> {
    loop {
        let mut answers = Vec::new();
        for node in nodes {
            answers.push(answer(control, *node).await?);
        }
        let first = &answers[0];
        if answers.iter().all(|answer| answer.hash == first.hash) {
            let deepest = answers.iter().map(|answer| answer.counters.reorg_depth_max).max();
            return Ok(One {
                height: first.height,
                hash: first.hash,
                deepest: deepest.unwrap_or(0),
            });
        }
        if Instant::now() > deadline {
            let text = "healed, and not one chain yet: `kette net status` shows it".to_owned();
            return Err(Exit::TimedOut(text).into());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
