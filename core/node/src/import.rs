//! The path of a block: announced or fetched -> header checked -> senders recovered -> executed -> in the tree.
//!
//! A block that cannot go on waits here: for its senders, for its parent, or for its time. Everything that
//! waits is bounded; what is pushed out is fetched again by sync if it is still wanted. Sync knows the header of every
//! staged block: what it forgets is forgotten here, and what is lost here it fetches.

use crate::{
    CommandError, Event, Node, Output, Reply, Ticket,
    node::{AllHeaders, Purpose},
    outbox::Outbox,
};
use kette_chain::{ExecutedBlock, Headers as _, Record};
use kette_consensus::{Job, SealError};
use kette_ledger::{BlockError, ReadError};
use kette_types::{
    Address, B256, Block, Fault, PeerId, SealedHeader, Time, Transaction, U256,
    block::body_matches,
    limits::BODY_BYTES_MAX,
    planted::{Bug, is_planted},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Blocks that wait, at most; twice that with those whose parent is there.
const STAGED_MAX: usize = 2_048;
/// Blocks that wait, in all.
pub(crate) const STAGED_BLOCKS_MAX: usize = 2 * STAGED_MAX;
/// Bytes of blocks that wait, at most; twice that with those whose parent is there.
const STAGED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Blocks that wait for an unknown parent, at most.
const ORPHANS_MAX: usize = 256;
/// How long a block waits for its parent or its time.
const ORPHAN_EXPIRY: Duration = Duration::from_secs(600);
/// Blocks executed in one step, so that votes and pings are not kept waiting.
const EXECUTED_PER_STEP: usize = 16;
/// Invalid blocks remembered.
const INVALID_MAX: usize = 4_096;

/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A peer announced or sent it.
    Peer(PeerId),
    /// A client handed it in.
    Client(Ticket),
}

/// Blocks on their way into the tree.
#[derive(Debug)]
pub(crate) struct Importer {
    staged: BTreeMap<B256, Staged>,
    children: BTreeMap<B256, BTreeSet<B256>>,
    bytes: usize,
    orphans: VecDeque<Orphan>,
    ready: VecDeque<B256>,
    invalid: crate::bounded::BoundedSet<B256>,
}

#[derive(Debug)]
struct Staged {
    block: Block,
    senders: Vec<Option<Address>>,
    waiting: bool,
    weight: U256,
    total_weight: U256,
    source: Source,
    bytes: usize,
}

#[derive(Debug)]
struct Orphan {
    block: Block,
    source: Source,
    retry: Option<Time>,
    expires: Time,
}

