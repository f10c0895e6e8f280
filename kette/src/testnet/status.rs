//! What a network is doing, from its nodes' own words.

use super::{
    directory::{Manifest, ManifestNode},
    score::{self, Band, Health},
};
use crate::client::Client;
use futures::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A node that does not answer within this time counts as not running.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A network's state.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkStatus {
    /// Name for people.
    pub name: String,
    /// Nodes planned.
    pub nodes: usize,
    /// Nodes that answer.
    pub running: usize,
    /// Nodes with at least one session.
    pub connected: usize,
    /// Hellos done, counted on both sides of each session.
    pub handshakes: u64,
    /// Share of sessions begun whose hello was done, percent.
    pub handshake_success: f64,
    /// Groups of running nodes without a session between them.
    pub components: usize,
    /// Sessions, each counted once.
    pub sessions: usize,
    /// Block hash, state root and weight are the same on all running nodes at `height`.
    pub hash_equal: bool,
    /// All running nodes have the same block at `finalized`.
    pub safe: bool,
    /// Highest number that all running nodes have.
    pub height: u64,
    /// Lowest final number of the running nodes.
    pub finalized: u64,
    /// How long blocks took to become final; only where they do so by votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finality_ms: Option<Finality>,
    /// Health, 0 to 100.
    pub score: u8,
    /// Health in a word.
    pub band: Band,
    /// Node by node.
    #[serde(rename = "list")]
    pub list: Vec<NodeStatus>,
}

/// Milliseconds from a block's own time to its finality, over all running nodes and their newest blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Finality {
    /// Half of the times are at most this.
    pub p50: u64,
    /// 99 % of the times are at most this.
    pub p99: u64,
    /// How many times there are: blocks times nodes.
    pub count: usize,
}

impl Finality {
    fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).checked_sub(1)?);
        Some(Self { p50: *at(50)?, p99: *at(99)?, count: times.len() })
    }
}

/// One node's state.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub running: bool,
    /// Process number.
    pub pid: Option<i32>,
    /// Bootstrap tier.
    pub tier: u32,
    /// Region label.
    pub region: String,
    /// P2P port.
    pub p2p: u16,
    /// JSON-RPC address.
    pub rpc: String,
    /// Identity.
    pub peer_id: String,
    /// Sessions.
    pub peers: usize,
    /// The head's number.
    pub height: u64,
    /// The head's hash.
    pub hash: String,
    /// Number of the newest final block.
    pub finalized: u64,
    /// Pending transactions.
    pub pending: u64,
    /// Whether it is catching up.
    pub syncing: bool,
    /// Proportional set size, bytes: memory of its own plus its share of shared pages.
    pub pss_bytes: Option<u64>,
    /// Database on disk, bytes, with its write-ahead log.
    pub db_bytes: Option<u64>,
    /// What its operator must see.
    pub alarms: Vec<String>,
}

/// Asks all nodes at once.
pub async fn ask(manifest: &Manifest, db: impl Fn(&str) -> std::path::PathBuf) -> NetworkStatus {
    let answers = join_all(manifest.nodes.iter().map(ask_node)).await;
    let running: Vec<(&ManifestNode, &Value)> = manifest
        .nodes
        .iter()
        .zip(&answers)
        .filter_map(|(node, answer)| answer.as_ref().map(|answer| (node, answer)))
        .collect();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let height = running.iter().map(|(_, a)| number(&a["height"])).min().unwrap_or(0);
    let finalized = running.iter().map(|(_, a)| number(&a["finalized"])).min().unwrap_or(0);
    let hash_equal = !running.is_empty() && same_at(&running, height).await;
    let safe = hash_equal || same_at(&running, finalized).await;
    let links = links(&running);
    let components = components(&running, &links);
    let peer_counts: Vec<usize> =
        running.iter().map(|(_, a)| a["peers"].as_array().map_or(0, Vec::len)).collect();
    let counter =
        |name: &str| -> u64 { running.iter().map(|(_, a)| number(&a["counters"][name])).sum() };
    let (attempted, handshakes) = (counter("handshakesAttempted"), counter("handshakesCompleted"));
    let health = Health {
        nodes: manifest.nodes.len(),
        running: running.len(),
        components,
        sessions_min: peer_counts.iter().copied().min().unwrap_or(0),
        errors: 0,
        diverged: false,
    };
    // Conflicting finality is the one thing that nothing makes up for.
    let score = if safe { score::score(&health) } else { 0 };
    let list = manifest
        .nodes
        .iter()
        .zip(&answers)
        .map(|(node, answer)| node_status(node, answer.as_ref(), &db(&node.plan.name)))
        .collect();
    NetworkStatus {
        name: manifest.name.clone(),
        nodes: manifest.nodes.len(),
        running: running.len(),
        connected: peer_counts.iter().filter(|count| **count > 0).count(),
        handshakes,
        handshake_success: percent(handshakes, attempted),
        components,
        sessions: links.len(),
        hash_equal,
        safe,
        height,
        finalized,
        finality_ms: Finality::of(finality_times(&running).await),
        score,
        band: score::band(score),
        list,
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    (part * 10_000).checked_div(whole).map_or(100.0, |hundredths| hundredths as f64 / 100.0)
}

async fn ask_node(node: &ManifestNode) -> Option<Value> {
    let client = Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN).ok()?;
    let answer: Value = client.ask("kette_status", []).await.ok()?;
    // Another network may have the ports of one that is down.
    (answer["peerId"] == node.peer_id.as_str()).then_some(answer)
}

