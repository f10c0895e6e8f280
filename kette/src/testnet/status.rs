//! What a network is doing, from its nodes' own words.

use super::{
    directory::{Manifest, ManifestNode, ProcessId},
    score::{self, Band, Connectivity, Health, HealthParts},
    votes::MissingVotes,
    watch::{
        finality::{self, Conflict, Running},
        links::{self, Link},
        quorum,
        said::{self, Counters, Head, Said},
        tips,
        usage::Usage,
    },
};
use crate::client::Client;
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use std::{path::Path, time::Duration};

/// Tips that differ for longer cost points.
const DIVERGED_MS: u64 = 30_000;
/// A node that answers within this time is responsive (requirement A31).
const RESPONSIVE: Duration = Duration::from_millis(100);

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
    /// Components: running nodes that sessions join.
    pub components: usize,
    /// Sessions, each counted once.
    pub sessions: usize,
    /// Block hash, state root and weight are the same on all running nodes at `height`.
    pub hash_equal: bool,
    /// No two running nodes have different final blocks of one number.
    pub safe: bool,
    /// Which have, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    /// What validators that hear each other lack to decide, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quorum: Option<MissingVotes>,
    /// Highest number that all running nodes have.
    pub height: u64,
    /// Lowest final number of the running nodes.
    pub finalized: u64,
    /// How long blocks took to become final; only where they do so by votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finality_ms: Option<Finality>,
    /// Errors of all running nodes in the last 60 seconds.
    pub errors: u64,
    /// Seconds for which the tips have differed by more than two blocks, without a break; 0 if they do not.
    pub diverged_secs: u64,
    /// Health, 0 to 100.
    pub score: u8,
    /// Health in a word.
    pub band: Band,
    /// What the health score is made of.
    pub health: HealthParts,
    /// The second score, and what it is made of.
    pub connectivity: Connectivity,
    /// What the one process of all nodes uses, if they share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostUsage>,
    /// Node by node.
    #[serde(rename = "list")]
    pub list: Vec<NodeStatus>,
}

/// What the process of all nodes uses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HostUsage {
    /// Its number.
    pub pid: i32,
    /// Processor time in percent of its age; 100 is one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory in percent of the machine's.
    pub memory_percent: Option<f64>,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Proportional set size, bytes.
    pub pss_bytes: Option<u64>,
}

impl HostUsage {
    fn of(host: ProcessId) -> Option<Self> {
        let pid = host.is_alive().then_some(host.pid)?;
        let Usage { cpu_percent, memory_percent, rss_bytes, pss_bytes } = Usage::of(pid);
        Some(Self { pid, cpu_percent, memory_percent, rss_bytes, pss_bytes })
    }
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
    /// Number of the process that it runs in.
    pub pid: Option<i32>,
    /// The process stands still (SIGSTOP).
    pub paused: bool,
    /// `miner`, `validator` or `full`: what its engine does, or of one that does not answer what it is to do.
    pub role: &'static str,
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
    /// Of these, dialled by others.
    pub peers_in: usize,
    /// Of these, dialled by the node.
    pub peers_out: usize,
    /// Hellos done since its start, of sessions that it dialled.
    pub handshakes_sent: u64,
    /// Hellos done since its start, of sessions that others dialled.
    pub handshakes_received: u64,
    /// The head's number; none if it does not answer.
    pub height: Option<u64>,
    /// The head's hash.
    pub hash: String,
    /// Seconds since its head changed.
    pub head_age_secs: Option<f64>,
    /// Number of the newest final block; none if it does not answer.
    pub finalized: Option<u64>,
    /// Pending transactions.
    pub pending: u64,
    /// Transactions that wait for an earlier nonce.
    pub queued: u64,
    /// Whether it is catching up.
    pub syncing: bool,
    /// Blocks announced, times peers.
    pub blocks_sent: u64,
    /// Blocks received.
    pub blocks_received: u64,
    /// Blocks produced.
    pub blocks_produced: u64,
    /// Transactions sent, times peers.
    pub transactions_sent: u64,
    /// Transactions received.
    pub transactions_received: u64,
    /// Bytes received over its links.
    pub bytes_in: u64,
    /// Bytes sent over its links.
    pub bytes_out: u64,
    /// Errors in the last 60 seconds.
    pub errors: u64,
    /// How long it took to answer, milliseconds.
    pub answer_ms: Option<f64>,
    /// How far its peers' clocks are ahead of its own, milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// Seconds since it started.
    pub uptime_secs: u64,
    /// Processor time in percent of the process's age; 100 is one core.
    pub cpu_percent: Option<f64>,
    /// Resident memory in percent of the machine's.
    pub memory_percent: Option<f64>,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Proportional set size, bytes: memory of its own plus its share of shared pages.
    pub pss_bytes: Option<u64>,
    /// Database on disk, bytes, with its write-ahead log.
    pub db_bytes: Option<u64>,
    /// The blocks that exclude each other (`height`, `theirs`, `ours`), if the chain has forked and the node stopped.
    pub fork: Option<Value>,
    /// What its operator must see.
    pub alarms: Vec<String>,
}

