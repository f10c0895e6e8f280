//! No self-ban: an honest node never blames or bans an honest one.
//!
//! Two exceptions. Where frames of either side are duplicated, replayed, reordered or damaged, the one looks guilty to
//! the other. And an honest peer may answer late, because it was cut off, stood still, crashed or is far away: that may
//! cost it a session, never a ban. (Whether anybody may be late in a run without faults is for `quiescence` to say.)

use super::{Checker, Observation, per_host::PerHost};
use crate::World;
use kette_chain::Record;
use kette_node::Event;
use kette_types::{Fault, PeerId};

/// See the file's description.
#[derive(Debug, Default)]
pub struct NoSelfBan {
    /// Whether frames of this host were ever tampered with.
    tampered: PerHost<bool>,
}

impl Checker for NoSelfBan {
    fn name(&self) -> &'static str {
        "no_self_ban"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            // Frames go wrong when they are sent, so this is always in time.
            Observation::Sent { host, .. } if world.hosts[*host].frames.any() => {
                *self.tampered.of(*host) = true;
            }
            Observation::Event { host, event: Event::PeerFault { peer, fault, score } } => {
                let late = *fault == Fault::Timeout;
                if !late && let Some(name) = self.honest(world, *host, *peer) {
                    let host = &world.hosts[*host].name;
                    return Err(format!("{host} blames {name}: {fault}; score {score}"));
                }
            }
            Observation::Ordered { host, records } => {
                for record in *records {
                    if let Record::Ban(peer, _) = record
                        && let Some(name) = self.honest(world, *host, *peer)
                    {
                        return Err(format!("{} bans {name}", world.hosts[*host].name));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl NoSelfBan {
    /// Returns the peer's name if both sides are honest and heard each other undisturbed.
    fn honest<'a>(&self, world: &'a World, host: usize, peer: PeerId) -> Option<&'a str> {
        let clean =
            |host: usize| world.hosts[host].is_honest() && self.tampered.get(host) != Some(&true);
        let others = world.hosts_of(peer);
        let first = *others.first()?;
        let all = clean(host) && others.iter().all(|other| clean(*other));
        all.then(|| world.hosts[first].name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkers::fixture::{Small, ended},
        scenario::Misbehaviour,
        world::FrameFaults,
    };
    use kette_types::{B256, Message, Time};

    fn blame(world: &World, checker: &mut NoSelfBan, fault: Fault) -> Result<(), String> {
        let event = Event::PeerFault { peer: world.hosts[1].id, fault, score: 90 };
        checker.observe(world, &Observation::Event { host: 0, event: &event })
    }

    #[test]
    fn blame_of_an_honest_peer_is_noticed() {
        let mut small = Small::new(2);
        let mut checker = NoSelfBan::default();
        let error = blame(&small.world, &mut checker, Fault::RateLimit).unwrap_err();
        assert!(error.contains("rate limit"), "{error}");
        blame(&small.world, &mut checker, Fault::Timeout).unwrap();
        assert!(blame(&small.world, &mut checker, Fault::Unsolicited).is_err());
        small.world.hosts[1].byzantine = Some(Misbehaviour::Spammer);
        blame(&small.world, &mut checker, Fault::RateLimit).unwrap();
    }

    #[test]
    fn a_ban_of_an_honest_peer_is_noticed() {
        let small = Small::new(2);
        let mut checker = NoSelfBan::default();
        let ban = |peer| [Record::Ban(peer, Time::MAX)];
        let stranger = ban(PeerId(B256::repeat_byte(9)));
        checker
            .observe(&small.world, &Observation::Ordered { host: 0, records: &stranger })
            .unwrap();
        let honest = ban(small.world.hosts[1].id);
        let seen = Observation::Ordered { host: 0, records: &honest };
        assert!(checker.observe(&small.world, &seen).unwrap_err().contains("bans"));
    }

    #[test]
    fn tampered_frames_are_an_excuse() {
        let mut small = Small::new(2);
        let mut checker = NoSelfBan::default();
        small.world.set_frame_faults(1, FrameFaults { duplicate: 0.5, ..FrameFaults::default() });
        let seen = Observation::Sent { host: 1, to: &[], message: &Message::Ping(1) };
        checker.observe(&small.world, &seen).unwrap();
        small.world.set_frame_faults(1, FrameFaults::default());
        blame(&small.world, &mut checker, Fault::RateLimit).unwrap();
    }

    #[test]
    fn an_honest_run_passes() {
        let mut small = Small::with(4, vec![Box::new(NoSelfBan::default())]);
        small.submit(0, 20);
        small.run(200);
        assert_eq!(ended(&mut small.world), None);
    }
}
