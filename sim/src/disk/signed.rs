//! What a validator signed last: a file of its own beside the database, with its own sync.

use kette_chain::Record;
use kette_types::bft::{SignRegression, SignState};

/// The file's content.
#[derive(Clone, Debug, Default)]
pub(super) struct Signed {
    durable: Option<SignState>,
    /// Written since the last sync.
    unsynced: Option<SignState>,
}

impl Signed {
    pub(super) const fn holding(state: Option<SignState>) -> Self {
        Self { durable: state, unsynced: None }
    }

    /// Takes what a batch says was signed, or refuses all of it.
    pub(super) fn write(&mut self, batch: &[Record]) -> Result<(), SignRegression> {
        let mut last = self.last();
        for record in batch {
            let Record::Sign(state) = record else { continue };
            last.map_or(Ok(()), |last| last.allows(state))?;
            last = Some(state);
        }
        if last != self.last() {
            self.unsynced = last.cloned();
        }
        Ok(())
    }

    /// What is readable.
    pub(super) fn last(&self) -> Option<&SignState> {
        self.unsynced.as_ref().or(self.durable.as_ref())
    }

    pub(super) const fn is_unsynced(&self) -> bool {
        self.unsynced.is_some()
    }

    pub(super) fn sync(&mut self) {
        if let Some(state) = self.unsynced.take() {
            self.durable = Some(state);
        }
    }

    /// Loses what was not synced, unless it was just in time.
    pub(super) fn crash(&mut self, kept: bool) {
        if kept {
            self.sync();
        }
        self.unsynced = None;
    }

    /// As found after a crash now.
    pub(super) fn durable(&self) -> Self {
        Self::holding(self.durable.clone())
    }
}
