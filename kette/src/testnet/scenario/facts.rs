//! What a node says of itself (`kette_status`), as the facts that steps wait for and checks judge; pure.

use alloy_primitives::{B256, U256};
use kette_sim::scenario::NodeFacts;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// The part of `kette_status` that counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Who says so.
    pub peer_id: String,
    /// The head's number.
    pub height: u64,
    /// The head's hash.
    pub hash: B256,
    /// The head's state root.
    pub state_root: B256,
    /// Cumulative weight of the head.
    pub weight: U256,
    /// Number of the newest final block.
    pub finalized: u64,
    /// Its hash.
    pub finalized_hash: B256,
    syncing: Option<IgnoredAny>,
    /// Transactions that can go into the next block.
    pub pending: usize,
    /// Transactions that wait for an earlier nonce.
    pub queued: usize,
    peers: Vec<Peer>,
    /// Counters since the process began.
    pub counters: Counters,
    /// What an operator must see.
    pub alarms: Vec<String>,
}

/// The part of a session that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Peer {
    /// With whom.
    pub id: String,
}

/// Counters since a process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Counters {
    /// Blocks that it produced.
    pub blocks_produced: u64,
    /// Reorganizations.
    pub reorgs: u64,
    /// Deepest of them.
    pub reorg_depth_max: u64,
    /// Bans that it pronounced.
    pub bans: u64,
    /// Sessions begun.
    pub handshakes_attempted: u64,
    /// Sessions whose hello was done.
    pub handshakes_completed: u64,
    /// Of these, ended by a peer that had no room.
    pub sessions_refused: u64,
    /// Dials that reached nobody.
    pub dials_failed: u64,
    /// Faults of its peers.
    pub faults: u64,
}

impl Answer {
    /// Returns the facts about a node that is called `name`; `places` has the place of each identity in the plan.
    pub fn facts(
        &self,
        name: &str,
        up: bool,
        honest: bool,
        places: &BTreeMap<String, usize>,
    ) -> NodeFacts {
        NodeFacts {
            name: name.to_owned(),
            up,
            honest,
            height: self.height,
            hash: self.hash,
            state_root: self.state_root,
            weight: self.weight,
            finalized: self.finalized,
            finalized_hash: self.finalized_hash,
            peers: self.peers.len(),
            sessions: self.peers.iter().filter_map(|peer| places.get(&peer.id).copied()).collect(),
            handshakes_attempted: self.counters.handshakes_attempted,
            handshakes_completed: self.counters.handshakes_completed,
            sessions_refused: self.counters.sessions_refused,
            dials_failed: self.counters.dials_failed,
            faults: self.counters.faults,
            pending: self.pending,
            reorgs: self.counters.reorgs,
            reorg_depth_max: self.counters.reorg_depth_max,
            syncing: self.syncing.is_some(),
            produced: self.counters.blocks_produced,
            bans: self.counters.bans,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_a_node_says() {
        let hash = B256::repeat_byte(7);
        let said = json!({
            "peerId": "12D3", "height": 12, "hash": hash, "stateRoot": B256::ZERO, "weight": "0x1900", "finalized": 6,
            "finalizedHash": hash, "syncing": { "starting": 1, "current": 2, "highest": 3 }, "pending": 4,
            "queued": 1, "peers": [{ "id": "a" }, { "id": "b" }], "moniker": "n",
            "counters": { "blocksProduced": 5, "reorgs": 2, "reorgDepthMax": 3, "bans": 0, "faults": 1 },
            "alarms": ["disk full"],
        });
        let answer: Answer = serde_json::from_value(said).unwrap();
        let places = BTreeMap::from([("b".to_owned(), 3)]);
        let facts = answer.facts("n", true, true, &places);
        assert_eq!((facts.sessions.as_slice(), facts.faults), ([3].as_slice(), 1));
        assert_eq!((facts.height, facts.hash, facts.finalized, facts.peers), (12, hash, 6, 2));
        assert_eq!((facts.produced, facts.reorgs, facts.reorg_depth_max), (5, 2, 3));
        assert!(facts.syncing && facts.up && facts.honest && facts.weight == U256::from(0x1900));
        assert_eq!((answer.queued, answer.alarms.len()), (1, 1));
    }
}
