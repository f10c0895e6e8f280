//! What the engine orders: templates, sealed blocks, the head, finality.

use crate::{
    Event, Node, Output,
    execution::Ancestors,
    import::HeaderVerdict,
    node::{checkpoint_block, final_record, reorg_limit, states_kept},
    outbox::Outbox,
};
use kette_chain::{ExecutedBlock, Record, Reorg};
use kette_ledger::{Attributes, BlockError, Built};
use kette_types::{
    B256, Block, Bytes, Fault, Header, Message, PeerId, Recovered, SealedHeader, Time, Transaction,
    U256, limits,
    planted::{Bug, is_planted},
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Unsealed blocks that an engine may still seal.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    built: VecDeque<Built>,
}

/// Templates kept: the current one and those that external miners may still work on.
const TEMPLATES_MAX: usize = 8;
/// A checkpoint is made after this many final blocks,
const CHECKPOINT_BLOCKS: u64 = 32;
/// or after this time if anything is final,
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);
/// or when the head's state holds this many bytes.
const CHECKPOINT_BYTES: usize = 48 * 1024 * 1024;

impl Templates {
    fn keep(&mut self, built: Built) {
        if self.built.len() >= TEMPLATES_MAX {
            self.built.pop_front();
        }
        self.built.push_back(built);
    }

    pub(crate) fn loads(&self, loads: &mut crate::Loads) {
        loads.note("templates", self.built.len(), TEMPLATES_MAX);
    }

    /// Takes the template that this header seals: all it commits to is equal, only the seal differs.
    fn take(&mut self, header: &Header) -> Option<Built> {
        let same = |built: &Built| {
            let h = &built.header;
            h.parent_hash == header.parent_hash
                && h.state_root == header.state_root
                && h.transactions_root == header.transactions_root
                && h.receipts_root == header.receipts_root
                && h.timestamp == header.timestamp
                && h.beneficiary == header.beneficiary
                && h.difficulty == header.difficulty
                && h.mix_hash == header.mix_hash
        };
        let index = self.built.iter().position(same)?;
        self.built.remove(index)
    }
}

impl Node {
    /// Gives the engine an input and does what it orders.
    pub(crate) fn engine_input(
        &mut self,
        now: Time,
        input: kette_consensus::Input,
        out: &mut Outbox,
    ) {
        let outputs = self.engine.handle(now, input, &self.tree);
        self.engine_outputs(now, outputs, out);
    }

