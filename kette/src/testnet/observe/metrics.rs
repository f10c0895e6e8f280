//! What only the whole network can say, in the text format that Prometheus reads.

use crate::testnet::monitor::model::Model;
use prometheus_client::{
    encoding::text,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

type Decimal = Gauge<f64, AtomicU64>;
type Labels = Vec<(&'static str, String)>;

/// Renders a model.
///
/// # Errors
/// Never on a plain string; the format library's interface has it.
pub fn render(model: &Model) -> Result<String, std::fmt::Error> {
    let mut root = Registry::default();
    let registry = root.sub_registry_with_prefix("kette_net");
    let status = &model.status;
    let count = |value: usize| value as f64;
    for (name, help, value) in [
        ("health_score", "Health, 0 to 100", f64::from(status.score)),
        ("connectivity_score", "The second score, 0 to 100", f64::from(status.connectivity.score)),
        ("nodes", "Nodes planned", count(status.nodes)),
        ("running", "Nodes that answer", count(status.running)),
        ("connected", "Nodes with a session", count(status.connected)),
        ("components", "Connected components of the graph of sessions", count(status.components)),
        ("sessions", "Sessions, each once", count(status.sessions)),
        ("height", "Highest number that all running nodes have", status.height as f64),
        ("finalized_height", "Lowest final number", status.finalized as f64),
        ("errors_last_minute", "Errors of all nodes", status.errors as f64),
        ("tips_apart_seconds", "For how long tips have differed", status.diverged_secs as f64),
        (
            "conflicting_finality",
            "1 if two nodes have different final blocks of one number",
            f64::from(u8::from(!status.safe)),
        ),
        ("transactions_per_second", "Mean of the last minute", model.charts.tps_mean),
    ] {
        let gauge = Decimal::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let parts = Family::<Labels, Decimal>::default();
    let health = &status.health;
    for (part, value) in [
        ("running_share", health.running_share),
        ("connected_bonus", health.connected_bonus),
        ("errors_penalty", health.errors_penalty),
        ("split_penalty", health.split_penalty),
        ("diverged_penalty", health.diverged_penalty),
        ("quorum_penalty", health.quorum_penalty),
    ] {
        parts.get_or_create(&vec![("part", part.to_owned())]).set(count(value));
    }
    registry.register("health_part", "What the health score is made of", parts);
    let up = Family::<Labels, Decimal>::default();
    for node in &status.list {
        let labels = vec![
            ("node", node.name.clone()),
            ("region", node.region.clone()),
            ("tier", node.tier.to_string()),
        ];
        up.get_or_create(&labels).set(f64::from(u8::from(node.running)));
    }
    registry.register("node_up", "Whether a node answers", up);
    let spread = Family::<Labels, Decimal>::default();
    let charts = &model.charts;
    for (quantile, value) in [("0.5", charts.spread_p50), ("0.95", charts.spread_p95)] {
        // Nothing moved: nothing is measured.
        if let Some(ms) = value {
            spread.get_or_create(&vec![("quantile", quantile.to_owned())]).set(ms as f64 / 1e3);
        }
    }
    let help = "From a block's first head anywhere to that of each other node, last minute";
    registry.register("propagation_seconds", help, spread);
    let mut out = String::new();
    text::encode(&mut out, &root)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::monitor::model::tests as samples;

    #[tokio::test]
    async fn the_score_and_its_parts_are_series() {
        let model = Model::of(&samples::sample(samples::NOW).await, None);
        let text = render(&model).unwrap();
        for line in [
            &format!("kette_net_health_score {:.1}", f64::from(model.status.score)),
            "kette_net_components 1.0",
            "kette_net_conflicting_finality 0.0",
            "kette_net_health_part{part=\"errors_penalty\"} 2.0",
            "kette_net_node_up{node=\"node4\",region=\"ASIA-EAST\",tier=\"3\"} 0.0",
            "kette_net_propagation_seconds{quantile=\"0.95\"} 0.045",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
