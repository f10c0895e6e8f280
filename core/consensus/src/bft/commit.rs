//! Decisions, and the next height.

use super::{
    Bft, BftStatus, Event, Guard,
    guard::{LOOK_BACK, signed_by},
    machine::{Machine, Step},
    rules::read_seal,
    voting::Voting,
};
use crate::{Output, SealError};
use kette_chain::{BlockTree, Headers as _};
use kette_types::{
    B256, SealedHeader, Time,
    bft::{Certificate, Vote, VoteKind},
};
use std::time::Duration;

/// What says that a block is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Votes that this node counted.
    Votes,
    /// A certificate that others made.
    Others,
}

/// Who comes to a height so long after its block was made comes late: clocks and short slots need some room.
const LIVE_LAG: Duration = Duration::from_secs(1);

impl Bft {
    /// Begins with the newest final block.
    pub(super) fn start(&mut self, now: Time, tree: &BlockTree, out: &mut Vec<Output>) {
        if self.voting.is_some() {
            return;
        }
        let head = tree.head().clone();
        let log = std::mem::take(&mut self.log);
        let seen = self.signed_lately(&head, tree);
        let domain = self.rules.domain;
        self.guard = Guard::new(self.identity.as_ref(), domain, &log, head.number + 1, seen);
        if let Some(reason) = self.guard.silent(head.number + 1) {
            out.push(Output::Alarm(format!("this validator does not sign: {reason}")));
        }
        if let Some(state) = self.guard.take_unfiled() {
            out.push(Output::Sign(state));
        }
        self.recall_fork(out);
        self.log = log;
        self.begin_height(now, head, tree, out);
        self.log.clear();
        // What it said before the restart, for those who did not hear it.
        self.resend(now, out);
    }

    /// Tells whether this key's signature is in one of the newest certificates.
    fn signed_lately(&self, head: &SealedHeader, tree: &BlockTree) -> bool {
        let Some(identity) = &self.identity else { return false };
        let key = identity.key();
        if self.commits.last(head.number, head.hash()).is_some()
            && !self.commits.absent().contains(&key)
        {
            // Absent means in the set and not a signer; a stranger is neither.
            let parent = tree.header(head.parent_hash).ok().flatten();
            let set = parent.and_then(|parent| self.rules.next_set(&parent, tree).ok());
            if set.is_some_and(|set| set.position(&key).is_some()) {
                return true;
            }
        }
        let mut cursor = head.clone();
        for _ in 0..LOOK_BACK {
            let Ok(Some(parent)) = tree.header(cursor.parent_hash) else { return false };
            let Ok(Some(grandparent)) = tree.header(parent.parent_hash) else { return false };
            let (Ok(seal), Ok(set)) = (read_seal(&cursor), self.rules.next_set(&grandparent, tree))
            else {
                return false;
            };
            if signed_by(&seal, &set, &key) {
                return true;
            }
            cursor = parent;
        }
        false
    }

    /// Begins the height after `head`, which is final.
    fn begin_height(
        &mut self,
        now: Time,
        head: SealedHeader,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let voting = match self.next_voting(now, &head, tree) {
            Ok(voting) => voting,
            Err(error) => {
                return out.push(Output::Alarm(format!(
                    "height {} cannot begin: {error}",
                    head.number + 1
                )));
            }
        };
        let before = self.voting.as_ref().map(|voting| voting.set().clone());
        if let Some(before) = before.filter(|before| before.hash() != voting.set().hash()) {
            let total = voting.set().total();
            out.push(Output::Event(Event::Validators {
                height: voting.height,
                count: voting.set().len(),
                total,
                quorum: self.rules.spec.quorum.threshold(total),
                before: before.total(),
            }));
        }
        let height = voting.height;
        self.voting = Some(voting);
        self.pool.retain(|evidence| {
            height.saturating_sub(evidence.height()) <= self.rules.spec.slashing.evidence_age
        });
        self.begin_if_due(now, tree, out);
        // Blocks that came before: proposals that were restored, or children that came ahead of a decision.
        let known: Vec<B256> = tree
            .leaves()
            .flat_map(|leaf| [leaf.hash(), leaf.parent_hash])
            .filter(|hash| tree.get(*hash).is_some_and(|block| block.number >= height))
            .collect();
        for hash in known {
            self.block(now, hash, tree, out);
        }
        for (peer, bytes) in self.early.take() {
            self.message(now, peer, &bytes, tree, out);
        }
    }

