//! Quiescence: a run without faults and Byzantine actors is quiet. No alarm, no fault, no invalid block, no session that
//! breaks, no storm of dials, and nothing is asked for again and again.
//!
//! Bad links, slow processors and wrong clocks are not steps, but they are trouble: what they cause is allowed.

use super::{Checker, Observation, per_host::PerHost};
use crate::{Moment, World, world::LinkTable as _};
use kette_chain::Record;
use kette_node::Event;
use kette_types::{DisconnectReason, Fault, Message};
use std::time::Duration;

/// See the file's description.
#[derive(Debug, Default)]
pub struct Quiescence {
    asked: Asked,
    got: Got,
    /// When each host last started, and how many sessions of it ended since the warm-up.
    hosts: PerHost<(Moment, u64)>,
}

/// Things that were asked for, by all nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    headers: u64,
    bodies: u64,
    transactions: u64,
}

/// Things that were new to a node, by all nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Got {
    blocks: u64,
    transactions: u64,
    sessions: u64,
}

/// How long a node may try around after its start.
const WARM_UP: Duration = Duration::from_secs(120);
/// Ended sessions per node and minute after that: refused dials are repeated every ten seconds.
const ENDED_PER_MINUTE: u64 = 20;
/// Questions that need no cause.
const SLACK: u64 = 1_000;
/// A link slower than this, or that loses more, may make answers late: the shortest timeout is 2 s, an answer takes a
/// round trip and retransmissions.
const LATENCY_MAX: Duration = Duration::from_millis(300);
const LOSS_MAX: f64 = 0.02;
/// Clocks that differ by more than this may be alarming.
const SKEW_MAX: Duration = Duration::from_millis(1_000);

/// A validator gives the alarm after half a minute without a decision; the next one may take a round of the longest
/// timeouts.
const SILENCE_MAX: Duration = Duration::from_secs(60);

impl Checker for Quiescence {
    fn name(&self) -> &'static str {
        "quiescence"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        if world.faulty {
            return Ok(());
        }
        match seen {
            Observation::Up { host } => self.hosts.of(*host).0 = world.now(),
            Observation::Event { host, event } => return self.event(world, *host, event),
            Observation::Sent { message, .. } => match message {
                Message::GetHeaders { .. } => self.asked.headers += 1,
                Message::GetBodies { hashes, .. } => self.asked.bodies += hashes.len() as u64,
                Message::GetBlockTransactions { .. } => self.asked.bodies += 1,
                Message::GetTransactions(hashes) => self.asked.transactions += hashes.len() as u64,
                _ => {}
            },
            Observation::Ordered { records, .. } => {
                let blocks = records.iter().filter(|record| matches!(record, Record::Block(_)));
                self.got.blocks += blocks.count() as u64;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        if world.faulty || is_troubled(world) {
            return Ok(());
        }
        asked_in_vain(self.asked, self.got)
    }
}

impl Quiescence {
    fn event(&mut self, world: &World, host: usize, event: &Event) -> Result<(), String> {
        let name = &world.hosts[host].name;
        match event {
            Event::Alarm(text) if !has_skew(world) && !self.lacks_validators(world) => {
                return Err(format!("{name} raises an alarm in a run without faults: {text}"));
            }
            Event::InvalidBlock { hash, reason, .. } => {
                return Err(format!(
                    "{name} finds block {hash} invalid in an honest run: {reason}"
                ));
            }
            Event::PeerFault { fault, .. } => {
                let late = *fault == Fault::Timeout && is_troubled(world);
                if !late {
                    return Err(format!("{name} books a fault in a run without faults: {fault}"));
                }
            }
            Event::PeerDown { reason, .. } => return self.ended(world, host, *reason),
            Event::PeerUp { .. } => self.got.sessions += 1,
            Event::Pending(_) => self.got.transactions += 1,
            _ => {}
        }
        Ok(())
    }

    /// Tells whether a validator is yet to come, or has just come: without it, or without the way through it, there may
    /// have been no decision for a while, and that is alarming.
    fn lacks_validators(&mut self, world: &World) -> bool {
        let mut validators =
            world.hosts.iter().filter(|host| host.config.local.validator.is_some());
        validators.any(|host| {
            !host.is_up() || world.now().since(self.hosts.of(host.index).0) < SILENCE_MAX
        })
    }

