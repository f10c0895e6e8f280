//! `kette net partition` and `kette net heal`: sessions between groups of nodes end, and come back.

use super::{Where, link::Opened};
use crate::{
    commands::{
        exit::Exit,
        output::{self, counted},
    },
    testnet::live_links::{LiveLinks, Seen},
};
use anyhow::bail;
use clap::Args;
use kette_rpc::Link;
use kette_sim::scenario::units::{format_duration, parse_duration};
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Flags of `kette net partition`.
#[derive(Args, Debug)]
pub struct PartitionArgs {
    /// Groups that do not reach each other, e.g. `n-0..2/n-3`: `/` between groups, `,` between names. Who is in none
    /// stays with the first.
    #[arg(long)]
    groups: String,
    /// The nodes themselves heal it after this time, 1s to 24h; without it, `kette net heal` does.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    lasts: Option<Duration>,
    #[command(flatten)]
    place: Where,
}

/// Flags of `kette net heal`.
#[derive(Args, Debug)]
pub struct HealArgs {
    #[command(flatten)]
    place: Where,
    /// How long to wait until sessions are back.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
}

/// Sessions that were cut are gone within this time, or something is wrong.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// A cut that ends by itself lasts so long: nodes count it in seconds.
const LASTS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 3_600);

/// Cuts, and returns when the sessions are gone.
///
/// # Errors
/// If there is no such network or node, a node is named twice, a node refuses, or sessions stay.
pub fn run(args: &PartitionArgs, json: bool) -> anyhow::Result<()> {
    let links = Opened::new(&args.place)?;
    links.require_up()?;
    if args.lasts.is_some_and(|lasts| !LASTS.contains(&lasts)) {
        bail!("--for: a partition that heals itself lasts 1s to 24h");
    }
    let (sides, rest) = sides(&links, &args.groups)?;
    crate::commands::block_on(async {
        let replaced = links.partitioned_into()?;
        if let Some(parts) = replaced {
            eprintln!(
                "this replaces the partition that was there, into {}: who was apart by it and is in one group now comes \
                 together again",
                counted(parts, "component")
            );
        }
        if links.has_cut_links()? {
            eprintln!(
                "links that `kette net link set --cut` cut stay so: `kette net heal` ends these cuts as well"
            );
        }
        let begin = Instant::now();
        let deaf = links.part(&sides, args.lasts).await?;
        let crossing = |seen: &[Option<Seen>]| {
            let sessions = seen.iter().enumerate().flat_map(|(node, seen)| {
                seen.iter().flat_map(|seen| &seen.sessions).map(move |session| (node, session))
            });
            sessions
                .filter(|(node, session)| {
                    links.place(&session.peer).is_some_and(|other| sides[other] != sides[*node])
                })
                .count()
        };
        let Some(took) = links.until(begin, GONE_WITHIN, |seen| crossing(seen) == 0).await else {
            let text = "sessions between the groups are still there: see `kette net link show`";
            return Err(Exit::TimedOut(text.to_owned()).into());
        };
        if replaced.is_some() {
            // Sessions that the cut before had ended come back: how many parts there are shows when they are.
            let together = |seen: &[Option<Seen>]| {
                let parts = links.parts(|node| seen[node].is_some());
                parts.is_ok_and(|parts| links.components(seen) <= parts.unwrap_or(1))
            };
            if links.until(Instant::now(), GONE_WITHIN, together).await.is_none() {
                eprintln!(
                    "not all sessions within the groups are back yet: see `kette net topology`"
                );
            }
        }
        let components = links.components(&links.look().await);
        let ms = u64::try_from(took.as_millis())?;
        let groups = groups(&links, &sides);
        let deaf = links.say_deaf(&deaf, "is cut off from its start on");
        if json {
            let seconds = args.lasts.map(|lasts| lasts.as_secs());
            let value = json!({
                "groups": groups, "components": components, "down": deaf, "ms": ms, "for_seconds": seconds,
                "replaced": replaced.is_some(),
            });
            return output::print(&value, true);
        }
        if !rest.is_empty() {
            eprintln!("not named, so in the first group: {}", rest.join(", "));
        }
        let shown: Vec<String> = groups.iter().map(|names| names.join(",")).collect();
        let end = match args.lasts {
            Some(lasts) => format!("the nodes heal it in {}", format_duration(lasts)),
            None => "`kette net heal` ends it".to_owned(),
        };
        output::line(&format!(
            "cut into {} groups: {}; no session between them after {ms} ms, {}; {end}",
            groups.len(),
            shown.join(" / "),
            counted(components, "component"),
        ))
    })
}

