//! Resource bounds: what an honest node keeps stays within what its code promises, and so do its inbox and sessions.
//!
//! In runs without faults the bytes of all frames are bounded as well, by what was there to be said: see [`budget`].

use super::{Checker, Observation};
use crate::{
    World,
    world::{Host, OVERHEAD_BYTES},
};
use kette_chain::Record;
use kette_consensus::bft;
use kette_node::{Event, Load};
use kette_types::{
    B256, Message,
    bft::{Proposal, PublicKey, Signature, Vote, VoteKind},
};

/// See the file's description.
#[derive(Debug, Default)]
pub struct Bounds {
    turns: u64,
    said: Said,
    sessions_max: usize,
}

/// What there was to be said, each counted once per node.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    blocks: u64,
    in_blocks: u64,
    transactions: u64,
    handshakes: u64,
    /// Votes and proposals of validators.
    votes: u64,
}

/// Up to this many hosts every turn is looked at,
const SMALL: usize = 50;
/// above it one in so many.
const SAMPLE: u64 = 64;
/// The network drops sessions whose frames find 8,192 inputs waiting; sessions, clients and jobs add some.
const INBOX_MAX: usize = 2 * 8_192;

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Ordered { records, .. } => {
                for record in *records {
                    if let Record::Block(block) = record {
                        self.said.blocks += 1;
                        self.said.in_blocks += block.block.body.transactions.len() as u64;
                    }
                }
            }
            Observation::Event { event: Event::Pending(_), .. } => self.said.transactions += 1,
            Observation::Event { event: Event::Engine(engine), .. } => {
                use kette_consensus::bft::Event as E;
                let said =
                    matches!(engine, E::Vote { .. } | E::Proposal { .. } | E::Proposed { .. });
                self.said.votes += u64::from(said);
            }
            Observation::Event { event: Event::PeerUp { .. }, host } => {
                self.said.handshakes += 1;
                self.sessions_max = self.sessions_max.max(world.hosts[*host].sessions.len());
            }
            Observation::Turned { host } => {
                self.turns += 1;
                if world.hosts.len() <= SMALL || self.turns.is_multiple_of(SAMPLE) {
                    return within(&world.hosts[*host]);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        world.honest().try_for_each(within)?;
        if world.faulty {
            return Ok(());
        }
        let (bytes, _) = world.traffic();
        let seconds = world.now().since_start().as_secs() + 1;
        let links = (world.hosts.len() * self.sessions_max.max(1)) as u64;
        let budget = budget(seconds, links, self.sessions_max as u64, self.said);
        if bytes <= budget {
            return Ok(());
        }
        Err(format!(
            "{bytes} bytes were sent in {seconds} s without faults, at most {budget} expected"
        ))
    }
}

/// Looks at one host.
fn within(host: &Host) -> Result<(), String> {
    let Some(node) = host.node().filter(|_| host.is_honest()) else { return Ok(()) };
    let over = |load: Load| {
        let max = load.max.unwrap_or(usize::MAX);
        Err(format!("{} holds {} {}, at most {max}", host.name, load.value, load.name))
    };
    if host.inbox.len() > INBOX_MAX {
        return over(Load { name: "inputs", value: host.inbox.len(), max: Some(INBOX_MAX) });
    }
    let loads = node.loads();
    if let Some(load) = loads.over() {
        return over(load);
    }
    // The host has a session before its node hears of it, and as long as the node has not ended it.
    let bound = loads.all().iter().find(|load| load.name == "sessions").and_then(|load| load.max);
    let max = bound.unwrap_or(usize::MAX).saturating_add(host.inbox.len());
    if host.sessions.len() > max {
        return over(Load { name: "links", value: host.sessions.len(), max: Some(max) });
    }
    Ok(())
}