impl Importer {
    pub(crate) fn new() -> Self {
        Self {
            staged: BTreeMap::new(),
            children: BTreeMap::new(),
            bytes: 0,
            orphans: VecDeque::new(),
            ready: VecDeque::new(),
            invalid: crate::bounded::BoundedSet::new(INVALID_MAX),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(crate) fn is_staged(&self, hash: B256) -> bool {
        self.staged.contains_key(&hash)
    }

    /// Returns how many blocks wait for a parent, senders or execution.
    #[cfg(test)]
    pub(crate) fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Returns how many blocks wait for an unknown parent or their time.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.orphans.len()
    }

    pub(crate) fn loads(&self, loads: &mut crate::Loads) {
        loads.note("staged", self.staged.len(), STAGED_BLOCKS_MAX);
        loads.note("staged_bytes", self.bytes, 2 * STAGED_BYTES_MAX);
        loads.note("staged_parents", self.children.len(), self.staged.len());
        // A block is queued when it comes, when its senders are known and when its parent is attached.
        loads.note("ready", self.ready.len(), 3 * STAGED_BLOCKS_MAX);
        loads.note("orphans", self.orphans.len(), ORPHANS_MAX);
        loads.note("invalid", self.invalid.len(), INVALID_MAX);
    }

    pub(crate) fn is_invalid(&self, hash: B256) -> bool {
        self.invalid.contains(&hash)
    }

    /// Remembers a block as invalid; tells whether that is new.
    fn mark_invalid(&mut self, hash: B256) -> bool {
        self.invalid.insert(hash)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.orphans.iter().map(|o| o.retry.map_or(o.expires, |at| at.min(o.expires))).min()
    }

    pub(crate) fn is_orphan(&self, hash: B256) -> bool {
        self.orphans.iter().any(|orphan| orphan.block.hash() == hash)
    }

    /// Keeps a block for later; returns the oldest if it has to go for it.
    fn keep_orphan(&mut self, orphan: Orphan) -> Option<Orphan> {
        let full = self.orphans.len() >= ORPHANS_MAX && !is_planted(Bug::UnboundedOrphans);
        let oldest = if full { self.orphans.pop_front() } else { None };
        self.orphans.push_back(orphan);
        oldest
    }

    fn take_orphans(&mut self, mut pick: impl FnMut(&Orphan) -> bool) -> Vec<Orphan> {
        let (taken, kept) = std::mem::take(&mut self.orphans).into_iter().partition(&mut pick);
        self.orphans = kept;
        VecDeque::into(taken)
    }

    fn insert(&mut self, staged: Staged) {
        let hash = staged.block.hash();
        self.children.entry(staged.block.header.parent_hash).or_default().insert(hash);
        self.bytes += staged.bytes;
        if !staged.waiting {
            self.ready.push_back(hash);
        }
        self.staged.insert(hash, staged);
    }

    fn remove(&mut self, hash: B256) -> Option<Staged> {
        let staged = self.staged.remove(&hash)?;
        self.bytes -= staged.bytes;
        let parent = staged.block.header.parent_hash;
        if let Some(siblings) = self.children.get_mut(&parent) {
            siblings.remove(&hash);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
        Some(staged)
    }
}

/// Why a header is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderVerdict {
    #[error("{0}")]
    Invalid(String),
    /// The hash does not cover the seal, so the block itself may be good with another one.
    #[error("{0}")]
    InvalidSeal(String),
    #[error("not yet, at {0}")]
    Future(Time),
    /// Nothing is wrong with it.
    #[error("{0}")]
    Unwanted(&'static str),
    #[error("parent is not known")]
    UnknownParent,
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Node {
    /// Checks a header against its parent and the engine's rules. Returns its weight and its branch's.
    pub(crate) fn check_header(
        &self,
        now: Time,
        header: &SealedHeader,
    ) -> Result<(U256, U256), HeaderVerdict> {
        let all = AllHeaders { tree: &self.tree, sync: &self.sync };
        let parent_hash = header.parent_hash;
        if self.importer.is_invalid(header.hash()) || self.importer.is_invalid(parent_hash) {
            return Err(HeaderVerdict::Invalid("descends from an invalid block".to_owned()));
        }
        let Some(parent_weight) = all.total_weight(parent_hash) else {
            return Err(HeaderVerdict::UnknownParent);
        };
        let parent = all.header(parent_hash)?.ok_or(HeaderVerdict::UnknownParent)?;
        kette_ledger::check_header(&self.rules, header.header(), &parent)
            .map_err(|error| HeaderVerdict::Invalid(error.to_string()))?;
        match self.engine.check(now, header, &all) {
            Ok(weight) => Ok((weight, parent_weight.saturating_add(weight))),
            Err(SealError::Future(at)) => Err(HeaderVerdict::Future(at)),
            Err(SealError::Unwanted(why)) => Err(HeaderVerdict::Unwanted(why)),
            Err(SealError::UnknownAncestor(_)) => Err(HeaderVerdict::UnknownParent),
            Err(SealError::Read(error)) => Err(error.into()),
            Err(error) if error.spares_hash() => Err(HeaderVerdict::InvalidSeal(error.to_string())),
            Err(error) => Err(HeaderVerdict::Invalid(error.to_string())),
        }
    }

    /// Takes a whole block from outside.
    pub(crate) fn stage(&mut self, now: Time, block: Block, source: Source, out: &mut Outbox) {
        let hash = block.hash();
        if self.tree.contains(hash) {
            self.answer(source, Ok(Reply::Block(hash)), out);
            return;
        }
        let is_orphan = self.importer.is_orphan(hash);
        if self.importer.is_staged(hash) || is_orphan {
            let error = CommandError::Failed("the block is on its way already".to_owned());
            self.answer(source, Err(error), out);
            if is_orphan && self.sync.pending(hash).is_some() {
                // Its header was checked meanwhile, so it need not wait here any more.
                for held in self.importer.take_orphans(|orphan| orphan.block.hash() == hash) {
                    self.stage(now, held.block, held.source, out);
                }
            }
            return;
        }
        if !body_matches(&block.header, &block.body) {
            if let Some(peer) = source_peer(source) {
                self.sync.body_refused(hash, peer);
            }
            self.blame(now, source, Fault::BodyMismatch, out);
            return;
        }
        let bytes = alloy_rlp::Encodable::length(&block.body);
        if bytes > BODY_BYTES_MAX {
            // Nobody could fetch it: not a block, whoever happens to have its transactions.
            let reason = format!("body of {bytes} bytes, at most {BODY_BYTES_MAX}");
            return self.reject(now, hash, reason, source, out);
        }
        let checked = match self.sync.pending(hash) {
            Some(pending) if pending.header == block.header => {
                Ok((pending.weight, pending.total_weight))
            }
            _ => self.check_header(now, &block.header),
        };
        match checked {
            Ok((weight, total_weight)) => {
                self.stage_checked(block, weight, total_weight, source, out);
            }
            Err(HeaderVerdict::Invalid(reason)) => {
                self.reject(now, hash, reason, source, out);
            }
            Err(HeaderVerdict::InvalidSeal(reason)) => {
                self.blame(now, source, Fault::InvalidHeader(reason), out);
            }
            Err(HeaderVerdict::Unwanted(why)) => {
                tracing::debug!(%hash, why, "unwanted");
                self.answer(source, Err(CommandError::Failed(why.to_owned())), out);
            }
            Err(HeaderVerdict::Future(at)) => {
                let expires = now + ORPHAN_EXPIRY;
                self.keep_orphan(Orphan { block, source, retry: Some(at), expires }, out);
            }
            Err(HeaderVerdict::UnknownParent)
                if self.proposes && block.header.number <= self.tree.finalized().0 =>
            {
                // As in `new_block`: a proposal of a height that is decided, held until its time or late.
                let why = "its height is decided".to_owned();
                self.answer(source, Err(CommandError::Failed(why)), out);
            }
            Err(HeaderVerdict::UnknownParent) => {
                if let Source::Peer(peer) = source {
                    self.sync.missing_parent(peer, &block.header, self.tree.head_weight());
                    self.sync_due = true;
                }
                let expires = now + ORPHAN_EXPIRY;
                self.keep_orphan(Orphan { block, source, retry: None, expires }, out);
            }
            Err(HeaderVerdict::Read(error)) => self.alarm(format!("store: {error}"), out),
        }
    }

    fn stage_checked(
        &mut self,
        block: Block,
        weight: U256,
        total_weight: U256,
        source: Source,
        out: &mut Outbox,
    ) {
        let bytes = alloy_rlp::Encodable::length(&block);
        // What waits for its parent must not keep out what can be executed now.
        let fits = self.tree.contains(block.header.parent_hash);
        let share = if fits { 2 } else { 1 };
        if self.importer.staged.len() >= share * STAGED_MAX
            || self.importer.bytes + bytes > share * STAGED_BYTES_MAX
            || !self.sync.block_accepted(
                block.header.clone(),
                weight,
                total_weight,
                source_peer(source),
            )
        {
            let error = CommandError::Failed("too many blocks are on their way".to_owned());
            self.answer(source, Err(error), out);
            return;
        }
        // What it stands on may be asked for only now that something heavier is on top of it.
        self.sync_due |= !fits;
        let senders: Vec<Option<Address>> =
            block.body.transactions.iter().map(|t| self.mempool.sender(*t.tx_hash())).collect();
        let missing: Vec<usize> =
            (0..senders.len()).filter(|index| senders[*index].is_none()).collect();
        let hash = block.hash();
        if !missing.is_empty() {
            let wanted: Vec<Transaction> =
                missing.iter().map(|index| block.body.transactions[*index].clone()).collect();
            let purpose = Purpose::Block(hash, missing.clone());
            self.start_job(purpose, Job::Recover(Arc::new(wanted)), out);
        }
        let waiting = !missing.is_empty();
        self.importer.insert(Staged {
            block,
            senders,
            waiting,
            weight,
            total_weight,
            source,
            bytes,
        });
    }

    /// Takes the recovered senders of a staged block.
    pub(crate) fn block_senders(
        &mut self,
        now: Time,
        hash: B256,
        missing: &[usize],
        recovered: Vec<Option<Address>>,
        out: &mut Outbox,
    ) {
        let Some(staged) = self.importer.staged.get_mut(&hash) else { return };
        for (index, sender) in missing.iter().zip(recovered) {
            staged.senders[*index] = sender;
        }
        staged.waiting = false;
        let bad = staged.senders.iter().position(Option::is_none);
        let source = staged.source;
        match bad {
            Some(index) => {
                let reason = BlockError::BadSignature(index).to_string();
                self.reject(now, hash, reason, source, out);
            }
            None => self.importer.ready.push_back(hash),
        }
    }

    /// Executes some of the blocks that are ready. What is left over follows at the next tick.
    pub(crate) fn import_some(&mut self, now: Time, out: &mut Outbox) {
        let mut executed = 0;
        while executed < EXECUTED_PER_STEP {
            let Some(hash) = self.importer.ready.pop_front() else { break };
            let Some(staged) = self.importer.staged.get(&hash) else { continue };
            let parent = staged.block.header.parent_hash;
            if staged.waiting || !self.tree.contains(parent) {
                // Its parent's attachment makes it ready again.
                continue;
            }
            executed += 1;
            let Some(staged) = self.importer.remove(hash) else { continue };
            self.import(now, staged, out);
        }
    }

    fn import(&mut self, now: Time, staged: Staged, out: &mut Outbox) {
        let (hash, source) = (staged.block.hash(), staged.source);
        let senders: Vec<Address> = staged.senders.into_iter().flatten().collect();
        match self.execute(staged.block, senders, staged.total_weight) {
            Ok(executed) => {
                debug_assert_eq!(executed.weight, staged.weight);
                if let Some(peer) = source_peer(source) {
                    self.peers.useful_block(now, &peer);
                }
                self.attach(now, executed, out);
                self.answer(source, Ok(Reply::Block(hash)), out);
            }
            Err(error @ (BlockError::Read(_) | BlockError::Senders { .. })) => {
                // The node failed, not the block: nobody is to blame, and sync fetches it again.
                self.alarm(format!("block {hash} could not be executed: {error}"), out);
                let failed = CommandError::Failed(error.to_string());
                self.answer(source, Err(failed), out);
            }
            Err(error) => {
                self.reject(now, hash, error.to_string(), source, out);
            }
        }
    }

    /// Puts an executed block into the tree and tells everybody whom it concerns.
    pub(crate) fn attach(&mut self, now: Time, block: Arc<ExecutedBlock>, out: &mut Outbox) {
        let hash = block.hash();
        self.tree.insert(block.clone());
        self.recent.insert(hash, block.clone());
        self.counters.blocks_imported += 1;
        if self.sync.pending(hash).is_some() {
            self.moved_at = now;
        }
        self.sync.attached(hash);
        self.relay.finished(hash);
        out.record(Record::Block(block.clone()));
        self.engine_input(now, kette_consensus::Input::Block(hash), out);
        if !self.proposes && !self.tree.is_canonical(hash) {
            let number = block.number();
            out.order(Output::Event(Event::SideBlock { number, hash }));
        }
        let children = self.importer.children.get(&hash).into_iter().flatten().copied();
        let children: Vec<B256> = children.collect();
        self.importer.ready.extend(children);
        let orphans = self.importer.take_orphans(|o| o.block.header.parent_hash == hash);
        for orphan in orphans {
            self.stage(now, orphan.block, orphan.source, out);
        }
        if !self.importer.has_work() {
            self.sync_due = true;
        }
    }

    /// Remembers that a block broke a rule, and tells the engine.
    pub(crate) fn mark_invalid(&mut self, now: Time, hash: B256, out: &mut Outbox) {
        if self.importer.mark_invalid(hash) {
            self.engine_input(now, kette_consensus::Input::Invalid(hash), out);
        }
    }

    /// A block broke a rule: remember it, forget what stands on it, blame who sent it.
    pub(crate) fn reject(
        &mut self,
        now: Time,
        hash: B256,
        reason: String,
        source: Source,
        out: &mut Outbox,
    ) {
        tracing::info!(%hash, %reason, "invalid block");
        self.counters.blocks_invalid += 1;
        self.mark_invalid(now, hash, out);
        let event = Event::InvalidBlock { hash, reason: reason.clone(), peer: source_peer(source) };
        out.order(Output::Event(event));
        let mut to_blame: BTreeSet<PeerId> = source_peer(source).into_iter().collect();
        for (descendant, peer) in self.sync.invalid(hash) {
            self.importer.mark_invalid(descendant);
            if descendant == hash {
                to_blame.extend(peer);
            }
            if let Some(staged) = self.importer.remove(descendant) {
                let error = CommandError::Block(reason.clone());
                self.answer(staged.source, Err(error), out);
            }
        }
        if let Source::Client(_) = source {
            self.answer(source, Err(CommandError::Block(reason.clone())), out);
        }
        for peer in to_blame {
            self.fault(now, peer, Fault::InvalidBlock(reason.clone()), out);
        }
        self.sync_due = true;
    }

    /// Stages blocks whose time has come and forgets those that waited too long.
    pub(crate) fn tick_orphans(&mut self, now: Time, out: &mut Outbox) {
        if self.importer.deadline().is_none_or(|due| due > now) {
            return;
        }
        let due =
            self.importer.take_orphans(|o| o.expires <= now || o.retry.is_some_and(|at| at <= now));
        for orphan in due {
            if orphan.expires > now {
                self.stage(now, orphan.block, orphan.source, out);
            } else {
                self.give_up(orphan.source, out);
            }
        }
    }

    /// Forgets blocks that sync gave up: their parents did not come, or can no longer matter.
    pub(crate) fn forget_staged(&mut self, out: &mut Outbox) {
        for hash in self.sync.take_forgotten() {
            if let Some(staged) = self.importer.remove(hash) {
                self.give_up(staged.source, out);
            }
        }
    }

    fn keep_orphan(&mut self, orphan: Orphan, out: &mut Outbox) {
        if let Some(gone) = self.importer.keep_orphan(orphan) {
            self.give_up(gone.source, out);
        }
    }

    /// Tells a client that its block waited in vain.
    fn give_up(&self, source: Source, out: &mut Outbox) {
        let reason = "neither its parent nor its time came".to_owned();
        self.answer(source, Err(CommandError::Block(reason)), out);
    }

    fn answer(&self, source: Source, result: Result<Reply, CommandError>, out: &mut Outbox) {
        if let Source::Client(ticket) = source {
            out.order(Output::Reply(ticket, result));
        }
    }

    fn blame(&mut self, now: Time, source: Source, fault: Fault, out: &mut Outbox) {
        match source {
            Source::Peer(peer) => self.fault(now, peer, fault, out),
            Source::Client(_) => {
                let error = CommandError::Block(fault.to_string());
                self.answer(source, Err(error), out);
            }
        }
    }
}

const fn source_peer(source: Source) -> Option<PeerId> {
    match source {
        Source::Peer(peer) => Some(peer),
        Source::Client(_) => None,
    }
}
