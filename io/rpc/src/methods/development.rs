//! `evm_`, `anvil_`, `hardhat_`: what development tools call on development chains.
//!
//! State comes only from blocks here, so methods that would change it from outside are refused with a reason.

use crate::{
    args::Args,
    context::Context,
    failure::Failure,
    handle::Ask,
    methods::kette::command,
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_primitives::U64;
use futures::future::BoxFuture;
use kette_consensus::Command as Order;
use kette_node::Command;
use serde_json::json;
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const SECONDS: Param = required("seconds", "Number");
const TIMESTAMP: Param = required("timestamp", "Number");
const BLOCKS: Param = optional("blocks", "Number");
const INTERVAL: Param = optional("interval", "Number");
const ANY: Param = optional("argument", "Any");
const ANY2: Param = optional("value", "Any");
const ANY3: Param = optional("more", "Any");

pub(super) const METHODS: &[Method] = &[
    Method::waiting(
        "evm_mine",
        "Produces a block, at this time if given.",
        &[optional("timestamp", "Any")],
        "Quantity",
        evm_mine,
    )
    .development(),
    Method::waiting(
        "anvil_mine",
        "Produces blocks, this many seconds apart.",
        &[BLOCKS, INTERVAL],
        "Null",
        mine_many,
    )
    .development(),
    Method::waiting(
        "hardhat_mine",
        "Produces blocks, this many seconds apart.",
        &[BLOCKS, INTERVAL],
        "Boolean",
        hardhat_mine,
    )
    .development(),
    Method::waiting(
        "evm_increaseTime",
        "Puts new blocks ahead of the clock.",
        &[SECONDS],
        "Quantity",
        increase_time,
    )
    .development(),
    Method::waiting(
        "anvil_increaseTime",
        "Puts new blocks ahead of the clock.",
        &[SECONDS],
        "Quantity",
        increase_time,
    )
    .development(),
    Method::waiting(
        "evm_setNextBlockTimestamp",
        "Sets the timestamp of the next block.",
        &[TIMESTAMP],
        "Null",
        next_timestamp,
    )
    .development(),
    Method::waiting(
        "anvil_setNextBlockTimestamp",
        "Sets the timestamp of the next block.",
        &[TIMESTAMP],
        "Null",
        next_timestamp,
    )
    .development(),
    Method::inline(
        "evm_snapshot",
        "Remembers the head; returns its id.",
        &[],
        "Quantity",
        snapshot,
    )
    .development(),
    Method::inline(
        "anvil_snapshot",
        "Remembers the head; returns its id.",
        &[],
        "Quantity",
        snapshot,
    )
    .development(),
    Method::waiting(
        "evm_revert",
        "Goes back to a remembered head.",
        &[required("id", "Number")],
        "Boolean",
        revert,
    )
    .development(),
    Method::waiting(
        "anvil_revert",
        "Goes back to a remembered head.",
        &[required("id", "Number")],
        "Boolean",
        revert,
    )
    .development(),
    Method::waiting(
        "evm_setAutomine",
        "Produces blocks by itself, or only on command.",
        &[required("on", "Boolean")],
        "Boolean",
        set_automine,
    )
    .development(),
    Method::waiting(
        "anvil_setAutoMine",
        "Produces blocks by itself, or only on command.",
        &[required("on", "Boolean")],
        "Boolean",
        set_automine,
    )
    .development(),
    Method::inline(
        "anvil_getAutomine",
        "Tells whether blocks are produced by themselves.",
        &[],
        "Boolean",
        automine,
    )
    .development(),
    Method::inline(
        "hardhat_getAutomine",
        "Tells whether blocks are produced by themselves.",
        &[],
        "Boolean",
        automine,
    )
    .development(),
    Method::inline(
        "anvil_nodeInfo",
        "Describes the chain in anvil's shape.",
        &[],
        "Object",
        node_info,
    )
    .development(),
    Method::inline(
        "anvil_metadata",
        "Describes the program in anvil's shape.",
        &[],
        "Object",
        metadata,
    )
    .development(),
    Method::inline(
        "hardhat_metadata",
        "Describes the program in hardhat's shape.",
        &[],
        "Object",
        metadata,
    )
    .development(),
    refused("anvil_setBalance"),
    refused("anvil_setCode"),
    refused("anvil_setNonce"),
    refused("anvil_setStorageAt"),
    refused("anvil_impersonateAccount"),
    refused("anvil_stopImpersonatingAccount"),
    refused("anvil_autoImpersonateAccount"),
    refused("hardhat_setBalance"),
    refused("hardhat_setCode"),
    refused("hardhat_setNonce"),
    refused("hardhat_setStorageAt"),
    refused("hardhat_impersonateAccount"),
    refused("hardhat_stopImpersonatingAccount"),
    refused("anvil_reset"),
    refused("hardhat_reset"),
];

const fn refused(name: &'static str) -> Method {
    Method::inline(
        name,
        "Refused: state comes only from blocks.",
        &[ANY, ANY2, ANY3],
        "Null",
        only_blocks,
    )
    .development()
}

fn only_blocks(_: &Context, _: &mut Args) -> Answer {
    Err(Failure::Unsupported(
        "state comes only from blocks, which every node checks: fund accounts in genesis (alloc) or by \
         transactions from a funded one; evm_snapshot and evm_revert go back"
            .to_owned(),
    ))
}

async fn order(cx: &Context, order: Order) -> Result<(), Failure> {
    cx.node.ask(Ask::Command(Command::Engine(order))).await?;
    Ok(())
}

/// Orders blocks and waits until the head is that far: tools read right after.
async fn produce(cx: &Context, blocks: u64) -> Result<(), Failure> {
    if blocks > MINE_MAX {
        return Err(Failure::Limit(format!("{blocks} blocks, at most {MINE_MAX} at once")));
    }
    let mut view = cx.node.view.clone();
    let target = view.borrow_and_update().head.number().saturating_add(blocks);
    order(cx, Order::MineBlocks(blocks)).await?;
    let reached = view.wait_for(|view| view.head.number() >= target);
    match tokio::time::timeout(MINE_TIMEOUT, reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(Failure::Server("the node is stopping".to_owned())),
        Err(_) => Err(Failure::Server(format!(
            "{blocks} blocks were ordered, but not found within {} s",
            MINE_TIMEOUT.as_secs()
        ))),
    }
}

fn evm_mine(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        // A timestamp, or anvil's {timestamp, blocks}.
        let argument: Option<serde_json::Value> = args.optional()?;
        let number = |value: &serde_json::Value| -> Result<u64, Failure> {
            let number: super::Number = serde_json::from_value(value.clone())
                .map_err(|error| Failure::InvalidParams(error.to_string()))?;
            Ok(number.0)
        };
        let (mut timestamp, mut blocks) = (None, 1);
        match &argument {
            None => {}
            Some(serde_json::Value::Object(options)) => {
                timestamp = options.get("timestamp").map(number).transpose()?;
                blocks = options.get("blocks").map(number).transpose()?.unwrap_or(1);
            }
            Some(value) => timestamp = Some(number(value)?),
        }
        if let Some(timestamp) = timestamp {
            order(&cx, Order::NextTimestamp(timestamp)).await?;
        }
        produce(&cx, blocks).await?;
        reply("0x0")
    })
}

