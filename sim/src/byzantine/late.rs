//! What an actor says later than it should.

use super::sessions::Sessions;
use kette_node::Output;
use kette_types::Time;
use std::collections::BTreeMap;

/// Outputs by the time at which they are due. The ones due first go at once if there are too many.
#[derive(Debug, Default)]
pub(super) struct Late {
    queue: BTreeMap<(Time, u64), Output>,
    sequence: u64,
}

impl Late {
    /// Keeps an output until its time.
    pub(super) fn keep(&mut self, due: Time, output: Output) {
        self.sequence += 1;
        self.queue.insert((due, self.sequence), output);
    }

    /// Appends what is due and still finds its peer.
    pub(super) fn release(&mut self, now: Time, sessions: &Sessions, out: &mut Vec<Output>) {
        while let Some(first) = self.queue.first_entry() {
            if first.key().0 > now && self.queue.len() <= LATE_MAX {
                return;
            }
            let (_, output) = self.queue.pop_first().expect("it has a first entry");
            out.extend(sessions.still(output));
        }
    }

    /// Returns when [`Self::release`] has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((due, _), _)| *due)
    }
}

/// Outputs kept at once.
const LATE_MAX: usize = 4_096;
