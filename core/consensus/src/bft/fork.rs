//! The stop after a fork: what proves one, how it outlives a restart, and how an operator ends it.
//!
//! CometBFT halts with the process and goes on at the next start; here the stop is an entry of the engine's log. It
//! ends only if an operator names what was final when it began, so that a flag that was left in place does not end
//! the next one.

use super::{Bft, Message, guard::Entry};
use crate::{Output, SealError};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use kette_chain::{BlockTree, Headers as _};
use kette_types::{B256, SealedHeader, bft::ValidatorSet};
use serde::Serialize;

/// Two final blocks that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fork {
    /// Height of the block that others made final.
    pub height: u64,
    /// That block.
    pub theirs: B256,
    /// The newest block that was final here.
    pub ours: B256,
}

impl Fork {
    fn text(&self) -> String {
        let Self { height, theirs, ours } = self;
        format!(
            "the chain has forked: validators made block {theirs} of height {height} final, which contradicts our \
             final block {ours}; this node signs and decides nothing any more, restarted or not. Once operators have \
             chosen a chain: with this one start it with `--resume-after-fork {ours}`, with another one delete its \
             database and let it sync with `--resume-after-fork` and the block of height {height} that is final there"
        )
    }
}

/// A choice is remembered for so many heights: longer than certificates are looked at, and blocks may fork off.
const REMEMBERED: u64 = 64;

/// What became of forks.
#[derive(Clone, Debug)]
pub(super) struct Forked {
    /// Nothing is signed, decided or taken because of it.
    pub(super) stopped: Option<Fork>,
    /// Where an operator chose this node's chain; the newest last.
    resumed: Vec<Fork>,
    /// The block that the operator named at the start, while it may matter.
    chosen: Option<B256>,
}

impl Forked {
    /// Knows of no fork, and what an operator chose if there is one in the log.
    pub(super) const fn new(chosen: Option<B256>) -> Self {
        Self { stopped: None, resumed: Vec::new(), chosen }
    }

    /// Takes an entry of the log.
    pub(super) fn restored(&mut self, entry: &Entry) {
        match entry {
            Entry::Forked(fork) => self.stopped = Some(*fork),
            Entry::Resumed(fork) => {
                self.stopped = None;
                self.resumed.retain(|known| known != fork);
                self.resumed.push(*fork);
            }
            _ => {}
        }
    }

    /// Returns what must be in the log again when it was cut at this height: choices that may still matter.
    pub(super) fn kept(&mut self, height: u64) -> impl Iterator<Item = Entry> {
        self.resumed.retain(|fork| height.saturating_sub(fork.height) <= REMEMBERED);
        self.resumed.iter().map(|fork| Entry::Resumed(*fork))
    }

    /// Tells whether certificates of a refused chain may still go round: those of blocks above the refused one are as
    /// good as any, and their blocks never come. A named block counts until it is final here and no longer remembered, so
    /// that a flag that was left in place does not matter for the life of the process.
    pub(super) fn has_choice(&mut self, last_final: u64, tree: &BlockTree) -> bool {
        self.chosen = self.chosen.filter(|chosen| {
            let header = tree.header(*chosen).ok().flatten();
            header.is_none_or(|header| {
                last_final.saturating_sub(header.number) <= REMEMBERED
                    || tree.canonical(header.number).ok().flatten() != Some(*chosen)
            })
        });
        self.chosen.is_some() || !self.resumed.is_empty()
    }

    /// Tells whether an operator decided against this block.
    pub(super) fn is_refused(&self, height: u64, block: B256) -> bool {
        self.resumed.iter().any(|fork| (fork.height, fork.theirs) == (height, block))
    }

    /// Tells whether an operator chose our block of this height when another one was decided there: liars with a quorum
    /// can decide for block after block, and the choice is written down once.
    fn is_decided(&self, height: u64, tree: &BlockTree) -> bool {
        self.resumed.iter().filter(|fork| fork.height == height).any(|fork| {
            let ours = tree.header(fork.ours).ok().flatten();
            // The proof may have been a block above our newest one, whose height was open.
            ours.is_some_and(|ours| ours.number >= height)
        })
    }

