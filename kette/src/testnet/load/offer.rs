//! Handing in: lanes of batches to each endpoint, at the wished rate or as fast as the chain takes them up.
//!
//! A sender's transactions go through one lane, in order. Back-pressure: each transaction that is in no block yet holds
//! one of a fixed number of places, and a lane has one batch under way.

use super::{endpoint::Endpoint, plan::Entry};
use crate::unix_time;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until, timeout_at},
};

/// What became of a transaction when it was handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// When, microseconds since 1970; 0 if it was not.
    pub handed_in: u64,
    /// How late that was, microseconds.
    pub behind: u64,
    /// What the node said.
    pub answer: Answer,
}

/// What a node says of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it was not asked.
    #[default]
    Unsent,
    /// It took it.
    Accepted,
    /// It refused it.
    Refused(String),
    /// It gave no answer; it may have the transaction.
    Unanswered(String),
}

/// What lanes share.
#[derive(Debug)]
pub struct Desk {
    /// All transactions, in the order in which they are due.
    pub entries: Vec<Entry>,
    /// Transactions per second; `None` is no limit.
    pub rate: Option<f64>,
    /// When the first is due.
    pub began: Instant,
    /// After this nothing is handed in.
    pub until: Instant,
    /// Transactions of one request.
    pub batch: usize,
    /// Places of transactions that are in no block.
    pub places: Semaphore,
    /// Told with each new block.
    pub block: Notify,
    /// How many were handed in.
    pub offered: AtomicU64,
    /// How many were taken.
    pub accepted: AtomicU64,
}

impl Desk {
    fn due(&self, place: usize) -> Instant {
        self.rate
            .map_or(self.began, |rate| self.began + Duration::from_secs_f64(place as f64 / rate))
    }
}

/// Hands in what a lane has, in order; returns what became of it.
pub async fn lane(
    desk: Arc<Desk>,
    endpoint: Endpoint,
    places: Vec<usize>,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::with_capacity(places.len());
    // A sender whose transaction was refused has a gap: what follows it could not execute.
    let mut stopped: BTreeSet<u32> = BTreeSet::new();
    let mut waiting = places.into_iter().peekable();
    let mut again: Vec<usize> = Vec::new();
    loop {
        let batch = match collect(&desk, &mut waiting, &mut again, &stopped).await {
            Some(batch) if batch.is_empty() => continue,
            Some(batch) => batch,
            None => return outcomes,
        };
        let Ok(Ok(held)) =
            timeout_at(desk.until, desk.places.acquire_many(batch.len() as u32)).await
        else {
            return outcomes;
        };
        held.forget();
        let at = unix_time::micros();
        let late = Instant::now();
        desk.offered.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let raws = batch.iter().map(|place| desk.entries[*place].signed.raw.as_str());
        let answers = match endpoint.hand_in(raws).await {
            Ok(answers) => answers.into_iter().map(|answer| match answer {
                Ok(_) => Answer::Accepted,
                Err(text) if text.contains(KNOWN) => Answer::Accepted,
                Err(text) => Answer::Refused(text),
            }),
            Err(error) => {
                let text = format!("{error:#}");
                for place in batch {
                    stopped.insert(desk.entries[place].sender);
                    let answer = Answer::Unanswered(text.clone());
                    outcomes.push((place, Outcome { handed_in: at, behind: 0, answer }));
                }
                continue;
            }
        };
        for (place, answer) in batch.into_iter().zip(answers) {
            match &answer {
                Answer::Accepted => {
                    desk.accepted.fetch_add(1, Ordering::Relaxed);
                }
                Answer::Refused(text) => {
                    desk.places.add_permits(1);
                    if FULL.iter().any(|full| text.contains(full)) {
                        desk.offered.fetch_sub(1, Ordering::Relaxed);
                        again.push(place);
                        continue;
                    }
                    stopped.insert(desk.entries[place].sender);
                }
                Answer::Unsent | Answer::Unanswered(_) => {}
            }
            let behind = late.saturating_duration_since(desk.due(place)).as_micros() as u64;
            let behind = if desk.rate.is_some() { behind } else { 0 };
            outcomes.push((place, Outcome { handed_in: at, behind, answer }));
        }
    }
}

/// Waits until something is due and returns it, at most a batch; `None` at the end.
async fn collect(
    desk: &Desk,
    waiting: &mut std::iter::Peekable<std::vec::IntoIter<usize>>,
    again: &mut Vec<usize>,
    stopped: &BTreeSet<u32>,
) -> Option<Vec<usize>> {
    if !again.is_empty() {
        // A full pool has room after the next block.
        timeout_at(desk.until, desk.block.notified()).await.ok()?;
        return Some(std::mem::take(again));
    }
    let first = *waiting.peek()?;
    let due = desk.due(first);
    if due > desk.until {
        return None;
    }
    sleep_until(due).await;
    let now = Instant::now();
    if now >= desk.until {
        return None;
    }
    let mut batch = Vec::with_capacity(desk.batch);
    while batch.len() < desk.batch
        && let Some(place) = waiting.next_if(|place| desk.due(*place) <= now)
    {
        if !stopped.contains(&desk.entries[place].sender) {
            batch.push(place);
        }
    }
    Some(batch)
}

/// What nodes say of a transaction that they have.
const KNOWN: &str = "already known";
/// What nodes say when their pool has no room: Kette and geth.
const FULL: [&str; 2] = ["pool is full", "account limit exceeded"];
