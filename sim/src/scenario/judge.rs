//! Judges the checks of a file on what a host observes.

use super::{
    Check, Facts, NetworkFile, NodeFacts, Verdict,
    check::{Agreement, Connected, Height, Reorg},
    units::{format_duration, parse_duration},
};
use std::time::Duration;

/// The checks of a file while its network runs.
///
/// A host shows it the facts about once per second: what holds only between two looks is not seen.
#[derive(Clone, Debug)]
pub struct Checks(Vec<Watched>);

/// What only the host measures.
pub struct Measured<'a> {
    /// Share of produced blocks that did not become canonical, 0 to 1.
    pub stale_rate: f64,
    /// Returns the median over blocks of the time until this percentage of nodes had one; `None` if no block got
    /// that far.
    pub reach: &'a dyn Fn(f64) -> Option<Duration>,
}

impl std::fmt::Debug for Measured<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measured").field("stale_rate", &self.stale_rate).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Watched {
    check: Check,
    /// How it ended, once it cannot change any more.
    settled: Option<Seen>,
    /// Deepest reorganization of an honest node so far, and whose.
    deepest: (u64, String),
}

/// Whether something holds, what was seen, and the nodes to look at if it does not.
#[derive(Clone, Debug)]
struct Seen {
    ok: bool,
    what: String,
    nodes: Vec<String>,
}

impl Seen {
    const fn new(ok: bool, what: String) -> Self {
        Self { ok, what, nodes: Vec::new() }
    }
}

impl Checks {
    /// Takes the checks of a file.
    pub fn new(file: &NetworkFile) -> Self {
        let watch = |check: &Check| Watched {
            check: check.clone(),
            settled: None,
            deepest: (0, String::new()),
        };
        Self(file.check.iter().map(watch).collect())
    }

    /// Looks at the network; `healed_at` is when the last fault ended, once all have
    /// ([`super::Timeline::healed_at`]).
    pub fn observe(&mut self, facts: &Facts, healed_at: Option<Duration>) {
        for watched in &mut self.0 {
            watched.observe(facts, healed_at);
        }
    }

    /// Tells how every check ended, in the order of the file. The network is as it was last observed.
    pub fn finish(&self, facts: &Facts, measured: &Measured<'_>) -> Vec<Verdict> {
        let verdict = |watched: &Watched| {
            let Seen { ok, what, nodes } = watched.finish(facts, measured);
            let nodes = if ok { Vec::new() } else { nodes };
            Verdict { check: words(&watched.check), ok, seen: what, nodes }
        };
        self.0.iter().map(verdict).collect()
    }
}

impl Watched {
    fn observe(&mut self, facts: &Facts, healed_at: Option<Duration>) {
        if self.settled.is_some() {
            return;
        }
        self.settled = match &self.check {
            Check::Agreement(Agreement { after: None, .. }) => None,
            Check::Agreement(Agreement { after: Some(after), within }) => {
                let since = match after.as_str() {
                    "heal" => healed_at,
                    time => parse_duration(time).ok(),
                };
                let since = since.filter(|since| facts.at >= *since);
                since.and_then(|since| by(facts, since, *within, agree(facts)))
            }
            Check::Height(Height { min, within }) => {
                by(facts, Duration::ZERO, *within, all(facts, "height", *min, |n| n.height))
            }
            Check::Connected(Connected { min_peers, within }) => {
                let peers = all(facts, "peers", *min_peers as u64, |n| n.peers as u64);
                by(facts, Duration::ZERO, *within, peers)
            }
            Check::Reorg(_) => {
                // A node that restarts counts from 0 again.
                for node in facts.nodes.iter().filter(|node| node.honest) {
                    if node.reorg_depth_max > self.deepest.0 {
                        self.deepest = (node.reorg_depth_max, node.name.clone());
                    }
                }
                None
            }
            Check::StaleRate(_) | Check::Propagation(_) => None,
        };
    }

