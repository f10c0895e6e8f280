//! The pages for operators: is it alive, is it ready, how is it.

use crate::{config::Traffic, context::Context, convert::wide};
use kette_consensus::Status as Engine;
use kette_node::View;
use kette_types::EngineSpec;
use serde_json::{Value, json};

/// Returns what `/readyz` says, and whether the node is ready.
pub(crate) fn ready(cx: &Context) -> (bool, Value) {
    let view = cx.view();
    let mut reasons = Vec::new();
    if let Some(sync) = view.status.syncing {
        reasons.push(format!("syncing: at block {} of {}", sync.current, sync.highest));
    }
    if cx.config.peers_expected && view.status.peers.is_empty() {
        reasons.push("no peers: none of the configured peers is connected".to_owned());
    }
    if cx.node.questions.is_closed() {
        reasons.push("the node has stopped".to_owned());
    }
    (reasons.is_empty(), json!({ "ready": reasons.is_empty(), "reasons": reasons }))
}

/// Tells whether the node's loop takes questions.
pub(crate) fn alive(cx: &Context) -> bool {
    !cx.node.questions.is_closed()
}

/// Returns what `/status` says.
pub(crate) fn status(cx: &Context) -> Value {
    let view = cx.view();
    let mut page = chain(cx, &view);
    let stats = stats(&cx.network.traffic());
    if let (Value::Object(page), Value::Object(stats)) = (&mut page, stats) {
        page.extend(stats);
        page.insert("node".to_owned(), json!(*view.status));
    }
    page
}

/// The plain numbers that every engine has, as integers. Proof of work has no validators and so no votes.
fn chain(cx: &Context, view: &View) -> Value {
    let status = &view.status;
    let engine = cx.spec.kette.as_ref().map(|kette| &kette.engine);
    // More than 2^64 - 1 votes are not a plain number any more.
    let plain = |weight: u128| u64::try_from(weight).unwrap_or(u64::MAX);
    let (validators, voting_weight, consensus_threshold) = match &status.engine {
        Engine::Pow(_) => (0, 0, 0),
        Engine::Bft(bft) => (wide(bft.validators), plain(bft.weight), plain(bft.quorum)),
    };
    json!({
        "height": status.height,
        "validators": validators,
        "voting_weight": voting_weight,
        "consensus_threshold": consensus_threshold,
        "blocks_finalized": status.finalized,
        "pending_blocks": status.height.saturating_sub(status.finalized),
        "uptime_seconds": cx.started.elapsed().as_secs(),
        "engine": engine.map(EngineSpec::name),
        "syncing": status.syncing.is_some(),
        "peers": status.peers.len(),
        "pending_transactions": status.pending,
    })
}

/// Returns what `/stats` says: messages, latency in milliseconds, bytes, messages per kind.
pub(crate) fn stats(traffic: &Traffic) -> Value {
    let messages = |kind: &crate::config::KindTraffic| kind.messages_in + kind.messages_out;
    let breakdown: serde_json::Map<String, Value> =
        traffic.kinds.iter().map(|(name, kind)| (name.clone(), json!(messages(kind)))).collect();
    json!({
        "total_messages": traffic.kinds.values().map(messages).sum::<u64>(),
        "avg_latency": traffic.rtt_ms.unwrap_or(0.0),
        "total_bandwidth": traffic.kinds.values().map(|k| k.bytes_in + k.bytes_out).sum::<u64>(),
        "message_breakdown": breakdown,
    })
}
