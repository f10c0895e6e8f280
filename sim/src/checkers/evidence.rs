//! Who signs two things of which it may sign one is found out: if an honest node saw both, a block proves it soon.
//!
//! A node has seen what it passes on; one that forgot what it signed does not accuse itself. Proof that was in the memory of a node that ended is not demanded.

use super::{Checker, Observation, rounds::is_sound, voters::Voters};
use crate::World;
use alloy_primitives::B256;
use kette_chain::Record;
use kette_consensus::bft::Message as Said;
use kette_types::{
    Message,
    bft::{PublicKey, Seal, SignState},
};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default)]
pub struct Evidences {
    voters: Voters,
    /// What each host passed on: by host, key, height, round and step.
    passed: BTreeMap<(u64, usize, PublicKey, u32, u8), B256>,
    /// Who saw whom do it, and at which height the chain was.
    due: BTreeMap<(PublicKey, usize), u64>,
    /// Proven in a final block.
    proven: BTreeSet<PublicKey>,
    looked: u64,
}

/// Blocks until the proof must be in one: leaders that lie or lag leave it out.
const WITHIN: u64 = 60;
/// Heights for which is remembered what was passed on.
const KEPT: u64 = 16;

impl Checker for Evidences {
    fn name(&self) -> &'static str {
        "evidence"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        if world.spec.bft().is_none() {
            return Ok(());
        }
        match seen {
            Observation::Sent { host, message: Message::Engine(bytes), .. }
                if is_sound(&world.hosts[*host]) =>
            {
                self.passed_on(world, *host, bytes);
            }
            Observation::Down { host } => self.due.retain(|(_, seer), _| seer != host),
            Observation::Ordered { host, records } if world.hosts[*host].is_honest() => {
                self.voters.learn(world, records);
                for record in *records {
                    if let Record::Final { hash, number, .. } = record {
                        self.note_proofs(world, *hash);
                        self.judge(world, *number)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Evidences {
    /// Returns whose double signing a final block proves.
    pub const fn proven(&self) -> &BTreeSet<PublicKey> {
        &self.proven
    }

    fn passed_on(&mut self, world: &World, host: usize, bytes: &[u8]) {
        let domain = self.voters.domain(world);
        let state = match Said::decode(bytes) {
            Ok(Said::Vote(vote)) => SignState::of_vote(domain, &vote),
            Ok(Said::Proposal(proposal)) => SignState::of_proposal(domain, &proposal),
            _ => return,
        };
        let SignState { height, round, step, key, digest, .. } = state;
        let newest = self.voters.newest();
        if height + KEPT < newest {
            return;
        }
        let before = self.passed.insert((height, host, key, round, step), digest);
        if before.is_some_and(|before| before != digest) && !self.proven.contains(&key) {
            self.due.entry((key, host)).or_insert(newest);
        }
        while self.passed.first_key_value().is_some_and(|((old, ..), _)| old + KEPT < newest) {
            self.passed.pop_first();
        }
    }

    fn note_proofs(&mut self, world: &World, hash: B256) {
        let Some(history) = world.blocks.get(&hash) else { return };
        let Ok(seal) = Seal::decode_exact(history.block.block.header.seal()) else { return };
        for evidence in &seal.evidence {
            self.proven.insert(evidence.culprit());
            self.due.retain(|(key, _), _| *key != evidence.culprit());
        }
    }

    fn judge(&mut self, world: &World, number: u64) -> Result<(), String> {
        if number <= self.looked {
            return Ok(());
        }
        self.looked = number;
        // Who left the set meanwhile cannot be punished by it any more.
        let voters = self.voters.at(number).cloned();
        self.due
            .retain(|(key, _), _| voters.as_ref().is_none_or(|voters| voters.owner(key).is_some()));
        match self.due.iter().find(|(_, since)| number > **since + WITHIN) {
            Some(((key, seer), since)) => Err(format!(
                "{} saw {key} sign twice at height {since}; no block up to {number} proves it",
                world.hosts[*seer].name
            )),
            None => Ok(()),
        }
    }
}
