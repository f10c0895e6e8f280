//! What nodes cost that have nothing to say.

use crate::harness::{Node, anonymous_memory, config, talk};
use kette_types::{Message, Transport};
use std::{process::Command, time::Duration};

const NODES: u8 = 10;
/// Ten nodes with nine peers each, all in one process.
const NODE_BYTES_MAX: usize = 4 << 20;
/// Set in the process that measures.
const ALONE: &str = "KETTE_TEST_ALONE";

/// Returns the processor time that this process used, in clock ticks (1/100 s on Linux).
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // After the name, which may hold spaces: state is field 3, user time 14 and system time 15.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<_> = rest.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Measures in a process of its own, so that other tests do not count.
fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let exe = std::env::current_exe().expect("a test runs");
    let output = Command::new(exe)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("the test runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    let report = String::from_utf8_lossy(&output.stderr);
    eprintln!("{report}");
    assert!(output.status.success(), "{text}{report}");
    assert!(text.contains("1 passed"), "the test was found");
    false
}

async fn measure(transport: Transport) {
    let before = anonymous_memory();
    let mut nodes: Vec<Node> = Vec::new();
    for seed in 1..=NODES {
        let mut config = config(seed);
        config.kademlia = true;
        config.quic = transport == Transport::Quic;
        let mut node = Node::with(config).await;
        for other in &mut nodes {
            node.network.dial(other.address(transport));
            let (id, other_id) = (node.id(), other.id());
            tokio::join!(node.connected(other_id), other.connected(id));
            talk(&mut node, other, &Message::Ping(1)).await;
        }
        nodes.push(node);
    }
    let per_node = anonymous_memory().saturating_sub(before) / usize::from(NODES);
    let ticks = processor_ticks();
    // A window to measure in, not a wait for something.
    tokio::time::sleep(WINDOW).await;
    let ticks = processor_ticks() - ticks;
    eprintln!("{transport:?}: {} KiB per node, {ticks} ticks in {WINDOW:?} of ten", per_node >> 10);
    assert!(per_node < NODE_BYTES_MAX, "{per_node} bytes per node");
    assert!(ticks < 100, "{ticks} ticks of 1/100 s in {WINDOW:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_quiet_nodes_are_small_and_still_over_tcp() {
    if alone("quiet::ten_quiet_nodes_are_small_and_still_over_tcp") {
        measure(Transport::Tcp).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_quiet_nodes_are_small_and_still_over_quic() {
    if alone("quiet::ten_quiet_nodes_are_small_and_still_over_quic") {
        measure(Transport::Quic).await;
    }
}

const WINDOW: Duration = Duration::from_secs(5);
