//! The node's loop: the only place where time, messages, jobs and questions meet.
//!
//! One turn takes what is waiting, asks the core, writes all records in one transaction, shows the new
//! snapshot and then performs the other outputs in order. So whatever leaves the node is durable before.

use super::{
    clock::Clock,
    journal::Journal,
    network::NetworkLink,
    record::Recording,
    sign_state::{Signer, signs},
    workers::{Finished, Workers},
};
use anyhow::{Context as _, anyhow};
use kette_chain::Record;
use kette_node::{CommandError, Event, Input, Output, Reply, Ticket, View};
use kette_rpc::handle::{Ask, Question};
use kette_sim::{Machine, machine::RawFrame};
use kette_store::{Reader, Store};
use kette_types::Time;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Inputs taken in one turn: their records share one transaction.
const INPUTS_PER_TURN: usize = 256;
/// The snapshot is renewed at least this often, for ages and rates.
const VIEW_EVERY: Duration = Duration::from_secs(1);

/// Everything the loop performs with.
pub(super) struct Driver {
    /// A node, or in tests one that lies.
    pub(super) node: Box<dyn Machine>,
    /// What a liar says besides messages, after the outputs of the turn.
    pub(super) raw: Vec<RawFrame>,
    pub(super) clock: Clock,
    pub(super) store: Store,
    pub(super) reader: Reader,
    pub(super) network: NetworkLink,
    pub(super) workers: Workers,
    pub(super) done: mpsc::UnboundedReceiver<Finished>,
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) view: watch::Sender<Arc<View>>,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) asked: HashMap<Ticket, oneshot::Sender<Result<Reply, CommandError>>>,
    pub(super) next_ticket: Ticket,
    pub(super) crash: CrashPoint,
    pub(super) recording: Option<Recording>,
    pub(super) journal: Journal,
    /// Where it is noted what a validator signs.
    pub(super) signer: Option<Signer>,
}

