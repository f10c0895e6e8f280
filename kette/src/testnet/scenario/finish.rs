//! The end of a run: the chain as the nodes have it, final judgements, figures.

use super::{
    arrivals::Listeners,
    invariants::{INCLUSION, NO_SELF_BAN, PROCESSES, SUPPLY, Violation},
    journal::{Journal, millis},
    nodes::Nodes,
    play::Play,
    possible,
    report::Report,
};
use crate::testnet::launch;
use alloy_primitives::{B256, U256};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use kette_sim::{
    run::{BlockFigures, NodeFigures, TransactionFigures},
    scenario::{
        Facts,
        check::Measured,
        users::{Conflicts, Pools},
    },
};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::BufReader,
    time::Duration,
};

/// Questions that a node is asked at the same time.
const AT_ONCE: usize = 16;

/// Judges and measures what was run; with `keep` mining goes on afterwards.
///
/// # Errors
/// If a log cannot be read.
pub async fn finish(
    mut play: Play<'_>,
    listeners: Listeners,
    keep: bool,
) -> anyhow::Result<Report> {
    let said = play.nodes.look().await;
    play.nodes.hear(said);
    let (at, facts) = (play.at(), play.facts());
    let complete = play.is_complete();
    let chain = chain(play.nodes).await;
    if complete {
        play.finals.observe(&facts);
        play.checks.observe(&facts, Some(play.healed));
        let violations = judge(&play, &chain, &facts).await;
        play.violations.extend(violations);
    }
    let mut journal = listeners.journal();
    drop(listeners);
    read_errors(&mut journal, play.nodes)?;
    let hashes: Vec<B256> = chain.iter().skip(1).map(|block| block.hash).collect();
    let (count, honest) = (play.nodes.count(), play.nodes.honest().count());
    let blocks = blocks(&play, &journal, &hashes);
    let began = play.began_micros;
    let reach = |percent, of, after: Duration| {
        let from = began.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        let counts =
            |hash: &&B256| after.is_zero() || journal.born(hash).is_some_and(|born| born >= from);
        let young: Vec<B256> = hashes.iter().filter(counts).copied().collect();
        journal.reach(&young, honest, percent, of)
    };
    let filled = filled(&journal, &chain);
    let transactions = transactions(&play, &journal, &chain, &filled);
    let (pools, conflicts) = pools(&play, &journal, &chain);
    let log_errors: Vec<(String, u64)> =
        (0..count).map(|node| (play.nodes.name(node).to_owned(), journal.errors(node))).collect();
    let measured = Measured {
        stale_rate: blocks.stale_rate,
        reach: &reach,
        log_errors: &log_errors,
        submitted: transactions.submitted,
        included: transactions.included,
        per_second: transactions.per_second,
        filled: &filled,
        pools: Some(pools),
        conflicts,
    };
    let mut checks = Vec::new();
    if complete {
        checks = play.checks.finish(&facts, &measured);
        checks.extend(play.missed.verdict.take());
    }
    if keep {
        for node in (0..count).filter(|node| !play.nodes.is_honest(*node)).collect::<Vec<_>>() {
            play.nodes.start(node)?;
        }
        for node in std::mem::take(&mut play.miners) {
            play.nodes.mine(node, true);
        }
        play.nodes.reconcile().await;
    }
    let alarms = (0..count)
        .map(|node| (play.nodes.name(node).to_owned(), play.nodes.alarms(node)))
        .filter(|(_, alarms)| !alarms.is_empty())
        .collect();
    let engine = play.script.spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
    let list = NodeFigures::list(&play.script.plan, &facts);
    let table = journal.table(&hashes, |node| play.nodes.name(node).to_owned());
    let (names, heights) = play.samples.finish(&facts);
    let mut report = Report {
        name: play.script.file.network.name.clone(),
        engine: engine.to_owned(),
        seed: play.script.seed,
        start_seconds: play.start.as_secs_f64(),
        seconds: at.as_secs_f64(),
        converged_seconds: play.converged.map(|time| time.as_secs_f64()),
        ok: complete && play.violations.is_empty() && checks.iter().all(|check| check.ok),
        violations: play.violations,
        checks,
        notes: play.missed.notes,
        complete,
        interrupted: play.interrupted,
        nodes: count,
        height: chain.len().saturating_sub(1) as u64,
        head: chain.last().map(|block| block.hash).unwrap_or_default(),
        blocks,
        propagation: journal.propagation(&hashes, honest),
        transactions,
        names,
        heights,
        faults: play.bands.finish(play.healed.max(Duration::from_micros(1))),
        list,
        block_reach: table,
        steps: play.lines,
        left_out: possible::left_out(&play.script.file),
        alarms,
        logs: BTreeMap::new(),
    };
    let tail = |name: String| {
        let lines = launch::log_tail(&play.nodes.directory, &play.nodes.manifest, &name);
        (name, lines)
    };
    report.logs = report.suspects().into_iter().map(tail).collect();
    Ok(report)
}

