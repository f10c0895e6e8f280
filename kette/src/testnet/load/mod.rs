//! Load on a network: signed transactions handed in by many senders, and what became of them.
//!
//! Works with any Ethereum JSON-RPC endpoint. What is in the chain is read from its blocks, when something arrived is
//! what receivers say ([`watch`]); of the senders only the moment of handing in is used. The simulator has users of its
//! own (`sim/src/workload/`): they come by in virtual time and hand in again what got lost, which a measurement must
//! not hide.

mod accounts;
pub mod endpoint;
mod follow;
mod mix;
mod offer;
mod plan;
pub mod report;
mod tally;
pub mod watch;

pub use endpoint::Endpoint;
pub use mix::Mix;

use crate::{commands::exit::Exit, unix_time};
use accounts::Terms;
use alloy_primitives::{Address, B256, U256};
use endpoint::Block;
use follow::Follower;
use kette_sim::scenario::units::format_duration;
use offer::{Answer, Desk, Outcome, lane};
use plan::{Entry, plan};
use report::{Conditions, Report};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tally::Facts;
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch as signal},
    time::{Instant, interval, timeout_at},
};
use watch::{Index, Seen, Watcher};

/// What load is wished.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Transactions per second; `None` for as fast as they are taken up.
    pub rate: Option<f64>,
    /// Transactions in all.
    pub transactions: u64,
    /// How long they are handed in at most.
    pub duration: Duration,
    /// Accounts that send.
    pub senders: usize,
    /// Pairs with the same nonce, handed to two nodes at once.
    pub conflicts: usize,
    /// Shares of kinds.
    pub mix: Mix,
    /// Where all draws, and the senders' keys, come from.
    pub seed: u64,
    /// Transactions of one request.
    pub batch: usize,
    /// Requests under way at one endpoint at most.
    pub lanes: usize,
    /// Transactions that are in no block, at most.
    pub open_max: usize,
    /// How long to wait for blocks when nothing moves any more.
    pub patience: Duration,
    /// Whether pools are watched.
    pub with_pools: bool,
    /// What is waited for when everything is handed in.
    pub wait: Wait,
}

/// Until when a load is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Everything that was taken is in a block.
    Included,
    /// The last of these blocks is final.
    Final,
}

