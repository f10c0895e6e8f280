//! The alert rules. Each one's expression names only series that a node or the network's exporter has; a test of a
//! live network holds that.

/// A rule: name, expression, for how long, severity, what it means.
type Rule = (&'static str, &'static str, &'static str, &'static str, &'static str);

const RULES: [Rule; 11] = [
    ("NodeDown", r#"up{job="kette"} == 0"#, "15s", "warning", "the node does not answer"),
    (
        "NoPeers",
        r#"sum by (network, node, instance) (kette_p2p_peers) == 0 and on (network) count by (network) (up{job="kette"}) > 1"#,
        "5m",
        "warning",
        "the node has no session",
    ),
    // Chains that make no empty blocks are idle until a transaction waits.
    (
        "ChainStalled",
        r#"time() - kette_chain_head_timestamp_seconds > 300 and on (instance) (sum by (instance) (kette_mempool_transactions{state="pending"}) > 0 or kette_build_info{engine="pow"})"#,
        "1m",
        "critical",
        "no block for five minutes",
    ),
    (
        "FinalityStalled",
        r#"kette_chain_height - kette_chain_finalized_height > 30 or (kette_chain_height - kette_chain_finalized_height > 3 and on (instance) kette_build_info{engine="bft"})"#,
        "2m",
        "critical",
        "blocks do not become final",
    ),
    (
        "ForkSplit",
        "kette_net_components > 1 or kette_net_tips_apart_seconds > 30 or max by (network) (kette_chain_height) - min by (network) (kette_chain_height) > 2",
        "30s",
        "critical",
        "the graph of sessions is in parts, or nodes follow different chains",
    ),
    (
        "ConflictingFinality",
        "kette_net_conflicting_finality > 0",
        "0s",
        "critical",
        "two nodes have different final blocks of one number",
    ),
    // It does not end by itself, whatever the others do.
    (
        "ConsensusForked",
        "kette_consensus_forked > 0",
        "0s",
        "critical",
        "the node met proof of a fork and stopped until operators choose a chain",
    ),
    (
        "ClockSkew",
        "abs(kette_clock_skew_seconds) > 1",
        "1m",
        "warning",
        "the node's clock differs from its peers' by more than a second",
    ),
    // Requirement of the laboratory: 10 Mbit/s in one direction.
    (
        "Bandwidth",
        r#"sum by (network, node, direction) (rate(kette_p2p_bytes_total[1m])) * 8 > 10e6"#,
        "1m",
        "warning",
        "the node moves more than 10 Mbit/s",
    ),
    ("Errors", "increase(kette_errors_total[5m]) > 0", "0s", "warning", "something went wrong"),
    (
        "HealthPoor",
        "kette_net_health_score < 60",
        "30s",
        "critical",
        "the network's health is poor",
    ),
];

/// Returns the file of rules.
pub fn rules() -> String {
    let mut out = "groups:\n  - name: kette\n    rules:\n".to_owned();
    for (name, expression, lasting, severity, meaning) in RULES {
        out += &format!(
            "      - alert: {name}\n        expr: '{expression}'\n        for: {lasting}\n        labels:\n          \
             severity: {severity}\n        annotations:\n          summary: \"{{{{ $labels.network }}}} \
             {{{{ $labels.node }}}}: {meaning}\"\n"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_rules_are_there_and_quotes_do_not_end_early() {
        let text = rules();
        for name in [
            "NoPeers",
            "ChainStalled",
            "FinalityStalled",
            "ForkSplit",
            "ConsensusForked",
            "ClockSkew",
            "Bandwidth",
        ] {
            assert!(text.contains(&format!("alert: {name}\n")), "{name} is missing");
        }
        assert!(!RULES.iter().any(|(_, expression, ..)| expression.contains('\'')));
        assert!(!RULES.iter().any(|(.., meaning)| meaning.contains('"')));
    }
}