impl Driver {
    /// Runs until told to stop, then writes what is left and closes the store.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let outputs = self.handle(now, Input::Start);
        self.perform(outputs)?;
        loop {
            if let Some(recording) = &self.recording {
                recording.flush();
            }
            let now = self.clock.now();
            let wait = match self.node.deadline() {
                Some(due) => due.since(now).min(VIEW_EVERY),
                None => VIEW_EVERY,
            };
            let mut inputs = Vec::new();
            tokio::select! {
                biased;
                _ = self.stop.changed() => break,
                Some(event) = self.network.next() => inputs.extend(event),
                Some(finished) = self.done.recv() => inputs.push(self.finished(finished)?),
                Some(question) = self.questions.recv() => inputs.push(self.question(question)),
                () = tokio::time::sleep(wait) => inputs.push(Input::Tick),
            }
            self.gather(&mut inputs)?;
            let mut outputs = Vec::new();
            for input in inputs {
                if matches!(input, Input::Connected { .. }) {
                    // What was decided before goes to the peer's former session, or nowhere.
                    self.perform(std::mem::take(&mut outputs))?;
                    self.network.meet();
                }
                let now = self.clock.now();
                outputs.extend(self.handle(now, input));
                // The core may read its blocks and states back: they are written before its next input.
                if outputs.iter().any(writes_chain) {
                    self.perform(std::mem::take(&mut outputs))?;
                }
            }
            self.perform(outputs)?;
        }
        self.shut_down().await
    }

    fn handle(&mut self, now: Time, input: Input) -> Vec<Output> {
        let outputs = match &self.recording {
            None => self.node.handle(now, input),
            Some(recording) => recording.handle(&mut *self.node, now, input),
        };
        self.raw.extend(self.node.raw());
        outputs
    }

    /// Takes what else is waiting, so that one write serves many inputs.
    fn gather(&mut self, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
        while inputs.len() < INPUTS_PER_TURN {
            // In turns, so that a flood from one side does not starve the others.
            let mut idle = true;
            if let Some(event) = self.network.try_next() {
                inputs.extend(event);
                idle = false;
            }
            if let Ok(finished) = self.done.try_recv() {
                inputs.push(self.finished(finished)?);
                idle = false;
            }
            if let Ok(question) = self.questions.try_recv() {
                inputs.push(self.question(question));
                idle = false;
            }
            if idle {
                break;
            }
        }
        Ok(())
    }

    fn finished(&mut self, (id, result): Finished) -> anyhow::Result<Input> {
        self.workers.finished(id);
        // Its owner would wait for ever, and the same input would come to the same end again.
        let result = result.map_err(|words| anyhow!("a job panicked: {words}; the node stops"))?;
        Ok(Input::Done(id, result))
    }

    fn question(&mut self, (ask, answer): Question) -> Input {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.asked.insert(ticket, answer);
        match ask {
            Ask::Transaction(transaction) => Input::Submit(ticket, *transaction),
            Ask::Block(block) => Input::SubmitBlock(ticket, block),
            Ask::Command(command) => Input::Command(ticket, command),
        }
    }

    fn perform(&mut self, outputs: Vec<Output>) -> anyhow::Result<()> {
        let (records, rest) = split(outputs);
        if !records.is_empty() {
            self.crash.before();
            self.may_sign(&records)?;
            self.store.write(&records).context("the store could not write; the node stops")?;
            self.crash.after();
            self.sign(&records)?;
        }
        let now = self.clock.now();
        self.view.send_replace(Arc::new(self.node.node().view(now)));
        for output in rest {
            self.perform_one(output);
        }
        for RawFrame { to, lane, bytes } in std::mem::take(&mut self.raw) {
            self.network.send_bytes(to, lane, bytes);
        }
        Ok(())
    }

    /// Refuses to write what must not be signed.
    fn may_sign(&self, records: &[Record]) -> anyhow::Result<()> {
        if !signs(records) {
            return Ok(());
        }
        let signer = self.signer.as_ref().context("this node has no validator's key")?;
        signer.may_write(records).context("nothing may be signed any more; the node stops")
    }

    /// Makes durable what is about to be signed, after the database: a file that knows more than the database would
    /// mean that the database is an old one, and the validator would only watch (record 0010).
    fn sign(&mut self, records: &[Record]) -> anyhow::Result<()> {
        if !signs(records) {
            return Ok(());
        }
        let signer =
            self.signer.as_mut().context("this node has no validator's key; the node stops")?;
        signer.write(records).context("nothing may be signed any more; the node stops")?;
        self.crash.signed();
        Ok(())
    }

    fn perform_one(&mut self, output: Output) {
        match output {
            Output::Persist(_) => unreachable!("records were split off and written"),
            Output::Send(peers, message) => self.network.send(&peers, &message),
            Output::Serve(peer, request) => self.network.serve(&self.reader, peer, request),
            Output::Dial(address) => self.network.dial(address),
            Output::Disconnect(peer, reason) => self.network.disconnect(peer, reason),
            Output::Start(id, job) => self.workers.start(id, job),
            Output::Cancel(id) => self.workers.cancel(id),
            Output::Reply(ticket, result) => {
                if let Some(answer) = self.asked.remove(&ticket) {
                    // The client may have gone away.
                    let _ = answer.send(result);
                }
            }
            Output::Event(event) => {
                self.journal.write(&event);
                // No subscriber is not an error.
                let _ = self.events.send(Arc::new(event));
            }
        }
    }

    async fn shut_down(mut self) -> anyhow::Result<()> {
        let outputs = match &self.recording {
            None => self.node.stop(),
            Some(recording) => recording.stop(&mut *self.node),
        };
        self.perform(outputs)?;
        self.network.shut_down().await;
        self.store.close().context("closing the store")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Tells whether an output writes what the core reads: not the journal of clients' transactions.
fn writes_chain(output: &Output) -> bool {
    let Output::Persist(records) = output else { return false };
    !records.iter().all(|record| matches!(record, Record::Pending(_) | Record::PendingDone(_)))
}

/// Splits records from what follows them. Writing records earlier than ordered is always safe: nothing
/// that waits for them acts before.
fn split(outputs: Vec<Output>) -> (Vec<Record>, Vec<Output>) {
    let mut records = Vec::new();
    let mut rest = Vec::new();
    for output in outputs {
        match output {
            Output::Persist(batch) => records.extend(batch),
            other => rest.push(other),
        }
    }
    (records, rest)
}

/// Ends the process at a chosen write, as a power cut would: for the tests that sweep over all of them.
/// Exists only in builds with debug assertions.
#[derive(Debug, Default)]
pub(super) struct CrashPoint {
    #[cfg(debug_assertions)]
    at: Option<(u64, String)>,
    #[cfg(debug_assertions)]
    writes: u64,
}

impl CrashPoint {
    /// Reads `KETTE_CRASH_AT=N:before|after|signed`: before the N-th write; after it and before the file that says what
    /// was signed; or after that file, in the first write from the N-th on that signs. Nothing has left the node then.
    pub(super) fn from_env() -> Self {
        #[cfg(debug_assertions)]
        {
            let at = std::env::var("KETTE_CRASH_AT").ok().and_then(|text| {
                let (number, side) = text.split_once(':')?;
                Some((number.parse().ok()?, side.to_owned()))
            });
            Self { at, writes: 0 }
        }
        #[cfg(not(debug_assertions))]
        Self::default()
    }

    fn before(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.writes += 1;
            self.here("before");
        }
    }

    fn signed(&self) {
        #[cfg(debug_assertions)]
        if self.at.as_ref().is_some_and(|(number, at)| *number <= self.writes && at == "signed") {
            std::process::abort();
        }
    }

    fn after(&self) {
        #[cfg(debug_assertions)]
        self.here("after");
    }

    #[cfg(debug_assertions)]
    fn here(&self, side: &str) {
        if self.at.as_ref().is_some_and(|(number, at)| *number == self.writes && at == side) {
            std::process::abort();
        }
    }
}
