//! A network's nodes as tables: their processes, and what they do.

use crate::{
    commands::output,
    testnet::status::{NetworkStatus, NodeStatus},
};

/// Prints where nodes are and what their processes use.
///
/// # Errors
/// If standard output is closed.
pub fn processes(status: &NetworkStatus) -> anyhow::Result<()> {
    let row = |node: &NodeStatus| {
        vec![
            node.name.clone(),
            state(node).to_owned(),
            node.role.to_owned(),
            node.pid.map_or_else(nothing, |pid| pid.to_string()),
            node.tier.to_string(),
            or_nothing(&node.region),
            node.p2p.to_string(),
            node.rpc.clone(),
            node.peers.to_string(),
            number(node.height),
            node.hash.get(..10).unwrap_or("-").to_owned(),
            number(node.finalized),
            percent(node.cpu_percent),
            percent(node.memory_percent),
            mib(node.pss_bytes),
            mib(node.db_bytes),
        ]
    };
    let headings = [
        "NODE", "STATE", "ROLE", "PID", "TIER", "REGION", "P2P", "RPC", "PEERS", "HEIGHT", "HASH",
        "FINAL", "CPU %", "MEM %", "PSS MiB", "DB MiB",
    ];
    output::table(&headings, &status.list.iter().map(row).collect::<Vec<_>>())?;
    if let Some(line) = host_line(status) {
        eprintln!("{line}");
    }
    Ok(())
}

/// Returns what the process of all nodes uses, if they share one.
pub fn host_line(status: &NetworkStatus) -> Option<String> {
    let host = status.host?;
    Some(format!(
        "all nodes share process {}: {} % of a processor since its start, {} % of memory, PSS {} MiB in all",
        host.pid,
        percent(host.cpu_percent),
        percent(host.memory_percent),
        mib(host.pss_bytes),
    ))
}

/// Prints what nodes do: in and out are from the node's side.
///
/// # Errors
/// If standard output is closed.
pub fn network(status: &NetworkStatus) -> anyhow::Result<()> {
    let row = |node: &NodeStatus| {
        vec![
            node.name.clone(),
            state(node).to_owned(),
            node.role.to_owned(),
            number(node.height),
            node.hash.get(..10).unwrap_or("-").to_owned(),
            number(node.finalized),
            node.head_age_secs.map_or_else(nothing, |secs| format!("{secs:.1}")),
            format!("{}/{}", node.peers_in, node.peers_out),
            format!("{}/{}", node.handshakes_received, node.handshakes_sent),
            format!("{}/{}", node.blocks_received, node.blocks_sent),
            format!("{}/{}", node.transactions_received, node.transactions_sent),
            node.pending.to_string(),
            node.errors.to_string(),
            node.answer_ms.map_or_else(nothing, |ms| format!("{ms:.1}")),
            percent(node.cpu_percent),
            percent(node.memory_percent),
        ]
    };
    let headings = [
        "NODE",
        "STATE",
        "ROLE",
        "HEIGHT",
        "HASH",
        "FINAL",
        "AGE s",
        "PEERS in/out",
        "HELLOS in/out",
        "BLOCKS in/out",
        "TXS in/out",
        "POOL",
        "ERRORS",
        "ANSWER ms",
        "CPU %",
        "MEM %",
    ];
    output::table(&headings, &status.list.iter().map(row).collect::<Vec<_>>())
}

/// Returns both scores with their parts, one line each.
pub fn score_line(status: &NetworkStatus) -> String {
    let (health, second) = (&status.health, &status.connectivity);
    let mut line = format!(
        "health {} {:?}: {} for running nodes, +{} for sessions, -{} for errors ({} in 60 s), -{} for a split, \
         -{} for tips apart",
        status.score,
        status.band,
        health.running_share,
        health.connected_bonus,
        health.errors_penalty,
        status.errors,
        health.split_penalty,
        health.diverged_penalty,
    );
    if let Some(missing) = status.quorum {
        line += &format!(", -{} for no quorum: {missing}", health.quorum_penalty);
    }
    if health.conflicting_finality {
        line += "; 0 because of conflicting finality";
    }
    line + &format!(
        "\nconnectivity {}: running {}, connected {}, without errors {}, responsive {} (25 each)",
        second.score, second.running, second.connected, second.without_errors, second.responsive,
    )
}

/// Returns what a node is doing, in a word.
pub fn state(node: &NodeStatus) -> &'static str {
    match (node.running, node.pid) {
        (true, _) if node.fork.is_some() => "forked",
        (true, _) if node.syncing => "syncing",
        (true, _) => "up",
        (false, _) if node.paused => "paused",
        // It is there and does not answer.
        (false, Some(_)) => "silent",
        (false, None) => "down",
    }
}

/// Returns a number, or a dash for what nobody said.
pub fn number(value: Option<u64>) -> String {
    value.map_or_else(nothing, |number| number.to_string())
}

fn nothing() -> String {
    "-".to_owned()
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { nothing() } else { text.to_owned() }
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(nothing, |percent| format!("{percent:.1}"))
}

fn mib(bytes: Option<u64>) -> String {
    bytes.map_or_else(nothing, |bytes| format!("{:.1}", bytes as f64 / 1_048_576.0))
}
