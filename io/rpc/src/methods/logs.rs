//! `eth_`: logs of stored blocks, and filters for clients that poll.

use crate::{
    args::Args,
    context::Context,
    convert,
    failure::Failure,
    filters::{Kind, check_criteria},
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_eips::BlockNumberOrTag;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use kette_node::View;
use kette_store::{LogFilter, LogRow};

const FILTER: Param = required("filter", "Filter");
const ID: Param = required("id", "Quantity");

pub(super) const METHODS: &[Method] = &[
    Method::blocking("eth_getLogs", "Returns the logs that match.", &[FILTER], "[Log]", get_logs),
    Method::inline(
        "eth_newFilter",
        "Installs a filter for logs.",
        &[FILTER],
        "Quantity",
        new_filter,
    ),
    Method::inline(
        "eth_newBlockFilter",
        "Installs a filter for blocks.",
        &[],
        "Quantity",
        new_block_filter,
    ),
    Method::inline(
        "eth_newPendingTransactionFilter",
        "Installs a filter for transactions that enter the pool.",
        &[optional("full", "Boolean")],
        "Quantity",
        new_pending_filter,
    ),
    Method::inline(
        "eth_getFilterChanges",
        "Returns what a filter saw since it was asked last.",
        &[ID],
        "[Any]",
        filter_changes,
    ),
    Method::blocking(
        "eth_getFilterLogs",
        "Returns all logs that a filter matches.",
        &[ID],
        "[Log]",
        filter_logs,
    ),
    Method::inline(
        "eth_uninstallFilter",
        "Removes a filter; tells whether it was there.",
        &[ID],
        "Boolean",
        uninstall,
    ),
];

fn get_logs(cx: &Context, args: &mut Args) -> Answer {
    let filter: Filter = args.required()?;
    reply(&search(cx, &filter)?)
}

fn new_filter(cx: &Context, args: &mut Args) -> Answer {
    let filter: Filter = args.required()?;
    check_criteria(&filter)?;
    reply(&cx.filters.install(Kind::Logs(Box::new(filter), Vec::new()))?)
}

fn new_block_filter(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.filters.install(Kind::Blocks(Vec::new()))?)
}

fn new_pending_filter(cx: &Context, args: &mut Args) -> Answer {
    let full = args.optional()?.unwrap_or(false);
    let kind = if full { Kind::PendingFull(Vec::new()) } else { Kind::Pending(Vec::new()) };
    reply(&cx.filters.install(kind)?)
}

fn filter_changes(cx: &Context, args: &mut Args) -> Answer {
    let id: String = args.required()?;
    reply(&cx.filters.changes(&id)?)
}

fn filter_logs(cx: &Context, args: &mut Args) -> Answer {
    let id: String = args.required()?;
    reply(&search(cx, &cx.filters.criteria(&id)?)?)
}

fn uninstall(cx: &Context, args: &mut Args) -> Answer {
    let id: String = args.required()?;
    reply(&cx.filters.uninstall(&id))
}

/// Searches one block, or a bounded range through the store's index.
fn search(cx: &Context, filter: &Filter) -> Result<Vec<Log>, Failure> {
    check_criteria(filter)?;
    let view = cx.view();
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let block = cx.whole(&view, hash)?;
            let block = block.ok_or_else(|| Failure::NotFound("unknown block".to_owned()))?;
            let (header, body) = (block.header(), block.body());
            let mut logs = convert::block_logs(header, &body.transactions, block.receipts(), false);
            logs.retain(|log| {
                filter.matches_address(log.address()) && filter.matches_topics(log.topics())
            });
            return Ok(logs);
        }
        FilterBlockOption::Range { from_block, to_block } => (
            number(&view, from_block.unwrap_or_default()),
            number(&view, to_block.unwrap_or_default()),
        ),
    };
    if from > to {
        return Err(Failure::InvalidParams("invalid block range params".to_owned()));
    }
    let to = to.min(view.head.number());
    let indexed = !filter.address.is_empty() || !filter.topics[0].is_empty();
    let max = if indexed { RANGE_INDEXED_MAX } else { RANGE_MAX };
    if to.saturating_sub(from) >= max {
        return Err(Failure::Limit(format!(
            "block range too wide: {} blocks, at most {max} in one query{}",
            to - from + 1,
            if indexed { "" } else { "; name an address or a first topic for more" }
        )));
    }
    let wanted = LogFilter {
        from,
        to,
        addresses: filter.address.iter().copied().collect(),
        topics: filter.topics.each_ref().map(|topics| topics.iter().copied().collect()),
    };
    let found = cx.reader.logs(&wanted, LOGS_MAX + 1)?;
    if found.len() > LOGS_MAX {
        return Err(Failure::Limit(format!(
            "query returned more than {LOGS_MAX} results; ask for fewer blocks"
        )));
    }
    Ok(found.into_iter().map(shown).collect())
}

fn shown(row: LogRow) -> Log {
    Log {
        inner: row.log,
        block_hash: Some(row.block),
        block_number: Some(row.number),
        block_timestamp: Some(row.timestamp),
        transaction_hash: Some(row.transaction),
        transaction_index: Some(row.transaction_index.into()),
        log_index: Some(row.log_index.into()),
        removed: false,
    }
}

fn number(view: &View, tag: BlockNumberOrTag) -> u64 {
    match tag {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => view.head.number(),
        BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => view.finalized.0,
    }
}

/// Blocks of one query that no index helps.
const RANGE_MAX: u64 = 10_000;
/// Blocks of one query that names an address or a first topic.
const RANGE_INDEXED_MAX: u64 = 1_000_000;
/// Logs of one query.
const LOGS_MAX: usize = 10_000;
