//! `kette net link`: what links of a running network are like: set, shown with measured round trips, cleared.

use super::Where;
use crate::{
    commands::{
        exit::Exit,
        output::{self, counted},
    },
    testnet::{
        live_links::{LiveLinks, Seen},
        lock::lock,
    },
};
use anyhow::bail;
use clap::{Args, Subcommand};
use kette_rpc::{DELAY_MAX_MS, Link};
use kette_sim::scenario::{
    LINK_LATENCY_MAX,
    units::{format_duration, format_rate, parse_duration, parse_rate},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::File,
    ops::Deref,
    time::{Duration, Instant},
};

/// What to do with links.
#[derive(Debug, Subcommand)]
pub enum LinkVerb {
    /// Change links between nodes; what is not said stays as it is
    Set(SetArgs),
    /// Show all links: as set, and the round trips that sessions measured
    Show(Where),
    /// Make links as fast as this machine again
    Clear(ClearArgs),
}

/// Flags of `kette net link set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// Nodes on one side: names, groups, `n-0..2`, `*`; comma separated.
    a: String,
    /// Nodes on the other side.
    b: String,
    /// One-way latency, e.g. 80ms.
    #[arg(long, value_parser = parse_delay)]
    latency: Option<Duration>,
    /// Mean of an exponential extra delay, e.g. 5ms.
    #[arg(long, value_parser = parse_delay)]
    jitter: Option<Duration>,
    /// Share of packets lost, e.g. 1% or 0.01: a delay until they are sent again.
    #[arg(long, value_parser = parse_share)]
    loss: Option<f64>,
    /// Rate, e.g. 20mbit.
    #[arg(long, alias = "bandwidth", value_parser = parse_rate)]
    bw: Option<u64>,
    /// Only from A to B.
    #[arg(long)]
    one_way: bool,
    /// Nothing passes any more.
    #[arg(long)]
    cut: bool,
    #[command(flatten)]
    place: Where,
}

/// Flags of `kette net link clear`.
#[derive(Args, Debug)]
pub struct ClearArgs {
    /// The nodes whose ways to others become fast again.
    #[arg(default_value = "*")]
    nodes: String,
    #[command(flatten)]
    place: Where,
}

/// Nodes show a change within this time, or something is wrong.
const WITHIN: Duration = Duration::from_secs(10);

/// Carries out `kette net link`.
///
/// # Errors
/// If there is no such network or node, a number makes no sense, or a node refuses.
pub fn run(verb: LinkVerb, json: bool) -> anyhow::Result<()> {
    crate::commands::block_on(async {
        match verb {
            LinkVerb::Set(args) => set(args, json).await,
            LinkVerb::Show(place) => show(&LiveLinks::open(&place.directory()?)?, json).await,
            LinkVerb::Clear(args) => clear(&args, json).await,
        }
    })
}

/// A network's links, which no other command changes meanwhile.
pub(super) struct Opened {
    links: LiveLinks,
    _lock: File,
}

impl Opened {
    /// Takes a network.
    ///
    /// # Errors
    /// If there is none, or another command works on it.
    pub(super) fn new(place: &Where) -> anyhow::Result<Self> {
        let directory = place.directory()?;
        directory.require()?;
        let lock = lock(&directory)?;
        Ok(Self { links: LiveLinks::open(&directory)?, _lock: lock })
    }
}

impl Deref for Opened {
    type Target = LiveLinks;

    fn deref(&self) -> &LiveLinks {
        &self.links
    }
}

