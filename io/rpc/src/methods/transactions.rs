//! `eth_`: transactions and their receipts.

use super::blocks::{take_hash, take_number};
use crate::{
    args::Args,
    chain::Whole,
    context::Context,
    convert,
    failure::Failure,
    handle::Ask,
    submit,
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_eips::Encodable2718;
use alloy_primitives::{B256, Bytes, U64};
use futures::future::BoxFuture;
use kette_node::{Command, Event};
use std::{sync::Arc, time::Duration};

const TRANSACTION: Param = required("hash", "Hash");
const NUMBER: Param = required("block", "BlockTag");
const INDEX: Param = required("index", "Quantity");

pub(super) const METHODS: &[Method] = &[
    Method::blocking(
        "eth_getTransactionByHash",
        "Returns a transaction, waiting or in a block.",
        &[TRANSACTION],
        "Transaction?",
        by_hash,
    ),
    Method::blocking(
        "eth_getTransactionByBlockHashAndIndex",
        "Returns a transaction of a block.",
        &[TRANSACTION, INDEX],
        "Transaction?",
        by_block_hash,
    ),
    Method::blocking(
        "eth_getTransactionByBlockNumberAndIndex",
        "Returns a transaction of a block.",
        &[NUMBER, INDEX],
        "Transaction?",
        by_block_number,
    ),
    Method::blocking(
        "eth_getRawTransactionByHash",
        "Returns a transaction's EIP-2718 encoding.",
        &[TRANSACTION],
        "Data?",
        raw,
    ),
    Method::blocking(
        "eth_getRawTransactionByBlockHashAndIndex",
        "Returns a transaction's EIP-2718 encoding.",
        &[TRANSACTION, INDEX],
        "Data?",
        raw_by_block_hash,
    ),
    Method::blocking(
        "eth_getRawTransactionByBlockNumberAndIndex",
        "Returns a transaction's EIP-2718 encoding.",
        &[NUMBER, INDEX],
        "Data?",
        raw_by_block_number,
    ),
    Method::blocking(
        "eth_getTransactionReceipt",
        "Returns the receipt of a transaction in a block.",
        &[TRANSACTION],
        "Receipt?",
        receipt,
    ),
    Method::waiting(
        "eth_sendRawTransactionSync",
        "Hands in a signed transaction and waits for its receipt (EIP-7966).",
        &[required("transaction", "Data"), optional("timeout", "Number")],
        "Receipt",
        send_sync,
    ),
    Method::waiting(
        "anvil_dropTransaction",
        "Drops a waiting transaction.",
        &[TRANSACTION],
        "Hash?",
        drop_transaction,
    )
    .development(),
];

fn by_hash(cx: &Context, args: &mut Args) -> Answer {
    let hash: B256 = args.required()?;
    let view = cx.view();
    if let Some((block, index)) = cx.located(&view, hash)? {
        return reply(&convert::transaction(&block, index));
    }
    reply(&super::txpool::find(&view, hash).map(|transaction| convert::pending(&transaction)))
}

fn at(block: Option<Whole>, args: &mut Args) -> Result<Option<(Whole, usize)>, Failure> {
    let index: U64 = args.required()?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    Ok(block.filter(|block| index < block.body().transactions.len()).map(|block| (block, index)))
}

fn by_block_hash(cx: &Context, args: &mut Args) -> Answer {
    let found = at(take_hash(cx, args)?, args)?;
    reply(&found.and_then(|(block, index)| convert::transaction(&block, index)))
}

fn by_block_number(cx: &Context, args: &mut Args) -> Answer {
    let found = at(take_number(cx, args)?, args)?;
    reply(&found.and_then(|(block, index)| convert::transaction(&block, index)))
}

fn encoded((block, index): (Whole, usize)) -> Bytes {
    block.body().transactions[index].encoded_2718().into()
}

fn raw(cx: &Context, args: &mut Args) -> Answer {
    let hash: B256 = args.required()?;
    let view = cx.view();
    if let Some(found) = cx.located(&view, hash)? {
        return reply(&encoded(found));
    }
    let waiting = super::txpool::find(&view, hash);
    reply(&waiting.map(|transaction| Bytes::from(transaction.encoded_2718())))
}

fn raw_by_block_hash(cx: &Context, args: &mut Args) -> Answer {
    reply(&at(take_hash(cx, args)?, args)?.map(encoded))
}

fn raw_by_block_number(cx: &Context, args: &mut Args) -> Answer {
    reply(&at(take_number(cx, args)?, args)?.map(encoded))
}

fn receipt(cx: &Context, args: &mut Args) -> Answer {
    let hash: B256 = args.required()?;
    receipt_of(cx, hash)
}

fn receipt_of(cx: &Context, hash: B256) -> Answer {
    let found = cx.located(&cx.view(), hash)?;
    reply(&found.and_then(|(block, index)| convert::receipt(&block, index)))
}

fn send_sync(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let raw: Bytes = args.required()?;
        let timeout: Option<super::Number> = args.optional()?;
        let timeout =
            timeout.map_or(SYNC_TIMEOUT, |ms| Duration::from_millis(ms.0)).min(SYNC_TIMEOUT_MAX);
        // Subscribed before it is sent, so that its block cannot be missed.
        let mut events = cx.node.events.subscribe();
        let hash = submit::submit(&cx, raw).await?;
        let waited = tokio::time::timeout(timeout, async {
            loop {
                match events.recv().await {
                    Ok(event) if !includes(&event, hash) => {}
                    _ => return,
                }
            }
        });
        // Whatever ended the wait, the chain is asked.
        let _ = waited.await;
        let answer = receipt_of(&cx, hash)?;
        if answer.get() == "null" {
            return Err(Failure::Server(format!(
                "transaction {hash} was added to the pool, but no block had it within {} ms",
                timeout.as_millis()
            )));
        }
        Ok(answer)
    })
}

fn includes(event: &Event, hash: B256) -> bool {
    match event {
        Event::Head { added, .. } => {
            added.iter().any(|b| b.block.body.transactions.iter().any(|t| *t.tx_hash() == hash))
        }
        Event::Dropped { hash: dropped, .. } => *dropped == hash,
        _ => false,
    }
}

fn drop_transaction(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let hash: B256 = args.required()?;
        if super::txpool::find(&cx.view(), hash).is_none() {
            return reply(&());
        }
        cx.node.ask(Ask::Command(Command::DropTransaction(hash))).await?;
        reply(&hash)
    })
}

/// How long `eth_sendRawTransactionSync` waits if the client does not say (EIP-7966 recommends 2 s; blocks of
/// proof of work come more slowly).
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it waits at most.
const SYNC_TIMEOUT_MAX: Duration = Duration::from_secs(120);
