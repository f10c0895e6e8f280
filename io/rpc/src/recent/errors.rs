//! Errors of the last minute, counted: what peers did wrong, invalid blocks of clients, alarms, and records of the log
//! at level `error`. Counts, because text in a log may hold anything (requirement A59).

use kette_node::Event;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Counts errors by kind, and those of the last minute. Clones share the counts.
#[derive(Clone, Debug)]
pub struct ErrorLog(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    began: Instant,
    kinds: BTreeMap<&'static str, u64>,
    /// One count per second; the second that a place stands for.
    seconds: [(u64, u64); WINDOW_SECS],
}

/// Seconds that "recent" means.
const WINDOW_SECS: usize = 60;
const WINDOW: u64 = WINDOW_SECS as u64;

impl Default for ErrorLog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Counts {
            began: Instant::now(),
            kinds: BTreeMap::new(),
            seconds: [(0, 0); WINDOW_SECS],
        })))
    }
}

impl ErrorLog {
    /// Counts an error. Kinds are few: they become labels.
    pub fn note(&self, kind: &'static str) {
        let mut counts = self.lock();
        let second = counts.began.elapsed().as_secs();
        counts.note(kind, second);
    }

    /// Returns how many errors there were in the last 60 seconds.
    pub fn last_minute(&self) -> u64 {
        let counts = self.lock();
        counts.since(counts.began.elapsed().as_secs())
    }

    /// Returns all errors since the start, by kind.
    pub fn kinds(&self) -> BTreeMap<&'static str, u64> {
        self.lock().kinds.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn note(&mut self, kind: &'static str, second: u64) {
        *self.kinds.entry(kind).or_default() += 1;
        let place = &mut self.seconds[usize::try_from(second % WINDOW).unwrap_or(0)];
        if place.0 != second {
            *place = (second, 0);
        }
        place.1 += 1;
    }

    fn since(&self, now: u64) -> u64 {
        self.seconds
            .iter()
            .filter(|(second, _)| second + WINDOW > now)
            .map(|(_, count)| count)
            .sum()
    }
}

/// Returns what kind of error a fact is, if it is one. An invalid block of a peer is that peer's fault, which is a
/// fact of its own: it counts once.
pub(super) const fn kind(event: &Event) -> Option<&'static str> {
    match event {
        Event::PeerFault { .. } => Some("peer_fault"),
        Event::InvalidBlock { peer: None, .. } => Some("invalid_block"),
        Event::Alarm(_) => Some("alarm"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_counts_for_a_minute() {
        let log = ErrorLog::default();
        let mut counts = log.lock();
        counts.note("alarm", 0);
        counts.note("alarm", 0);
        counts.note("log", 30);
        for (now, expected) in [(0, 3), (59, 3), (60, 1), (89, 1), (90, 0), (500, 0)] {
            assert_eq!(counts.since(now), expected, "at second {now}");
        }
        // A place is used again.
        counts.note("alarm", 120);
        assert_eq!((counts.since(120), counts.since(180)), (1, 0));
        drop(counts);
        assert_eq!(log.kinds(), BTreeMap::from([("alarm", 3), ("log", 1)]));
    }
}
