//! `eth_`: what a transaction should pay.

use crate::{
    args::Args,
    chain::Whole,
    context::Context,
    failure::Failure,
    table::{Answer, Method, optional, reply, required},
};
use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U128};
use alloy_rpc_types_eth::FeeHistory;
use kette_ledger::next_base_fee;
use kette_node::View;

pub(super) const METHODS: &[Method] = &[
    Method::blocking(
        "eth_gasPrice",
        "Returns a price that the next blocks take.",
        &[],
        "Quantity",
        gas_price,
    ),
    Method::blocking(
        "eth_maxPriorityFeePerGas",
        "Returns a tip that the next blocks take.",
        &[],
        "Quantity",
        priority_fee,
    ),
    Method::inline(
        "eth_blobBaseFee",
        "Returns 1: the chain has no blobs.",
        &[],
        "Quantity",
        blob_base_fee,
    ),
    Method::inline("eth_baseFee", "Returns the next block's base fee.", &[], "Quantity", base_fee),
    Method::blocking(
        "eth_feeHistory",
        "Returns base fees, fullness and tips of recent blocks.",
        &[
            required("blockCount", "Number"),
            required("newestBlock", "BlockTag"),
            optional("rewardPercentiles", "[Number]"),
        ],
        "FeeHistory",
        fee_history,
    ),
];

fn gas_price(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    let head = &view.head.block.header;
    // While fees fall, the next block asks less than the head did; wallets simulate on the head.
    let base_fee = next_base_fee(&cx.rules, head).max(head.base_fee_per_gas.unwrap_or(0));
    reply(&U128::from(u128::from(base_fee) + tip(cx, &view)?))
}

fn priority_fee(cx: &Context, _: &mut Args) -> Answer {
    reply(&U128::from(tip(cx, &cx.view())?))
}

fn blob_base_fee(_: &Context, _: &mut Args) -> Answer {
    reply(&U64::from(1))
}

fn base_fee(cx: &Context, _: &mut Args) -> Answer {
    reply(&U64::from(next_base_fee(&cx.rules, &cx.view().head.block.header)))
}

/// The 60th percentile of the lowest tips of recent blocks, as geth's oracle samples them.
fn tip(cx: &Context, view: &View) -> Result<u128, Failure> {
    let mut tips = Vec::new();
    let mut hash = view.head.hash();
    for _ in 0..TIP_BLOCKS {
        let Some(block) = cx.whole(view, hash)? else { break };
        let header = block.header();
        let base_fee = header.base_fee_per_gas.unwrap_or(0);
        let mut paid: Vec<u128> = block
            .body()
            .transactions
            .iter()
            .filter_map(|transaction| transaction.effective_tip_per_gas(base_fee))
            .collect();
        paid.sort_unstable();
        tips.extend(paid.into_iter().take(TIPS_PER_BLOCK));
        if header.number == 0 {
            break;
        }
        hash = header.parent_hash;
    }
    tips.sort_unstable();
    let index = tips.len().saturating_sub(1) * TIP_PERCENTILE / 100;
    Ok(tips.get(index).copied().unwrap_or(TIP_DEFAULT).clamp(TIP_DEFAULT, TIP_MAX))
}

fn fee_history(cx: &Context, args: &mut Args) -> Answer {
    let count: super::Number = args.required()?;
    let newest: BlockNumberOrTag = args.required()?;
    let percentiles: Option<Vec<f64>> = args.optional()?;
    let percentiles = percentiles.unwrap_or_default();
    check_percentiles(&percentiles)?;
    let view = cx.view();
    let hash = cx
        .tagged(&view, newest)?
        .ok_or_else(|| Failure::InvalidParams("request beyond head block".to_owned()))?;
    let newest = cx.header(&view, hash)?.ok_or_else(Failure::no_block)?;
    let count = count.0.min(HISTORY_BLOCKS_MAX).min(newest.number + 1);
    if count == 0 {
        return reply(&FeeHistory::default());
    }
    let oldest = newest.number + 1 - count;
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for number in oldest..=newest.number {
        let hash = cx.canonical(&view, number)?.ok_or_else(Failure::no_block)?;
        let header = cx.header(&view, hash)?.ok_or_else(Failure::no_block)?;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or(0).into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit.max(1) as f64);
        if !percentiles.is_empty() {
            let block = cx.whole(&view, hash)?.ok_or_else(Failure::no_block)?;
            rewards.push(rewards_of(&block, &percentiles));
        }
    }
    history.base_fee_per_gas.push(next_base_fee(&cx.rules, &newest).into());
    history.base_fee_per_blob_gas = vec![1; history.base_fee_per_gas.len()];
    history.blob_gas_used_ratio = vec![0.0; history.gas_used_ratio.len()];
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    reply(&history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), Failure> {
    let invalid = |text: String| Err(Failure::InvalidParams(text));
    if percentiles.len() > PERCENTILES_MAX {
        return invalid(format!("over the query limit {PERCENTILES_MAX} of reward percentiles"));
    }
    if let Some(wrong) = percentiles.iter().find(|p| !(0.0..=100.0).contains(*p)) {
        return invalid(format!("invalid reward percentile: {wrong}"));
    }
    if !percentiles.is_sorted() {
        return invalid("invalid reward percentile: they must ascend".to_owned());
    }
    Ok(())
}

/// Tips at these percentiles of the block's gas, cheapest transaction first.
fn rewards_of(block: &Whole, percentiles: &[f64]) -> Vec<u128> {
    let base_fee = block.header().base_fee_per_gas.unwrap_or(0);
    let mut before = 0;
    let mut paid: Vec<(u128, u64)> = block
        .body()
        .transactions
        .iter()
        .zip(block.receipts())
        .map(|(transaction, receipt)| {
            let gas = receipt.cumulative_gas_used.saturating_sub(before);
            before = receipt.cumulative_gas_used;
            (transaction.effective_tip_per_gas(base_fee).unwrap_or(0), gas)
        })
        .collect();
    paid.sort_unstable();
    let total = block.header().gas_used as f64;
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = total * percentile / 100.0;
            let mut sum = 0.0;
            let reached = paid.iter().find(|(_, gas)| {
                sum += *gas as f64;
                sum >= threshold
            });
            reached.or(paid.last()).map_or(0, |(tip, _)| *tip)
        })
        .collect()
}

/// Recent blocks whose tips are looked at (as geth).
const TIP_BLOCKS: usize = 20;
/// Lowest tips taken from each of them (as geth).
const TIPS_PER_BLOCK: usize = 3;
/// Percentile of them that is suggested (as geth).
const TIP_PERCENTILE: usize = 60;
/// Wei per gas suggested when nobody pays more: a thousandth of a gwei (as geth).
const TIP_DEFAULT: u128 = 1_000_000;
/// Wei per gas suggested at most: 500 gwei (as geth).
const TIP_MAX: u128 = 500_000_000_000;
/// Blocks of one fee history (as geth).
const HISTORY_BLOCKS_MAX: u64 = 1_024;
/// Percentiles of one fee history (as geth).
const PERCENTILES_MAX: usize = 100;