/// Asks all nodes at once.
pub async fn ask(manifest: &Manifest, db: impl Fn(&str) -> std::path::PathBuf) -> NetworkStatus {
    let said = said::ask(manifest).await;
    judge(manifest, &said, db).await
}

/// Says how a network is, given its nodes' answers. Asks again only for what they leave open.
pub async fn judge(
    manifest: &Manifest,
    said: &[Option<Said>],
    db: impl Fn(&str) -> std::path::PathBuf,
) -> NetworkStatus {
    let running: Vec<Running<'_>> = manifest
        .nodes
        .iter()
        .zip(said)
        .filter_map(|(node, said)| said.as_ref().map(|said| (node, said)))
        .collect();
    let each = |number: fn(&Said) -> u64| running.iter().map(move |(_, said)| number(said));
    let height = each(|said| said.status.height).min().unwrap_or(0);
    let finalized = each(|said| said.status.finalized).min().unwrap_or(0);
    let hash_equal = !running.is_empty() && finality::same_at(&running, height).await;
    let conflict = if hash_equal && each(|s| s.status.finalized).all(|number| number <= height) {
        // One block stands for all below it.
        None
    } else {
        finality::conflict(&running).await
    };
    let links = links::links(manifest, said);
    let parts = links::components(said, &links);
    let (components, quorum) = (parts.len(), quorum::missing(said, &parts));
    let attempted = each(|said| said.status.counters.handshakes_attempted).sum();
    let handshakes = each(|said| said.status.counters.handshakes_completed).sum();
    let errors = each(|said| said.observed.errors.last_minute).sum();
    let diverged_ms = diverged_ms(&running);
    let health = Health {
        nodes: manifest.nodes.len(),
        running: running.len(),
        components,
        sessions_min: links::sessions_min(said, &links),
        errors: usize::try_from(errors).unwrap_or(usize::MAX),
        diverged: diverged_ms > DIVERGED_MS,
        no_quorum: quorum.is_some(),
        conflict: conflict.is_some(),
    };
    let parts = health.parts();
    let list = manifest
        .nodes
        .iter()
        .zip(said)
        .map(|(node, said)| node_status(node, said.as_ref(), &db(&node.plan.name)))
        .collect();
    NetworkStatus {
        name: manifest.name.clone(),
        nodes: manifest.nodes.len(),
        running: running.len(),
        connected: running.iter().filter(|(_, said)| !said.status.peers.is_empty()).count(),
        handshakes,
        handshake_success: percent(handshakes, attempted),
        components,
        sessions: links.len(),
        hash_equal,
        safe: conflict.is_none(),
        conflict,
        quorum,
        height,
        finalized,
        finality_ms: Finality::of(finality_times(&running).await),
        errors,
        diverged_secs: diverged_ms / 1_000,
        score: parts.score(),
        band: score::band(parts.score()),
        health: parts,
        connectivity: connectivity(manifest, &running, &links),
        host: manifest.host.and_then(HostUsage::of),
        list,
    }
}