    /// Refuses every block while stopped: the other chain goes on without end. Refuses what stands on a block that an
    /// operator decided against.
    pub(super) fn refuse(&self, header: &SealedHeader) -> Result<(), SealError> {
        if self.stopped.is_some() {
            return Err(SealError::Unwanted("the chain has forked: this node stands still"));
        }
        if self.resumed.iter().any(|fork| fork.theirs == header.parent_hash) {
            return Err(SealError::Unwanted("an operator decided against its chain"));
        }
        Ok(())
    }
}

impl Bft {
    /// Goes on with the stop of before the restart, or ends it if an operator says so.
    pub(super) fn recall_fork(&mut self, out: &mut Vec<Output>) {
        let Some(fork) = self.forked.stopped else { return };
        if self.forked.chosen != Some(fork.ours) {
            return self.stand_still(fork, out);
        }
        self.go_on(fork, out);
    }

    /// Writes down that an operator chose this node's chain.
    fn go_on(&mut self, fork: Fork, out: &mut Vec<Output>) {
        let resumed = Entry::Resumed(fork);
        self.forked.restored(&resumed);
        out.push(Output::Persist(resumed.encode()));
        let Fork { height, theirs, ours } = fork;
        out.push(Output::Alarm(format!(
            "goes on with block {ours} by an operator's choice, although validators made block {theirs} of height \
             {height} final"
        )));
    }

    /// A quorum decided for a block that contradicts our final block: at least a third of the weight signed twice or
    /// forgot its locks. What is final stays so; an operator must choose, unless one has: a node that synced anew was
    /// never stopped, and what proved the fork to the others can be said to it again.
    pub(super) fn halt(
        &mut self,
        height: u64,
        theirs: B256,
        tree: &BlockTree,
        out: &mut Vec<Output>,
    ) {
        let Some(voting) = &self.voting else { return };
        if self.forked.stopped.is_some()
            || self.forked.is_refused(height, theirs)
            || self.forked.is_decided(height, tree)
        {
            return;
        }
        let fork = Fork { height, theirs, ours: voting.parent.hash() };
        if self.is_chosen_up_to(height, voting.parent.number, tree) {
            return self.go_on(fork, out);
        }
        self.forked.stopped = Some(fork);
        out.push(Output::Persist(Entry::Forked(fork).encode()));
        // Who holds the other block for final may have heard of nothing: this proves it.
        if let Some(own) = self.commits.get(height) {
            out.push(Output::Gossip(Message::Commit(own.clone()).encode()));
        }
        self.stand_still(fork, out);
    }

    /// Tells whether the block that an operator named is final here and not below this height: what contradicts a block
    /// of this height contradicts the choice. A fork above it is another one. One that is not final here yet covers
    /// nothing, so operators name the block of exactly the fork's height.
    fn is_chosen_up_to(&self, height: u64, last_final: u64, tree: &BlockTree) -> bool {
        let Some(chosen) = self.forked.chosen else { return false };
        let header = tree.header(chosen).ok().flatten();
        header.is_some_and(|header| {
            (height..=last_final).contains(&header.number)
                && matches!(tree.canonical(header.number), Ok(Some(own)) if own == chosen)
        })
    }

    fn stand_still(&mut self, fork: Fork, out: &mut Vec<Output>) {
        self.guard.never(fork.text());
        out.push(Output::Alarm(fork.text()));
        out.push(Output::Halt);
    }

    /// Returns who decided a block of our chain.
    pub(super) fn voters_of(&self, block: B256, tree: &BlockTree) -> Option<ValidatorSet> {
        let header = tree.header(block).ok().flatten()?;
        let parent = tree.header(header.parent_hash).ok().flatten()?;
        self.rules.next_set(&parent, tree).ok()
    }

    /// Returns height and hash of the parent of a block of the tree, if the block's certificate of it, which was checked
    /// with its header, contradicts what is final here.
    pub(super) fn rival(&self, block: &SealedHeader, tree: &BlockTree) -> Option<(u64, B256)> {
        let voting = self.voting.as_ref()?;
        let (height, parent) = (block.number.checked_sub(1)?, block.parent_hash);
        // The tree learns of what is decided in this turn only afterwards.
        let contradicts = if height == voting.height {
            tree.get(parent).is_some_and(|parent| parent.parent_hash != voting.parent.hash())
        } else if height == voting.parent.number {
            parent != voting.parent.hash()
        } else {
            height < voting.height
                && matches!(tree.canonical(height), Ok(Some(own)) if own != parent)
        };
        contradicts.then_some((height, parent))
    }
}
