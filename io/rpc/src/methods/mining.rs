//! `kette_` and `eth_`: the engine, mining here and elsewhere, and blocks handed in.

use crate::{
    args::Args,
    context::Context,
    failure::Failure,
    handle::Ask,
    methods::kette::command,
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_primitives::{B64, B256, Bytes, U64, U256};
use alloy_rlp::Decodable;
use futures::future::BoxFuture;
use kette_consensus::{Command as Order, pow::Work};
use kette_node::{Command, CommandError, Reply};
use kette_types::{Block, limits::BODY_BYTES_MAX};
use serde_json::json;
use std::sync::Arc;

const PREIMAGE: Param = required("preimage", "Hash");

pub(super) const METHODS: &[Method] = &[
    Method::inline(
        "kette_engine",
        "Returns the engine's state and constants.",
        &[],
        "Object",
        engine,
    ),
    Method::waiting(
        "kette_startMining",
        "Produces blocks from now on.",
        &[optional("threads", "Number")],
        "Boolean",
        start_mining,
    )
    .control(),
    Method::waiting("kette_stopMining", "Produces no more blocks.", &[], "Boolean", stop_mining)
        .control(),
    Method::waiting(
        "kette_mine",
        "Produces this many blocks, one if not said, also while mining is off.",
        &[optional("blocks", "Number")],
        "Boolean",
        mine,
    )
    .control(),
    Method::inline(
        "kette_getWork",
        "Returns the current work for an external miner.",
        &[],
        "Object",
        get_work,
    ),
    Method::waiting(
        "kette_submitWork",
        "Hands in a nonce for a preimage.",
        &[PREIMAGE, required("nonce", "Number")],
        "Boolean",
        submit_work,
    ),
    Method::waiting(
        "kette_submitBlock",
        "Hands in a sealed block: RLP of [[header, seal], body].",
        &[required("block", "Data")],
        "Hash",
        submit_block,
    ),
    Method::inline(
        "kette_getBlockTemplate",
        "Returns the current work and how a proof is checked.",
        &[],
        "Object",
        block_template,
    ),
    Method::waiting(
        "kette_approveReorg",
        "Follows a heavier branch although the reorganization is deeper than the limit.",
        &[required("hash", "Hash")],
        "Boolean",
        approve_reorg,
    )
    .control(),
    Method::inline(
        "eth_getWork",
        "Returns [preimage, seed, target, number] as Ethereum's miners read them.",
        &[],
        "[Data]",
        eth_get_work,
    ),
    Method::waiting(
        "eth_submitWork",
        "Hands in a nonce; tells whether it was accepted.",
        &[required("nonce", "Data"), PREIMAGE, required("digest", "Hash")],
        "Boolean",
        eth_submit_work,
    ),
    Method::inline(
        "eth_submitHashrate",
        "Accepted and not used: miners may report.",
        &[required("rate", "Quantity"), required("id", "Hash")],
        "Boolean",
        submit_hashrate,
    ),
];

fn engine(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.view().status.engine)
}

fn start_mining(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        super::pow(&cx.view())?;
        let threads: Option<super::Number> = args.optional()?;
        let threads = match threads {
            None => None,
            Some(threads) => Some(u32::try_from(threads.0).map_err(|_| {
                Failure::InvalidParams(format!("{} threads are too many", threads.0))
            })?),
        };
        command(&cx, Command::Engine(Order::Mining { on: true, threads })).await
    })
}

fn stop_mining(cx: Arc<Context>, _: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        super::pow(&cx.view())?;
        command(&cx, Command::Engine(Order::Mining { on: false, threads: None })).await
    })
}

fn mine(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let blocks: Option<super::Number> = args.optional()?;
        super::pow(&cx.view())?;
        let blocks = blocks.map_or(1, |blocks| blocks.0);
        if blocks > MINE_MAX {
            return Err(Failure::Limit(format!("{blocks} blocks, at most {MINE_MAX} at once")));
        }
        command(&cx, Command::Engine(Order::MineBlocks(blocks))).await
    })
}

