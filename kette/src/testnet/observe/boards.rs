//! Three boards of Grafana: the network, voting, one node. As tables here, as JSON in the files.

use serde_json::{Value, json};

/// A panel: title, unit, and lines as (expression, legend).
type Panel = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const NETWORK: &[Panel] = &[
    (
        "Health",
        "percent",
        &[("kette_net_health_score", "health"), ("kette_net_connectivity_score", "connectivity")],
    ),
    (
        "Nodes",
        "short",
        &[
            ("kette_net_nodes", "planned"),
            ("kette_net_running", "running"),
            ("kette_net_components", "components"),
        ],
    ),
    ("Parts of the health score", "short", &[("kette_net_health_part", "{{part}}")]),
    ("Height", "short", &[("kette_chain_height", "{{node}}")]),
    ("Final", "short", &[("kette_chain_finalized_height", "{{node}}")]),
    ("Tips apart", "s", &[("kette_net_tips_apart_seconds", "apart")]),
    ("Time until a block is everywhere", "s", &[("kette_net_propagation_seconds", "{{quantile}}")]),
    (
        "Transactions per second",
        "short",
        &[("rate(kette_chain_transactions_total[1m])", "{{node}}")],
    ),
    ("Waiting transactions", "short", &[("kette_mempool_transactions", "{{node}} {{state}}")]),
    ("Sessions", "short", &[("sum by (node) (kette_p2p_peers)", "{{node}}")]),
    (
        "Traffic",
        "Bps",
        &[("sum by (node, direction) (rate(kette_p2p_bytes_total[1m]))", "{{node}} {{direction}}")],
    ),
    ("Errors of the last minute", "short", &[("kette_errors_last_minute", "{{node}}")]),
];

const CONSENSUS: &[Panel] = &[
    (
        "Height and round",
        "short",
        &[
            ("kette_consensus_height", "{{node}} height"),
            ("kette_consensus_round", "{{node}} round"),
        ],
    ),
    (
        "Time until final, p50 and p99",
        "s",
        &[
            (
                "histogram_quantile(0.5, sum by (le) (rate(kette_consensus_finality_seconds_bucket[1m])))",
                "p50",
            ),
            (
                "histogram_quantile(0.99, sum by (le) (rate(kette_consensus_finality_seconds_bucket[1m])))",
                "p99",
            ),
        ],
    ),
    (
        "Steps, p95",
        "s",
        &[(
            "histogram_quantile(0.95, sum by (le, step) (rate(kette_consensus_step_duration_seconds_bucket[1m])))",
            "{{step}}",
        )],
    ),
    ("Votes", "short", &[("sum by (type) (rate(kette_consensus_votes_total[1m]))", "{{type}}")]),
    ("Rounds beyond the first", "short", &[("rate(kette_consensus_rounds_total[1m])", "{{node}}")]),
    ("Late votes", "short", &[("rate(kette_consensus_late_votes_total[1m])", "{{node}}")]),
    ("Missing from certificates", "short", &[("kette_consensus_missing_validators", "{{node}}")]),
    ("Seen to sign twice", "short", &[("kette_consensus_byzantine_validators", "{{node}}")]),
    (
        "Quorum of the weight",
        "short",
        &[("kette_consensus_quorum_power", "quorum"), ("kette_consensus_validators_power", "all")],
    ),
    (
        "Waits as measured",
        "ms",
        &[
            ("kette_consensus_propose_timeout_ms", "{{node}} propose"),
            ("kette_consensus_vote_timeout_ms", "{{node}} vote"),
        ],
    ),
    (
        "Time between blocks, p95",
        "s",
        &[(
            "histogram_quantile(0.95, sum by (le) (rate(kette_chain_block_interval_seconds_bucket[5m])))",
            "p95",
        )],
    ),
    (
        "Reorganizations",
        "short",
        &[
            ("kette_chain_reorgs_total", "{{node}}"),
            ("kette_chain_reorg_depth_max", "{{node}} deepest"),
        ],
    ),
];