/// A wish that cannot be fulfilled as it is: transactions of one sender that are in no block. Pools hold 1,000.
pub const PER_SENDER_MAX: usize = 900;
/// Blocks that watchers know of and the follower does not.
const HEADS_MAX: usize = 1_024;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Puts the load on, waits until the chain has it, and sums up. `tell` hears of the progress.
///
/// # Errors
/// If an endpoint does not answer, or the senders cannot be funded.
pub async fn run(
    wish: &Wish,
    endpoints: Vec<Endpoint>,
    mut tell: impl FnMut(String),
) -> anyhow::Result<Report> {
    let first = &endpoints[0];
    let terms = Terms::ask(first).await?;
    let each = U256::from(plan::each(wish))
        * (U256::from(wish.mix.gas_max()) * U256::from(terms.fee_cap) + U256::from(u16::MAX));
    let count = plan::accounts(wish);
    tell(format!("funding {count} senders"));
    let senders = accounts::senders(first, wish.seed, count).await?;
    let token = accounts::fund(first, &terms, &senders, each, &wish.mix, wish.patience).await?;
    let late = behind(&endpoints, first.height().await?, wish.patience).await;
    if !late.is_empty() {
        let text = format!("{} did not get the block that pays the senders", late.join(", "));
        return Err(Exit::TimedOut(text).into());
    }
    tell(format!("signing {} transactions", wish.transactions));
    let entries = plan(wish, endpoints.len(), &terms, &senders, token)?;
    let bytes: usize = entries.iter().map(|entry| entry.signed.raw.len() / 2 - 1).sum();
    let transaction_bytes = bytes as f64 / entries.len().max(1) as f64;
    let index: Index = Arc::new(
        entries.iter().enumerate().map(|(at, entry)| (entry.signed.hash, at as u32)).collect(),
    );
    let from = first.height().await? + 1;
    let load_before = load_average();

    let (heads, told) = mpsc::channel(HEADS_MAX);
    let (stop, stopped) = signal::channel(false);
    let mut watchers = Vec::new();
    for (node, endpoint) in endpoints.iter().enumerate() {
        let start =
            Watcher::start(endpoint.clone(), node, index.clone(), heads.clone(), wish.with_pools);
        watchers.push(tokio::spawn(start.await?.run(stopped.clone())));
    }
    drop(heads);
    let began = Instant::now();
    let desk = Arc::new(Desk {
        entries,
        rate: wish.rate,
        began,
        until: began + wish.duration,
        batch: wish.batch,
        places: Semaphore::new(wish.open_max),
        block: Notify::new(),
        offered: AtomicU64::new(0),
        accepted: AtomicU64::new(0),
    });
    let included = Arc::new(AtomicU64::new(0));
    let follower = Follower::new(endpoints.clone(), index, desk.clone(), included.clone());
    let follower = tokio::spawn(follower.run(told));
    let outcomes = hand_in(wish, &endpoints, &desk, &included, &mut tell).await?;
    tell(format!(
        "all is handed in after {:.0} s; waiting until it is in blocks, at most {} without progress",
        desk.began.elapsed().as_secs_f64(),
        format_duration(wish.patience)
    ));
    drain(wish, &desk, &included, &mut tell).await;
    let to = height_of_any(&endpoints).await.max(from);
    let late = behind(&endpoints, to, wish.patience).await;
    if wish.wait == Wait::Final {
        await_finality(wish, first, &desk, to, &mut tell).await?;
    }
    // The receiver may be gone only if all watchers ended.
    let _ = stop.send(true);
    let mut seen: Vec<Seen> = Vec::new();
    for watcher in watchers {
        seen.push(watcher.await?);
    }
    follower.await?;

    tell("reading the chain".to_owned());
    let chain = first.chain(from, to).await?;
    let with_ours: Vec<Block> =
        chain.iter().filter(|b| !b.transactions.is_empty()).cloned().collect();
    let failed: BTreeSet<B256> = first.failed(&with_ours).await?.into_iter().collect();
    let addresses: Vec<Address> = senders.iter().map(|sender| sender.address).collect();
    // As of the last block that was read: later ones do not count.
    let last = match chain.last() {
        Some(block) => json!({ "blockHash": block.hash }),
        None => json!("latest"),
    };
    let nonces = first.nonces(&addresses, &last).await?;
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let tally = Facts {
        entries: &desk.entries,
        outcomes: &outcomes,
        chain: &chain,
        seen: &seen,
        names: &names,
        nonces: &nonces,
        failed: &failed,
    }
    .tally();
    let own_clocks = seen.iter().all(|seen| seen.own_clock);
    let mut report = Report {
        schema: "kette-net-load",
        conditions: Conditions {
            endpoints: describe(&endpoints).await,
            chain_id: terms.chain_id,
            rate: wish.rate,
            transactions: wish.transactions,
            senders: wish.senders,
            mix: wish.mix.to_string(),
            seed: wish.seed,
            batch: wish.batch,
            lanes: wish.lanes,
            open_max: wish.open_max,
            wait: wish.wait,
            transaction_bytes,
            clock: if own_clocks { "nodes" } else { "client" },
            gaps: seen.iter().map(|seen| seen.gaps).sum(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load_average: (load_before, load_average()),
            version: format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("KETTE_COMMIT")),
        },
        tally,
        disagreeing: disagreeing(&endpoints, &chain).await,
        behind: late,
        ok: true,
    };
    report.ok = report.objections().is_empty();
    Ok(report)
}

