//! What a node says of itself: `kette_status` and `kette_observe`, asked of all nodes at once.

use crate::{
    client::Client,
    testnet::directory::{Manifest, ManifestNode},
};
use alloy_primitives::B256;
use futures::future::join_all;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A node that does not answer within this time counts as not running.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// One node's answers.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Numbers and lists.
    pub status: Status,
    /// What watchers ask again and again.
    pub observed: Observed,
    /// How long the first of the two took.
    pub took: Duration,
}

/// The part of `kette_status` that counts here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Identity.
    pub peer_id: String,
    /// The head's number.
    pub height: u64,
    /// The head's hash.
    pub hash: B256,
    /// Number of the newest final block.
    pub finalized: u64,
    /// Its hash.
    pub finalized_hash: B256,
    /// There while it catches up.
    pub syncing: Option<IgnoredAny>,
    /// Transactions that can go into the next block.
    pub pending: u64,
    /// Transactions that wait for an earlier nonce.
    pub queued: u64,
    /// Sessions.
    pub peers: Vec<Peer>,
    /// What the engine says.
    pub engine: Value,
    /// How far peers' clocks are ahead, milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// Since the process began.
    pub counters: Counters,
    /// What its operator must see.
    pub alarms: Vec<String>,
}

/// One session of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// With whom.
    pub id: String,
    /// `outbound` if this node dialled.
    pub direction: String,
    /// The last round trip, milliseconds.
    pub rtt_ms: Option<u64>,
    /// Age, seconds.
    pub age_secs: u64,
    /// The peer is configured: this node's first dial.
    pub persistent: bool,
}

/// Counters since a process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counters {
    /// Blocks produced.
    pub blocks_produced: u64,
    /// Blocks announced, times peers.
    pub blocks_sent: u64,
    /// Blocks received.
    pub blocks_received: u64,
    /// Transactions sent, times peers.
    pub transactions_sent: u64,
    /// Transactions received.
    pub transactions_received: u64,
    /// Sessions begun.
    pub handshakes_attempted: u64,
    /// Sessions whose hello was done.
    pub handshakes_completed: u64,
    /// Reorganizations.
    pub reorgs: u64,
    /// Deepest of them.
    pub reorg_depth_max: u64,
}

/// What `kette_observe` says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// The node's clock, milliseconds since 1970.
    pub now_ms: u64,
    /// Age of the process, seconds.
    pub uptime_seconds: u64,
    /// When its head changed last.
    pub head_changed_ms: u64,
    /// Newest heads, oldest first; the first one may be the head that it began with.
    pub heads: Vec<Head>,
    /// Newest events, oldest first.
    pub events: Vec<Occurrence>,
    /// Errors.
    pub errors: Errors,
    /// Hellos done.
    pub hellos: Hellos,
    /// What went over its links.
    pub traffic: Traffic,
    /// What its process uses.
    pub process: Process,
}

/// A block that became a node's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Place in the order of the node's heads.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Its parent.
    pub parent: B256,
    /// Its own time, seconds.
    pub timestamp: u64,
    /// How many it has.
    pub transactions: u64,
}

/// Something that happened on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// Place in the order of the node's events.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// `info` or `warn`.
    pub level: String,
    /// A word.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// A node's errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Errors {
    /// In the last 60 seconds.
    pub last_minute: u64,
    /// Since the start, by kind.
    pub kinds: BTreeMap<String, u64>,
}

/// Hellos done since a node's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Hellos {
    /// Of sessions that it dialled.
    pub out: u64,
    /// Of sessions that others dialled.
    pub r#in: u64,
}

/// What went over a node's links since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// What a node's process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Processor time since its start, seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory in use, bytes.
    pub rss_bytes: Option<u64>,
}

/// Asks all nodes at once; `None` for those that do not answer.
pub async fn ask(manifest: &Manifest) -> Vec<Option<Said>> {
    join_all(manifest.nodes.iter().map(ask_node)).await
}

async fn ask_node(node: &ManifestNode) -> Option<Said> {
    let client = Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN).ok()?;
    let began = Instant::now();
    let status: Status = client.ask("kette_status", []).await.ok()?;
    let took = began.elapsed();
    // Another network may have the ports of one that is down.
    if status.peer_id != node.peer_id {
        return None;
    }
    let observed = client.ask("kette_observe", []).await.ok()?;
    Some(Said { status, observed, took })
}

impl Said {
    /// Returns the canonical block of this number, if it is among the newest heads.
    pub fn canonical(&self, number: u64) -> Option<B256> {
        if number > self.status.height {
            return None;
        }
        // After a reorganization its blocks stand behind those that they replaced.
        self.observed.heads.iter().rev().find(|head| head.number == number).map(|head| head.hash)
    }
}

/// Asks a node for the hash of a canonical block.
pub async fn hash_at(node: &ManifestNode, number: u64) -> Option<B256> {
    let client = Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN).ok()?;
    let block: Value = client.ask("kette_block", [json!(format!("0x{number:x}"))]).await.ok()?;
    block["hash"].as_str()?.parse().ok()
}
