//! The subscription `arrivals`: what reached this node and when, by its own clock.
//!
//! For those who measure a network: a receiver says when it had something, nobody infers it. What is waiting goes out
//! in one notice, so that a flood of transactions is not a flood of notices.

use crate::{failure::Failure, table::reply};
use alloy_primitives::B256;
use kette_node::Event;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

/// The name of the subscription.
pub(crate) const NAME: &str = "arrivals";
/// Facts of one notice.
const FACTS_MAX: usize = 1_024;

/// One notice. Times are microseconds since 1970 by this node's clock.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Arrivals {
    /// Transactions that entered the pool: hash, time.
    pending: Vec<(B256, u64)>,
    /// Blocks that became canonical: hash, number, time.
    heads: Vec<(B256, u64, u64)>,
    /// Blocks that became final: hash, number, time.
    #[serde(rename = "final")]
    finals: Vec<(B256, u64, u64)>,
    /// Blocks that this node made: hash, number, time.
    produced: Vec<(B256, u64, u64)>,
}

impl Arrivals {
    /// Waits until something arrives and takes what else is waiting.
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub(crate) async fn next(events: &mut Receiver<Arc<Event>>) -> Result<Self, RecvError> {
        let mut arrivals = Self::default();
        while arrivals.is_empty() {
            arrivals.note(&*events.recv().await?, now());
        }
        let at = now();
        for _ in 0..FACTS_MAX {
            match events.try_recv() {
                Ok(event) => arrivals.note(&event, at),
                // What lags or is closed says so at the next call, after this notice.
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(missed)) => return Err(RecvError::Lagged(missed)),
            }
        }
        Ok(arrivals)
    }

    /// Returns the notice's text.
    ///
    /// # Errors
    /// None that can happen: numbers and hashes are JSON.
    pub(crate) fn notice(&self) -> Result<Box<RawValue>, Failure> {
        reply(self)
    }

    const fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.heads.is_empty()
            && self.finals.is_empty()
            && self.produced.is_empty()
    }

    fn note(&mut self, event: &Event, at: u64) {
        match event {
            Event::Pending(transaction) => self.pending.push((*transaction.tx_hash(), at)),
            Event::Head { added, .. } => {
                let number = |header: &kette_types::Header| header.number;
                self.heads.extend(
                    added.iter().map(|block| (block.hash(), number(&block.block.header), at)),
                );
            }
            Event::Finalized { number, hash } => self.finals.push((*hash, *number, at)),
            Event::Produced { number, hash } => self.produced.push((*hash, *number, at)),
            _ => {}
        }
    }
}

/// Returns microseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
