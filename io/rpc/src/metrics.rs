//! Prometheus metrics: what is counted here, and what is read from the node's snapshot at each scrape.

use crate::{context::Context, middleware::UNKNOWN, process, table, votes::Votes};
use kette_consensus::Status as Engine;
use kette_node::{Event, Rejection};
use kette_types::Direction;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

type Labels = Vec<(&'static str, String)>;
type Decimal = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// Counters and histograms that only events can fill.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Names that may become labels; strangers choose the others.
    methods: BTreeSet<&'static str>,
    build: Labels,
    calls: Family<CallLabels, Histogram>,
    rejected: Family<Labels, Counter>,
    dropped: Family<ReasonLabels, Counter>,
    faults: Family<ReasonLabels, Counter>,
    block_interval: Histogram,
    reorg_depth: Histogram,
    handshake: Histogram,
    last_timestamp: Mutex<Option<u64>>,
    /// Of blocks that became canonical; those of replaced blocks stay counted.
    transactions: Counter,
    /// Of the engine `bft`.
    pub(crate) votes: Votes,
}

impl Metrics {
    /// Starts counting.
    pub(crate) fn new(version: &str, commit: &str, engine: &str) -> Self {
        let build = [("version", version), ("commit", commit), ("engine", engine)];
        Self {
            methods: table::all().map(|method| method.name).collect(),
            build: build.map(|(name, value)| (name, value.to_owned())).to_vec(),
            calls: Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS)),
            rejected: Family::default(),
            dropped: Family::default(),
            faults: Family::default(),
            block_interval: Histogram::new(INTERVAL_BUCKETS),
            reorg_depth: Histogram::new(DEPTH_BUCKETS),
            handshake: Histogram::new(CALL_BUCKETS),
            last_timestamp: Mutex::default(),
            transactions: Counter::default(),
            votes: Votes::new(),
        }
    }

    /// Returns a method's name as it stands in the table, if it does.
    pub(crate) fn method(&self, name: &str) -> Option<&'static str> {
        self.methods.get(name).copied()
    }

    /// Counts a call.
    pub(crate) fn called(&self, method: &'static str, code: i32, took: Duration) {
        debug_assert!(method == UNKNOWN || self.methods.contains(method), "labels are bounded");
        self.calls.get_or_create(&CallLabels { method, code }).observe(took.as_secs_f64());
    }

    /// Counts a transaction that the pool refused; the reason is the name of the rule.
    pub(crate) fn rejected(&self, rejection: &Rejection) {
        let shown = format!("{rejection:?}");
        let rule = shown.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        self.rejected.get_or_create(&vec![("reason", rule.to_owned())]).inc();
    }

    /// Counts what happened.
    pub(crate) fn observe(&self, event: &Event, syncing: bool) {
        match event {
            Event::Engine(event) => self.votes.observe(event, syncing),
            Event::Head { added, depth, .. } => {
                if *depth > 0 {
                    self.reorg_depth.observe(*depth as f64);
                }
                let mut last = self.last_timestamp.lock().unwrap_or_else(PoisonError::into_inner);
                for block in added {
                    self.transactions.inc_by(wide(block.block.body.transactions.len()));
                    let timestamp = block.block.header.timestamp;
                    if let Some(last) = last.filter(|last| *last <= timestamp) {
                        self.block_interval.observe((timestamp - last) as f64);
                    }
                    *last = Some(timestamp);
                }
            }
            Event::Dropped { reason, .. } => {
                self.dropped.get_or_create(&ReasonLabels { reason }).inc();
            }
            Event::PeerFault { fault, .. } => {
                self.faults.get_or_create(&ReasonLabels { reason: fault.kind() }).inc();
            }
            Event::PeerUp { handshake_ms, .. } => {
                self.handshake.observe(Duration::from_millis(*handshake_ms).as_secs_f64());
            }
            _ => {}
        }
    }

    /// Renders everything in the text format that Prometheus reads.
    ///
    /// # Errors
    /// Never on a plain string; the format library's interface has it.
    pub(crate) fn render(&self, cx: &Context) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::default();
        let kette = registry.sub_registry_with_prefix("kette");
        kette.register("build", "What runs", Info::new(self.build.clone()));
        self.node(kette, cx);
        if let Engine::Bft(status) = &cx.view().status.engine {
            self.votes.register(kette.sub_registry_with_prefix("consensus"), status);
        }
        network(kette, cx);
        kette.register("rpc_request_seconds", "Time to answer a call", self.calls.clone());
        kette.register("mempool_rejected", "Transactions refused", self.rejected.clone());
        kette.register("mempool_dropped", "Transactions dropped unmined", self.dropped.clone());
        kette.register("p2p_faults", "What peers did wrong", self.faults.clone());
        kette.register(
            "chain_block_interval_seconds",
            "Seconds between timestamps of neighbouring blocks",
            self.block_interval.clone(),
        );
        kette.register("chain_reorg_depth", "Blocks replaced at once", self.reorg_depth.clone());
        kette.register(
            "p2p_handshake_seconds",
            "Time to connect and greet",
            self.handshake.clone(),
        );
        self.errors(kette, cx);
        usage(registry.sub_registry_with_prefix("process"), cx);
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }

    fn node(&self, registry: &mut Registry, cx: &Context) {
        let view = cx.view();
        let status = &view.status;
        let counters = &status.counters;
        let behind = status.syncing.map_or(0, |sync| sync.highest.saturating_sub(sync.current));
        for (name, help, value) in [
            ("chain_height", "Number of the head", status.height),
            ("chain_finalized_height", "Number of the newest final block", status.finalized),
            ("chain_head_timestamp_seconds", "Timestamp of the head", status.timestamp),
            ("chain_tree_blocks", "Blocks that may still be canonical", wide(status.tree_blocks)),
            ("chain_reorg_depth_max", "Deepest reorganization", counters.reorg_depth_max),
            ("mempool_bytes", "Bytes of waiting transactions", wide(status.pool_bytes)),
            ("p2p_known_addresses", "Addresses in the address book", wide(status.known_addresses)),
            ("sync_blocks_behind", "Blocks behind the best known chain", behind),
            ("alarms", "Alarms shown by the node", wide(status.alarms.len())),
        ] {
            registry.register(name, help, gauge(value));
        }
        for (name, help, value) in [
            ("chain_reorgs", "Reorganizations", counters.reorgs),
            ("chain_blocks_imported", "Blocks attached to the tree", counters.blocks_imported),
            ("chain_blocks_produced", "Blocks this node produced", counters.blocks_produced),
            ("chain_blocks_invalid", "Blocks that broke a rule", counters.blocks_invalid),
            ("chain_blocks_sent", "Blocks announced, times peers", counters.blocks_sent),
            ("chain_blocks_received", "Blocks received from peers", counters.blocks_received),
            ("chain_transactions", "Transactions of canonical blocks", self.transactions.get()),
            ("mempool_sent", "Transactions sent, times peers", counters.transactions_sent),
            ("mempool_received", "Transactions received", counters.transactions_received),
            ("p2p_handshakes_attempted", "Sessions begun", counters.handshakes_attempted),
            ("p2p_handshakes_completed", "Sessions greeted", counters.handshakes_completed),
            ("p2p_sessions_refused", "Sessions that full peers ended", counters.sessions_refused),
            ("p2p_bans", "Bans", counters.bans),
            ("p2p_handled", "Messages handled by the node", counters.messages),
        ] {
            registry.register(name, help, counter(value));
        }
        let transactions = Family::<Labels, Gauge>::default();
        for (state, count) in [("pending", status.pending), ("queued", status.queued)] {
            let labels = vec![("state", state.to_owned())];
            transactions.get_or_create(&labels).set(count.try_into().unwrap_or(i64::MAX));
        }
        registry.register("mempool_transactions", "Waiting transactions", transactions);
        let peers = Family::<Labels, Gauge>::default();
        for (name, direction) in
            [("inbound", Direction::Inbound), ("outbound", Direction::Outbound)]
        {
            let count = status.peers.iter().filter(|peer| peer.direction == direction).count();
            let labels = vec![("direction", name.to_owned())];
            peers.get_or_create(&labels).set(count.try_into().unwrap_or(i64::MAX));
        }
        registry.register("p2p_peers", "Sessions", peers);
        if let Some(skew) = status.clock_skew_ms {
            let help = "How far peers' clocks are ahead of this one, median";
            registry.register("clock_skew_seconds", help, decimal(skew as f64 / 1_000.0));
        }
    }

    fn errors(&self, registry: &mut Registry, cx: &Context) {
        let errors = Family::<Labels, Counter>::default();
        for kind in ["alarm", "invalid_block", "log", "peer_fault"] {
            let count = cx.recent.errors.kinds().get(kind).copied().unwrap_or(0);
            errors.get_or_create(&vec![("kind", kind.to_owned())]).inc_by(count);
        }
        registry.register("errors", "What went wrong, by kind", errors);
        let hellos = Family::<Labels, Counter>::default();
        for (direction, count) in ["outbound", "inbound"].iter().zip(cx.recent.hellos()) {
            let labels = vec![("direction", (*direction).to_owned())];
            hellos.get_or_create(&labels).inc_by(count);
        }
        registry.register("p2p_hellos", "Hellos done, by who dialled", hellos);
        let recent = gauge(cx.recent.errors.last_minute());
        registry.register("errors_last_minute", "Errors of the last 60 seconds", recent);
    }
}