const NODE: &[Panel] = &[
    ("Processor", "percentunit", &[("rate(process_cpu_seconds_total[1m])", "{{node}}")]),
    ("Memory", "bytes", &[("process_resident_memory_bytes", "{{node}}")]),
    ("Open files", "short", &[("process_open_fds", "{{node}}")]),
    ("Uptime", "s", &[("process_uptime_seconds", "{{node}}")]),
    ("Sessions", "short", &[("kette_p2p_peers", "{{node}} {{direction}}")]),
    ("Hellos", "short", &[("kette_p2p_hellos_total", "{{node}} {{direction}}")]),
    ("Round trip", "s", &[("kette_p2p_rtt_seconds", "{{node}}")]),
    ("Clock against peers", "s", &[("kette_clock_skew_seconds", "{{node}}")]),
    (
        "Messages",
        "short",
        &[("sum by (node, kind) (rate(kette_p2p_messages_total[1m]))", "{{node}} {{kind}}")],
    ),
    (
        "Blocks in and out",
        "short",
        &[
            ("rate(kette_chain_blocks_received_total[1m])", "{{node}} in"),
            ("rate(kette_chain_blocks_sent_total[1m])", "{{node}} out"),
        ],
    ),
    (
        "Calls, p95",
        "s",
        &[(
            "histogram_quantile(0.95, sum by (le, method) (rate(kette_rpc_request_seconds_bucket[1m])))",
            "{{method}}",
        )],
    ),
    (
        "Errors",
        "short",
        &[("kette_errors_total", "{{node}} {{kind}}"), ("kette_alarms", "{{node}} alarms")],
    ),
];

/// Returns the boards with their names.
pub fn boards() -> [(&'static str, Value); 3] {
    [
        ("network", board("kette-network", "Kette: network", NETWORK)),
        ("consensus", board("kette-consensus", "Kette: consensus", CONSENSUS)),
        ("node", board("kette-node", "Kette: nodes", NODE)),
    ]
}

/// Panels stand three in a row of 24 units.
const WIDTH: usize = 8;
const HEIGHT: usize = 8;

fn board(uid: &str, title: &str, panels: &[Panel]) -> Value {
    let source = json!({ "type": "prometheus", "uid": "kette-prometheus" });
    let panel = |(at, (title, unit, lines)): (usize, &Panel)| {
        let targets: Vec<Value> = lines
            .iter()
            .zip('A'..)
            .map(|((expression, legend), id)| {
                json!({
                    "refId": id, "expr": of_network(expression), "legendFormat": legend, "datasource": source,
                })
            })
            .collect();
        json!({
            "id": at + 1, "title": title, "type": "timeseries", "datasource": source, "targets": targets,
            "gridPos": { "x": at % 3 * WIDTH, "y": at / 3 * HEIGHT, "w": WIDTH, "h": HEIGHT },
            "fieldConfig": { "defaults": { "unit": unit, "min": 0 }, "overrides": [] },
        })
    };
    json!({
        "uid": uid, "title": title, "tags": ["kette"], "schemaVersion": 39, "version": 1, "editable": true,
        "refresh": "5s", "time": { "from": "now-15m", "to": "now" }, "timezone": "browser",
        "templating": { "list": [{
            "name": "network", "type": "query", "datasource": source, "refresh": 2,
            "query": "label_values(up, network)", "includeAll": true, "allValue": ".*",
            "current": { "text": "All", "value": "$__all" },
        }] },
        "panels": panels.iter().enumerate().map(panel).collect::<Vec<_>>(),
    })
}

/// Restricts every series of an expression to the chosen network.
fn of_network(expression: &str) -> String {
    let mut out = String::new();
    let mut rest = expression;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(at) = ["kette_", "process_"].iter().filter_map(|p| rest.find(p)).min() {
        let end = rest[at..].find(|c| !is_name(c)).map_or(rest.len(), |length| at + length);
        out += &rest[..end];
        out += "{network=~\"$network\"}";
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_of_the_chosen_network() {
        assert_eq!(
            of_network("sum by (le) (rate(kette_a_bucket[1m])) / process_b"),
            "sum by (le) (rate(kette_a_bucket{network=~\"$network\"}[1m])) / process_b{network=~\"$network\"}"
        );
        for (name, board) in boards() {
            let panels = board["panels"].as_array().unwrap();
            assert_eq!(panels.len(), 12, "{name}");
            for panel in panels {
                for target in panel["targets"].as_array().unwrap() {
                    assert!(target["expr"].as_str().unwrap().contains("$network"), "{panel}");
                }
            }
        }
    }
}
