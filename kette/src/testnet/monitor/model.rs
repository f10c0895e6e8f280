//! What the monitor shows, from the newest sample and the one before it; pure. `--once --json` prints it.

use crate::testnet::{
    directory::{LastAction, Manifest},
    logs::Names,
    status::{NetworkStatus, NodeStatus},
    topology::Topology,
    watch::{
        said::{Head, Observed, Said},
        tips::Spread,
    },
};
use alloy_primitives::B256;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Events shown.
pub const EVENTS: usize = 10;
/// Points of a chart.
const POINTS: usize = 60;
/// How much a block's own time may be behind, milliseconds: it has whole seconds, and so has a process's age.
const SLACK_MS: u64 = 2_000;
/// Figures are those of so many milliseconds.
const WINDOW_MS: u64 = 60_000;

/// All nodes' answers at one time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The network as it is on disk.
    pub manifest: Manifest,
    /// What its nodes said.
    pub said: Vec<Option<Said>>,
    /// What that means.
    pub status: NetworkStatus,
    /// Processor time of each process, seconds, where there is one.
    pub cpu_seconds: Vec<Option<f64>>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// What the monitor shows.
#[derive(Clone, Debug, Serialize)]
pub struct Model {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Preset or file that the network came from.
    pub source: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Seconds since the oldest process started.
    pub uptime_secs: u64,
    /// Blocks that the lowest head is ahead of what is final everywhere.
    pub finality_lag: u64,
    /// The network's status, as `kette net status --json` prints it.
    pub status: NetworkStatus,
    /// What the sample before this one adds, node by node.
    pub rates: Vec<Rates>,
    /// The chain over the last blocks.
    pub charts: Charts,
    /// The ten newest events of all nodes, newest last.
    pub events: Vec<Happened>,
    /// Sessions, components, first dials.
    pub topology: Topology,
    /// Heads, and who has them: more than one is a fork, or a block on its way.
    pub tips: Vec<Tip>,
    /// What each node's engine says.
    pub engines: Vec<Value>,
}

/// A node's rates between two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rates {
    /// Bytes received per second.
    pub rx: Option<f64>,
    /// Bytes sent per second.
    pub tx: Option<f64>,
    /// Processor time, percent of one core.
    pub cpu_percent: Option<f64>,
}

/// The newest blocks, over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Charts {
    /// Milliseconds between a block's first arrival anywhere and that of its parent, oldest first.
    pub block_ms: Vec<u64>,
    /// Transactions of canonical blocks that arrived in each of the last seconds, oldest first.
    pub tps: Vec<u64>,
    /// Milliseconds until the last node had each block, oldest first.
    pub spread_ms: Vec<u64>,
    /// Transactions per second, mean of the last minute.
    pub tps_mean: f64,
    /// Mean of `block_ms`.
    pub block_ms_mean: Option<u64>,
    /// Half of the deliveries of the last minute were as fast as this, milliseconds.
    pub spread_p50: Option<u64>,
    /// 95 % of them were.
    pub spread_p95: Option<u64>,
}

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Where.
    pub node: String,
    /// `info` or `warn`.
    pub level: String,
    /// A word.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// A head and who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tip {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Indexes of the nodes.
    pub nodes: Vec<usize>,
}

impl Model {
    /// Describes a sample; `before` is an earlier one, for rates.
    pub fn of(sample: &Sample, before: Option<&Sample>) -> Self {
        let said = || sample.said.iter().flatten();
        let lowest = sample.status.height;
        Self {
            at_ms: sample.at_ms,
            source: sample.manifest.source.clone(),
            chain_id: sample.manifest.chain_id,
            uptime_secs: said().map(|said| said.observed.uptime_seconds).max().unwrap_or(0),
            finality_lag: lowest.saturating_sub(sample.status.finalized),
            status: sample.status.clone(),
            rates: rates(sample, before),
            charts: charts(sample),
            events: events(sample),
            topology: Topology::of(&sample.manifest, &sample.said),
            tips: tips(&sample.said),
            engines: sample
                .said
                .iter()
                .map(|said| said.as_ref().map_or(Value::Null, |said| said.status.engine.clone()))
                .collect(),
        }
    }

    /// Returns a node's processor use: between two samples, or since its start.
    pub fn cpu(&self, node: usize) -> Option<f64> {
        let now = self.rates.get(node).and_then(|rates| rates.cpu_percent);
        now.or_else(|| self.node(node).and_then(|node| node.cpu_percent))
    }

