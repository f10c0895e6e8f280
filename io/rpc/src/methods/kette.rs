//! `kette_`: what this node is and does, its peers, finality, supply, and the network around it.

use crate::{
    args::Args,
    chain::Whole,
    context::Context,
    convert,
    failure::Failure,
    handle::Ask,
    health,
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_primitives::{Address, B256, U64, U256};
use futures::future::BoxFuture;
use kette_node::Command;
use kette_types::{PeerAddress, PeerId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

const PEER: Param = required("peerId", "PeerId");

pub(super) const METHODS: &[Method] = &[
    Method::inline(
        "kette_status",
        "Returns numbers and lists about the node.",
        &[],
        "Object",
        status,
    ),
    Method::inline("kette_peers", "Returns the sessions.", &[], "[Object]", peers),
    Method::waiting(
        "kette_addPeer",
        "Connects to an address and keeps it connected.",
        &[required("address", "PeerAddress")],
        "Boolean",
        add_peer,
    )
    .control(),
    Method::waiting(
        "kette_removePeer",
        "Disconnects and forgets a configured peer.",
        &[PEER],
        "Boolean",
        remove_peer,
    )
    .control(),
    Method::waiting(
        "kette_ban",
        "Disconnects a peer and refuses it for a while, a day if not said.",
        &[PEER, optional("seconds", "Number")],
        "Boolean",
        ban,
    )
    .control(),
    Method::waiting("kette_unban", "Lifts a ban.", &[PEER], "Boolean", unban).control(),
    Method::blocking(
        "kette_finality",
        "Tells how final a transaction is.",
        &[required("hash", "Hash")],
        "Object",
        finality,
    ),
    Method::blocking(
        "kette_block",
        "Returns a block with seal, weight and senders.",
        &[required("block", "BlockId")],
        "Object?",
        block,
    ),
    Method::blocking(
        "kette_locator",
        "Returns hashes from the head back to genesis, as sync sends them.",
        &[],
        "[Hash]",
        locator,
    ),
    Method::blocking(
        "kette_supply",
        "Adds up all balances of the head and what made them.",
        &[],
        "Object",
        supply,
    ),
    Method::inline("kette_genesis", "Returns the genesis file.", &[], "Object", genesis),
    Method::blocking(
        "kette_addressTransactions",
        "Returns an account's transactions, newest first; `next` of a page is `before` of the one after it.",
        &[
            required("address", "Address"),
            optional("before", "Object"),
            optional("limit", "Number"),
        ],
        "Object",
        address_transactions,
    ),
    Method::inline("kette_network", "Describes the transport.", &[], "Object", network),
    Method::inline(
        "kette_stats",
        "Returns messages, latency and bytes of the links.",
        &[],
        "Object",
        stats,
    ),
];

fn status(cx: &Context, _: &mut Args) -> Answer {
    reply(&*cx.view().status)
}

fn peers(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.view().status.peers)
}

/// Passes a command through the node.
pub(super) async fn command(cx: &Context, command: Command) -> Answer {
    cx.node.ask(Ask::Command(command)).await?;
    reply(&true)
}

fn peer_id(args: &mut Args) -> Result<PeerId, Failure> {
    let text: String = args.required()?;
    text.parse().map_err(|error: kette_types::peer::PeerAddressError| {
        Failure::InvalidParams(error.to_string())
    })
}

fn add_peer(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let address: PeerAddress = args.required()?;
        command(&cx, Command::AddPeer(address)).await
    })
}

fn remove_peer(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let peer = peer_id(&mut args)?;
        command(&cx, Command::RemovePeer(peer)).await
    })
}

fn ban(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let peer = peer_id(&mut args)?;
        let seconds: Option<super::Number> = args.optional()?;
        let seconds = seconds.map_or(BAN_SECONDS, |seconds| seconds.0);
        command(&cx, Command::Ban(peer, seconds)).await
    })
}

fn unban(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let peer = peer_id(&mut args)?;
        command(&cx, Command::Unban(peer)).await
    })
}

/// One vocabulary for all engines: pending, included, confirmed, final.
fn finality(cx: &Context, args: &mut Args) -> Answer {
    let hash: B256 = args.required()?;
    let view = cx.view();
    if let Some((block, index)) = cx.located(&view, hash)? {
        let number = block.header().number;
        let confirmations = view.head.number().saturating_sub(number) + 1;
        let status = if number <= view.finalized.0 {
            "final"
        } else if confirmations > 1 {
            "confirmed"
        } else {
            "included"
        };
        return reply(&json!({
            "status": status,
            "confirmations": confirmations,
            "blockNumber": U64::from(number),
            "blockHash": block.header().hash(),
            "transactionIndex": U64::from(index),
            "success": block.receipts().get(index).map(|receipt| receipt.success),
            "finalizedBlockNumber": U64::from(view.finalized.0),
        }));
    }
    if view.pool.contains(hash) {
        return reply(&json!({ "status": "pending", "confirmations": 0 }));
    }
    Err(Failure::NotFound(format!("transaction {hash} is neither in a block nor waiting")))
}

