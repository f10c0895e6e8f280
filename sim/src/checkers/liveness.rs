//! Liveness after heal: within a bounded time all honest nodes have one head, none catches up any more, and the chain
//! grew by two blocks if an honest node mines. At the end, when nobody mines, all heads are equal.
//!
//! The time is [`settle`], which adds up what the protocol's own constants allow.

use super::{Checker, Observation, rounds};
use crate::{Moment, World, engine, world::Host};
use kette_consensus::Status;
use kette_node::{
    Event,
    sync::{BODIES_TIMEOUT, GIVE_UP_AFTER, HEADERS_TIMEOUT},
};
use kette_types::limits::HELLO_TIMEOUT_SECS;
use std::time::Duration;

/// See the file's description.
#[derive(Debug, Default)]
pub struct Liveness {
    wait: Option<Wait>,
}

/// What is waited for since the heal.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Moment,
    until: Moment,
    /// Number that all heads must reach.
    height: u64,
    looked: Moment,
}

/// Blocks by which the chain must grow.
const GROWTH: u64 = 2;
/// Up to this many hosts every new head is looked at, above it one per second.
const SMALL: usize = 50;
/// The wait for a block is exponential: it exceeds 25 times its mean once in 10^10 cases.
const TAIL: f64 = 25.0;
/// What a hop takes along a line of nodes: a status, headers, bodies, execution.
const HOP: Duration = Duration::from_secs(5);