    /// Returns a node.
    pub fn node(&self, node: usize) -> Option<&NodeStatus> {
        self.status.list.get(node)
    }
}

fn rates(sample: &Sample, before: Option<&Sample>) -> Vec<Rates> {
    let nodes = sample.manifest.nodes.len();
    let Some(before) = before.filter(|before| before.at_ms < sample.at_ms) else {
        return vec![Rates::default(); nodes];
    };
    let secs = (sample.at_ms - before.at_ms) as f64 / 1e3;
    let per_second = |now: u64, then: u64| {
        // A process that began anew counts from zero.
        now.checked_sub(then).map(|bytes| bytes as f64 / secs)
    };
    (0..nodes)
        .map(|node| {
            let then = before.said.get(node).and_then(Option::as_ref);
            let both = sample.said[node].as_ref().zip(then);
            let traffic = both.map(|(now, then)| (now.observed.traffic, then.observed.traffic));
            let cpu = sample.cpu_seconds[node].zip(before.cpu_seconds.get(node).copied().flatten());
            Rates {
                rx: traffic.and_then(|(now, then)| per_second(now.bytes_in, then.bytes_in)),
                tx: traffic.and_then(|(now, then)| per_second(now.bytes_out, then.bytes_out)),
                cpu_percent: cpu
                    .filter(|(now, then)| now >= then)
                    .map(|(now, then)| (now - then) * 100.0 / secs),
            }
        })
        .collect()
}

/// Returns the ten newest events by time.
fn events(sample: &Sample) -> Vec<Happened> {
    let names = Names::of(&sample.manifest);
    let mut all: Vec<Happened> = sample
        .manifest
        .nodes
        .iter()
        .zip(&sample.said)
        .flat_map(|(node, said)| {
            said.iter().flat_map(|said| &said.observed.events).map(|event| Happened {
                at_ms: event.at_ms,
                node: node.plan.name.clone(),
                level: event.level.clone(),
                kind: event.kind.clone(),
                text: event.text.clone(),
            })
        })
        .collect();
    // What was done to processes, nodes that stand still or are gone cannot say.
    all.extend(sample.manifest.nodes.iter().filter_map(|node| {
        let LastAction { at_ms, action } = node.last_action?;
        let (kind, text) = action.words();
        let level = if action.is_away() { "warn" } else { "info" };
        Some(Happened {
            at_ms,
            node: node.plan.name.clone(),
            level: level.to_owned(),
            kind: kind.to_owned(),
            text: text.to_owned(),
        })
    }));
    // Stable: what one node said in one millisecond stays in its order.
    all.sort_by_key(|event| event.at_ms);
    let mut newest = all.split_off(all.len().saturating_sub(EVENTS));
    for event in &mut newest {
        event.text = names.put(&event.text);
    }
    newest
}

fn tips(said: &[Option<Said>]) -> Vec<Tip> {
    let mut tips: BTreeMap<(u64, B256), Vec<usize>> = BTreeMap::new();
    for (node, said) in said.iter().enumerate() {
        if let Some(said) = said {
            tips.entry((said.status.height, said.status.hash)).or_default().push(node);
        }
    }
    tips.into_iter().rev().map(|((number, hash), nodes)| Tip { number, hash, nodes }).collect()
}

/// A block on its way: when the first and the last node had it.
#[derive(Clone, Copy)]
struct Arrival {
    first: u64,
    last: u64,
    transactions: u64,
}

/// Returns the heads without those that were made before the process began: it found them in its database or fetched
/// them later, and that says nothing about how blocks come.
fn arrived(observed: &Observed) -> &[Head] {
    let began_ms = observed.now_ms.saturating_sub(observed.uptime_seconds.saturating_mul(1_000));
    let old = |head: &Head| head.timestamp.saturating_mul(1_000) + SLACK_MS < began_ms;
    let from = observed.heads.iter().rposition(old).map_or(0, |last| last + 1);
    &observed.heads[from..]
}