fn work(cx: &Context) -> Result<Work, Failure> {
    super::pow(&cx.view())?.work.ok_or_else(|| {
        Failure::Server(
            "no work: mining is off; kette_startMining(0) makes work for others".to_owned(),
        )
    })
}

fn get_work(cx: &Context, _: &mut Args) -> Answer {
    reply(&work(cx)?)
}

fn block_template(cx: &Context, _: &mut Args) -> Answer {
    let work = work(cx)?;
    let view = cx.view();
    let pow = super::pow(&view)?;
    reply(&json!({
        "preimage": work.preimage,
        "target": work.target,
        "parentHash": work.parent,
        "number": U64::from(work.number),
        "difficulty": pow.difficulty,
        "algorithm": "sha256d",
        "input": "preimage (32 bytes) || nonce (8 bytes, big-endian)",
        "wins": "hash as a big-endian integer <= target",
        "submit": "kette_submitWork(preimage, nonce)",
    }))
}

async fn hand_in(cx: &Context, preimage: B256, nonce: u64) -> Answer {
    super::pow(&cx.view())?;
    command(cx, Command::Engine(Order::SubmitWork { preimage, nonce })).await
}

fn submit_work(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let preimage: B256 = args.required()?;
        let nonce: super::Number = args.required()?;
        hand_in(&cx, preimage, nonce.0).await
    })
}

fn submit_block(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let raw: Bytes = args.required()?;
        if raw.len() > BODY_BYTES_MAX {
            return Err(Failure::Limit(format!(
                "block of {} bytes, at most {BODY_BYTES_MAX}",
                raw.len()
            )));
        }
        let decoded = tokio::task::spawn_blocking(move || {
            let mut rest = raw.as_ref();
            let block = Block::decode(&mut rest).map_err(|e| format!("rlp: {e}"))?;
            if !rest.is_empty() {
                return Err(format!("rlp: {} bytes after the block", rest.len()));
            }
            Ok(block)
        });
        let block = decoded.await.map_err(|_| Failure::Internal("decoding stopped".to_owned()))?;
        let block = block.map_err(Failure::InvalidParams)?;
        match cx.node.ask(Ask::Block(Box::new(block))).await? {
            Reply::Block(hash) => reply(&hash),
            other => Err(Failure::Internal(format!("unexpected answer {other:?}"))),
        }
    })
}

fn approve_reorg(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let hash: B256 = args.required()?;
        super::pow(&cx.view())?;
        command(&cx, Command::Engine(Order::ApproveReorg(hash))).await
    })
}

fn eth_get_work(cx: &Context, _: &mut Args) -> Answer {
    let work = work(cx)?;
    reply(&alloy_rpc_types_eth::Work {
        pow_hash: work.preimage,
        // Ethash's seed has no meaning here.
        seed_hash: B256::ZERO,
        target: B256::from(work.target),
        number: Some(work.number),
    })
}

fn eth_submit_work(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let nonce: B64 = args.required()?;
        let preimage: B256 = args.required()?;
        let _: B256 = args.required()?;
        match hand_in(&cx, preimage, u64::from_be_bytes(nonce.0)).await {
            Ok(answer) => Ok(answer),
            // Ethereum's miners expect a verdict and no error.
            Err(Failure::Server(text)) if is_verdict(&text) => reply(&false),
            Err(failure) => Err(failure),
        }
    })
}

fn is_verdict(text: &str) -> bool {
    use kette_consensus::CommandError as Refusal;
    [Refusal::StaleWork, Refusal::BadNonce]
        .into_iter()
        .any(|refusal| CommandError::Engine(refusal).to_string() == text)
}

fn submit_hashrate(cx: &Context, args: &mut Args) -> Answer {
    let _: U256 = args.required()?;
    let _: B256 = args.required()?;
    super::pow(&cx.view())?;
    reply(&true)
}

/// Blocks ordered at once.
const MINE_MAX: u64 = 10_000;