    fn next_voting(
        &self,
        now: Time,
        head: &SealedHeader,
        tree: &BlockTree,
    ) -> Result<Voting, SealError> {
        let set = self.rules.next_set(head, tree)?;
        self.rules.remember(set.clone());
        let seed = self.rules.next_seed(head)?;
        let parent_ms = self.rules.time_ms(head)?;
        let spec = &self.rules.spec;
        let slot = Duration::from_millis(spec.slot_ms);
        // The slot ends a slot after the parent's time, by whichever clock is earlier.
        let slot_at = (Time::from_millis(parent_ms) + slot).min(now + slot).max(now);
        let wait = if self.pending { 0 } else { spec.empty_after_ms };
        let begin_at = slot_at + Duration::from_millis(wait);
        let me = self.identity.as_ref().and_then(|identity| set.position(&identity.key()));
        let machine = Machine::new(set.clone(), spec.quorum, me, seed);
        let mut voting =
            Voting::new(now, head.clone(), parent_ms, seed, machine, (slot_at, begin_at));
        voting.restore(&self.log);
        // Own votes of before the restart count like any other, and so do the prepares behind the valid block.
        let mut unused = Vec::new();
        for entry in &self.log {
            let mut count = |vote: &Vote| {
                let (kind, round, block) = (vote.kind, vote.round, vote.block);
                if let Some(index) = voting.set().position(&vote.key)
                    && vote.height == voting.height
                {
                    let signature = vote.signature;
                    voting.machine.vote(kind, round, index, block, signature, &mut unused);
                }
            };
            match entry {
                super::Entry::Vote(vote) => count(vote),
                super::Entry::Prepared(prepares) => {
                    for vote in prepares.votes(&set) {
                        count(&Vote { kind: VoteKind::Prepare, ..vote });
                    }
                }
                _ => {}
            }
            if let super::Entry::Vote(vote) = entry
                && vote.height == voting.height
            {
                voting.own.insert(vote.kind as u8 + 1, super::Message::Vote(*vote).encode());
            }
        }
        Ok(voting)
    }

    /// The machine decided.
    pub(super) fn decided(
        &mut self,
        now: Time,
        round: u32,
        block: B256,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &self.voting else { return };
        let certificate = voting.quorum(VoteKind::Precommit, round, block);
        self.commit(now, certificate, Source::Votes, tree, out);
    }

    /// A child's seal certifies a block at this height.
    pub(super) fn child(
        &mut self,
        now: Time,
        child: &SealedHeader,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &self.voting else { return };
        let on_ours = tree.get(child.parent_hash).is_some_and(|parent| {
            parent.number == voting.height && parent.parent_hash == voting.parent.hash()
        });
        if on_ours && let Ok(seal) = read_seal(child) {
            // Checked with the child's header.
            self.commit(now, seal.last_commit, Source::Others, tree, out);
        }
    }