fn charts(sample: &Sample) -> Charts {
    let heads: Vec<&[Head]> =
        sample.said.iter().flatten().map(|said| arrived(&said.observed)).collect();
    let mut arrivals: BTreeMap<B256, Arrival> = BTreeMap::new();
    for nodes in &heads {
        // The first one is where the node began, not a block that arrived.
        for head in nodes.iter().filter(|head| head.seq > 0) {
            let transactions = head.transactions;
            let new = Arrival { first: head.at_ms, last: head.at_ms, transactions };
            let seen = arrivals.entry(head.hash).or_insert(new);
            seen.first = seen.first.min(head.at_ms);
            seen.last = seen.last.max(head.at_ms);
        }
    }
    let chain = canonical(sample);
    let chain: Vec<Arrival> = chain.iter().filter_map(|hash| arrivals.get(hash).copied()).collect();
    let block_ms: Vec<u64> =
        chain.windows(2).map(|pair| pair[1].first.saturating_sub(pair[0].first)).collect();
    let spread_ms: Vec<u64> = chain.iter().map(|block| block.last - block.first).collect();
    let mut tps = vec![0; POINTS];
    for block in &chain {
        let ago = usize::try_from(sample.at_ms.saturating_sub(block.first) / 1_000);
        if let Some(place) = ago.ok().and_then(|ago| (POINTS - 1).checked_sub(ago)) {
            tps[place] += block.transactions;
        }
    }
    let spread = Spread::of(&heads, sample.at_ms.saturating_sub(WINDOW_MS));
    let count = u64::try_from(block_ms.len()).unwrap_or(u64::MAX);
    Charts {
        tps_mean: tps.iter().sum::<u64>() as f64 / POINTS as f64,
        block_ms_mean: block_ms.iter().sum::<u64>().checked_div(count),
        spread_p50: spread.percentile(50),
        spread_p95: spread.percentile(95),
        block_ms: newest(block_ms),
        spread_ms: newest(spread_ms),
        tps,
    }
}

/// Returns the newest blocks of the chain of the node that is highest, oldest first.
fn canonical(sample: &Sample) -> Vec<B256> {
    let top = sample.said.iter().flatten().max_by_key(|said| said.status.height);
    let Some(top) = top else { return Vec::new() };
    let mut chain: Vec<Head> = Vec::new();
    for head in &top.observed.heads {
        // A reorganization puts its blocks in the place of others.
        while chain.last().is_some_and(|last| last.number >= head.number) {
            chain.pop();
        }
        chain.push(*head);
    }
    chain.into_iter().map(|head| head.hash).collect()
}

