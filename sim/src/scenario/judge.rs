//! Judges the checks of a file on what a host observes.

use super::{
    Check, Facts, NetworkFile, NodeFacts, Plan, Verdict,
    check::{Agreement, Connected, Growth, Height, Propagation, Reorg, Running},
    links,
    units::{format_duration, parse_duration},
    users::{self, Conflicts, Pools},
    words::words,
};
use std::time::Duration;

/// The checks of a file while its network runs.
///
/// A host shows it the facts about once per second: what holds only between two looks is not seen.
#[derive(Clone, Debug)]
pub struct Checks {
    list: Vec<Watched>,
    /// Whom each node dials first.
    dials: Vec<Vec<usize>>,
}

/// See [`Measured::reach`].
pub type Reach<'a> = dyn Fn(f64, f64, Duration) -> Option<Duration> + 'a;

/// What only the host measures.
pub struct Measured<'a> {
    /// Share of produced blocks that did not become canonical, 0 to 1.
    pub stale_rate: f64,
    /// Returns the time until this percentage of nodes had a block: which percentile over blocks, and of the blocks
    /// that were made after which time; `None` if no block got that far.
    pub reach: &'a Reach<'a>,
    /// Lines of level ERROR in the logs, by name of the node.
    pub log_errors: &'a [(String, u64)],
    /// Transactions that were taken from users.
    pub submitted: u64,
    /// Of those in the chain.
    pub included: u64,
    /// Transactions committed per second.
    pub per_second: f64,
    /// Canonical blocks that have transactions: when each was made, microseconds, and how many it has.
    pub filled: &'a [(u64, u64)],
    /// Which pools had which transactions when, if that was watched.
    pub pools: Option<Pools>,
    /// Pairs of transactions with one nonce.
    pub conflicts: Conflicts,
}

impl Default for Measured<'_> {
    fn default() -> Self {
        Self {
            stale_rate: 0.0,
            reach: &no_block,
            log_errors: &[],
            submitted: 0,
            included: 0,
            per_second: 0.0,
            filled: &[],
            pools: None,
            conflicts: Conflicts::default(),
        }
    }
}

/// The reach of blocks where there are none.
const fn no_block(_: f64, _: f64, _: Duration) -> Option<Duration> {
    None
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
    /// The network when the time of the check began.
    first: Option<Facts>,
}

/// Whether something holds, what was seen, and the nodes to look at if it does not.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) ok: bool,
    pub(super) what: String,
    pub(super) nodes: Vec<String>,
}

impl Seen {
    pub(super) const fn new(ok: bool, what: String) -> Self {
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
            first: None,
        };
        let nodes = Plan::new(file).map(|plan| plan.nodes).unwrap_or_default();
        let dials = nodes.into_iter().map(|node| node.dials).collect();
        Self { list: file.check.iter().map(watch).collect(), dials }
    }

    /// Looks at the network; `healed_at` is when the last fault ended, once all have
    /// ([`super::Timeline::healed_at`]).
    pub fn observe(&mut self, facts: &Facts, healed_at: Option<Duration>) {
        for watched in &mut self.list {
            watched.observe(facts, healed_at, &self.dials);
        }
    }

    /// Tells how every check ended, in the order of the file. The network is as it was last observed.
    pub fn finish(&self, facts: &Facts, measured: &Measured<'_>) -> Vec<Verdict> {
        let verdict = |watched: &Watched| {
            let Seen { ok, what, nodes } = watched.finish(facts, measured, &self.dials);
            let nodes = if ok { Vec::new() } else { nodes };
            Verdict { check: words(&watched.check), ok, seen: what, nodes }
        };
        self.list.iter().map(verdict).collect()
    }
}

