//! `kette net partition` and `kette net heal`: sessions between groups of nodes end, and come back.

use super::{Where, absolute, link::say_deaf};
use crate::{
    commands::{exit::Exit, output},
    testnet::{
        directory::Directory,
        live_links::{LiveLinks, Seen},
    },
};
use anyhow::bail;
use clap::Args;
use kette_rpc::Link;
use kette_sim::scenario::units::parse_duration;
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
    /// The nodes themselves heal it after this time, at least 1s; without it, `kette net heal` does.
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

/// Cuts, and returns when the sessions are gone.
///
/// # Errors
/// If there is no such network or node, a node is in two groups, a node refuses, or sessions stay.
pub fn run(args: &PartitionArgs, json: bool) -> anyhow::Result<()> {
    let links = open(&args.place)?;
    if args.lasts.is_some_and(|lasts| lasts < Duration::from_secs(1)) {
        bail!("--for: a partition lasts 1s at least");
    }
    let sides = sides(&links, &args.groups)?;
    crate::commands::block_on(async {
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
        let components = links.components(&links.look().await);
        let down = say_deaf(&links, &deaf);
        let ms = u64::try_from(took.as_millis())?;
        let seconds = args.lasts.map(|lasts| lasts.as_secs());
        output::print(
            &json!({ "components": components, "down": down, "ms": ms, "for_seconds": seconds }),
            json,
        )
    })
}

/// Ends all cuts, and returns when no group of nodes is alone.
///
/// # Errors
/// If there is no such network, a node refuses, or sessions do not come back.
pub fn heal(args: &HealArgs, json: bool) -> anyhow::Result<()> {
    let links = open(&args.place)?;
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
        let whole = |seen: &[Option<Seen>]| links.components(seen) == 1;
        let Some(took) = links.until(begin, args.timeout, whole).await else {
            let text = format!(
                "healed, and after {} s there are still {} groups without sessions between them: see `kette net status`",
                args.timeout.as_secs(),
                links.components(&links.look().await)
            );
            return Err(Exit::TimedOut(text).into());
        };
        let down = say_deaf(&links, &deaf);
        let ms = u64::try_from(took.as_millis())?;
        output::print(&json!({ "components": 1, "down": down, "ms": ms }), json)
    })
}

fn open(place: &Where) -> anyhow::Result<LiveLinks> {
    LiveLinks::open(&Directory::new(absolute(place.home.clone())?))
}

/// Returns the group of each node; who is in none is in the first.
fn sides(links: &LiveLinks, groups: &str) -> anyhow::Result<Vec<Option<usize>>> {
    let mut sides: Vec<Option<usize>> = vec![None; links.nodes().len()];
    let groups: Vec<&str> = groups.split('/').collect();
    if groups.len() < 2 {
        bail!("--groups needs two groups at least, with `/` between them, e.g. `n-0..2/n-3`");
    }
    for (group, names) in groups.iter().enumerate() {
        for node in links.select(names)? {
            if sides[node].replace(group).is_some_and(|other| other != group) {
                bail!("--groups: {} is in two groups", links.name(node));
            }
        }
    }
    Ok(sides.into_iter().map(|side| side.or(Some(0))).collect())
}
