//! `kette net wait-sync`: waits until all running nodes have the same chain.

use super::{Where, absolute, nodes::number};
use crate::{
    commands::{block_on, exit::Exit, output},
    testnet::{
        directory::Directory,
        status::{self, NetworkStatus},
    },
};
use clap::Args;
use kette_sim::scenario::units::parse_duration;
use serde_json::json;
use std::time::{Duration, Instant};

/// How often nodes are asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Flags of `kette net wait-sync`.
#[derive(Args, Debug)]
pub struct WaitSyncArgs {
    #[command(flatten)]
    place: Where,
    /// How long to wait; afterwards the exit code is 4.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    timeout: Duration,
    /// Wait for this height as well.
    #[arg(long, default_value_t = 0)]
    height: u64,
    /// All nodes of the network must run, not only those that do now.
    #[arg(long)]
    all: bool,
}

/// Carries out `kette net wait-sync`.
///
/// # Errors
/// [`Exit::TimedOut`] with who lags, [`Exit::NotUp`] if nothing runs, [`Exit::Unsafe`] if final blocks differ.
pub fn run(args: &WaitSyncArgs, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(args.place.home.clone())?);
    let manifest = directory.require()?;
    let began = Instant::now();
    let status = block_on(async {
        loop {
            let status = status::ask(&manifest, |name| directory.database(name)).await;
            if let Some(conflict) = &status.conflict {
                return Err(Exit::Unsafe(format!(
                    "{} and {} disagree about final block {}: waiting does not help",
                    conflict.node, conflict.other, conflict.number
                ))
                .into());
            }
            if status.running == 0 {
                let text =
                    format!("no node of `{}` answers: `kette net up` starts it", status.name);
                return Err(Exit::NotUp(text).into());
            }
            let missing = missing(&status, args);
            if missing.is_empty() {
                return Ok(status);
            }
            if began.elapsed() >= args.timeout {
                let (shown, text) = (args.timeout.as_secs_f64(), missing.join("\n  "));
                return Err(
                    Exit::TimedOut(format!("not in sync after {shown} s:\n  {text}")).into()
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    })?;
    let took = began.elapsed();
    if json {
        let value = json!({
            "synced": true, "height": status.height, "nodes": status.running,
            "hash": status.list.iter().find(|node| node.height == Some(status.height)).map(|node| &node.hash),
            "quorum": status.quorum,
            "took_ms": u64::try_from(took.as_millis())?,
        });
        return output::print(&value, true);
    }
    eprintln!(
        "{} nodes have the same chain at height {}, after {:.1} s",
        status.running,
        status.height,
        took.as_secs_f64()
    );
    if let Some(missing) = status.quorum {
        eprintln!("warning: {missing}");
    }
    Ok(())
}

/// Says what is missing: nodes that do not answer, lag, catch up, or are on another branch.
fn missing(status: &NetworkStatus, args: &WaitSyncArgs) -> Vec<String> {
    let mut missing = Vec::new();
    let running = || status.list.iter().filter(|node| node.running);
    let top = running().filter_map(|node| node.height).max().unwrap_or(0).max(args.height);
    for node in &status.list {
        let name = &node.name;
        if !node.running {
            if args.all {
                missing.push(format!("{name} does not answer"));
            }
        } else if node.fork.is_some() {
            missing.push(format!("{name} met a fork and stopped: `kette net status` says more"));
        } else if node.height < Some(top.saturating_sub(LAG_BLOCKS).max(args.height)) {
            missing.push(format!("{name} is at height {} of {top}", number(node.height)));
        } else if node.syncing {
            missing
                .push(format!("{name} is catching up at height {} of {top}", number(node.height)));
        }
    }
    if missing.is_empty() && !status.hash_equal {
        let tips: Vec<String> = running()
            .map(|node| {
                format!(
                    "{} {} {}",
                    node.name,
                    number(node.height),
                    node.hash.get(..10).unwrap_or("-")
                )
            })
            .collect();
        missing.push(format!("different blocks at height {}: {}", status.height, tips.join(", ")));
    }
    missing
}

/// A block that is on its way is no lag.
const LAG_BLOCKS: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::watch::links::tests::{ATMN, network};

    async fn missing_with(heights: &[(usize, u64)], down: &[usize], all: bool) -> Vec<String> {
        let (manifest, mut said) = network("atmn", &ATMN);
        for (node, said) in said.iter_mut().enumerate() {
            if down.contains(&node) {
                *said = None;
            }
            let Some(said) = said else { continue };
            let height = heights.iter().find(|(n, _)| *n == node).map_or(7, |(_, height)| *height);
            said.status.height = height;
            said.observed.heads = (0..=height)
                .map(|number| crate::testnet::watch::said::Head {
                    number,
                    ..crate::testnet::watch::said::Head::default()
                })
                .collect();
        }
        let status = status::judge(&manifest, &said, |_| "/nowhere".into()).await;
        let place = Where { home: "/nowhere".into() };
        missing(&status, &WaitSyncArgs { place, timeout: Duration::ZERO, height: 0, all })
    }

    #[tokio::test]
    async fn says_who_lags() {
        assert_eq!(missing_with(&[], &[], true).await, [""; 0]);
        assert_eq!(missing_with(&[(3, 6)], &[], true).await, [""; 0], "one block is on its way");
        assert_eq!(missing_with(&[(3, 5)], &[], false).await, ["node3 is at height 5 of 7"]);
        assert_eq!(missing_with(&[], &[8], true).await, ["node8 does not answer"]);
        assert_eq!(missing_with(&[], &[8], false).await, [""; 0]);
    }
}