fn newest(mut list: Vec<u64>) -> Vec<u64> {
    list.split_off(list.len().saturating_sub(POINTS))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testnet::{
        directory::Action,
        status,
        watch::{
            links::tests::{ATMN, network},
            said::Occurrence,
        },
    };
    use serde_json::json;

    /// The moment of all samples here.
    pub(crate) const NOW: u64 = 1_790_000_000_000;

    fn block(number: u64, node: u64) -> Head {
        let hash = |number: u64| B256::from(alloy_primitives::U256::from(number + 0xabcd_0000));
        Head {
            seq: number,
            // A block every second; node n has it 5 ms x n later.
            at_ms: NOW - 40_000 + number * 1_000 + node * 5,
            number,
            hash: hash(number),
            parent: hash(number.saturating_sub(1)),
            timestamp: (NOW - 40_000) / 1_000 + number,
            transactions: number % 5 * 10,
        }
    }

    /// `atmn` with 40 blocks; node 4 is down, node 7 a block behind.
    pub(crate) async fn sample(at_ms: u64) -> Sample {
        let sessions = [&ATMN[..], &[(9, 3, false), (1, 2, false), (8, 3, false)]].concat();
        let (manifest, mut said) = network("atmn", &sessions);
        let seconds = (at_ms - NOW) / 1_000;
        for (node, said) in (0u64..).zip(said.iter_mut()) {
            if node == 4 {
                *said = None;
                continue;
            }
            let Some(said) = said else { continue };
            let height = if node == 7 { 39 } else { 40 };
            said.status.height = height;
            said.status.hash = block(height, 0).hash;
            said.status.finalized = 34;
            said.status.finalized_hash = block(34, 0).hash;
            said.status.pending = 12;
            said.status.engine = json!({ "engine": "pow", "mining": true, "blocksFound": node, "difficulty": "0x1f4" });
            said.status.counters.blocks_received = 36;
            said.status.counters.blocks_sent = 20 + node;
            said.observed.now_ms = at_ms;
            said.observed.uptime_seconds = 3_725 + seconds;
            said.observed.head_changed_ms = block(height, node).at_ms;
            said.observed.heads = (0..=height).map(|number| block(number, node)).collect();
            said.observed.traffic.bytes_in = 100_000 + 2_048 * seconds;
            said.observed.traffic.bytes_out = 90_000 + 1_024 * (node + 1) * seconds;
            said.observed.events = (1..=3)
                .map(|seq| Occurrence {
                    seq,
                    at_ms: NOW - 30_000 + node * 100 + seq * 7_000,
                    level: if seq == 3 { "warn" } else { "info" }.to_owned(),
                    kind: if seq == 3 { "peer_fault" } else { "peer_up" }.to_owned(),
                    text: format!("event {seq} of node{node}"),
                })
                .collect();
            said.observed.errors.last_minute = u64::from(node == 6);
        }
        let status = status::judge(&manifest, &said, |_| "/nowhere".into()).await;
        let cpu_seconds =
            (0..10).map(|node| Some(f64::from(node) + seconds as f64 * 0.25)).collect();
        Sample { manifest, said, status, cpu_seconds, at_ms }
    }

    #[tokio::test]
    async fn the_ten_newest_events_of_all_nodes_are_shown() {
        let model = Model::of(&sample(NOW).await, None);
        let shown: Vec<(&str, &str)> =
            model.events.iter().map(|e| (e.node.as_str(), e.text.as_str())).collect();
        assert_eq!(shown.len(), EVENTS);
        assert_eq!(shown[9], ("node9", "event 3 of node9"));
        assert_eq!(shown[0], ("node9", "event 2 of node9"));
        assert!(model.events.is_sorted_by_key(|event| event.at_ms));
    }

    #[tokio::test]
    async fn what_was_done_to_a_process_is_an_event() {
        let mut sample = sample(NOW).await;
        sample.manifest.nodes[4].last_action =
            Some(LastAction { at_ms: NOW, action: Action::Paused });
        let last = Model::of(&sample, None).events.pop().expect("ten events");
        assert_eq!((last.node.as_str(), last.kind.as_str()), ("node4", "paused"));
        assert_eq!((last.level.as_str(), last.at_ms), ("warn", NOW));
    }

    #[tokio::test]
    async fn charts_are_those_of_the_chain() {
        let model = Model::of(&sample(NOW).await, None);
        let charts = &model.charts;
        assert_eq!(charts.block_ms, vec![1_000; 39]);
        assert_eq!(charts.spread_ms[5], 45, "node 9 is the last one");
        assert_eq!((charts.spread_p50, charts.spread_p95), (Some(25), Some(45)));
        assert_eq!(charts.tps.iter().sum::<u64>(), 800);
        assert_eq!(model.tips.iter().map(|tip| tip.nodes.len()).collect::<Vec<_>>(), [8, 1]);
        assert_eq!((model.finality_lag, model.uptime_secs), (5, 3_725));
    }

    #[tokio::test]
    async fn blocks_of_before_a_start_have_no_part_in_charts() {
        let mut sample = sample(NOW).await;
        // All began 10 s ago and found 30 blocks in their databases.
        for said in sample.said.iter_mut().flatten() {
            said.observed.uptime_seconds = 10;
            for head in said.observed.heads.iter_mut().filter(|head| head.number <= 30) {
                head.at_ms = NOW - 10_000;
                head.timestamp -= 600;
            }
        }
        let charts = Model::of(&sample, None).charts;
        assert_eq!((charts.block_ms, charts.block_ms_mean), (vec![1_000; 9], Some(1_000)));
    }

    #[tokio::test]
    async fn rates_are_between_two_samples() {
        let (before, now) = (sample(NOW).await, sample(NOW + 2_000).await);
        let model = Model::of(&now, Some(&before));
        assert_eq!((model.rates[1].rx, model.rates[1].tx), (Some(2_048.0), Some(2_048.0)));
        assert_eq!((model.rates[4].rx, model.cpu(2)), (None, Some(25.0)));
        // A process that began anew has no rate yet.
        let model = Model::of(&before, Some(&now));
        assert_eq!(model.rates[1], Rates::default());
    }

    #[tokio::test]
    async fn the_model_is_what_once_prints() {
        let shown = serde_json::to_value(Model::of(&sample(NOW).await, None)).unwrap();
        for path in [
            "/status/score",
            "/status/health/running_share",
            "/status/connectivity/score",
            "/status/list/3/handshakes_received",
            "/status/list/3/blocks_sent",
            "/charts/tps_mean",
            "/charts/spread_p95",
            "/events/9/text",
            "/topology/bootstraps/0/live",
            "/topology/session_ends",
            "/rates/0/rx",
            "/finality_lag",
            "/tips/0/hash",
        ] {
            assert!(shown.pointer(path).is_some(), "{path} is missing");
        }
    }
}
