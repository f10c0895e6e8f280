//! `txpool_`: what waits, in geth's shapes; and the pool look-ups that other namespaces share.

use crate::{
    args::Args,
    context::Context,
    convert,
    table::{Answer, Method, reply, required},
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U64};
use kette_node::View;
use kette_types::{Recovered, Transaction};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[
    Method::inline("txpool_status", "Counts what waits.", &[], "Object", status),
    Method::blocking(
        "txpool_content",
        "Returns what waits, by sender and nonce.",
        &[],
        "Object",
        content,
    ),
    Method::inline(
        "txpool_contentFrom",
        "Returns what waits from one sender, by nonce.",
        &[required("address", "Address")],
        "Object",
        content_from,
    ),
    Method::blocking(
        "txpool_inspect",
        "Summarizes what waits, by sender and nonce.",
        &[],
        "Object",
        inspect,
    ),
];

/// Returns a waiting transaction.
pub(super) fn find(view: &View, hash: B256) -> Option<Arc<Recovered<Transaction>>> {
    view.pool.get(hash)
}

/// Returns what a block with this base fee would take at most, best first.
pub(super) fn executable(view: &View, base_fee: u64) -> Vec<Recovered<Transaction>> {
    view.pool.best(base_fee).take(PENDING_SHOWN_MAX).collect()
}

fn status(cx: &Context, _: &mut Args) -> Answer {
    let pool = &cx.view().pool;
    reply(&json!({
        "pending": U64::from(pool.pending_count()),
        "queued": U64::from(pool.queued_count()),
    }))
}

fn by_nonce<'a>(
    transactions: impl Iterator<Item = &'a Arc<Recovered<Transaction>>>,
    show: impl Fn(&Recovered<Transaction>) -> Result<Value, serde_json::Error>,
) -> Result<Map<String, Value>, serde_json::Error> {
    transactions.map(|one| Ok((one.nonce().to_string(), show(one)?))).collect()
}

fn whole(transaction: &Recovered<Transaction>) -> Result<Value, serde_json::Error> {
    serde_json::to_value(convert::pending(transaction))
}

fn summary(transaction: &Recovered<Transaction>) -> Result<Value, serde_json::Error> {
    let to = match transaction.to() {
        Some(to) => to.to_string(),
        None => "contract creation".to_owned(),
    };
    Ok(Value::String(format!(
        "{to}: {} wei + {} gas x {} wei",
        transaction.value(),
        transaction.gas_limit(),
        transaction.max_fee_per_gas()
    )))
}

fn all(
    view: &View,
    show: impl Fn(&Recovered<Transaction>) -> Result<Value, serde_json::Error> + Copy,
) -> Answer {
    let (mut pending, mut queued) = (Map::new(), Map::new());
    for sender in view.pool.senders() {
        for (lists, list) in [
            (&mut pending, by_nonce(view.pool.pending(sender), show)?),
            (&mut queued, by_nonce(view.pool.queued(sender), show)?),
        ] {
            if !list.is_empty() {
                lists.insert(sender.to_string(), Value::Object(list));
            }
        }
    }
    reply(&json!({ "pending": pending, "queued": queued }))
}

fn content(cx: &Context, _: &mut Args) -> Answer {
    all(&cx.view(), whole)
}

fn inspect(cx: &Context, _: &mut Args) -> Answer {
    all(&cx.view(), summary)
}

fn content_from(cx: &Context, args: &mut Args) -> Answer {
    let sender: Address = args.required()?;
    let pool = &cx.view().pool;
    reply(&json!({
        "pending": by_nonce(pool.pending(sender), whole)?,
        "queued": by_nonce(pool.queued(sender), whole)?,
    }))
}

/// Transactions shown in the pending block.
const PENDING_SHOWN_MAX: usize = 10_000;