    fn finish(&self, facts: &Facts, measured: &Measured<'_>) -> Seen {
        if let Some(settled) = &self.settled {
            return settled.clone();
        }
        match &self.check {
            Check::Agreement(Agreement { after: None, .. }) => agree(facts),
            Check::Agreement(_) => match agree(facts) {
                // It would have been observed, had its time begun.
                Seen { ok: true, .. } => Seen::new(false, "not all faults ended".to_owned()),
                seen => Seen { what: format!("at the end {}", seen.what), ..seen },
            },
            Check::Height(it) => all(facts, "height", it.min, |n| n.height),
            Check::Connected(it) => all(facts, "peers", it.min_peers as u64, |n| n.peers as u64),
            Check::Reorg(Reorg { max_depth, min_depth }) => {
                let (depth, name) = &self.deepest;
                let ok = max_depth.is_none_or(|max| *depth <= max)
                    && min_depth.is_none_or(|min| *depth >= min);
                let (whose, nodes) = match name.as_str() {
                    "" => (String::new(), Vec::new()),
                    name => (format!(", at {name}"), vec![name.to_owned()]),
                };
                Seen { ok, what: format!("deepest {depth}{whose}"), nodes }
            }
            Check::StaleRate(it) => {
                let rate = measured.stale_rate;
                Seen::new(rate <= it.max, format!("{:.2} %", rate * 100.0))
            }
            Check::Propagation(it) => match (measured.reach)(it.percent) {
                Some(time) => {
                    Seen::new(time <= it.max, format!("{:.1} ms", time.as_secs_f64() * 1_000.0))
                }
                None => Seen::new(false, "no block was seen".to_owned()),
            },
        }
    }
}

/// Settles what must hold at some moment within a time: it held, or the time is over.
fn by(facts: &Facts, since: Duration, within: Option<Duration>, seen: Seen) -> Option<Seen> {
    let took = facts.at.saturating_sub(since);
    let seconds = took.as_secs_f64();
    let late = within.is_some_and(|within| took > within);
    let Seen { ok, what, nodes } = seen;
    match ok {
        true if !late => Some(Seen { ok, what: format!("{what}, after {seconds:.1} s"), nodes }),
        true => {
            let what = format!("{what}, but only after {seconds:.1} s");
            Some(Seen { ok: false, what, nodes })
        }
        false => late.then(|| Seen { ok, what: format!("after {seconds:.1} s {what}"), nodes }),
    }
}

fn running(facts: &Facts) -> impl Iterator<Item = &NodeFacts> {
    facts.nodes.iter().filter(|node| node.up && node.honest)
}

fn nobody() -> Seen {
    Seen::new(false, "no honest node runs".to_owned())
}

/// Tells whether all running honest nodes have one head, and what it is; otherwise names two that differ.
fn agree(facts: &Facts) -> Seen {
    let mut nodes = running(facts);
    let Some(first) = nodes.next() else { return nobody() };
    match nodes.find(|node| node.hash != first.hash) {
        None => Seen::new(true, format!("one head at height {}", first.height)),
        Some(other) => Seen {
            ok: false,
            what: format!(
                "{} has {} at height {}, {} has {} at height {}",
                first.name, first.hash, first.height, other.name, other.hash, other.height
            ),
            nodes: vec![first.name.clone(), other.name.clone()],
        },
    }
}

/// Tells whether all running honest nodes have at least so much of something, and names the one with least.
fn all(facts: &Facts, what: &str, wanted: u64, value: impl Fn(&NodeFacts) -> u64) -> Seen {
    let Some(least) = running(facts).min_by_key(|node| value(node)) else { return nobody() };
    Seen {
        ok: value(least) >= wanted,
        what: format!("{} has the least {what}: {}", least.name, value(least)),
        nodes: vec![least.name.clone()],
    }
}

/// A check as one would say it.
fn words(check: &Check) -> String {
    let within = |within: Option<Duration>| {
        within.map_or_else(String::new, |time| format!(" within {}", format_duration(time)))
    };
    match check {
        Check::Agreement(it) => {
            let after = it.after.as_ref().map_or_else(
                || " at the end".to_owned(),
                |after| format!(" after {after}{}", within(it.within)),
            );
            format!("agreement{after}")
        }
        Check::Height(it) => format!("height at least {}{}", it.min, within(it.within)),
        Check::Connected(it) => format!("peers at least {}{}", it.min_peers, within(it.within)),
        Check::Reorg(it) => {
            let min = it.min_depth.map(|depth| format!("at least {depth}"));
            let max = it.max_depth.map(|depth| format!("at most {depth}"));
            let both: Vec<String> = min.into_iter().chain(max).collect();
            format!("deepest reorganization {}", both.join(", "))
        }
        Check::StaleRate(it) => format!("stale rate at most {} %", it.max * 100.0),
        Check::Propagation(it) => {
            format!("{} % of nodes have a block within {}", it.percent, format_duration(it.max))
        }
    }
}
