//! The trace: a running hash over everything that happens, and who wants to read it.

use crate::Moment;
use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// One line of a readable trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Number of the event.
    pub event: u64,
    /// When.
    pub at: Moment,
    /// At which host; `None` for the world itself.
    pub host: Option<usize>,
    /// What, in words.
    pub text: String,
}

/// Takes lines of a readable trace.
pub type Sink = Box<dyn FnMut(TraceLine)>;

/// Running hash and counter of events, with checkpoints to find the first difference between two runs.
pub struct Trace {
    hasher: Sha256,
    /// Events so far.
    pub events: u64,
    /// Hash after every [`CHECKPOINT_EVERY`] events.
    pub checkpoints: Vec<B256>,
    pub(crate) sink: Option<Sink>,
}

/// Events between two checkpoints of the hash.
pub const CHECKPOINT_EVERY: u64 = 100_000;

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hasher: Sha256::new(), events: 0, checkpoints: Vec::new(), sink: None }
    }

    /// Notes an event: when, where, what kind, and what tells two of them apart.
    pub(crate) fn event(&mut self, at: Moment, host: usize, kind: u8, detail: u64) {
        self.events += 1;
        let mut bytes = [0; 21];
        bytes[..8].copy_from_slice(&at.as_micros().to_be_bytes());
        bytes[8..12].copy_from_slice(&(host as u32).to_be_bytes());
        bytes[12] = kind;
        bytes[13..].copy_from_slice(&detail.to_be_bytes());
        self.hasher.update(bytes);
        if self.events.is_multiple_of(CHECKPOINT_EVERY) {
            self.checkpoints.push(self.hash());
        }
    }

    /// Returns the hash over everything so far.
    pub fn hash(&self) -> B256 {
        B256::from_slice(&self.hasher.clone().finalize())
    }

    /// Tells whether anybody reads lines.
    pub(crate) fn is_read(&self) -> bool {
        self.sink.is_some()
    }

    pub(crate) fn line(&mut self, at: Moment, host: Option<usize>, text: String) {
        let event = self.events;
        if let Some(sink) = &mut self.sink {
            sink(TraceLine { event, at, host, text });
        }
    }
}

/// Returns 64 bits of a hash.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    u64::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}