    /// Does what the engine ordered, and what it orders in answer to that.
    pub(crate) fn engine_outputs(
        &mut self,
        now: Time,
        outputs: Vec<kette_consensus::Output>,
        out: &mut Outbox,
    ) {
        let mut outputs = VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            if let Some(input) = self.engine_output(now, output, out) {
                outputs.extend(self.engine.handle(now, input, &self.tree));
            }
        }
    }

    fn engine_output(
        &mut self,
        now: Time,
        output: kette_consensus::Output,
        out: &mut Outbox,
    ) -> Option<kette_consensus::Input> {
        use kette_consensus::{Input, Output as E};
        match output {
            E::Persist(bytes) => out.record(Record::Engine(bytes)),
            E::Propose { parent, attributes } => {
                let header = self.propose(parent, &attributes, out)?;
                return Some(Input::Template(Box::new(header)));
            }
            E::Publish(header) => self.publish(now, *header, out),
            E::Sign(state) => out.record(Record::Sign(Box::new(state))),
            E::Truncate => out.record(Record::EngineTruncate),
            E::Gossip(bytes) => {
                self.forget_gone(now);
                let peers = self.gossip.lacking(&bytes);
                send_engine(peers, bytes, out);
            }
            E::Resend(bytes) => {
                self.forget_gone(now);
                let peers = self.gossip.all(&bytes);
                send_engine(peers, bytes, out);
            }
            E::Send(peer, bytes) => {
                if self.peers.is_ready(&peer) {
                    self.gossip.knows(peer, &bytes);
                    send_engine(vec![peer], bytes, out);
                }
            }
            E::Announce(hash) => self.announce(now, hash, out),
            E::Fetch(hash, _) if self.importer.is_invalid(hash) => {
                return Some(Input::Invalid(hash));
            }
            E::Fetch(hash, peer) => {
                let here = self.tree.contains(hash)
                    || self.importer.is_staged(hash)
                    || self.importer.is_orphan(hash)
                    || self.relay.is_rebuilding(hash);
                if !here && self.peers.is_ready(&peer) {
                    out.order(Output::Send(vec![peer], Arc::new(Message::GetBlock(hash))));
                }
            }
            E::Event(event) => out.order(Output::Event(Event::Engine(event))),
            E::Start(id, job) => out.order(Output::Start(id, job)),
            E::Cancel(id) => out.order(Output::Cancel(id)),
            E::Head(hash) => self.set_head(now, hash, out),
            E::Finalize(hash, justification) => self.finalize(now, hash, justification, out),
            E::Halt => {
                self.sync.halt();
                self.forget_staged(out);
            }
            E::Fault(peer, reason) => self.fault(now, peer, Fault::Engine(reason), out),
            E::Alarm(text) => self.alarm(text, out),
            E::Rejected(_) => {}
        }
        None
    }

    /// Builds an unsealed block on `parent` from the pool.
    fn propose(
        &mut self,
        parent: B256,
        attributes: &Attributes,
        out: &mut Outbox,
    ) -> Option<Header> {
        let behind = self.tree.head().number + ANNOUNCE_WITHIN;
        if self.sync.progress(self.ours()).is_some_and(|(_, best)| best > behind)
            && self.now < self.moved_at + STALLED_AFTER
        {
            return None;
        }
        if is_planted(Bug::TrustedClaim)
            && self.peers.infos(self.now).iter().any(|peer| peer.height > behind)
        {
            return None;
        }
        let state = match self.state_after(parent) {
            Ok(state) => state,
            Err(error) => {
                self.alarm(format!("no block can be built: {error}"), out);
                return None;
            }
        };
        let header = self.tree.get(parent)?.clone();
        let base_fee = kette_ledger::next_base_fee(&self.rules, header.header());
        let hashes = Ancestors { node: self, parent };
        let built = kette_ledger::build(
            &self.rules,
            header.header(),
            &state,
            attributes,
            &mut self.mempool.best(base_fee),
            &hashes,
            BLOCK_BYTES_MAX,
        );
        match built {
            Ok(built) => {
                let dropped: Vec<(B256, &'static str)> = built
                    .skipped
                    .iter()
                    .filter(|(_, error)| !may_fit_later(error))
                    .map(|(hash, _)| (*hash, "no longer valid"))
                    .collect();
                let unsealed = built.header.clone();
                self.templates.keep(built);
                self.dropped(dropped, out);
                Some(unsealed)
            }
            Err(error) => {
                self.alarm(format!("no block can be built: {error}"), out);
                None
            }
        }
    }

    /// Attaches and announces a block that this node sealed.
    fn publish(&mut self, now: Time, header: SealedHeader, out: &mut Outbox) {
        let hash = header.hash();
        let Some(built) = self.templates.take(header.header()) else {
            tracing::debug!(%hash, "sealed a block whose template is gone");
            return;
        };
        let (weight, total_weight) = match self.check_header(now, &header) {
            Ok(weights) => weights,
            Err(HeaderVerdict::Unwanted(why)) => {
                tracing::debug!(%hash, why, "sealed a block that is no longer wanted");
                return;
            }
            Err(error) => {
                self.alarm(format!("our own block {hash} breaks a rule: {error}"), out);
                return;
            }
        };
        let executed = built.executed;
        let block = Arc::new(ExecutedBlock {
            block: Block { header, body: built.body },
            senders: built.senders,
            receipts: executed.receipts,
            state: executed.state,
            changed: executed.changed,
            weight,
            total_weight,
            issued: executed.issued,
            burned: executed.burned,
        });
        if let Some(memo) = &self.config.memo {
            memo.put(&block);
        }
        self.counters.blocks_produced += 1;
        let number = block.number();
        self.attach(now, block, out);
        out.order(Output::Event(Event::Produced { number, hash }));
    }

    /// Follows the engine's choice of head.
    pub(crate) fn set_head(&mut self, now: Time, hash: B256, out: &mut Outbox) {
        if self.tree.head().hash() == hash {
            return;
        }
        let Some(plan) = self.tree.plan(hash) else { return };
        // A head is held whole; one from below the final block has to be executed again.
        match self.whole_block(hash) {
            Some(block) => {
                self.recent.insert(hash, block.clone());
                self.tree.hold(hash, Some(block));
            }
            None => {
                return self
                    .alarm(format!("block {hash} cannot become head: its state is gone"), out);
            }
        }
        let removed = self.whole(&plan.removed);
        if removed.len() < plan.removed.len() {
            let text = format!("block {hash} cannot become head: replaced blocks cannot be read");
            return self.alarm(text, out);
        }
        let final_before = self.tree.finalized();
        self.note_reorg(plan.keep, &removed);
        let reorg = self.tree.set_head(hash);
        let added = self.whole(&reorg.added);
        out.record(Record::Canonical { keep: reorg.keep, added: reorg.added.clone() });
        if reorg.keep < final_before.0 {
            self.alarm(
                format!(
                    "a reorganization of {} blocks replaced final block {}",
                    reorg.removed.len(),
                    final_before.0
                ),
                out,
            );
        }
        self.count_reorg(&reorg);
        self.update_pool(now, &reorg, &removed, &added, out);
        let depth = reorg.removed.len() as u64;
        out.order(Output::Event(Event::Head { removed, added: added.clone(), depth }));
        self.announce_head(now, out);
    }

    fn count_reorg(&mut self, reorg: &Reorg) {
        let depth = reorg.removed.len() as u64;
        if depth > 0 {
            self.counters.reorgs += 1;
            self.counters.reorg_depth_max = self.counters.reorg_depth_max.max(depth);
            tracing::info!(depth, keep = reorg.keep, added = reorg.added.len(), "reorganization");
        }
    }

    /// Returns blocks whole, reading and recovering what is no longer held.
    fn whole(&mut self, hashes: &[B256]) -> Vec<Arc<ExecutedBlock>> {
        hashes.iter().filter_map(|hash| self.whole_block(*hash)).collect()
    }

    fn whole_block(&mut self, hash: B256) -> Option<Arc<ExecutedBlock>> {
        if let Some(block) = self.tree.executed(hash) {
            return Some(block.clone());
        }
        let header = self.tree.get(hash)?.clone();
        if header.number == 0 {
            return checkpoint_block(&self.reader, hash, U256::ZERO).ok();
        }
        let body = self.reader.body(hash).ok().flatten()?;
        let senders = kette_ledger::recover(&body.transactions).into_iter().flatten().collect();
        let total_weight = self.tree.total_weight(hash)?;
        let executed = self.execute(Block { header, body }, senders, total_weight).ok()?;
        Some(executed)
    }

    fn update_pool(
        &mut self,
        now: Time,
        reorg: &Reorg,
        removed: &[Arc<ExecutedBlock>],
        added: &[Arc<ExecutedBlock>],
        out: &mut Outbox,
    ) {
        let included: BTreeSet<B256> = added
            .iter()
            .flat_map(|block| block.block.body.transactions.iter().map(|t| *t.tx_hash()))
            .collect();
        let touched: BTreeSet<_> =
            added.iter().chain(removed).flat_map(|block| block.changed.iter().copied()).collect();
        let mut readmit = Vec::new();
        for block in removed.iter().rev() {
            for (transaction, sender) in block.block.body.transactions.iter().zip(&block.senders) {
                if !included.contains(transaction.tx_hash()) {
                    readmit.push(Recovered::new_unchecked(transaction.clone(), *sender));
                }
            }
        }
        if is_planted(Bug::ReorgDropsTransactions) {
            readmit.clear();
        }
        let head = self.head_info();
        let state = self.tree.head_block().state.clone();
        let touched: Vec<_> = touched.into_iter().collect();
        let included: Vec<_> = included.into_iter().collect();
        let replaced: Vec<B256> = readmit.iter().map(|t| *t.inner().tx_hash()).collect();
        let changes = self.mempool.on_head(now, &state, &head, &touched, &included, readmit);
        self.journal(&replaced, out);
        self.dropped(changes.dropped, out);
        if let Some(error) = changes.error {
            self.alarm(format!("the pool could not read accounts: {error}"), out);
        }
        self.inventory.on_head();
        self.inventory.included(&included);
        self.announce_transactions(now, &changes.promoted);
        let done: Vec<B256> =
            included.into_iter().filter(|hash| self.journaled.remove(hash)).collect();
        if !done.is_empty() {
            out.record(Record::PendingDone(done));
        }
        if reorg.added.is_empty() {
            self.tell_status_soon(now);
        }
    }

    /// Writes down pending transactions of replaced blocks: a client may have been told that they are kept.
    fn journal(&mut self, replaced: &[B256], out: &mut Outbox) {
        use alloy_eips::eip2718::Encodable2718;
        for hash in replaced {
            if let Some(transaction) = self.mempool.get(*hash)
                && self.journaled.insert(*hash)
            {
                out.record(Record::Pending(transaction.inner().encoded_2718().into()));
            }
        }
    }

    /// Notes transactions that left the pool without being in a block.
    pub(crate) fn dropped(&mut self, dropped: Vec<(B256, &'static str)>, out: &mut Outbox) {
        let mut done = Vec::new();
        for (hash, reason) in dropped {
            self.mempool.drop(hash);
            if self.journaled.remove(&hash) {
                done.push(hash);
            }
            out.order(Output::Event(Event::Dropped { hash, reason }));
        }
        if !done.is_empty() {
            out.record(Record::PendingDone(done));
        }
    }

    fn announce_head(&mut self, now: Time, out: &mut Outbox) {
        let behind = self
            .sync
            .progress(self.ours())
            .is_some_and(|(_, best)| best > self.tree.head().number + ANNOUNCE_WITHIN);
        if behind || self.importer.has_work() {
            self.tell_status_soon(now);
            return;
        }
        let head = self.tree.head().hash();
        self.announce(now, head, out);
        if self.proposes {
            // They have the block already, and are not told by it that it was chosen.
            self.tell_status_soon(now);
        }
    }

    /// Announces a block of the tree to those who lack it.
    fn announce(&mut self, now: Time, hash: B256, out: &mut Outbox) {
        self.forget_gone(now);
        let Some(block) = self.tree.executed(hash) else { return };
        let sent = self.relay.announce(&block.block, out.orders());
        self.counters.blocks_sent += sent as u64;
    }

    fn finalize(&mut self, now: Time, hash: B256, justification: Bytes, out: &mut Outbox) {
        let Some(number) = self.tree.get(hash).map(|header| header.number) else { return };
        if number <= self.tree.finalized().0 || !self.tree.is_canonical(hash) {
            return;
        }
        self.note_changed(number);
        self.tree.finalize(hash);
        out.record(final_record(number, hash, justification));
        let dead = self.tree.prune(reorg_limit(&self.spec) + 1);
        self.sync.prune(self.tree.horizon(), &dead);
        self.forget_staged(out);
        if !dead.is_empty() {
            out.unannounce(&dead);
            out.record(Record::Prune(dead));
        }
        let tree = &self.tree;
        let gone: Vec<B256> =
            self.recent.keys().filter(|h| tree.executed(**h).is_none()).copied().collect();
        for hash in gone {
            self.recent.remove(&hash);
        }
        self.make_checkpoint(now, false, out);
        out.order(Output::Event(Event::Finalized { number, hash }));
    }

    /// Collects the addresses that newly final blocks changed, for the next checkpoint.
    pub(crate) fn note_changed(&mut self, up_to: u64) {
        for number in self.checkpoint.noted + 1..=up_to {
            let hash = self.tree.canonical(number).ok().flatten();
            // A block that cannot be read now is noted next time; until then there is no checkpoint above it.
            let Some(block) = hash.and_then(|hash| self.whole_block(hash)) else { return };
            self.checkpoint.changed.extend(block.changed.iter().copied());
            self.checkpoint.noted = number;
        }
    }

    /// A reorganization went below what is noted: what the replaced blocks changed may differ as well.
    fn note_reorg(&mut self, keep: u64, removed: &[Arc<ExecutedBlock>]) {
        if keep >= self.checkpoint.noted {
            return;
        }
        for block in removed.iter().filter(|block| block.number() <= self.checkpoint.noted) {
            self.checkpoint.changed.extend(block.changed.iter().copied());
        }
        self.checkpoint.noted = keep;
    }

    /// Makes the newest final state durable if enough changed since the last one.
    pub(crate) fn make_checkpoint(&mut self, now: Time, force: bool, out: &mut Outbox) {
        let (number, hash) = self.tree.finalized();
        if hash == self.checkpoint.hash || self.checkpoint.noted < number {
            return;
        }
        let bytes = self.tree.head_block().state.loaded_bytes();
        let due = force
            || number < self.checkpoint.number
            || number >= self.checkpoint.number + CHECKPOINT_BLOCKS
            || now >= self.checkpoint.at + CHECKPOINT_EVERY
            || bytes > CHECKPOINT_BYTES;
        if !due {
            return;
        }
        let state = match self.state_after(hash) {
            Ok(state) => state,
            Err(error) => return self.alarm(format!("no checkpoint: {error}"), out),
        };
        let mut changed = self.checkpoint.changed.iter().copied();
        match state.commit(&self.checkpoint.state, &mut changed) {
            Ok(commit) => {
                self.checkpoint.changed.clear();
                out.record(Record::Checkpoint { number, hash, commit: Arc::new(commit) });
                let kept = states_kept(&self.spec);
                if !self.config.archive && number > kept {
                    out.record(Record::PruneStates { below: number - kept });
                }
                self.unload_due = bytes > CHECKPOINT_BYTES;
                self.checkpoint.number = number;
                self.checkpoint.hash = hash;
                self.checkpoint.state = state;
                self.checkpoint.at = now;
            }
            Err(error) => self.alarm(format!("no checkpoint: {error}"), out),
        }
    }

    /// Takes transactions of a client into the pool.
    pub(crate) fn submit(
        &mut self,
        now: Time,
        transaction: Recovered<Transaction>,
        out: &mut Outbox,
    ) -> Result<crate::Reply, crate::CommandError> {
        use alloy_eips::eip2718::Encodable2718;
        let bytes: Bytes = transaction.inner().encoded_2718().into();
        let hash = *transaction.inner().tx_hash();
        self.admit(now, transaction, crate::mempool::Origin::Local, out)?;
        // A validator that is alone has put it into a final block already.
        if self.mempool.contains(hash) {
            self.journaled.insert(hash);
            out.record(Record::Pending(bytes));
        }
        Ok(crate::Reply::Transaction(hash))
    }

    /// Announces pool transactions that can go into the next block.
    fn announce_transactions(&mut self, now: Time, transactions: &[Arc<Recovered<Transaction>>]) {
        for transaction in transactions {
            self.inventory.added(now, transaction);
        }
    }

    /// Takes one transaction into the pool, from wherever it came.
    pub(crate) fn admit(
        &mut self,
        now: Time,
        transaction: Recovered<Transaction>,
        origin: crate::mempool::Origin,
        out: &mut Outbox,
    ) -> Result<(), crate::Rejection> {
        let head = self.head_info();
        let state = self.tree.head_block().state.clone();
        let added = self.mempool.add(now, transaction, origin, &state, &head)?;
        let gone = added.evicted.iter().map(|hash| (*hash, "evicted"));
        let gone = gone.chain(added.replaced.map(|hash| (hash, "replaced"))).collect();
        self.dropped(gone, out);
        if let Some(transaction) = self.mempool.get(added.hash) {
            if added.executable {
                self.inventory.added(now, &transaction);
            }
            self.announce_transactions(now, &added.promoted);
            out.order(Output::Event(Event::Pending(transaction)));
        }
        self.engine_input(now, kette_consensus::Input::Pending, out);
        Ok(())
    }
}

fn send_engine(peers: Vec<PeerId>, bytes: Bytes, out: &mut Outbox) {
    if !peers.is_empty() {
        out.order(Output::Send(peers, Arc::new(Message::Engine(bytes))));
    }
}

/// Tells whether a transaction that was left out may go into a later block.
const fn may_fit_later(error: &BlockError) -> bool {
    matches!(
        error,
        BlockError::GasLimit { .. }
            | BlockError::NonceTooHigh { .. }
            | BlockError::BaseFee { .. }
            | BlockError::Read(_)
    )
}

/// Bytes of transactions in a block that we build: leaves room for header and envelope in one frame.
const BLOCK_BYTES_MAX: usize = limits::BODY_BYTES_MAX - 64 * 1024;
/// A heavier branch whose blocks nobody hands out keeps a node from producing no longer than this.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// A head this far behind the best chain is not announced: peers have it.
const ANNOUNCE_WITHIN: u64 = 2;
