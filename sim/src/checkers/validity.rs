//! What honest nodes attach is valid, and what they refuse is not, by the independent [`Validator`].
//!
//! Each distinct block is judged once per run. Blocks of liars are remembered as far as they were sent whole, so that a
//! refusal of a good one is noticed. That is judged on `pow` only: on `bft` a node rightly refuses a valid block if its
//! leader made too many for one round.

use super::{
    Checker, Observation,
    validator::{Refusal, Validator},
};
use crate::{World, engine};
use alloy_primitives::B256;
use alloy_trie::EMPTY_ROOT_HASH;
use kette_chain::{ExecutedBlock, Record};
use kette_node::Event;
use kette_types::{Block, Body, Message, SealedHeader, Time, U256};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Headers, bodies and refusals remembered at most, each.
const REMEMBERED_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub struct Validity {
    validator: Option<Validator>,
    judged: BTreeSet<B256>,
    total_weights: BTreeMap<B256, U256>,
    /// Refused by an honest node and not attached by any so far: who and why.
    refused: BTreeMap<B256, String>,
    /// What liars sent.
    headers: BTreeMap<B256, SealedHeader>,
    bodies: BTreeMap<B256, Body>,
}

impl Checker for Validity {
    fn name(&self) -> &'static str {
        "validity"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Ordered { host, records } if world.hosts[*host].is_honest() => {
                records.iter().try_for_each(|record| match record {
                    Record::Block(block) => self.attached(world, *host, block),
                    _ => Ok(()),
                })
            }
            Observation::Event { host, event: Event::InvalidBlock { hash, reason, .. } }
                if world.hosts[*host].is_honest() && world.spec.pow().is_some() =>
            {
                let who = &world.hosts[*host].name;
                self.refused(world, *hash, format!("{who} refuses block {hash}: {reason}"))
            }
            Observation::Sent { host, message, .. } if !world.hosts[*host].is_honest() => {
                self.remember(message);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, _: &World) -> Result<(), String> {
        if let Some(validator) = &self.validator {
            let (executed, skipped) = (validator.executed(), validator.skipped());
            tracing::debug!(executed, ?skipped, "blocks judged by the independent validator");
        }
        Ok(())
    }
}

impl Validity {
    /// Returns how many blocks were judged with their execution, and how many without, by reason.
    pub fn judged(&self) -> (u64, BTreeMap<&'static str, u64>) {
        self.validator
            .as_ref()
            .map_or((0, BTreeMap::new()), |v| (v.executed(), v.skipped().clone()))
    }

    fn validator(&mut self, world: &World) -> Result<&mut Validator, String> {
        if self.validator.is_none() {
            let made = Validator::new(world.spec.clone(), &world.genesis.block);
            self.validator = Some(made.map_err(|error| error.to_string())?);
            self.total_weights.insert(world.genesis.hash(), U256::ZERO);
        }
        Ok(self.validator.as_mut().expect("just made"))
    }

    fn attached(
        &mut self,
        world: &World,
        host: usize,
        block: &ExecutedBlock,
    ) -> Result<(), String> {
        let who = &world.hosts[host].name;
        let (number, hash) = (block.number(), block.hash());
        if !world.faulty {
            // The node checked earlier than now, so a clock that goes steadily shows at least as much as then.
            let clock = world.hosts[host].clock.time(world.now());
            let limit = future_limit(world);
            let ahead = Time::from_secs(block.block.header.timestamp).since(clock);
            if ahead > limit {
                return Err(format!("{who} attached block {number} {hash}, {ahead:?} ahead of it"));
            }
        }
        if !self.judged.insert(hash) {
            return Ok(());
        }
        let wrong = |what| Err(format!("{who} attached block {number} {hash}: {what}"));
        let effect = match self.validator(world)?.accept(&block.block, Some(block)) {
            Ok(effect) => effect,
            // Said already about its ancestor.
            Err(Refusal::UnknownParent(parent)) if self.judged.contains(&parent) => return Ok(()),
            Err(refusal) => return wrong(refusal.to_string()),
        };
        let difficulty = match world.spec.bft() {
            Some(_) => U256::ONE,
            None => block.block.header.difficulty,
        };
        let parent = block.block.header.parent_hash;
        let total = self.total_weights[&parent].saturating_add(difficulty);
        self.total_weights.insert(hash, total);
        if (block.weight, block.total_weight) != (difficulty, total) {
            let got = (block.weight, block.total_weight);
            return wrong(format!("weights {got:?}, expected {:?}", (difficulty, total)));
        }
        if block.issued != effect.issued {
            return wrong(format!("issued {}, expected {}", block.issued, effect.issued));
        }
        if let Some(burned) = effect.burned {
            if block.burned != burned {
                return wrong(format!("burned {}, expected {burned}", block.burned));
            }
            if block.senders != effect.senders {
                return wrong(format!(
                    "senders {:?}, expected {:?}",
                    block.senders, effect.senders
                ));
            }
            let gas = block.receipts.iter().map(|receipt| receipt.cumulative_gas_used);
            if !gas.eq(effect.cumulative_gas.iter().copied()) {
                return wrong("its receipts are not those of its header".to_owned());
            }
        }
        match self.refused.remove(&hash) {
            Some(refusal) => Err(format!("{refusal}; {who} attached it, and it is valid")),
            None => Ok(()),
        }
    }

    fn refused(&mut self, world: &World, hash: B256, what: String) -> Result<(), String> {
        if self.validator(world)?.accepted(hash) {
            return Err(format!("{what}; it is valid"));
        }
        let sent = self.headers.get(&hash).and_then(|header| {
            let body = match header.transactions_root {
                EMPTY_ROOT_HASH => {
                    Body { withdrawals: Some(Default::default()), ..Body::default() }
                }
                root => self.bodies.get(&root)?.clone(),
            };
            Some(Block { header: header.clone(), body })
        });
        let block = sent.or_else(|| Some(world.blocks.get(&hash)?.block.block.clone()));
        if let Some(block) = block
            && self.validator(world)?.judge(&block).is_ok()
        {
            return Err(format!("{what}; it is valid"));
        }
        if self.refused.len() < REMEMBERED_MAX {
            self.refused.insert(hash, what);
        }
        Ok(())
    }

    fn remember(&mut self, message: &Message) {
        let headers = match message {
            Message::NewBlock(compact) => std::slice::from_ref(&compact.header),
            Message::Headers { headers, .. } => headers.as_slice(),
            Message::Bodies { bodies, .. } => {
                for body in bodies {
                    if self.bodies.len() < REMEMBERED_MAX && !body.transactions.is_empty() {
                        let root =
                            alloy_consensus::proofs::calculate_transaction_root(&body.transactions);
                        self.bodies.insert(root, body.clone());
                    }
                }
                return;
            }
            _ => return,
        };
        for header in headers {
            if self.headers.len() < REMEMBERED_MAX && !self.judged.contains(&header.hash()) {
                self.headers.insert(header.hash(), header.clone());
            }
        }
    }
}

fn future_limit(world: &World) -> Duration {
    match (engine::pow(&world.spec), world.spec.bft()) {
        (Some(pow), _) => Duration::from_secs(pow.future_limit),
        (None, Some(bft)) => Duration::from_millis(bft.clock_drift_ms),
        (None, None) => Duration::MAX,
    }
}