/// Ends all cuts, and returns when the network is one component.
///
/// # Errors
/// If there is no such network, a node refuses, or sessions do not come back.
pub fn heal(args: &HealArgs, json: bool) -> anyhow::Result<()> {
    let links = Opened::new(&args.place)?;
    crate::commands::block_on(async {
        let begin = Instant::now();
        let count = links.nodes().len();
        let deaf = links.part(&vec![None; count], None).await?;
        let mut one_way = BTreeSet::new();
        for from in 0..count {
            let cut = links.wanted(from)?.list.into_iter().filter(|link| link.cut);
            for to in cut.filter_map(|link| links.place(&link.peer)) {
                links.change(from, to, &|link: &mut Link| link.cut = false)?;
                one_way.insert(from);
            }
        }
        if !one_way.is_empty() {
            links.tell(&one_way).await?;
        }
        let down = links.say_deaf(&deaf, "has no cut when it starts");
        // Of nodes that are all down there is no session to wait for.
        let enough = usize::from(links.require_up().is_ok());
        let whole = |seen: &[Option<Seen>]| links.components(seen) == enough;
        let Some(took) = links.until(begin, args.timeout, whole).await else {
            let text = format!(
                "all cuts are gone, and after {} the network is still {} components: see `kette net topology`",
                format_duration(args.timeout),
                links.components(&links.look().await)
            );
            return Err(Exit::TimedOut(text).into());
        };
        let ms = u64::try_from(took.as_millis())?;
        if json {
            return output::print(&json!({ "components": enough, "down": down, "ms": ms }), true);
        }
        match enough {
            0 => output::line("no node runs; `kette net up` starts them without cuts"),
            _ => output::line(&format!("no cut is left; one component after {ms} ms")),
        }
    })
}

/// Returns the names of each group's nodes.
fn groups(links: &LiveLinks, sides: &[Option<usize>]) -> Vec<Vec<String>> {
    let numbers: BTreeSet<usize> = sides.iter().copied().flatten().collect();
    let names = |number: usize| {
        let nodes = (0..sides.len()).filter(|node| sides[*node] == Some(number));
        nodes.map(|node| links.name(node).to_owned()).collect()
    };
    numbers.into_iter().map(names).collect()
}

/// Returns the group of each node, and who is named in none and so in the first.
fn sides(links: &LiveLinks, groups: &str) -> anyhow::Result<(Vec<Option<usize>>, Vec<String>)> {
    let mut sides: Vec<Option<usize>> = vec![None; links.nodes().len()];
    let groups: Vec<&str> = groups.split('/').collect();
    if groups.len() < 2 {
        bail!("--groups needs two groups at least, with `/` between them, e.g. `n-0..2/n-3`");
    }
    for (group, names) in groups.iter().enumerate() {
        for pattern in names.split(',') {
            for node in links.select(pattern)? {
                match sides[node].replace(group) {
                    Some(other) if other != group => {
                        bail!("--groups: {} is in two groups", links.name(node));
                    }
                    Some(_) => {
                        bail!("--groups: {} is named twice in one group", links.name(node));
                    }
                    None => {}
                }
            }
        }
    }
    let unnamed = (0..sides.len()).filter(|node| sides[*node].is_none());
    let rest = unnamed.map(|node| links.name(node).to_owned()).collect();
    Ok((sides.into_iter().map(|side| side.or(Some(0))).collect(), rest))
}