impl Watched {
    fn observe(&mut self, facts: &Facts, healed_at: Option<Duration>, dials: &[Vec<usize>]) {
        if self.settled.is_some() {
            return;
        }
        self.settled = match &self.check {
            Check::Agreement(Agreement { after: None, .. }) => None,
            Check::Agreement(Agreement { after: Some(after), within }) => {
                let since = begun(after, facts, healed_at);
                since.and_then(|since| by(facts, since, *within, agree(facts)))
            }
            Check::Components(it) => it.after.as_ref().and_then(|after| {
                let since = begun(after, facts, healed_at)?;
                by(facts, since, it.within, links::parts(facts, it.is))
            }),
            Check::Running(it) => by(facts, Duration::ZERO, it.within, count(facts, it)),
            Check::Bootstrap(it) => {
                by(facts, Duration::ZERO, it.within, links::bootstrap(facts, dials, it.min))
            }
            Check::Steady(it) => {
                if facts.at >= it.after && self.first.is_none() {
                    self.first = Some(facts.clone());
                }
                // A node that begins anew counts from 0: what it had does not say what it lost.
                self.first.as_ref().and_then(|first| links::broken(first, facts, it))
            }
            Check::Growth(it) => {
                if facts.at >= it.after && self.first.is_none() {
                    self.first = Some(facts.clone());
                }
                let first = self.first.as_ref();
                first.and_then(|first| by(facts, it.after, it.within, grown(first, facts, it)))
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
            Check::Handshakes(_)
            | Check::Errors(_)
            | Check::Transactions(_)
            | Check::Pools(_)
            | Check::Conflicts(_)
            | Check::StaleRate(_)
            | Check::Propagation(_) => None,
        };
    }

    fn finish(&self, facts: &Facts, measured: &Measured<'_>, dials: &[Vec<usize>]) -> Seen {
        if let Some(settled) = &self.settled {
            return settled.clone();
        }
        match &self.check {
            Check::Agreement(Agreement { after: None, .. }) => agree(facts),
            Check::Agreement(_) => unsettled(agree(facts)),
            Check::Components(it) if it.after.is_none() => links::parts(facts, it.is),
            Check::Components(it) => unsettled(links::parts(facts, it.is)),
            Check::Running(it) => count(facts, it),
            Check::Bootstrap(it) => links::bootstrap(facts, dials, it.min),
            Check::Handshakes(it) => links::handshakes(facts, it),
            Check::Errors(it) => links::errors(facts, measured.log_errors, it.max),
            Check::Steady(it) => match &self.first {
                Some(first) => links::steady(first, facts, it),
                None => too_early(it.after),
            },
            Check::Growth(it) => match &self.first {
                Some(first) => grown(first, facts, it),
                None => too_early(it.after),
            },
            Check::Transactions(it) => users::transactions(measured, it),
            Check::Pools(it) => users::pools(measured.pools.as_ref(), it),
            Check::Conflicts(it) => users::conflicts(&measured.conflicts, it),
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
            Check::Propagation(Propagation { percent, of_blocks, after, max }) => {
                match (measured.reach)(*percent, of_blocks.unwrap_or(MEDIAN), *after) {
                    Some(time) => {
                        Seen::new(time <= *max, format!("{:.1} ms", time.as_secs_f64() * 1_000.0))
                    }
                    None => Seen::new(false, "no block was seen".to_owned()),
                }
            }
        }
    }
}

/// The percentile that a check means which names none.
pub(super) const MEDIAN: f64 = 50.0;

/// Returns since when a check counts, if its time has begun: the end of the last fault, or a time after the start.
fn begun(after: &str, facts: &Facts, healed_at: Option<Duration>) -> Option<Duration> {
    let since = match after {
        "heal" => healed_at,
        time => parse_duration(time).ok(),
    };
    since.filter(|since| facts.at >= *since)
}

/// What the end shows of a check that was to hold after something: had that happened, it would have been observed.
fn unsettled(seen: Seen) -> Seen {
    match seen {
        Seen { ok: true, .. } => Seen::new(false, "not all faults ended".to_owned()),
        seen => Seen { what: format!("at the end {}", seen.what), ..seen },
    }
}

fn too_early(after: Duration) -> Seen {
    Seen::new(false, format!("the run ended before {}", format_duration(after)))
}

/// Counts running honest nodes; names those that do not run.
fn count(facts: &Facts, it: &Running) -> Seen {
    let up = running(facts).count();
    let down = facts.nodes.iter().filter(|node| node.honest && !node.up);
    let honest = facts.nodes.iter().filter(|node| node.honest).count();
    Seen {
        ok: up >= it.min.unwrap_or(honest),
        what: format!("{up} of {} nodes run", facts.nodes.len()),
        nodes: down.map(|node| node.name.clone()).collect(),
    }
}

/// Tells whether all have so many more blocks than the highest had.
fn grown(first: &Facts, facts: &Facts, it: &Growth) -> Seen {
    let height = running(first).map(|node| node.height).max().unwrap_or(0);
    let Some(least) = running(facts).min_by_key(|node| node.height) else { return nobody() };
    let more = least.height.saturating_sub(height);
    Seen {
        ok: more >= it.blocks,
        what: format!("{} has {more} blocks above {height}", least.name),
        nodes: vec![least.name.clone()],
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

pub(super) fn running(facts: &Facts) -> impl Iterator<Item = &NodeFacts> {
    facts.nodes.iter().filter(|node| node.up && node.honest)
}

pub(super) fn nobody() -> Seen {
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