/// A block as its number finds it.
#[derive(Clone, Debug, Deserialize)]
struct Canonical {
    hash: B256,
    transactions: Vec<B256>,
}

/// Returns the chain of the node with the heaviest one, from block 0; nothing if nobody answers.
async fn chain(nodes: &Nodes) -> Vec<Canonical> {
    let Some((best, head)) = nodes.best().and_then(|node| Some((node, nodes.answer(node)?.height)))
    else {
        return Vec::new();
    };
    let client = nodes.client(best);
    let ask = |number: u64| {
        client.ask("eth_getBlockByNumber", [json!(format!("{number:#x}")), json!(false)])
    };
    stream::iter(0..=head).map(ask).buffered(AT_ONCE).try_collect().await.unwrap_or_default()
}

/// The part of `kette_supply` that counts.
#[derive(Clone, Debug, Deserialize)]
struct Supply {
    total: U256,
    matches: bool,
}

async fn judge(play: &Play<'_>, chain: &[Canonical], facts: &Facts) -> Vec<Violation> {
    let (nodes, at) = (&play.nodes, facts.at);
    let mut found = Vec::new();
    if !chain.is_empty() {
        let hashes: Vec<B256> = chain.iter().map(|block| block.hash).collect();
        let excused = |node| !nodes.alarms(node).is_empty() || play.wiped.contains(&node);
        found.extend(play.finals.judge(&hashes, facts, excused));
    }
    let mut first: Option<(String, B256, U256)> = None;
    for node in nodes.reachable().into_iter().filter(|node| nodes.is_honest(*node)) {
        let name = nodes.name(node).to_owned();
        let Some(head) = nodes.answer(node).map(|answer| answer.hash) else { continue };
        let supply: Supply = match nodes.client(node).ask("kette_supply", []).await {
            Ok(supply) => supply,
            Err(error) => {
                found.push(Violation::at(SUPPLY, &name, at, format!("cannot add up: {error:#}")));
                continue;
            }
        };
        if !supply.matches {
            let what =
                format!("{name} has {} in all accounts, which is not what was paid", supply.total);
            found.push(Violation::at(SUPPLY, &name, at, what));
        }
        let (other, known, total) = first.get_or_insert((name.clone(), head, supply.total));
        if *known == head && *total != supply.total {
            let what = format!("{other} has {total} in all accounts, {name} {}", supply.total);
            found.push(Violation::at(SUPPLY, &name, at, what));
        }
    }
    // Of whom is not known: where somebody lies it may well be the liar.
    let all_honest = nodes.honest().count() == nodes.count();
    for node in (0..nodes.count()).filter(|_| all_honest) {
        let (_, bans) = nodes.totals(node);
        if bans > 0 {
            let name = nodes.name(node);
            let what = format!("{name} banned an honest node ({bans} bans)");
            found.push(Violation::at(NO_SELF_BAN, name, at, what));
        }
    }
    found.extend(lost(play, chain, at));
    let not_replaced =
        nodes.honest().filter_map(|node| nodes.runs_another(node).map(|what| (node, what)));
    found.extend(
        not_replaced.map(|(node, what)| Violation::at(PROCESSES, nodes.name(node), at, what)),
    );
    found
}

/// Looks for a transaction that a node took and that is nowhere.
fn lost(play: &Play<'_>, chain: &[Canonical], at: Duration) -> Option<Violation> {
    let nodes = &play.nodes;
    let waits = nodes
        .honest()
        .any(|node| nodes.answer(node).is_none_or(|answer| answer.pending + answer.queued > 0));
    if waits || play.converged.is_none() || !play.wiped.is_empty() || chain.is_empty() {
        return None;
    }
    let included: BTreeSet<&B256> = chain.iter().flat_map(|block| &block.transactions).collect();
    let mut missing = play
        .workload
        .sent()
        .filter(|sent| sent.rival.is_none())
        .filter(|sent| sent.taken == Some(true) && !included.contains(&sent.hash));
    let first = missing.next()?;
    let name = nodes.name(first.host);
    let more = missing.count();
    let what = format!(
        "{} was taken (first handed to {name}) and is neither in the chain nor in a pool; {more} more are missing",
        first.hash
    );
    Some(Violation::at(INCLUSION, name, at, what))
}

