//! `kette_observe`: one answer with all that a watcher of a network asks of a node again and again.

use crate::{
    args::Args,
    context::Context,
    process,
    recent::now_ms,
    table::{Answer, Method, optional, reply},
};
use serde_json::json;

pub(super) const METHODS: &[Method] = &[Method::inline(
    "kette_observe",
    "Returns what a watcher of a network asks again and again: newest heads and events, errors, process, traffic.",
    &[optional("headsFrom", "Number"), optional("eventsAfter", "Number")],
    "Object",
    observe,
)];

fn observe(cx: &Context, args: &mut Args) -> Answer {
    let from: Option<super::Number> = args.optional()?;
    let after: Option<super::Number> = args.optional()?;
    let traffic = cx.network.traffic();
    let sum = |part: fn(&crate::KindTraffic) -> u64| traffic.kinds.values().map(part).sum::<u64>();
    let [out, inbound] = cx.recent.hellos();
    let heads = cx.recent.heads();
    let events = cx.recent.events();
    reply(&json!({
        "nowMs": now_ms(),
        "uptimeSeconds": cx.started.elapsed().as_secs(),
        "headChangedMs": heads.changed_ms(),
        "heads": heads.from(from.map_or(0, |from| from.0), HEADS_MAX),
        "events": events.after(after.map_or(0, |after| after.0), EVENTS_MAX),
        "errors": { "lastMinute": cx.recent.errors.last_minute(), "kinds": cx.recent.errors.kinds() },
        "hellos": { "out": out, "in": inbound },
        "process": process::usage(),
        "traffic": {
            "bytesIn": sum(|kind| kind.bytes_in),
            "bytesOut": sum(|kind| kind.bytes_out),
            "messagesIn": sum(|kind| kind.messages_in),
            "messagesOut": sum(|kind| kind.messages_out),
        },
        "rttMs": traffic.rtt_ms,
    }))
}

/// Heads of one answer.
const HEADS_MAX: usize = 512;
/// Events of one answer.
const EVENTS_MAX: usize = 64;
