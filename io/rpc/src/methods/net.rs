//! `net_`, `web3_`, `rpc_`: who answers here.

use crate::{
    args::Args,
    context::Context,
    table::{Answer, Method, all, reply, required},
};
use alloy_primitives::{Bytes, U64, keccak256};
use std::collections::BTreeMap;

pub(super) const METHODS: &[Method] = &[
    Method::inline("net_version", "Returns the chain id as decimal text.", &[], "String", version),
    Method::inline(
        "net_listening",
        "Returns true: the node takes sessions.",
        &[],
        "Boolean",
        listening,
    ),
    Method::inline("net_peerCount", "Counts the sessions.", &[], "Quantity", peer_count),
    Method::inline(
        "web3_clientVersion",
        "Returns program, version and system.",
        &[],
        "String",
        client_version,
    ),
    Method::inline(
        "web3_sha3",
        "Returns keccak256 of bytes.",
        &[required("data", "Data")],
        "Hash",
        sha3,
    ),
    Method::inline(
        "rpc_modules",
        "Returns the namespaces that are served.",
        &[],
        "Object",
        modules,
    ),
];

fn version(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.spec.chain_id().to_string())
}

fn listening(_: &Context, _: &mut Args) -> Answer {
    reply(&true)
}

fn peer_count(cx: &Context, _: &mut Args) -> Answer {
    reply(&U64::from(cx.view().status.peers.len()))
}

fn client_version(cx: &Context, _: &mut Args) -> Answer {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    reply(&format!("Kette/v{}/{os}-{arch}", cx.config.version))
}

fn sha3(_: &Context, args: &mut Args) -> Answer {
    let data: Bytes = args.required()?;
    reply(&keccak256(data))
}

fn modules(_: &Context, _: &mut Args) -> Answer {
    let modules: BTreeMap<&str, &str> =
        all().filter_map(|method| Some((method.name.split_once('_')?.0, "1.0"))).collect();
    reply(&modules)
}