/// Collects how long blocks took to become final on each node.
async fn finality_times(running: &[(&ManifestNode, &Value)]) -> Vec<u64> {
    let voting = running.iter().filter(|(_, answer)| answer["engine"]["engine"] == "bft");
    let times = join_all(voting.map(|(node, _)| async move {
        let client = Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN).ok()?;
        client.ask::<Vec<u64>>("kette_finalityTimes", []).await.ok()
    }))
    .await;
    times.into_iter().flatten().flatten().collect()
}

/// Tells whether all nodes have the same block, state and weight at this height.
async fn same_at(running: &[(&ManifestNode, &Value)], height: u64) -> bool {
    let views = join_all(running.iter().map(|(node, _)| async move {
        let client = Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN).ok()?;
        let block: Value =
            client.ask("kette_block", [json!(format!("0x{height:x}"))]).await.ok()?;
        let header = block.get("header").unwrap_or(&block);
        let fields = [&header["hash"], &header["stateRoot"], &block["totalWeight"]];
        fields.iter().all(|field| !field.is_null()).then(|| fields.map(Value::to_string))
    }))
    .await;
    views.iter().all(Option::is_some) && views.windows(2).all(|pair| pair[0] == pair[1])
}

/// Returns all sessions, each once.
fn links(running: &[(&ManifestNode, &Value)]) -> BTreeSet<(String, String)> {
    let known: BTreeSet<&str> = running.iter().map(|(node, _)| node.peer_id.as_str()).collect();
    let mut links = BTreeSet::new();
    for (node, answer) in running {
        for peer in answer["peers"].as_array().into_iter().flatten() {
            let Some(other) = peer["id"].as_str().filter(|id| known.contains(id)) else { continue };
            let (a, b) = (node.peer_id.clone(), other.to_owned());
            links.insert(if a < b { (a, b) } else { (b, a) });
        }
    }
    links
}

fn components(running: &[(&ManifestNode, &Value)], links: &BTreeSet<(String, String)>) -> usize {
    let mut group: BTreeMap<&str, usize> =
        running.iter().enumerate().map(|(i, (node, _))| (node.peer_id.as_str(), i)).collect();
    for (a, b) in links {
        let (from, to) = (group[b.as_str()], group[a.as_str()]);
        for value in group.values_mut().filter(|value| **value == from) {
            *value = to;
        }
    }
    group.values().collect::<BTreeSet<_>>().len()
}

fn node_status(node: &ManifestNode, answer: Option<&Value>, db: &std::path::Path) -> NodeStatus {
    let null = Value::Null;
    let answer = answer.unwrap_or(&null);
    let pid = node.process.filter(|process| process.is_alive()).map(|process| process.pid);
    NodeStatus {
        name: node.plan.name.clone(),
        running: !answer.is_null(),
        pid,
        tier: node.plan.tier,
        region: node.plan.region.clone(),
        p2p: node.ports.p2p,
        rpc: node.rpc_url(),
        peer_id: node.peer_id.clone(),
        peers: answer["peers"].as_array().map_or(0, Vec::len),
        height: answer["height"].as_u64().unwrap_or(0),
        hash: answer["hash"].as_str().unwrap_or_default().to_owned(),
        finalized: answer["finalized"].as_u64().unwrap_or(0),
        pending: answer["pending"].as_u64().unwrap_or(0),
        syncing: !answer["syncing"].is_null(),
        pss_bytes: pid.and_then(pss_bytes),
        db_bytes: db_bytes(db),
        alarms: answer["alarms"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|alarm| alarm.as_str().map(str::to_owned))
            .collect(),
    }
}

/// Returns the proportional set size of a process, from `/proc/PID/smaps_rollup`.
fn pss_bytes(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

fn db_bytes(path: &std::path::Path) -> Option<u64> {
    let mut wal = path.to_path_buf().into_os_string();
    wal.push("-wal");
    let file = std::fs::metadata(path).ok()?.len();
    Some(file + std::fs::metadata(wal).map_or(0, |meta| meta.len()))
}

impl ManifestNode {
    /// Returns the address of the node's JSON-RPC.
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.rpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        assert_eq!(Finality::of(Vec::new()), None);
        assert_eq!(Finality::of(vec![7]), Some(Finality { p50: 7, p99: 7, count: 1 }));
        let times = (1..=200).rev().collect();
        assert_eq!(Finality::of(times), Some(Finality { p50: 100, p99: 198, count: 200 }));
    }
}
