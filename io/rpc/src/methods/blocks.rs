//! `eth_`: blocks, their counts and receipts.

use crate::{
    args::Args,
    chain::Whole,
    context::Context,
    convert,
    failure::Failure,
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64};
use kette_ledger::next_base_fee;
use serde_json::Value;

const NUMBER: Param = required("block", "BlockTag");
const HASH: Param = required("hash", "Hash");
const FULL: Param = optional("full", "Boolean");
const INDEX: Param = required("index", "Quantity");

pub(super) const METHODS: &[Method] = &[
    Method::blocking(
        "eth_getBlockByNumber",
        "Returns a block.",
        &[NUMBER, FULL],
        "Block?",
        by_number,
    ),
    Method::blocking(
        "eth_getBlockByHash",
        "Returns a block on whatever branch.",
        &[HASH, FULL],
        "Block?",
        by_hash,
    ),
    Method::blocking(
        "eth_getHeaderByNumber",
        "Returns a header.",
        &[NUMBER],
        "Header?",
        header_by_number,
    ),
    Method::blocking(
        "eth_getHeaderByHash",
        "Returns a header.",
        &[HASH],
        "Header?",
        header_by_hash,
    ),
    Method::blocking(
        "eth_getBlockTransactionCountByNumber",
        "Counts the transactions of a block.",
        &[NUMBER],
        "Quantity?",
        count_by_number,
    ),
    Method::blocking(
        "eth_getBlockTransactionCountByHash",
        "Counts the transactions of a block.",
        &[HASH],
        "Quantity?",
        count_by_hash,
    ),
    Method::inline(
        "eth_getUncleCountByBlockNumber",
        "Returns 0: there are no uncles.",
        &[NUMBER],
        "Quantity?",
        uncles_by_number,
    ),
    Method::inline(
        "eth_getUncleCountByBlockHash",
        "Returns 0: there are no uncles.",
        &[HASH],
        "Quantity?",
        uncles_by_hash,
    ),
    Method::inline(
        "eth_getUncleByBlockNumberAndIndex",
        "Returns null: there are no uncles.",
        &[NUMBER, INDEX],
        "Block?",
        no_uncle,
    ),
    Method::inline(
        "eth_getUncleByBlockHashAndIndex",
        "Returns null: there are no uncles.",
        &[HASH, INDEX],
        "Block?",
        no_uncle,
    ),
    Method::blocking(
        "eth_getBlockReceipts",
        "Returns the receipts of a block.",
        &[required("block", "BlockId")],
        "[Receipt]?",
        receipts,
    ),
];

/// Takes a block by number or tag. `pending` is not a block; the caller decides what it is.
pub(super) fn take_number(cx: &Context, args: &mut Args) -> Result<Option<Whole>, Failure> {
    let tag: BlockNumberOrTag = args.required()?;
    let view = cx.view();
    cx.whole_named(&view, BlockId::Number(tag))
}

/// Takes a block by hash.
pub(super) fn take_hash(cx: &Context, args: &mut Args) -> Result<Option<Whole>, Failure> {
    let hash: B256 = args.required()?;
    cx.whole(&cx.view(), hash)
}

fn by_number(cx: &Context, args: &mut Args) -> Answer {
    let tag: BlockNumberOrTag = args.required()?;
    let full = args.optional()?.unwrap_or(false);
    if tag.is_pending() {
        return pending(cx, full);
    }
    let view = cx.view();
    let block = cx.whole_named(&view, BlockId::Number(tag))?;
    reply(&block.map(|block| convert::block(&block, full)))
}

fn by_hash(cx: &Context, args: &mut Args) -> Answer {
    let block = take_hash(cx, args)?;
    let full = args.optional()?.unwrap_or(false);
    reply(&block.map(|block| convert::block(&block, full)))
}

/// What waits, as a block on the head. It has no hash, nonce or producer yet, and its state is the head's.
fn pending(cx: &Context, full: bool) -> Answer {
    let view = cx.view();
    let parent = &view.head.block.header;
    let base_fee = next_base_fee(&cx.rules, parent);
    let waiting = super::txpool::executable(&view, base_fee);
    let transactions: Vec<_> = waiting.iter().map(|t| t.inner().clone()).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let header = convert::pending_header(
        parent,
        base_fee,
        now.map_or(0, |now| now.as_secs()),
        &transactions,
    );
    let mut block = serde_json::to_value(convert::RpcHeader {
        hash: B256::ZERO,
        inner: header,
        total_difficulty: None,
        size: None,
    })?;
    let shown = if full {
        serde_json::to_value(waiting.iter().map(convert::pending).collect::<Vec<_>>())?
    } else {
        serde_json::to_value(transactions.iter().map(|t| *t.tx_hash()).collect::<Vec<_>>())?
    };
    for (key, value) in [
        ("hash", Value::Null),
        ("nonce", Value::Null),
        ("miner", Value::Null),
        ("uncles", Value::Array(Vec::new())),
        ("withdrawals", Value::Array(Vec::new())),
        ("transactions", shown),
    ] {
        block[key] = value;
    }
    reply(&block)
}

fn header_of(block: Option<Whole>) -> Answer {
    reply(&block.map(|block| convert::header(block.header(), Some(block.total_weight()), None)))
}

fn header_by_number(cx: &Context, args: &mut Args) -> Answer {
    header_of(take_number(cx, args)?)
}

fn header_by_hash(cx: &Context, args: &mut Args) -> Answer {
    header_of(take_hash(cx, args)?)
}

fn count(block: Option<Whole>) -> Answer {
    reply(&block.map(|block| U64::from(block.body().transactions.len())))
}

fn count_by_number(cx: &Context, args: &mut Args) -> Answer {
    count(take_number(cx, args)?)
}

fn count_by_hash(cx: &Context, args: &mut Args) -> Answer {
    count(take_hash(cx, args)?)
}

fn uncles_by_number(cx: &Context, args: &mut Args) -> Answer {
    reply(&take_number(cx, args)?.map(|block| U64::from(block.body().ommers.len())))
}

fn uncles_by_hash(cx: &Context, args: &mut Args) -> Answer {
    reply(&take_hash(cx, args)?.map(|block| U64::from(block.body().ommers.len())))
}

fn no_uncle(_: &Context, _: &mut Args) -> Answer {
    reply(&())
}

fn receipts(cx: &Context, args: &mut Args) -> Answer {
    let id: BlockId = args.required()?;
    let block = cx.whole_named(&cx.view(), id)?;
    reply(&block.map(|block| convert::receipts(&block)))
}
