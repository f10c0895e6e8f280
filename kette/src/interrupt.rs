//! Ctrl-C and SIGTERM, for commands that put something right before they end.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From its making on neither ends the process any more.
#[derive(Debug)]
pub struct Interrupt {
    keyboard: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Takes the signals.
    ///
    /// # Errors
    /// If the system does not give them.
    pub fn new() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("cannot take signals");
        Ok(Self {
            keyboard: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub async fn heard(&mut self) {
        tokio::select! { _ = self.keyboard.recv() => {}, _ = self.terminate.recv() => {} }
    }
}