async fn set(args: SetArgs, json: bool) -> anyhow::Result<()> {
    let links = Opened::new(&args.place)?;
    links.require_up()?;
    if args.latency.is_none()
        && args.jitter.is_none()
        && args.loss.is_none()
        && args.bw.is_none()
        && !args.cut
    {
        bail!("nothing to change: give --latency, --jitter, --loss, --bw or --cut");
    }
    for time in args.latency.into_iter().chain(args.jitter) {
        if time > LINK_LATENCY_MAX {
            let (time, most) = (format_duration(time), format_duration(LINK_LATENCY_MAX));
            bail!(
                "{time} is more than {most}, with which no session lives: --cut lets nothing pass"
            );
        }
    }
    let (a, b) = (links.select(&args.a)?, links.select(&args.b)?);
    let there = a.iter().flat_map(|a| b.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b);
    let ways: BTreeSet<(usize, usize)> = match args.one_way {
        true => there.collect(),
        false => there.flat_map(|(a, b)| [(a, b), (b, a)]).collect(),
    };
    if ways.is_empty() {
        bail!("`{}` and `{}` are the same node: a link needs two", args.a, args.b);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    for (from, to) in &ways {
        links.change(*from, *to, &|link: &mut Link| {
            link.latency_ms = args.latency.map_or(link.latency_ms, ms);
            link.jitter_ms = args.jitter.map_or(link.jitter_ms, ms);
            link.loss = args.loss.unwrap_or(link.loss);
            link.bandwidth = args.bw.or(link.bandwidth);
            link.cut |= args.cut;
        })?;
    }
    if args.loss == Some(1.0) {
        eprintln!("--loss {}: every packet is lost, nothing passes", percent(1.0));
    }
    let nodes = ways.iter().map(|(from, _)| *from).collect();
    told(&links, &nodes, &ways, &args.said(), json).await
}

impl SetArgs {
    /// Returns what is set, in words.
    fn said(&self) -> Vec<String> {
        let time = |what: &str, time: Option<Duration>| {
            time.map(|time| format!("{what} {}", format_duration(time)))
        };
        let said = [
            time("latency", self.latency),
            time("jitter", self.jitter),
            self.loss.map(|loss| format!("loss {}", percent(loss))),
            self.bw.map(|rate| format!("rate {}", format_rate(rate))),
            self.cut.then(|| "cut".to_owned()),
        ];
        said.into_iter().flatten().collect()
    }
}

/// Shows a share as percent, without the dust of binary fractions.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

async fn clear(args: &ClearArgs, json: bool) -> anyhow::Result<()> {
    let links = Opened::new(&args.place)?;
    links.require_up()?;
    let nodes: BTreeSet<usize> = links.select(&args.nodes)?.into_iter().collect();
    for node in &nodes {
        links.clear(*node)?;
    }
    told(&links, &nodes, &BTreeSet::new(), &[], json).await
}

/// Tells nodes what their directories say, and returns when they do it.
async fn told(
    links: &LiveLinks,
    nodes: &BTreeSet<usize>,
    ways: &BTreeSet<(usize, usize)>,
    set: &[String],
    json: bool,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let deaf = links.tell(nodes).await?;
    let mut wanted = Vec::new();
    for node in nodes.iter().filter(|node| !deaf.contains(node)) {
        wanted.push((*node, links.wanted(*node)?));
    }
    let does = |seen: &[Option<Seen>]| {
        wanted.iter().all(|(node, wanted)| {
            seen[*node]
                .as_ref()
                .is_some_and(|seen| seen.list == wanted.list && seen.uplink == wanted.uplink)
        })
    };
    let Some(took) = links.until(begin, WITHIN, does).await else {
        return Err(Exit::TimedOut("nodes do not do what they were told".to_owned()).into());
    };
    let apart = apart(links, ways, &links.look().await)?;
    let down = links.say_deaf(&deaf, "finds its links when it starts");
    let ms = u64::try_from(took.as_millis())?;
    if json {
        let value = json!({
            "ways": ways.len(), "set": set, "nodes": wanted.len(), "down": down, "without_session": apart,
            "ms": ms,
        });
        return output::print(&value, true);
    }
    if !apart.is_empty() {
        let shown: Vec<String> =
            apart.iter().take(PAIRS_SHOWN).map(|[a, b]| format!("{a} and {b}")).collect();
        let more = match apart.len().saturating_sub(PAIRS_SHOWN) {
            0 => String::new(),
            more => format!(", and {more} more pairs"),
        };
        eprintln!("no session now between {}{more}: it acts when they connect", shown.join(", "));
    }
    output::line(&match ways.len() {
        0 => format!(
            "links of {} are as fast as this machine again, after {ms} ms",
            counted(wanted.len(), "node")
        ),
        ways => format!(
            "{} of {} changed, after {ms} ms: {}",
            counted(ways, "way"),
            counted(wanted.len(), "node"),
            set.join(", ")
        ),
    })
}

/// Pairs of nodes that are named.
const PAIRS_SHOWN: usize = 5;

/// Returns the pairs of running nodes whose way was changed and which have no session, although it is not cut.
fn apart(
    links: &LiveLinks,
    ways: &BTreeSet<(usize, usize)>,
    seen: &[Option<Seen>],
) -> anyhow::Result<Vec<[String; 2]>> {
    let has = |from: usize, to: usize| {
        let sessions = seen[from].iter().flat_map(|seen| &seen.sessions);
        sessions.map(|session| &session.peer).any(|peer| links.place(peer) == Some(to))
    };
    let mut pairs = BTreeSet::new();
    for (from, to) in ways {
        let is_cut = |link: &Link| link.cut && links.place(&link.peer) == Some(*to);
        let both_run = seen[*from].is_some() && seen[*to].is_some();
        if both_run && !has(*from, *to) && !links.wanted(*from)?.list.iter().any(is_cut) {
            pairs.insert((*from.min(to), *from.max(to)));
        }
    }
    let name = |node: usize| links.name(node).to_owned();
    Ok(pairs.into_iter().map(|(a, b)| [name(a), name(b)]).collect())
}

async fn show(links: &LiveLinks, json: bool) -> anyhow::Result<()> {
    let seen = links.look().await;
    if seen.iter().all(Option::is_none) {
        return Err(Exit::NotUp("no node answers: `kette net up` starts them".to_owned()).into());
    }
    let mut list = Vec::new();
    for (from, seen) in seen.iter().enumerate().filter_map(|(at, seen)| Some((at, seen.as_ref()?)))
    {
        for to in (0..links.nodes().len()).filter(|to| *to != from) {
            let is_to = |peer| links.place(peer) == Some(to);
            let link = seen.list.iter().find(|link| is_to(&link.peer));
            let session = seen.sessions.iter().find(|session| is_to(&session.peer));
            let cut = seen.cut.iter().any(is_to) || link.is_some_and(|link| link.cut);
            if link.is_none() && session.is_none() && !cut {
                continue;
            }
            list.push(json!({
                "from": links.name(from),
                "to": links.name(to),
                "latency_ms": link.map(|link| link.latency_ms),
                "jitter_ms": link.map(|link| link.jitter_ms),
                "loss": link.map(|link| link.loss),
                "bandwidth": link.and_then(|link| link.bandwidth),
                "uplink": seen.uplink,
                "cut": cut,
                "session": session.is_some(),
                "rtt_ms": session.and_then(|session| session.rtt_ms),
            }));
        }
    }
    if json {
        return output::print(&json!(list), true);
    }
    let rows: Vec<Vec<String>> = list.iter().map(row).collect();
    output::table(
        &["FROM", "TO", "LATENCY ms", "JITTER ms", "LOSS", "RATE", "UPLINK", "STATE", "RTT ms"],
        &rows,
    )
}

fn row(link: &Value) -> Vec<String> {
    let number = |key: &str| {
        link[key]
            .as_f64()
            .map_or_else(|| "-".to_owned(), |n| format!("{}", (n * 100.0).round() / 100.0))
    };
    let rate = |key: &str| link[key].as_u64().map_or_else(|| "-".to_owned(), format_rate);
    let text = |key: &str| link[key].as_str().unwrap_or("-").to_owned();
    let state = match (link["cut"] == true, link["session"] == true) {
        (true, _) => "cut",
        (false, true) => "session",
        (false, false) => "none",
    };
    let loss = link["loss"].as_f64().map_or_else(|| "-".to_owned(), percent);
    vec![
        text("from"),
        text("to"),
        number("latency_ms"),
        number("jitter_ms"),
        loss,
        rate("bandwidth"),
        rate("uplink"),
        state.to_owned(),
        number("rtt_ms"),
    ]
}

/// Reads `80ms`, up to what a link may take.
fn parse_delay(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    match time.as_secs_f64() * 1_000.0 <= DELAY_MAX_MS {
        true => Ok(time),
        false => Err(format!(
            "{text} is too long: at most {}",
            format_duration(Duration::from_secs_f64(DELAY_MAX_MS / 1_000.0))
        )),
    }
}

/// Reads `1%` or `0.01`.
fn parse_share(text: &str) -> Result<f64, String> {
    let (number, whole) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text.trim(), 1.0),
    };
    let share = number.trim().parse::<f64>().ok().map(|share| share / whole);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("`{text}` is no share: expected 0% to 100%, or 0 to 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_a_unit() {
        for (text, ms) in [("80ms", 80), ("0", 0), ("2s", 2_000), ("1m", 60_000)] {
            assert_eq!(parse_delay(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert!(parse_delay("80").unwrap_err().contains("80 what? write 80ms"));
        assert!(parse_delay("80s").unwrap_err().contains("at most 1m"));
        assert!(parse_delay("").is_err() && parse_delay("soon").is_err());
    }

    #[test]
    fn a_share_is_shown_as_percent() {
        for (share, shown) in
            [(1.0, "100%"), (0.01, "1%"), (0.07, "7%"), (0.29, "29%"), (0.0, "0%")]
        {
            assert_eq!(percent(share), shown);
        }
    }

    #[test]
    fn shares_are_percent_or_plain() {
        for (text, share) in [("1%", 0.01), ("0.25", 0.25), ("100 %", 1.0), ("0", 0.0)] {
            assert_eq!(parse_share(text), Ok(share), "{text}");
        }
        for text in ["2", "101%", "-1%", "much", "NaN", ""] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
