//! What an honest validator signs, over its whole life and all restarts:
//!
//! 1. Never two things for one height, round and step; and nothing leaves before it is durable that it was signed.
//! 2. It precommits a block only after a quorum of prepares for it exists in that round.
//! 3. After it precommitted a block it prepares another one in a later round only if a quorum prepared that one in
//!    between, or in the same round.
//!
//! Liars are taken to have prepared whatever helps. Excused is a validator whose disk lied, rotted or was emptied: it
//! counts as a liar.

use super::{
    Checker, Observation,
    per_host::PerHost,
    rounds::is_sound,
    voters::{Electorate, Voters},
};
use crate::{World, world::Host};
use alloy_primitives::B256;
use kette_chain::Record;
use kette_consensus::bft::Message as Said;
use kette_types::{
    Message,
    bft::{Domain, PublicKey, SignState},
};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Debug, Default)]
pub struct VoteDiscipline {
    voters: Voters,
    hosts: PerHost<Signer>,
    /// Who prepared which block, by height, round and block.
    prepared: BTreeMap<(u64, u32, B256), BTreeSet<PublicKey>>,
    /// Which keys are in honest hands.
    honest: BTreeSet<PublicKey>,
}

#[derive(Debug, Default)]
struct Signer {
    /// Digests of what left this host, by height, round and step.
    said: BTreeMap<(u64, u32, u8), B256>,
    /// The newest block that it precommitted, as others know: height, round, block.
    precommitted: Option<(u64, u32, B256)>,
}

/// Heights whose prepares are remembered.
const KEPT: u64 = 256;
const PREPARE: u8 = 2;
const PRECOMMIT: u8 = 3;

impl Checker for VoteDiscipline {
    fn name(&self) -> &'static str {
        "vote_discipline"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        if world.spec.bft().is_none() {
            return Ok(());
        }
        match seen {
            Observation::Ordered { host, records } => {
                let here = &world.hosts[*host];
                if here.is_honest() {
                    self.voters.learn(world, records);
                }
                for record in *records {
                    if let (Record::Sign(state), true) = (record, is_sound(here)) {
                        self.cast(world, state).map_err(|what| format!("{} {what}", here.name))?;
                    }
                }
                Ok(())
            }
            Observation::Sent { host, message: Message::Engine(bytes), .. } => {
                let here = &world.hosts[*host];
                match own(here, self.voters.domain(world), bytes) {
                    Some(state) => {
                        self.leaves(here, &state).map_err(|what| format!("{} {what}", here.name))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Returns what a sound validator says of its own; `None` for what it passes on.
fn own(host: &Host, domain: Domain, bytes: &[u8]) -> Option<SignState> {
    let key = host.config.local.validator.as_ref()?.key();
    if !is_sound(host) {
        return None;
    }
    match Said::decode(bytes).ok()? {
        Said::Vote(vote) if vote.key == key => Some(SignState::of_vote(domain, &vote)),
        Said::Proposal(proposal) if proposal.key == key => {
            Some(SignState::of_proposal(domain, &proposal))
        }
        _ => None,
    }
}

impl VoteDiscipline {
    /// Judges a vote when it is cast: what others said before is known by then.
    fn cast(&mut self, world: &World, state: &SignState) -> Result<(), String> {
        let SignState { height, round, step, block, key, .. } = *state;
        if self.voters.newest() > height + KEPT {
            return Ok(());
        }
        if block.is_zero() {
            return Ok(());
        }
        self.note_honest(world);
        if step == PREPARE {
            self.unlocked(world, state)?;
            self.prepared.entry((height, round, block)).or_default().insert(key);
            let oldest = self.voters.newest().saturating_sub(KEPT);
            while self.prepared.first_key_value().is_some_and(|((old, ..), _)| *old < oldest) {
                self.prepared.pop_first();
            }
        }
        if step == PRECOMMIT && !self.has_quorum(height, round, block) {
            let prepared = self.prepared.get(&(height, round, block)).map_or(0, BTreeSet::len);
            return Err(format!(
                "precommits {block} at height {height}, round {round}, prepared by {prepared} honest validators"
            ));
        }
        Ok(())
    }

    /// Demands that a prepare respects an earlier precommit.
    fn unlocked(&mut self, world: &World, state: &SignState) -> Result<(), String> {
        let SignState { height, round, block, key, .. } = *state;
        let host = world.hosts.iter().find(|host| is_sound(host) && key_of(host) == Some(key));
        let Some(host) = host else { return Ok(()) };
        let Some((at, since, locked)) = self.hosts.of(host.index).precommitted else {
            return Ok(());
        };
        if at != height || since >= round || locked == block {
            return Ok(());
        }
        if (since..round).any(|between| self.has_quorum(height, between, block)) {
            return Ok(());
        }
        Err(format!(
            "prepares {block} at height {height}, round {round}, and precommitted {locked} in round {since}"
        ))
    }

    fn has_quorum(&self, height: u64, round: u32, block: B256) -> bool {
        let Some(voters) = self.voters.at(height) else { return true };
        let none = BTreeSet::new();
        let prepared = self.prepared.get(&(height, round, block)).unwrap_or(&none);
        voters.decides(voters.weight(prepared) + self.liars(voters))
    }

    /// Returns the weight that is not in honest hands.
    fn liars(&self, voters: &Electorate) -> u128 {
        let liars = voters.members.iter().filter(|member| !self.honest.contains(&member.key));
        liars.map(|member| u128::from(member.weight)).sum()
    }

    fn note_honest(&mut self, world: &World) {
        self.honest = world.hosts.iter().filter(|host| is_sound(host)).filter_map(key_of).collect();
    }

    /// Judges what leaves a host.
    fn leaves(&mut self, host: &Host, state: &SignState) -> Result<(), String> {
        let SignState { height, round, step, block, digest, .. } = *state;
        let what = || format!("step {step} of height {height}, round {round}");
        let signer = self.hosts.of(host.index);
        match signer.said.insert((height, round, step), digest) {
            Some(before) if before == digest => return Ok(()),
            Some(_) => return Err(format!("signed two things for {}", what())),
            None => {}
        }
        let durable = host.disk.signed_durably();
        if durable.is_none_or(|durable| durable.place() < state.place()) {
            return Err(format!("sends {} before it is durable that it was signed", what()));
        }
        if step == PRECOMMIT && !block.is_zero() {
            let newest = signer.precommitted.map(|(height, round, _)| (height, round));
            if newest.is_none_or(|newest| newest < (height, round)) {
                signer.precommitted = Some((height, round, block));
            }
        }
        Ok(())
    }
}

fn key_of(host: &Host) -> Option<PublicKey> {
    host.config.local.validator.as_ref().map(kette_consensus::bft::Identity::key)
}