impl Checker for Liveness {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match (seen, &mut self.wait) {
            (Observation::Healed, wait) => {
                let mines = hash_rate(world) > 0.0 || rounds::can_decide(world);
                let highest = heads(world).map(|(_, number, _)| number).max().unwrap_or(0);
                let height = if mines { highest + GROWTH } else { highest };
                let since = world.now();
                let until = since + settle(world);
                *wait = Some(Wait { since, until, height, looked: since });
            }
            (
                Observation::Event { event: Event::Head { .. } | Event::Synced { .. }, .. },
                Some(wait),
            ) => {
                let now = world.now();
                if world.hosts.len() > SMALL && now < wait.looked + Duration::from_secs(1) {
                    return Ok(());
                }
                wait.looked = now;
                if has_converged(world, wait.height) {
                    self.wait = None;
                }
            }
            (Observation::Turned { .. }, Some(wait)) if world.now() > wait.until => {
                let wait = *wait;
                self.wait = None;
                return late(world, wait);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        if let Some(wait) = self.wait.take().filter(|wait| world.now() > wait.until) {
            late(world, wait)?;
        }
        let Some((_, _, first)) = heads(world).next() else { return Ok(()) };
        if world.spec.bft().is_some() || heads(world).all(|(_, _, hash)| hash == first) {
            return Ok(());
        }
        Err(format!("heads differ at the end: {}", describe(world)))
    }
}

/// Returns how long a healed network may take to converge: what its file says, or the sum of what may happen one after
/// the other. A run waits so long, and a little longer.
///
/// 1. Broken sessions are noticed (ping timeout) and opened again: twice the longest wait between two dials, because the
///    first of them may meet a peer that has not noticed yet; each with its dial and hello timeout.
/// 2. A false or dead branch is given up, the right headers and bodies are fetched: each may time out three times.
/// 3. Along a line (no discovery) everything passes every node.
/// 4. Two blocks are found by the honest miners there are, at the difficulty there is; or, if clocks differ, as late as
///    the clock that is furthest behind allows.
pub fn settle(world: &World) -> Duration {
    if let Some(settle) = world.settle {
        return settle;
    }
    let hello = Duration::from_secs(HELLO_TIMEOUT_SECS);
    let peers = world.hosts.first().map(|host| &host.config.peers);
    let sessions = peers.map_or(Duration::ZERO, |peers| {
        peers.ping_timeout + 2 * (peers.backoff_max + peers.dial_timeout + hello)
    });
    let sync = GIVE_UP_AFTER + 3 * (HEADERS_TIMEOUT + BODIES_TIMEOUT);
    let is_line = peers.is_some_and(|peers| !peers.discovery);
    let hops = if is_line { HOP * world.hosts.len() as u32 } else { HOP };
    sessions + sync + hops + blocks(world) + skew(world)
}

/// Returns the longest time that two blocks may take.
fn blocks(world: &World) -> Duration {
    if world.spec.bft().is_some() {
        return rounds::blocks(world, GROWTH);
    }
    let rate = hash_rate(world);
    if rate <= 0.0 {
        return Duration::ZERO;
    }
    let difficulty =
        world.honest().filter_map(|host| status(world, host)).map(|pow| pow.difficulty);
    let difficulty = difficulty.map(f64::from).fold(0.0, f64::max);
    let mean = (difficulty / rate).max(engine::block_time(&world.spec).as_secs_f64());
    Duration::from_secs_f64((mean * TAIL + mean * GROWTH as f64).min(1e9))
}

/// Returns how far the worst honest clock is off.
fn skew(world: &World) -> Duration {
    let truth = world.time().as_millis();
    let off = world.honest().map(|host| host.clock.time(world.now()).as_millis().abs_diff(truth));
    Duration::from_millis(off.max().unwrap_or(0))
}

/// Hashes per second of all honest hosts that are meant to mine, whether their nodes do or forgot.
fn hash_rate(world: &World) -> f64 {
    let miners = world.honest().filter(|host| host.config.local.mining);
    miners.map(|host| host.mine_rate as f64 / host.slow).sum()
}

fn status(world: &World, host: &Host) -> Option<kette_consensus::pow::PowStatus> {
    match host.node()?.status(host.clock.time(world.now())).engine {
        Status::Pow(pow) => Some(pow),
        Status::Bft(_) => None,
    }
}

fn heads(world: &World) -> impl Iterator<Item = (&Host, u64, kette_types::B256)> {
    world.honest().filter_map(|host| {
        let head = host.node()?.tree().head();
        Some((host, head.number, head.hash()))
    })
}

fn has_converged(world: &World, height: u64) -> bool {
    let Some((_, number, hash)) = heads(world).next() else { return true };
    if world.spec.bft().is_some() {
        // Validators do not stop, so heads are never all the same; that they agree is the business of others.
        return heads(world).all(|(_, number, _)| number >= height);
    }
    number >= height
        && heads(world).all(|(_, _, other)| other == hash)
        && world.honest().all(|host| {
            let time = host.clock.time(world.now());
            host.node().is_some_and(|node| node.status(time).syncing.is_none())
        })
}

fn late(world: &World, wait: Wait) -> Result<(), String> {
    if has_converged(world, wait.height) {
        return Ok(());
    }
    let took = world.now().since(wait.since).as_secs();
    let (height, heads) = (wait.height, describe(world));
    let split = split(world).unwrap_or_default();
    Err(format!(
        "{took} s after the heal not all honest nodes agree on height {height}: {heads}{split}"
    ))
}

/// Says if nodes stay apart because what they call final differs: no time heals that.
fn split(world: &World) -> Option<String> {
    let finals = || {
        world.honest().filter_map(|host| {
            let tree = host.node()?.tree();
            Some((host, tree, tree.finalized()))
        })
    };
    let (top, most, _) = finals().max_by_key(|(_, _, (number, _))| *number)?;
    finals().find_map(|(host, _, (number, hash))| {
        let theirs = most.canonical(number).ok()??;
        (theirs != hash).then(|| {
            let (a, b) = (&host.name, &top.name);
            format!("; {a} and {b} disagree about final block {number}: {hash} and {theirs}")
        })
    })
}

fn describe(world: &World) -> String {
    let mut counts = std::collections::BTreeMap::<_, (usize, &str)>::new();
    for (host, number, hash) in heads(world) {
        counts.entry((number, hash)).or_insert((0, &host.name)).0 += 1;
    }
    let each = counts.iter().rev().take(6).map(|((number, hash), (count, name))| {
        format!("{count} nodes ({name}) at {number} {hash}")
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, cut, ended};

    #[test]
    fn a_network_that_stays_apart_is_noticed() {
        let mut small = Small::with(2, vec![Box::new(Liveness::default())]);
        small.run(60);
        cut(&mut small.world, 0, 1, true);
        small.run(60);
        small.world.set_healed();
        small.run(settle(&small.world).as_secs() + 60);
        let violation = small.world.violations().first().expect("the cut was never healed");
        assert_eq!(violation.checker, "liveness");
        assert!(violation.what.contains("after the heal"), "{}", violation.what);
    }

    #[test]
    fn a_network_that_stands_still_is_noticed() {
        let mut small = Small::new(2);
        small.run(60);
        let mut checker = Liveness::default();
        checker.observe(&small.world, &Observation::Healed).unwrap();
        small.mine(0, false);
        small.mine(1, false);
        let until = checker.wait.unwrap().until;
        small.run(until.since(small.world.now()).as_secs() + 1);
        let error = checker.observe(&small.world, &Observation::Turned { host: 0 }).unwrap_err();
        assert!(error.contains("agree on height"), "{error}");
    }

    #[test]
    fn different_heads_at_the_end_are_noticed() {
        let mut small = Small::new(2);
        cut(&mut small.world, 0, 1, true);
        small.run(120);
        let error = Liveness::default().finish(&small.world).unwrap_err();
        assert!(error.contains("heads differ"), "{error}");
    }

    #[test]
    fn a_healed_network_passes() {
        let mut small = Small::with(3, vec![Box::new(Liveness::default())]);
        small.run(30);
        cut(&mut small.world, 0, 1, true);
        cut(&mut small.world, 0, 2, true);
        small.run(90);
        cut(&mut small.world, 0, 1, false);
        cut(&mut small.world, 0, 2, false);
        small.world.set_healed();
        small.run(settle(&small.world).as_secs() + 60);
        assert_eq!(ended(&mut small.world), None);
    }

    #[test]
    fn a_file_may_say_how_long() {
        let mut small = Small::new(2);
        let derived = settle(&small.world);
        assert!(derived > Duration::from_secs(100) && derived < Duration::from_secs(1_200));
        small.world.settle = Some(Duration::from_secs(7));
        assert_eq!(settle(&small.world), Duration::from_secs(7));
    }
}
