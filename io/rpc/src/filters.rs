//! Filters of clients that poll: what happened since they asked last, bounded in number, length and age.

use crate::{context::Context, convert, failure::Failure, server::random_id};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Filter, FilterChanges, Log};
use kette_node::Event;
use kette_types::{Recovered, Transaction};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::broadcast::{self, error::RecvError};

/// All filters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    filters: Mutex<BTreeMap<String, Installed>>,
}

#[derive(Debug)]
struct Installed {
    kind: Kind,
    asked: Instant,
    /// More happened than is kept, or the node was too fast for us: the client must begin anew.
    overflown: bool,
}

/// What a filter watches, with what it saw.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Logs that match.
    Logs(Box<Filter>, Vec<Log>),
    /// Hashes of new canonical blocks.
    Blocks(Vec<B256>),
    /// Hashes of transactions that entered the pool.
    Pending(Vec<B256>),
    /// The same, whole.
    PendingFull(Vec<Recovered<Transaction>>),
}

impl Filters {
    /// Installs a filter and returns its id.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn install(&self, kind: Kind) -> Result<String, Failure> {
        let mut filters = self.lock();
        filters.retain(|_, filter| filter.asked.elapsed() < IDLE);
        if filters.len() >= FILTERS_MAX {
            return Err(Failure::Limit(format!(
                "too many filters: at most {FILTERS_MAX}; uninstall some, or subscribe by WebSocket"
            )));
        }
        let id = random_id();
        filters.insert(id.clone(), Installed { kind, asked: Instant::now(), overflown: false });
        Ok(id)
    }

    /// Removes a filter; tells whether it was there.
    pub(crate) fn uninstall(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }

    /// Takes what a filter saw since it was asked last.
    ///
    /// # Errors
    /// There is no such filter, or it saw more than is kept.
    pub(crate) fn changes(
        &self,
        id: &str,
    ) -> Result<FilterChanges<convert::RpcTransaction>, Failure> {
        self.changes_at(id, Instant::now())
    }

    fn changes_at(
        &self,
        id: &str,
        now: Instant,
    ) -> Result<FilterChanges<convert::RpcTransaction>, Failure> {
        let mut filters = self.lock();
        filters.retain(|_, filter| now.duration_since(filter.asked) < IDLE);
        let filter = filters.get_mut(id).ok_or_else(unknown)?;
        if filter.overflown {
            filters.remove(id);
            return Err(Failure::Limit(format!(
                "filter dropped: more than {ENTRIES_MAX} entries since it was polled last; create it anew"
            )));
        }
        filter.asked = now;
        Ok(match &mut filter.kind {
            Kind::Logs(_, logs) => FilterChanges::Logs(std::mem::take(logs)),
            Kind::Blocks(hashes) | Kind::Pending(hashes) => {
                FilterChanges::Hashes(std::mem::take(hashes))
            }
            Kind::PendingFull(transactions) => FilterChanges::Transactions(
                std::mem::take(transactions).iter().map(convert::pending).collect(),
            ),
        })
    }

    /// Returns the criteria of a log filter.
    ///
    /// # Errors
    /// There is no such filter, or it is for something else.
    pub(crate) fn criteria(&self, id: &str) -> Result<Filter, Failure> {
        let mut filters = self.lock();
        let filter = filters.get_mut(id).ok_or_else(unknown)?;
        filter.asked = Instant::now();
        match &filter.kind {
            Kind::Logs(criteria, _) => Ok(criteria.as_ref().clone()),
            _ => Err(unknown()),
        }
    }

    /// Shows an event to every filter.
    fn observe(&self, event: &Event) {
        let mut filters = self.lock();
        for filter in filters.values_mut() {
            filter.kind.observe(event);
            if filter.kind.len() > ENTRIES_MAX {
                filter.overflown = true;
                filter.kind.clear();
            }
        }
    }

    /// Events were lost.
    fn lost(&self) {
        for filter in self.lock().values_mut() {
            filter.overflown = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Installed>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown() -> Failure {
    Failure::Server("filter not found".to_owned())
}

impl Kind {
    fn observe(&mut self, event: &Event) {
        match (self, event) {
            (Self::Logs(criteria, logs), Event::Head { .. }) => {
                logs.extend(matching(criteria, event))
            }
            (Self::Blocks(hashes), Event::Head { added, .. }) => {
                hashes.extend(added.iter().map(|block| block.hash()));
            }
            (Self::Pending(hashes), Event::Pending(transaction)) => {
                hashes.push(*transaction.tx_hash());
            }
            (Self::PendingFull(transactions), Event::Pending(transaction)) => {
                transactions.push(transaction.as_ref().clone());
            }
            _ => {}
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::Logs(_, logs) => logs.len(),
            Self::Blocks(hashes) | Self::Pending(hashes) => hashes.len(),
            Self::PendingFull(transactions) => transactions.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Logs(_, logs) => logs.clear(),
            Self::Blocks(hashes) | Self::Pending(hashes) => hashes.clear(),
            Self::PendingFull(transactions) => transactions.clear(),
        }
    }
}

/// Refuses a filter that names more than is matched at reasonable cost.
///
/// # Errors
/// Too many addresses and topics.
pub(crate) fn check_criteria(filter: &Filter) -> Result<(), Failure> {
    let criteria = filter.address.len() + filter.topics.iter().map(|t| t.len()).sum::<usize>();
    if criteria > CRITERIA_MAX {
        return Err(Failure::Limit(format!(
            "filter names {criteria} addresses and topics, at most {CRITERIA_MAX}"
        )));
    }
    Ok(())
}

/// Returns the matching logs of a change of the head: those taken back first, then the new ones.
pub(crate) fn matching(criteria: &Filter, event: &Event) -> Vec<Log> {
    let Event::Head { removed, added, .. } = event else { return Vec::new() };
    let sides = removed.iter().map(|block| (block, true)).chain(added.iter().map(|b| (b, false)));
    let mut found = Vec::new();
    for (block, removed) in sides {
        let header = &block.block.header;
        if !criteria.matches_bloom(header.logs_bloom) {
            continue;
        }
        let mut logs =
            convert::block_logs(header, &block.block.body.transactions, &block.receipts, removed);
        logs.retain(|log| {
            criteria.matches_address(log.address()) && criteria.matches_topics(log.topics())
        });
        if removed {
            logs.reverse();
        }
        found.extend(logs);
    }
    found
}

/// Shows every event to filters and metrics, until the server stops.
pub(crate) async fn pump(cx: Arc<Context>, mut events: broadcast::Receiver<Arc<Event>>) {
    loop {
        match events.recv().await {
            Ok(event) => {
                cx.metrics.observe(&event, cx.view().status.syncing.is_some());
                cx.filters.observe(&event);
                cx.recent.observe(&event);
            }
            Err(RecvError::Lagged(count)) => {
                tracing::warn!(count, "rpc lost events: filters begin anew");
                cx.filters.lost();
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Filters at the same time, all clients together.
const FILTERS_MAX: usize = 1_000;
/// Addresses and topics of one filter (geth's limit on each of them).
const CRITERIA_MAX: usize = 1_000;
/// Entries kept between two polls of one filter.
const ENTRIES_MAX: usize = 10_000;
/// A filter that nobody polls is removed (as geth).
const IDLE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_bounded_in_number() {
        let filters = Filters::default();
        let first = filters.install(Kind::Blocks(Vec::new())).expect("there is room");
        for _ in 1..FILTERS_MAX {
            filters.install(Kind::Blocks(Vec::new())).expect("there is room");
        }
        let refused = filters.install(Kind::Blocks(Vec::new()));
        assert!(matches!(refused, Err(Failure::Limit(_))), "{refused:?}");
        assert!(filters.uninstall(&first));
        assert!(filters.install(Kind::Blocks(Vec::new())).is_ok());
    }

    #[test]
    fn a_filter_that_missed_something_says_so_once_and_is_gone() {
        let filters = Filters::default();
        let id = filters.install(Kind::Pending(Vec::new())).expect("there is room");
        filters.lost();
        assert!(matches!(filters.changes(&id), Err(Failure::Limit(_))));
        assert_eq!(filters.changes(&id).expect_err("it is gone"), unknown());
    }

    #[test]
    fn an_idle_filter_is_removed() {
        let filters = Filters::default();
        let id = filters.install(Kind::Blocks(Vec::new())).expect("there is room");
        let asked = Instant::now();
        assert!(filters.changes_at(&id, asked + IDLE / 2).is_ok());
        assert!(filters.changes_at(&id, asked + IDLE).is_ok());
        let late = filters.changes_at(&id, asked + IDLE * 2);
        assert_eq!(late.expect_err("it is gone"), unknown());
    }
}