fn network(registry: &mut Registry, cx: &Context) {
    let traffic = cx.network.traffic();
    let bytes = Family::<Labels, Counter>::default();
    let messages = Family::<Labels, Counter>::default();
    for (kind, counts) in &traffic.kinds {
        for (direction, byte_count, message_count) in [
            ("in", counts.bytes_in, counts.messages_in),
            ("out", counts.bytes_out, counts.messages_out),
        ] {
            let labels = vec![("direction", direction.to_owned()), ("kind", kind.clone())];
            bytes.get_or_create(&labels).inc_by(byte_count);
            messages.get_or_create(&labels).inc_by(message_count);
        }
    }
    registry.register("p2p_bytes", "Bytes over links", bytes);
    registry.register("p2p_messages", "Messages over links", messages);
    if let Some(rtt) = traffic.rtt_ms {
        let help = "Mean round trip of the sessions";
        registry.register("p2p_rtt_seconds", help, decimal(rtt / 1_000.0));
    }
}

/// What Linux tells of this process; elsewhere only the uptime.
fn usage(registry: &mut Registry, cx: &Context) {
    let uptime = cx.started.elapsed().as_secs_f64();
    registry.register("uptime_seconds", "Seconds since RPC started", decimal(uptime));
    let usage = process::usage();
    if let Some(seconds) = usage.cpu_seconds {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(seconds);
        registry.register("cpu_seconds", "Processor time", counter);
    }
    for (name, help, value) in [
        ("resident_memory_bytes", "Memory in use", usage.rss_bytes),
        ("threads", "Threads", usage.threads),
        ("open_fds", "Open file descriptors", usage.open_files),
    ] {
        if let Some(value) = value {
            registry.register(name, help, gauge(value));
        }
    }
}

fn decimal(value: f64) -> Decimal {
    let gauge = Decimal::default();
    gauge.set(value);
    gauge
}

fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

fn counter(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Seconds: from a read in memory to a long estimate.
const CALL_BUCKETS: [f64; 10] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Seconds between blocks.
const INTERVAL_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0];
/// Blocks replaced by a reorganization.
const DEPTH_BUCKETS: [f64; 6] = [1.0, 2.0, 3.0, 6.0, 12.0, 100.0];