fn block(cx: &Context, args: &mut Args) -> Answer {
    let id: super::BlockName = args.required()?;
    let view = cx.view();
    let Some(block) = cx.whole_named(&view, id.0)? else { return reply(&()) };
    let canonical = cx.canonical(&view, block.header().number)? == Some(block.header().hash());
    reply(&describe(&block, canonical, view.finalized.0)?)
}

fn describe(block: &Whole, canonical: bool, finalized: u64) -> Result<Value, Failure> {
    let mut shown = serde_json::to_value(convert::block(block, false))?;
    let weight = block.header().difficulty;
    for (key, value) in [
        ("seal", json!(block.header().seal())),
        ("weight", json!(weight)),
        ("totalWeight", json!(block.total_weight())),
        ("senders", json!(block.senders())),
        ("canonical", json!(canonical)),
        ("final", json!(canonical && block.header().number <= finalized)),
    ] {
        shown[key] = value;
    }
    Ok(shown)
}

fn locator(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    let mut hashes = Vec::new();
    let (mut number, mut step) = (view.head.number(), 1);
    loop {
        hashes.extend(cx.canonical(&view, number)?);
        if number == 0 {
            return reply(&hashes);
        }
        if hashes.len() >= LOCATOR_DENSE {
            step *= 2;
        }
        number = number.saturating_sub(step);
    }
}

fn supply(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    let total = view.head.state.supply()?;
    let alloc: U256 = cx.spec.genesis.alloc.values().map(|account| account.balance).sum();
    // The first validators' stake is created beside `alloc`.
    let stake: U256 = cx.spec.bft().map_or(U256::ZERO, |bft| {
        bft.validators.iter().map(|v| U256::from(v.weight) * bft.weight_unit).sum()
    });
    let genesis = alloc.saturating_add(stake);
    let totals = cx.reader.totals(view.head.number())?.unwrap_or_default();
    let (issued, burned) = (totals.issued, totals.burned);
    let expected = genesis.checked_add(issued).and_then(|sum| sum.checked_sub(burned));
    reply(&json!({
        "blockNumber": U64::from(view.head.number()),
        "total": total,
        "genesis": genesis,
        "issued": issued,
        "burned": burned,
        "matches": expected == Some(total),
    }))
}

fn genesis(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.spec.genesis)
}

/// Where a page ends and the next one begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cursor {
    block_number: super::Number,
    transaction_index: super::Number,
}

fn address_transactions(cx: &Context, args: &mut Args) -> Answer {
    let address: Address = args.required()?;
    let before: Option<Cursor> = args.optional()?;
    let limit: Option<super::Number> = args.optional()?;
    let limit = limit.map_or(PAGE_DEFAULT, |limit| limit.0.clamp(1, PAGE_MAX));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let before = before.map(|before| {
        let index = u32::try_from(before.transaction_index.0).unwrap_or(u32::MAX);
        (before.block_number.0, index)
    });
    let lines = cx.reader.activity(address, before, limit)?;
    let next = lines.last().filter(|_| lines.len() == limit).map(|last| Cursor {
        block_number: super::Number(last.number),
        transaction_index: super::Number(last.index.into()),
    });
    let shown: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "hash": line.hash,
                "blockNumber": U64::from(line.number),
                "transactionIndex": U64::from(line.index),
                "timestamp": U64::from(line.timestamp),
                "from": line.from,
                "to": line.to,
                "contractAddress": line.created,
                "value": line.value,
                "gasUsed": U64::from(line.gas_used),
                "success": line.success,
            })
        })
        .collect();
    reply(&json!({ "transactions": shown, "next": next }))
}

fn network(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.network.stats_json())
}

fn stats(cx: &Context, _: &mut Args) -> Answer {
    reply(&health::stats(&cx.network.traffic()))
}

/// How long a ban lasts if nobody says: a day.
const BAN_SECONDS: u64 = 24 * 60 * 60;
/// Hashes of a locator before the step doubles.
const LOCATOR_DENSE: usize = 10;
/// Lines of a page if the client does not say.
const PAGE_DEFAULT: u64 = 25;
/// Lines of a page at most.
const PAGE_MAX: u64 = 1_000;
