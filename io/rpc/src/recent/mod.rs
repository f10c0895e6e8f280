//! What a node remembers for those who watch a whole network: when which block became its head, what happened,
//! and how much went wrong in the last minute. All of it is bounded.

mod errors;
mod events;
mod heads;

pub use errors::ErrorLog;
pub(crate) use events::{Events, Occurrence};
pub(crate) use heads::{HeadSeen, Heads};

use kette_node::Event;
use kette_types::Direction;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Recent {
    heads: Mutex<Heads>,
    events: Mutex<Events>,
    /// Hellos done: of sessions that this node dialled, and of those that others did.
    hellos: Mutex<[u64; 2]>,
    /// Errors, those of the log included.
    pub(crate) errors: ErrorLog,
}

impl Recent {
    /// Begins to remember at this head.
    pub(crate) fn new(head: HeadSeen, errors: ErrorLog) -> Self {
        Self {
            heads: Mutex::new(Heads::new(head)),
            events: Mutex::default(),
            hellos: Mutex::default(),
            errors,
        }
    }

    /// Takes note of a fact.
    pub(crate) fn observe(&self, event: &Event) {
        let now = now_ms();
        if let Event::Head { added, depth, .. } = event {
            let mut heads = self.heads();
            for block in added {
                heads.push(HeadSeen::of(block, now));
            }
            drop(heads);
            if *depth == 0 {
                return;
            }
        }
        if let Event::PeerUp { direction, .. } = event {
            let place = usize::from(*direction == Direction::Inbound);
            self.hellos.lock().unwrap_or_else(PoisonError::into_inner)[place] += 1;
        }
        if let Some(error) = errors::kind(event) {
            self.errors.note(error);
        }
        if let Some(occurrence) = Occurrence::of(event, now) {
            self.events().push(occurrence);
        }
    }

    /// Returns how many hellos were done: of sessions dialled here, and of those that others dialled.
    pub(crate) fn hellos(&self) -> [u64; 2] {
        *self.hellos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the heads, locked.
    pub(crate) fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the events, locked.
    pub(crate) fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