    /// A block of this height is final.
    pub(super) fn commit(
        &mut self,
        now: Time,
        certificate: Certificate,
        source: Source,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = self.voting.as_ref().filter(|_| self.forked.stopped.is_none()) else {
            return;
        };
        let Some(head) = tree.get(certificate.block).cloned() else { return };
        let began = voting.began;
        let set = voting.set().clone();
        let weight = certificate
            .signers
            .iter()
            .filter_map(|signer| set.get(usize::from(*signer)))
            .map(|validator| u128::from(validator.weight))
            .sum();
        if let Some(identity) = self.identity.as_ref().filter(|identity| !identity.trust_missing)
            && let Some(me) = set.position(&identity.key())
            && certificate.signers.iter().any(|signer| usize::from(*signer) == me)
            && self.guard.meets_own_signature(certificate.height)
        {
            let reason = self.guard.silent(u64::MAX).unwrap_or_default();
            out.push(Output::Alarm(format!("this validator does not sign: {reason}")));
        }
        let seal_ms = self.rules.time_ms(&head).unwrap_or_default();
        self.counters.last_ms = now.as_millis().saturating_sub(seal_ms);
        self.counters.last_round = certificate.round;
        // A block with transactions may have left some behind.
        self.pending = head.transactions_root != kette_types::block::EMPTY_TRANSACTIONS_ROOT;
        out.push(Output::Head(certificate.block));
        out.push(Output::Finalize(certificate.block, alloy_rlp::encode(&certificate).into()));
        out.push(Output::Truncate);
        let kept = self.forked.kept(certificate.height);
        out.extend(kept.map(|entry| Output::Persist(entry.encode())));
        out.push(Output::Event(Event::Final {
            height: certificate.height,
            round: certificate.round,
            block: certificate.block,
            signers: certificate.signers.len(),
            weight,
            total: set.total(),
            after_ms: self.counters.last_ms,
            live: source == Source::Votes && began <= Time::from_millis(seal_ms) + LIVE_LAG,
        }));
        if let Ok(seal) = read_seal(&head) {
            for evidence in &seal.evidence {
                self.pool.retain(|known| known.culprit() != evidence.culprit());
            }
        }
        self.commits.add(certificate, set);
        self.begin_height(now, head, tree, out);
    }

    /// Describes the voting.
    pub(super) fn describe(&self) -> BftStatus {
        let Some(voting) = &self.voting else { return BftStatus::default() };
        let machine = &voting.machine;
        let set = voting.set();
        let round = machine.round();
        let quorum = self.rules.spec.quorum;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let own_weight =
            machine.me().and_then(|me| set.get(me)).map_or(0, |validator| validator.weight);
        let silent = self.guard.silent(voting.height).map(str::to_owned);
        BftStatus {
            height: voting.height,
            round,
            step: match machine.step() {
                Step::Wait => "wait",
                Step::Propose => "propose",
                Step::Prepare => "prepare",
                Step::Precommit | Step::Decided => "precommit",
            },
            leader: set.validators()[machine.leader(round)].address,
            seed: voting.seed,
            validators: set.len(),
            weight: set.total(),
            quorum_rule: quorum,
            quorum: quorum.threshold(set.total()),
            safe_weight: quorum.safe_weight(set.total()),
            live_weight: quorum.live_weight(set.total()),
            key: self.identity.as_ref().map(super::Identity::key),
            own_weight,
            signing: own_weight > 0 && silent.is_none(),
            silent,
            fork: self.forked.stopped,
            locked: machine.locked().map(|(_, block)| block),
            locked_round: machine.locked().map(|(round, _)| round),
            prepares: machine.votes().weight_any(VoteKind::Prepare, round),
            precommits: machine.votes().weight_any(VoteKind::Precommit, round),
            last_final: voting.parent.number,
            last_round: self.counters.last_round,
            last_final_ms: self.counters.last_ms,
            absent: self.commits.absent(),
            votes: self.counters.votes,
            extra_rounds: self.counters.extra_rounds,
            evidence: self.pool.len(),
            propose_ms: millis(self.waits.propose(round)),
            vote_ms: millis(self.waits.vote(round)),
            slot_ms: self.rules.spec.slot_ms,
            late_votes: self.counters.late_votes,
            resent: self.counters.resent,
        }
    }
}