fn connectivity(manifest: &Manifest, running: &[Running<'_>], links: &[Link]) -> Connectivity {
    let nodes = manifest.nodes.len();
    let count = |is: &dyn Fn(&Said) -> bool| running.iter().filter(|(_, said)| is(said)).count();
    let connected = manifest.nodes.iter().enumerate().filter(|(index, node)| {
        let here = running.iter().any(|(other, _)| other.peer_id == node.peer_id);
        here && (nodes == 1 || links.iter().any(|link| link.a == *index || link.b == *index))
    });
    Connectivity::of(
        nodes,
        running.len(),
        connected.count(),
        count(&|said| said.observed.errors.last_minute == 0),
        count(&|said| said.took <= RESPONSIVE),
    )
}

/// Returns for how long the tips have differed by more than two blocks, milliseconds.
fn diverged_ms(running: &[Running<'_>]) -> u64 {
    let now = running.iter().map(|(_, said)| said.observed.now_ms).max().unwrap_or(0);
    let heads: Vec<&[Head]> =
        running.iter().map(|(_, said)| said.observed.heads.as_slice()).collect();
    tips::apart_since(&heads, now).map_or(0, |since| now.saturating_sub(since))
}

fn percent(part: u64, whole: u64) -> f64 {
    (part * 10_000).checked_div(whole).map_or(100.0, |hundredths| hundredths as f64 / 100.0)
}

/// Collects how long blocks took to become final on each node.
async fn finality_times(running: &[Running<'_>]) -> Vec<u64> {
    let voting = running.iter().filter(|(_, said)| said.status.engine["engine"] == "bft");
    let times = join_all(voting.map(|(node, _)| async move {
        let client = Client::with_timeout(&node.rpc_url(), said::ANSWER_WITHIN).ok()?;
        client.ask::<Vec<u64>>("kette_finalityTimes", []).await.ok()
    }))
    .await;
    times.into_iter().flatten().flatten().collect()
}

fn node_status(node: &ManifestNode, said: Option<&Said>, db: &Path) -> NodeStatus {
    let process = node.process.filter(|process| process.is_alive());
    // What a thread uses of what it shares, nobody knows.
    let usage = process.filter(|it| it.host.is_none()).map(|it| Usage::of(it.pid));
    let usage = usage.unwrap_or_default();
    let pid = process.map(|process| process.host.unwrap_or(process.pid));
    let status = said.map(|said| &said.status);
    let observed = said.map(|said| &said.observed);
    let peers = status.map_or(&[][..], |status| &status.peers);
    let peers_out = peers.iter().filter(|peer| peer.direction == "outbound").count();
    let counters = status.map_or_else(Counters::default, |status| status.counters);
    let hellos = observed.map(|observed| observed.hellos).unwrap_or_default();
    let traffic = observed.map(|observed| observed.traffic).unwrap_or_default();
    NodeStatus {
        name: node.plan.name.clone(),
        running: said.is_some(),
        pid,
        paused: process.is_some_and(ProcessId::is_paused),
        role: role(node, status.map(|status| &status.engine)),
        tier: node.plan.tier,
        region: node.plan.region.clone(),
        p2p: node.ports.p2p,
        rpc: node.rpc_url(),
        peer_id: node.peer_id.clone(),
        peers: peers.len(),
        peers_in: peers.len() - peers_out,
        peers_out,
        handshakes_sent: hellos.out,
        handshakes_received: hellos.r#in,
        height: status.map(|status| status.height),
        hash: status.map(|status| status.hash.to_string()).unwrap_or_default(),
        head_age_secs: observed.map(|o| o.now_ms.saturating_sub(o.head_changed_ms) as f64 / 1e3),
        finalized: status.map(|status| status.finalized),
        pending: status.map_or(0, |status| status.pending),
        queued: status.map_or(0, |status| status.queued),
        syncing: status.is_some_and(|status| status.syncing.is_some()),
        blocks_sent: counters.blocks_sent,
        blocks_received: counters.blocks_received,
        blocks_produced: counters.blocks_produced,
        transactions_sent: counters.transactions_sent,
        transactions_received: counters.transactions_received,
        bytes_in: traffic.bytes_in,
        bytes_out: traffic.bytes_out,
        errors: observed.map_or(0, |observed| observed.errors.last_minute),
        answer_ms: said.map(|said| (said.took.as_secs_f64() * 1e5).round() / 1e2),
        clock_skew_ms: status.and_then(|status| status.clock_skew_ms),
        uptime_secs: observed.map_or(0, |observed| observed.uptime_seconds),
        cpu_percent: usage.cpu_percent,
        memory_percent: usage.memory_percent,
        rss_bytes: usage.rss_bytes,
        pss_bytes: usage.pss_bytes,
        db_bytes: db_bytes(db),
        fork: status.map(|status| &status.engine["fork"]).filter(|fork| !fork.is_null()).cloned(),
        alarms: status.map(|status| status.alarms.clone()).unwrap_or_default(),
    }
}

fn role(node: &ManifestNode, engine: Option<&Value>) -> &'static str {
    let does = |field: &str, planned: bool| engine.map_or(planned, |engine| engine[field] == true);
    match (does("mining", node.plan.miner), does("signing", node.plan.stake > 0)) {
        (true, _) => "miner",
        (_, true) => "validator",
        _ => "full",
    }
}

fn db_bytes(path: &Path) -> Option<u64> {
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
    use super::{super::watch::links::tests, *};
    use crate::commands::net::nodes::state;
    use alloy_primitives::B256;
    use serde_json::json;

    #[test]
    fn percentiles_are_times_that_occurred() {
        assert_eq!(Finality::of(Vec::new()), None);
        assert_eq!(Finality::of(vec![7]), Some(Finality { p50: 7, p99: 7, count: 1 }));
        let times = (1..=200).rev().collect();
        assert_eq!(Finality::of(times), Some(Finality { p50: 100, p99: 198, count: 200 }));
    }

    /// All ten nodes of `atmn` with two sessions or more each.
    fn whole() -> (Manifest, Vec<Option<Said>>) {
        let ring = (0..10).map(|node| (node, (node + 1) % 10, false)).collect::<Vec<_>>();
        let (manifest, mut said) = tests::network("atmn", &ring);
        for said in said.iter_mut().flatten() {
            said.status.hash = B256::with_last_byte(1);
            said.observed.now_ms = 600_000;
            said.observed.head_changed_ms = 1_000;
            said.observed.heads = vec![Head { at_ms: 1_000, ..Head::default() }];
        }
        (manifest, said)
    }

    async fn judged(manifest: &Manifest, said: &[Option<Said>]) -> NetworkStatus {
        judge(manifest, said, |_| "/nowhere".into()).await
    }

    #[tokio::test]
    async fn an_idle_network_is_excellent() {
        let (manifest, said) = whole();
        let status = judged(&manifest, &said).await;
        assert_eq!((status.score, status.band), (100, Band::Excellent));
        assert_eq!((status.connectivity.score, status.components, status.errors), (100, 1, 0));
        assert_eq!(status.list[0].head_age_secs, Some(599.0));
    }

    #[tokio::test]
    async fn an_error_is_counted_once_and_attributed() {
        let (manifest, mut said) = whole();
        said[5].as_mut().unwrap().observed.errors.last_minute = 1;
        let status = judged(&manifest, &said).await;
        assert_eq!((status.errors, status.health.errors_penalty), (1, 2));
        let with: Vec<_> = status.list.iter().filter(|node| node.errors > 0).collect();
        assert_eq!((with.len(), with[0].name.as_str()), (1, "node5"));
        // 22.5 of 25 points, whole points only.
        assert_eq!((status.connectivity.without_errors, status.connectivity.score), (22, 97));
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_costs_its_share() {
        let (manifest, mut said) = whole();
        said[9] = None;
        let status = judged(&manifest, &said).await;
        assert_eq!((status.running, status.score, status.band), (9, 90, Band::Good));
        let away = &status.list[9];
        assert_eq!((away.role, away.height, away.finalized), ("miner", None, None));
        assert_eq!(
            status.health.connected_bonus, 0,
            "nodes 0 and 8 have one session with a live node"
        );
    }

    #[tokio::test]
    async fn a_node_that_a_fork_stopped_is_called_so() {
        let (manifest, mut said) = whole();
        let fork =
            json!({ "height": 7, "theirs": B256::repeat_byte(1), "ours": B256::repeat_byte(2) });
        for (node, fork) in [(2, Value::Null), (3, fork.clone())] {
            let engine = json!({ "engine": "bft", "fork": fork });
            said[node].as_mut().unwrap().status.engine = engine;
        }
        let status = judged(&manifest, &said).await;
        let forks: Vec<_> = status.list.iter().filter_map(|node| node.fork.clone()).collect();
        assert_eq!(forks, [fork]);
        let states = [2, 3].map(|node| state(&status.list[node]));
        assert_eq!(states, ["up", "forked"]);
    }

    #[tokio::test]
    async fn tips_that_differ_for_long_cost_points() {
        let (manifest, mut said) = whole();
        let ahead: Vec<Head> = (0..=3u8)
            .map(|n| Head {
                at_ms: 500_000 + u64::from(n),
                number: n.into(),
                hash: B256::with_last_byte(n),
                parent: B256::with_last_byte(n.saturating_sub(1)),
                ..Head::default()
            })
            .collect();
        let one = said[3].as_mut().unwrap();
        one.status.height = 3;
        one.observed.heads = ahead;
        let status = judged(&manifest, &said).await;
        assert_eq!((status.diverged_secs, status.health.diverged_penalty), (99, 10));
        assert_eq!((status.score, status.safe), (95, true));
    }

    #[tokio::test]
    async fn conflicting_finality_is_worth_nothing() {
        let (manifest, mut said) = whole();
        said[2].as_mut().unwrap().status.finalized_hash = B256::repeat_byte(9);
        said[2].as_mut().unwrap().observed.heads[0].hash = B256::repeat_byte(9);
        let status = judged(&manifest, &said).await;
        assert_eq!((status.score, status.safe, status.hash_equal), (0, false, false));
        assert_eq!(status.conflict.unwrap().number, 0);
    }
}
