//! What happened lately, in words with fields: for a list of the newest events of a network.

use kette_consensus::bft;
use kette_node::Event;
use serde::Serialize;
use std::collections::VecDeque;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Occurrence {
    /// Place in the order of this node's events, from 1.
    seq: u64,
    /// Milliseconds since 1970, by this node's clock.
    at_ms: u64,
    /// `info` or `warn`.
    level: &'static str,
    /// What kind of thing, a word.
    kind: &'static str,
    /// What, in words.
    text: String,
}

impl Occurrence {
    /// Puts a fact into words; `None` for what happens all the time.
    pub(crate) fn of(event: &Event, at_ms: u64) -> Option<Self> {
        let (level, kind, text) = match event {
            Event::Head { removed, added, depth } => {
                let number = added.last()?.number();
                let out = removed.len();
                ("info", "reorg", format!("{depth} deep to block {number}, {out} block(s) out"))
            }
            Event::SideBlock { number, hash } => {
                ("info", "fork", format!("side block {number} {hash:.10}"))
            }
            Event::InvalidBlock { hash, reason, peer } => {
                let from = peer.map_or_else(|| "a client".to_owned(), |peer| peer.short());
                ("warn", "invalid_block", format!("{hash:.10} of {from}: {reason}"))
            }
            Event::PeerUp { direction, moniker, handshake_ms, .. } => {
                let side = format!("{direction:?}").to_lowercase();
                ("info", "peer_up", format!("{moniker} ({side}, {handshake_ms} ms)"))
            }
            Event::PeerDown { peer, reason } => {
                ("info", "peer_down", format!("{}: {reason}", peer.short()))
            }
            Event::PeerFault { peer, fault, score } => {
                ("warn", "peer_fault", format!("{}: {fault}, score {score}", peer.short()))
            }
            Event::Synced { number } => ("info", "synced", format!("at block {number}")),
            Event::Alarm(text) => ("warn", "alarm", text.clone()),
            Event::Engine(event) => voting(event)?,
            Event::Finalized { .. }
            | Event::Produced { .. }
            | Event::Pending(_)
            | Event::Dropped { .. }
            | Event::SyncProgress { .. } => return None,
        };
        let mut text: String = text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
        text.shrink_to_fit();
        Some(Self { seq: 0, at_ms, level, kind, text })
    }
}

fn voting(event: &bft::Event) -> Option<(&'static str, &'static str, String)> {
    match event {
        bft::Event::Round { height, round, .. } if *round > 0 => {
            Some(("info", "round", format!("{round} of height {height}")))
        }
        bft::Event::Evidence { height, culprit, what } => {
            Some(("warn", "evidence", format!("{culprit:.10} at height {height}: {what}")))
        }
        bft::Event::Validators { height, count, quorum, total, .. } => {
            let text = format!("{count} from height {height}, quorum {quorum} of {total}");
            Some(("info", "validators", text))
        }
        _ => None,
    }
}

/// The newest events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    next: u64,
    list: VecDeque<Occurrence>,
}

impl Events {
    /// Adds one.
    pub(crate) fn push(&mut self, mut occurrence: Occurrence) {
        self.next += 1;
        occurrence.seq = self.next;
        self.list.push_back(occurrence);
        while self.list.len() > EVENTS_MAX {
            self.list.pop_front();
        }
    }

    /// Returns what came after `seq`, oldest first, at most the newest `limit`.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<&Occurrence> {
        let newer = self.list.len() - self.list.partition_point(|event| event.seq <= seq);
        self.list.iter().skip(self.list.len() - newer.min(limit)).collect()
    }
}

/// Events remembered.
const EVENTS_MAX: usize = 256;
/// Characters of one; peers choose parts of it.
const TEXT_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_stay() {
        let mut events = Events::default();
        for n in 0..300 {
            events.push(Occurrence::of(&Event::Alarm(format!("a\n{n}")), n).unwrap());
        }
        assert_eq!(events.list.len(), EVENTS_MAX);
        let seqs = |after, limit| -> Vec<u64> {
            events.after(after, limit).iter().map(|event| event.seq).collect()
        };
        assert_eq!(seqs(297, 10), [298, 299, 300]);
        assert_eq!(seqs(0, 2), [299, 300]);
        assert_eq!(seqs(300, 10), [0; 0]);
        assert_eq!(events.after(299, 1)[0].text, "a299", "no line break of a stranger");
    }
}