fn read_errors(journal: &mut Journal, nodes: &Nodes) -> anyhow::Result<()> {
    for node in nodes.honest() {
        // A node that never started has no log.
        if let Ok(log) = File::open(nodes.directory.log(nodes.name(node))) {
            journal.read(node, BufReader::new(log))?;
        }
    }
    Ok(())
}

fn blocks(play: &Play<'_>, journal: &Journal, chain: &[B256]) -> BlockFigures {
    let (canonical, stale) = (chain.len() as u64, journal.stale(chain));
    let produced = canonical + stale;
    let born: Vec<u64> = chain.iter().filter_map(|hash| journal.born(hash)).collect();
    let span = match born.as_slice() {
        [first, .., last] => last.saturating_sub(*first),
        _ => 0,
    };
    let totals = (0..play.nodes.count()).map(|node| play.nodes.totals(node));
    BlockFigures {
        produced,
        canonical,
        stale,
        stale_rate: stale as f64 / produced.max(1) as f64,
        interval_seconds: span as f64 / 1e6 / (canonical.max(2) - 1) as f64,
        reorgs: totals.map(|(reorgs, _)| reorgs).sum(),
        reorg_depth_max: play.deepest,
    }
}

/// Returns when each block with transactions was made, microseconds, and how many it has.
fn filled(journal: &Journal, chain: &[Canonical]) -> Vec<(u64, u64)> {
    let born = |block: &Canonical| {
        let count = block.transactions.len() as u64;
        journal.born(&block.hash).filter(|_| count > 0).map(|born| (born, count))
    };
    chain.iter().filter_map(born).collect()
}

/// Returns which pools had users' transactions when, and what became of pairs with one nonce.
fn pools(play: &Play<'_>, journal: &Journal, chain: &[Canonical]) -> (Pools, Conflicts) {
    let mut blocks: BTreeMap<&B256, &B256> = BTreeMap::new();
    for block in chain {
        blocks.extend(block.transactions.iter().map(|hash| (hash, &block.hash)));
    }
    let names = play.nodes.honest().map(|node| (node, play.nodes.name(node).to_owned()));
    let mut pools = Pools::new(names.collect());
    let mut conflicts = Conflicts::default();
    for sent in play.workload.sent() {
        if let Some(rival) = &sent.rival {
            let [had, other] = [&sent.hash, rival].map(|hash| journal.had_transaction(hash, None));
            let both = had.keys().filter(|node| other.contains_key(node)).count();
            conflicts.add([&sent.hash, rival].map(|hash| blocks.contains_key(hash)), both);
        } else if sent.taken == Some(true) {
            let block = blocks.get(&sent.hash).copied();
            pools.add(sent.hash, &journal.had_transaction(&sent.hash, block));
        }
    }
    (pools, conflicts)
}

fn transactions(
    play: &Play<'_>,
    journal: &Journal,
    chain: &[Canonical],
    filled: &[(u64, u64)],
) -> TransactionFigures {
    let mut included: BTreeMap<&B256, &B256> = BTreeMap::new();
    for block in chain {
        included.extend(block.transactions.iter().map(|hash| (hash, &block.hash)));
    }
    let single = play.workload.sent().filter(|sent| sent.rival.is_none());
    let taken: Vec<_> = single.filter(|sent| sent.taken == Some(true)).collect();
    let mut delays: Vec<u64> = Vec::new();
    let mut found = 0;
    for sent in &taken {
        let Some(block) = included.get(&sent.hash) else { continue };
        found += 1;
        let handed_in = play.began_micros.saturating_add(sent.at.as_micros());
        delays.extend(journal.born(block).map(|born| born.saturating_sub(handed_in)));
    }
    delays.sort_unstable();
    let percentile = |percent: usize| {
        let index = (delays.len() * percent).div_ceil(100).saturating_sub(1);
        delays.get(index).map_or(0.0, |micros| millis(Duration::from_micros(*micros)))
    };
    TransactionFigures {
        submitted: taken.len() as u64,
        included: found,
        inclusion_p50_ms: percentile(50),
        inclusion_p95_ms: percentile(95),
        per_second: TransactionFigures::rate(filled),
    }
}
