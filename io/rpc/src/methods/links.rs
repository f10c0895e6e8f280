//! `kette_`: what the links to peers are made like, on networks where no stranger takes part.

use crate::{
    args::Args,
    context::Context,
    failure::Failure,
    link::{LINKS_MAX, Links},
    table::{Answer, Method, optional, reply, required},
};
use kette_types::PeerId;
use serde_json::json;
use std::time::Duration;

pub(super) const METHODS: &[Method] = &[
    Method::inline("kette_cut", "Returns the peers whose links are cut.", &[], "[PeerId]", cut),
    Method::inline(
        "kette_setCut",
        "Replaces the set of peers whose links are cut, for some time if said; on local networks only.",
        &[required("peerIds", "[PeerId]"), optional("seconds", "Number")],
        "[PeerId]",
        set_cut,
    )
    .control(),
    Method::inline(
        "kette_links",
        "Returns what the ways to peers are like: as set, and the round trips measured.",
        &[],
        "Object",
        links,
    ),
    Method::inline(
        "kette_setLinks",
        "Replaces what the ways to peers are like: uplink, and a list of peer, latencyMs, jitterMs, loss, \
         bandwidth, cut; on local networks only.",
        &[required("links", "Object")],
        "Object",
        set_links,
    )
    .control(),
];

fn cut(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.network.cut())
}

fn set_cut(cx: &Context, args: &mut Args) -> Answer {
    let peers: Vec<String> = args.required()?;
    let seconds: Option<super::Number> = args.optional()?;
    permit(cx)?;
    if peers.len() > LINKS_MAX {
        return Err(Failure::Limit(format!("{} peers, at most {LINKS_MAX}", peers.len())));
    }
    let peers: Vec<PeerId> = peers
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, kette_types::peer::PeerAddressError>>()
        .map_err(|error| Failure::InvalidParams(error.to_string()))?;
    let seconds = seconds.map(|seconds| seconds.0);
    if let Some(seconds) = seconds.filter(|seconds| !(1..=CUT_SECONDS_MAX).contains(seconds)) {
        return Err(Failure::InvalidParams(format!(
            "seconds = {seconds} is not between 1 and {CUT_SECONDS_MAX}"
        )));
    }
    cx.network.set_cut(peers, seconds.map(Duration::from_secs));
    reply(&cx.network.cut())
}

fn links(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    let sessions: Vec<_> = view
        .status
        .peers
        .iter()
        .map(|peer| json!({ "peer": peer.id, "rttMs": peer.rtt_ms, "ageSecs": peer.age_secs }))
        .collect();
    let Links { uplink, list } = cx.network.links();
    let cut = cx.network.cut();
    reply(&json!({ "uplink": uplink, "list": list, "cut": cut, "sessions": sessions }))
}

fn set_links(cx: &Context, args: &mut Args) -> Answer {
    let links: Links = args.required()?;
    permit(cx)?;
    links.check().map_err(Failure::InvalidParams)?;
    cx.network.set_links(links);
    reply(&cx.network.links())
}

fn permit(cx: &Context) -> Result<(), Failure> {
    match cx.may_cut() {
        true => Ok(()),
        false => Err(Failure::Unsupported(
            "links are cut and shaped only on development chains and where config.kette says `network: local`"
                .to_owned(),
        )),
    }
}

/// Longest cut that ends by itself: a day.
const CUT_SECONDS_MAX: u64 = 24 * 60 * 60;
