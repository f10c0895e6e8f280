//! `debug_`: raw encodings, for tools that check hashes themselves.

use crate::{
    args::Args,
    chain::Whole,
    context::Context,
    convert,
    failure::Failure,
    table::{Answer, Method, Param, reply, required},
};
use alloy_eips::{BlockId, Encodable2718};
use alloy_primitives::{B256, Bytes};

const BLOCK: Param = required("block", "BlockId");

pub(super) const METHODS: &[Method] = &[
    Method::blocking("debug_getRawBlock", "Returns a block's RLP.", &[BLOCK], "Data", raw_block),
    Method::blocking("debug_getRawHeader", "Returns a header's RLP.", &[BLOCK], "Data", raw_header),
    Method::blocking(
        "debug_getRawReceipts",
        "Returns a block's receipts, EIP-2718.",
        &[BLOCK],
        "[Data]",
        raw_receipts,
    ),
    Method::blocking(
        "debug_getRawTransaction",
        "Returns a transaction's EIP-2718 encoding.",
        &[required("hash", "Hash")],
        "Data",
        raw_transaction,
    ),
];

fn take(cx: &Context, args: &mut Args) -> Result<Whole, Failure> {
    let id: BlockId = args.required()?;
    let block = cx.whole_named(&cx.view(), id)?;
    block.ok_or_else(|| Failure::NotFound("block not found".to_owned()))
}

fn raw_block(cx: &Context, args: &mut Args) -> Answer {
    let block = take(cx, args)?;
    reply(&Bytes::from(convert::raw_block(block.header(), block.body())))
}

fn raw_header(cx: &Context, args: &mut Args) -> Answer {
    let block = take(cx, args)?;
    reply(&Bytes::from(alloy_rlp::encode(block.header().header())))
}

fn raw_receipts(cx: &Context, args: &mut Args) -> Answer {
    let block = take(cx, args)?;
    let raw: Vec<Bytes> =
        block.receipts().iter().map(|receipt| convert::raw_receipt(receipt).into()).collect();
    reply(&raw)
}

fn raw_transaction(cx: &Context, args: &mut Args) -> Answer {
    let hash: B256 = args.required()?;
    let view = cx.view();
    if let Some((block, index)) = cx.located(&view, hash)? {
        return reply(&Bytes::from(block.body().transactions[index].encoded_2718()));
    }
    let waiting = super::txpool::find(&view, hash);
    let waiting = waiting.ok_or_else(|| Failure::NotFound("transaction not found".to_owned()))?;
    reply(&Bytes::from(waiting.encoded_2718()))
}