/// Waits until every endpoint is at this height; names those that do not get there in time.
async fn behind(endpoints: &[Endpoint], height: u64, limit: Duration) -> Vec<String> {
    let until = Instant::now() + limit;
    let reaches = async |endpoint: &Endpoint| {
        loop {
            if endpoint.height().await.is_ok_and(|theirs| theirs >= height) {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let mut names = Vec::new();
    for endpoint in endpoints {
        if !reaches(endpoint).await {
            names.push(endpoint.name.clone());
        }
    }
    names
}

/// Returns the height of the endpoint that is furthest.
async fn height_of_any(endpoints: &[Endpoint]) -> u64 {
    let heights = endpoints.iter().map(Endpoint::height);
    let heights = futures::future::join_all(heights).await;
    heights.into_iter().flatten().max().unwrap_or(0)
}

/// How often a height is asked for.
const POLL: Duration = Duration::from_millis(50);

/// Hands everything in; returns what became of each.
async fn hand_in(
    wish: &Wish,
    endpoints: &[Endpoint],
    desk: &Arc<Desk>,
    included: &AtomicU64,
    tell: &mut impl FnMut(String),
) -> anyhow::Result<Vec<Outcome>> {
    let mut lanes: Vec<Vec<Vec<usize>>> = vec![vec![Vec::new(); wish.lanes]; endpoints.len()];
    let mut pairs: Vec<usize> = Vec::new();
    for (place, entry) in desk.entries.iter().enumerate() {
        match entry.pair {
            Some(_) => pairs.push(place),
            None => {
                let lane = entry.sender as usize / endpoints.len() % wish.lanes;
                lanes[entry.endpoint][lane].push(place);
            }
        }
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (endpoint, lanes) in endpoints.iter().zip(lanes) {
        for places in lanes.into_iter().filter(|places| !places.is_empty()) {
            tasks.spawn(lane(desk.clone(), endpoint.clone(), places));
        }
    }
    tasks.spawn(in_conflict(desk.clone(), endpoints.to_vec(), pairs, wish.duration));
    let mut outcomes = vec![Outcome::default(); desk.entries.len()];
    let mut ticks = interval(TELL_EVERY);
    loop {
        tokio::select! {
            done = tasks.join_next() => match done {
                Some(done) => {
                    for (place, outcome) in done? {
                        outcomes[place] = outcome;
                    }
                }
                None => return Ok(outcomes),
            },
            _ = ticks.tick() => tell(progress(desk, included)),
        }
    }
}

/// Hands in both of each pair at once, spread over the time.
async fn in_conflict(
    desk: Arc<Desk>,
    endpoints: Vec<Endpoint>,
    places: Vec<usize>,
    duration: Duration,
) -> Vec<(usize, Outcome)> {
    let pairs: Vec<&[usize]> = places.chunks(2).collect();
    let every = duration / (pairs.len() as u32 + 1);
    let mut outcomes = Vec::new();
    for (number, pair) in pairs.into_iter().enumerate() {
        tokio::time::sleep_until(desk.began + every * number as u32).await;
        let handed_in = unix_time::micros();
        let ask = |place: usize| {
            let Entry { endpoint, signed, .. } = &desk.entries[place];
            endpoints[*endpoint].hand_in(std::iter::once(signed.raw.as_str()))
        };
        let asked = futures::future::join_all(pair.iter().map(|place| ask(*place))).await;
        for (place, answer) in pair.iter().zip(asked) {
            let answer = match answer {
                Ok(answers) => match answers.into_iter().next() {
                    Some(Err(text)) => Answer::Refused(text),
                    _ => Answer::Accepted,
                },
                Err(error) => Answer::Unanswered(format!("{error:#}")),
            };
            outcomes.push((*place, Outcome { handed_in, behind: 0, answer }));
        }
    }
    outcomes
}

fn progress(desk: &Desk, included: &AtomicU64) -> String {
    let [offered, accepted, included] =
        [&desk.offered, &desk.accepted, included].map(|number| number.load(Ordering::Relaxed));
    format!(
        "{:.0} s: offered {offered}, accepted {accepted}, in blocks {included}, waiting {}",
        desk.began.elapsed().as_secs_f64(),
        accepted.saturating_sub(included)
    )
}

/// Waits until everything that was taken is in a block, or nothing moves for a while.
async fn drain(wish: &Wish, desk: &Desk, included: &AtomicU64, tell: &mut impl FnMut(String)) {
    let mut told = Instant::now();
    let mut last = included.load(Ordering::Relaxed);
    let mut until = Instant::now() + wish.patience;
    loop {
        // Asked for before the look, so that no block between the two is missed.
        let block = desk.block.notified();
        let now = included.load(Ordering::Relaxed);
        if now >= desk.accepted.load(Ordering::Relaxed) {
            return;
        }
        if now > last {
            last = now;
            until = Instant::now() + wish.patience;
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            tell(progress(desk, included));
        }
        // Also without blocks there is something to tell.
        let next = until.min(Instant::now() + WAIT_TOLD_EVERY);
        if timeout_at(next, block).await.is_err() && Instant::now() >= until {
            return;
        }
    }
}

/// How often is told what is waited for while nothing happens.
const WAIT_TOLD_EVERY: Duration = Duration::from_secs(5);

/// Waits until this height is final, at most as long as nothing may move.
async fn await_finality(
    wish: &Wish,
    endpoint: &Endpoint,
    desk: &Desk,
    height: u64,
    tell: &mut impl FnMut(String),
) -> anyhow::Result<()> {
    let began = Instant::now();
    let until = began + wish.patience;
    let mut told: Option<Instant> = None;
    loop {
        let block = desk.block.notified();
        let Some(number) = endpoint.finalized().await? else { return Ok(()) };
        if number >= height {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tell(format!(
                "block {height} is not final after {} (--patience): finality in the report is that of blocks up to \
                 {number}",
                format_duration(wish.patience)
            ));
            return Ok(());
        }
        if told.is_none_or(|told| told.elapsed() >= WAIT_TOLD_EVERY) {
            let how = if told.is_none() { "; --wait included does not wait for it" } else { "" };
            tell(format!(
                "all is in blocks; waiting until the last, {height}, is final: final is {number}, at most {:.1} s \
                 more{how}",
                left.as_secs_f64()
            ));
            told = Some(Instant::now());
        }
        // No block within this time: something is told, or it is the end.
        let _ = timeout_at(until.min(Instant::now() + WAIT_TOLD_EVERY), block).await;
    }
}

/// Names the endpoints that have other blocks than the first one.
async fn disagreeing(endpoints: &[Endpoint], chain: &[Block]) -> Vec<String> {
    let Some((first, last)) = chain.first().zip(chain.last()) else { return Vec::new() };
    let mut names = Vec::new();
    for endpoint in &endpoints[1..] {
        // One that does not answer is named among those that are behind.
        let Ok(theirs) = endpoint.chain(first.number, last.number).await else { continue };
        let both = chain.iter().zip(&theirs);
        // One that is behind does not disagree.
        if both.filter(|(ours, theirs)| ours.hash != theirs.hash).count() > 0 {
            names.push(endpoint.name.clone());
        }
    }
    names
}

async fn describe(endpoints: &[Endpoint]) -> Vec<(String, String)> {
    let ask = |endpoint: &Endpoint| {
        let endpoint = endpoint.clone();
        async move {
            let version: Value =
                endpoint.client.ask("web3_clientVersion", []).await.unwrap_or_default();
            let version = version.as_str().unwrap_or("unknown").to_owned();
            (format!("{} {}", endpoint.name, endpoint.url), version)
        }
    };
    futures::future::join_all(endpoints.iter().map(ask)).await
}

/// Returns the load average over a minute; 0 where the kernel does not tell.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}
