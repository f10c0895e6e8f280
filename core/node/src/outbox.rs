//! Collects outputs so that one input leads to one write, and the write comes before what depends on it.

use crate::Output;
use kette_chain::Record;
use kette_types::{
    B256, Message,
    planted::{Bug, is_planted},
};

/// Outputs in order. Records gather until something else than a record follows them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    outputs: Vec<Output>,
    records: Vec<Record>,
}

impl Outbox {
    /// Adds a record to the current write.
    pub(crate) fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Orders something; all records so far are written before it.
    pub(crate) fn order(&mut self, output: Output) {
        self.flush();
        self.outputs.push(output);
    }

    /// Gives the list to a part that orders by itself; all records so far are written before it.
    pub(crate) fn orders(&mut self) -> &mut Vec<Output> {
        self.flush();
        &mut self.outputs
    }

    /// Takes back announcements of blocks that are no longer kept: one input may decide several heights, and all its
    /// records are written before the first of them is said.
    pub(crate) fn unannounce(&mut self, gone: &[B256]) {
        self.outputs.retain(|output| match output {
            Output::Send(_, message) => match &**message {
                Message::NewBlock(block) => !gone.contains(&block.header.hash()),
                _ => true,
            },
            _ => true,
        });
    }

    fn flush(&mut self) {
        if !self.records.is_empty() {
            self.outputs.push(Output::Persist(std::mem::take(&mut self.records)));
        }
    }

    /// Ends the collection.
    pub(crate) fn finish(mut self) -> Vec<Output> {
        self.flush();
        if is_planted(Bug::SendBeforeDurable) {
            self.outputs.sort_by_key(|output| matches!(output, Output::Persist(_)));
        }
        self.outputs
    }
}