async fn spaced(cx: &Context, args: &mut Args) -> Result<(), Failure> {
    let blocks: Option<super::Number> = args.optional()?;
    let interval: Option<super::Number> = args.optional()?;
    let blocks = blocks.map_or(1, |blocks| blocks.0);
    let Some(super::Number(interval)) = interval.filter(|interval| interval.0 > 1) else {
        return produce(cx, blocks).await;
    };
    if blocks > MINE_MAX {
        return Err(Failure::Limit(format!("{blocks} blocks, at most {MINE_MAX} at once")));
    }
    for _ in 0..blocks {
        let next = cx.view().head.block.header.timestamp.saturating_add(interval);
        order(cx, Order::NextTimestamp(next)).await?;
        produce(cx, 1).await?;
    }
    Ok(())
}

fn mine_many(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        spaced(&cx, &mut args).await?;
        reply(&())
    })
}

fn hardhat_mine(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        spaced(&cx, &mut args).await?;
        reply(&true)
    })
}

fn increase_time(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let seconds: super::Number = args.required()?;
        order(&cx, Order::AddTime(seconds.0)).await?;
        reply(&super::pow(&cx.view())?.time_offset)
    })
}

fn next_timestamp(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let timestamp: super::Number = args.required()?;
        order(&cx, Order::NextTimestamp(timestamp.0)).await?;
        reply(&())
    })
}

fn snapshot(cx: &Context, _: &mut Args) -> Answer {
    let mut snapshots = cx.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
    if snapshots.len() >= SNAPSHOTS_MAX {
        return Err(Failure::Limit(format!("at most {SNAPSHOTS_MAX} snapshots; revert to one")));
    }
    snapshots.push(cx.view().head.hash());
    reply(&U64::from(snapshots.len()))
}

fn revert(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let id: super::Number = args.required()?;
        let head = {
            let mut snapshots = cx.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
            let place = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1));
            let Some((place, hash)) = place.and_then(|p| Some((p, *snapshots.get(p)?))) else {
                return reply(&false);
            };
            // As the tools expect: a snapshot is used once, and later ones are gone with it.
            snapshots.truncate(place);
            hash
        };
        if cx.view().head.hash() == head {
            return reply(&true);
        }
        let mut view = cx.node.view.clone();
        let answer = command(&cx, Command::Rollback(head)).await?;
        // Tools read right after, so the answer waits until the snapshot shows it.
        let shown = view.wait_for(|view| view.head.hash() == head);
        let _ = tokio::time::timeout(ROLLBACK_TIMEOUT, shown).await;
        Ok(answer)
    })
}

fn set_automine(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let on: bool = args.required()?;
        let mining = super::pow(&cx.view())?.mining;
        let order = if mining { Order::Mining { on, threads: None } } else { Order::OnDemand(on) };
        command(&cx, Command::Engine(order)).await
    })
}

fn automine(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    let pow = super::pow(&view)?;
    reply(&(pow.on_demand || pow.mining))
}

fn node_info(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    let header = &view.head.block.header;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    reply(&json!({
        "currentBlockNumber": U64::from(header.number),
        "currentBlockTimestamp": header.timestamp,
        "currentBlockHash": header.hash(),
        "hardFork": "prague",
        "transactionOrder": "fees",
        "environment": {
            "baseFee": U64::from(kette_ledger::next_base_fee(&cx.rules, header)),
            "chainId": cx.spec.chain_id(),
            "gasLimit": U64::from(header.gas_limit),
            "gasPrice": U64::from(kette_ledger::next_base_fee(&cx.rules, header)),
        },
        "forkConfig": {},
        "clock": now.as_secs(),
    }))
}

fn metadata(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    reply(&json!({
        "clientVersion": format!("Kette/v{}", cx.config.version),
        "chainId": cx.spec.chain_id(),
        "instanceId": view.status.genesis,
        "latestBlockNumber": view.head.number(),
        "latestBlockHash": view.head.hash(),
        "snapshots": {},
    }))
}

/// Blocks ordered at once.
const MINE_MAX: u64 = 10_000;
/// Snapshots remembered.
const SNAPSHOTS_MAX: usize = 10_000;
/// How long ordered blocks may take.
const MINE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long going back may take.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(10);