    fn ended(
        &mut self,
        world: &World,
        host: usize,
        reason: DisconnectReason,
    ) -> Result<(), String> {
        use DisconnectReason as R;
        let name = &world.hosts[host].name;
        let normal = matches!(
            reason,
            R::Duplicate | R::SelfConnection | R::TooManyPeers | R::TooManyFromAddress | R::Evicted
        );
        if !normal && !is_troubled(world) {
            return Err(format!("a session of {name} ends in a run without faults: {reason}"));
        }
        let (started, ended) = self.hosts.of(host);
        let Some(warm) = world.now().since(*started).checked_sub(WARM_UP) else { return Ok(()) };
        *ended += 1;
        let minutes = warm.as_secs() / 60 + 1;
        // Whom everybody dials ends the sessions of everybody.
        let crowd = (world.hosts.len() / 10) as u64;
        if *ended <= (minutes + 1) * (ENDED_PER_MINUTE + crowd) {
            return Ok(());
        }
        Err(format!("{ended} sessions of {name} ended within {minutes} minutes without faults"))
    }
}

/// Compares what was asked for with what there was to get.
///
/// A block is fetched about once per node, by body or by its missing transactions, and headers are asked for with each
/// status that claims more; a transaction once per node, and again if its pool refused it until the next head.
fn asked_in_vain(asked: Asked, got: Got) -> Result<(), String> {
    let bounds = [
        ("headers", asked.headers, 4 * got.blocks + 8 * got.sessions),
        ("bodies", asked.bodies, 3 * got.blocks),
        ("transactions", asked.transactions, 3 * got.transactions),
    ];
    match bounds.into_iter().find(|(_, asked, bound)| *asked > bound + SLACK) {
        Some((what, asked, bound)) => Err(format!(
            "{asked} questions for {what} in a run without faults, at most {bound} expected"
        )),
        None => Ok(()),
    }
}

/// Tells whether links, processors or clocks are such that answers may be late. Only asked when something happened.
fn is_troubled(world: &World) -> bool {
    let bad = |(a, b): (usize, usize)| {
        let shape = world.link(a, b);
        shape.latency + 3 * shape.jitter > LATENCY_MAX || shape.loss > LOSS_MAX
    };
    let pairs = world
        .hosts
        .iter()
        .flat_map(|host| host.sessions.values().map(|session| (host.index, session.remote)));
    has_skew(world)
        || world.hosts.iter().any(|host| host.slow > 1.0)
        || world.cpu.is_some_and(|pace| pace > 1.0)
        || pairs.into_iter().any(bad)
}

fn has_skew(world: &World) -> bool {
    let truth = world.time().as_millis();
    let off = world.hosts.iter().map(|h| h.clock.time(world.now()).as_millis().abs_diff(truth));
    off.max().is_some_and(|off| Duration::from_millis(off) > SKEW_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, ended};
    use kette_types::B256;

    fn see(small: &Small, checker: &mut Quiescence, event: &Event) -> Result<(), String> {
        checker.observe(&small.world, &Observation::Event { host: 0, event })
    }

    #[test]
    fn trouble_without_a_cause_is_noticed() {
        let mut small = Small::new(2);
        let peer = small.world.hosts[1].id;
        let broken = |reason| Event::PeerDown { peer, reason };
        let events = [
            Event::Alarm("fire".to_owned()),
            Event::InvalidBlock { hash: B256::ZERO, reason: "bad".to_owned(), peer: None },
            Event::PeerFault { peer, fault: Fault::Timeout, score: 98 },
            broken(DisconnectReason::PingTimeout),
            broken(DisconnectReason::ConnectionLost),
        ];
        let mut checker = Quiescence::default();
        for event in &events {
            assert!(see(&small, &mut checker, event).is_err(), "{event:?}");
        }
        see(&small, &mut checker, &broken(DisconnectReason::Duplicate)).unwrap();
        small.world.faulty = true;
        for event in &events {
            see(&small, &mut checker, event).unwrap();
        }
    }

    #[test]
    fn late_answers_of_a_slow_processor_are_allowed() {
        let mut small = Small::new(2);
        let fault =
            Event::PeerFault { peer: small.world.hosts[1].id, fault: Fault::Timeout, score: 98 };
        small.world.set_slow(1, 20.0);
        see(&small, &mut Quiescence::default(), &fault).unwrap();
    }

    #[test]
    fn a_storm_of_dials_is_noticed() {
        let mut small = Small::new(2);
        small.run(200);
        let reason = DisconnectReason::TooManyPeers;
        let event = Event::PeerDown { peer: small.world.hosts[1].id, reason };
        let mut checker = Quiescence::default();
        let error = (0..1_000).find_map(|_| see(&small, &mut checker, &event).err()).unwrap();
        assert!(error.contains("sessions of"), "{error}");
    }

    #[test]
    fn questions_that_repeat_are_noticed() {
        let got = Got { blocks: 1_000, transactions: 1_000, sessions: 10 };
        let asked = Asked { headers: 1_000, bodies: 1_000, transactions: 1_000 };
        asked_in_vain(asked, got).unwrap();
        for asked in [
            Asked { headers: 10_000, ..asked },
            Asked { bodies: 10_000, ..asked },
            Asked { transactions: 10_000, ..asked },
        ] {
            assert!(asked_in_vain(asked, got).is_err());
        }
    }

    #[test]
    fn an_honest_run_passes() {
        let mut small = Small::with(5, vec![Box::new(Quiescence::default())]);
        for _ in 0..10 {
            small.submit(0, 10);
            small.run(30);
        }
        assert_eq!(ended(&mut small.world), None);
    }
}