/// Returns the most bytes that all frames of a run without faults may have together.
///
/// Per direction of a session and second: pings and statuses (below 100 bytes each) and, while slots are free, one list
/// of addresses in five seconds: 2 KiB. Per session: hello, first list and the announcement of a pool: 128 KiB. Per
/// block and node: its header and short ids to everybody, bodies once or twice. Per transaction and node: its hash to
/// everybody, itself to as many as the square root of the sessions, asked for and served about once. Per vote or
/// proposal and node: itself to everybody, and a quarter again: up to a third of the precommits come when the height is
/// decided, are passed on for the next block's certificate and not told as votes; the rest is for what is said again.
fn budget(seconds: u64, links: u64, sessions: u64, said: Said) -> u64 {
    let idle = links * seconds * 2_048;
    let handshakes = said.handshakes * 128 * 1_024;
    let blocks = said.blocks * (sessions * 2_048 + 4_096);
    let in_blocks = said.in_blocks * (sessions * 16 + 1_024);
    let pushed = sessions.isqrt() * 600;
    let transactions = said.transactions * (sessions * 120 + pushed + 2_048);
    let votes = said.votes * sessions * (vote_bytes() * 5 / 4);
    idle + handshakes + blocks + in_blocks + transactions + votes
}

/// Returns the bytes on the wire of the larger of a vote and a proposal, at any height.
fn vote_bytes() -> u64 {
    let (height, round) = (u64::MAX, u32::MAX);
    let (block, key) = (B256::repeat_byte(0xff), PublicKey(B256::repeat_byte(0xff)));
    let signature = Signature::repeat_byte(0xff);
    let vote = Vote { kind: VoteKind::Precommit, height, round, block, key, signature };
    let proposal = Proposal { height, round, block, valid_from: u32::MAX, key, signature };
    let bytes = [bft::Message::Vote(vote), bft::Message::Proposal(proposal)]
        .map(|said| Message::Engine(said.encode()).encode().len() + OVERHEAD_BYTES);
    bytes.into_iter().max().unwrap_or(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, ended};
    use kette_node::Input;

    #[test]
    fn an_inbox_without_end_is_noticed() {
        let mut small = Small::new(2);
        small.run(20);
        small.world.pause(0, true);
        for _ in 0..=INBOX_MAX {
            small.world.give(0, Input::Tick);
        }
        let turned = Observation::Turned { host: 0 };
        let error = Bounds::default().observe(&small.world, &turned).unwrap_err();
        assert!(error.contains("inputs"), "{error}");
    }

    #[test]
    fn more_links_than_sessions_are_noticed() {
        let mut small = Small::new(2);
        small.run(20);
        let (_, session) = small.world.hosts[0].sessions.first_key_value().unwrap();
        let session = session.clone();
        for byte in 0..250 {
            let peer = kette_types::PeerId(B256::repeat_byte(byte));
            small.world.hosts[0].sessions.insert(peer, session.clone());
        }
        assert!(within(&small.world.hosts[0]).is_ok());
        for byte in 0..250 {
            let peer = kette_types::PeerId(B256::with_last_byte(byte));
            small.world.hosts[0].sessions.insert(peer, session.clone());
        }
        assert!(within(&small.world.hosts[0]).unwrap_err().contains("links"));
    }

    #[test]
    fn bytes_without_a_cause_are_noticed() {
        let mut small = Small::new(2);
        small.run(100);
        // This checker saw nothing of what there was to be said, so the traffic has no cause.
        let (bytes, _) = small.world.traffic();
        assert!(bytes < budget(101, 2, 1, Said::default()), "{bytes}");
        let mut checker = Bounds::default();
        checker.finish(&small.world).unwrap();
        small.world.links.bytes += 10_000_000;
        let error = checker.finish(&small.world).unwrap_err();
        assert!(error.contains("without faults"), "{error}");
    }

    #[test]
    fn an_honest_run_passes() {
        let mut small = Small::with(4, vec![Box::new(Bounds::default())]);
        for _ in 0..10 {
            small.submit(0, 10);
            small.run(20);
        }
        assert_eq!(ended(&mut small.world), None);
    }
}
