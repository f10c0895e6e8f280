//! No wei comes from nowhere: the balances after a block are those of genesis, plus rewards, less what was burned.
//!
//! Rewards and burned base fees are computed here, for every distinct block. All balances are added up for every
//! sixteenth number and for the heads at the end.

use super::{Checker, Observation, validator, voters::Voters};
use crate::{World, world::Host};
use alloy_primitives::B256;
use kette_chain::{ExecutedBlock, Record};
use kette_types::{
    U256,
    bft::Seal,
    spec::{BaseFee, KetteConfig},
};
use std::collections::BTreeMap;

/// Numbers between two blocks whose balances are added up while it runs.
const EVERY: u64 = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Supply {
    /// What all balances after a block must add up to.
    due: BTreeMap<B256, U256>,
    voters: Voters,
}

impl Checker for Supply {
    fn name(&self) -> &'static str {
        "supply"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        let Observation::Ordered { host, records } = seen else { return Ok(()) };
        if !world.hosts[*host].is_honest() {
            return Ok(());
        }
        self.voters.learn(world, records);
        for record in *records {
            if let Record::Block(block) = record
                && !self.due.contains_key(&block.hash())
            {
                self.note(world, *host, block)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for host in world.honest().filter(|host| !host.disk.is_excused()) {
            let Some(node) = host.node() else { continue };
            let head = node.tree().head_block();
            if !seen.insert(head.hash()) {
                continue;
            }
            if let Some(due) = self.due.get(&head.hash()) {
                judged(host, head, *due)?;
            }
        }
        Ok(())
    }
}

impl Supply {
    fn note(&mut self, world: &World, host: usize, block: &ExecutedBlock) -> Result<(), String> {
        let who = &world.hosts[host].name;
        if self.due.is_empty() {
            let alloc = world.spec.genesis.alloc.values();
            let sum = alloc.fold(staked(world), |sum, account| sum + account.balance);
            self.due.insert(world.genesis.hash(), sum);
        }
        let header = &block.block.header;
        // A block on one that was never seen is the business of another checker.
        let Some(before) = self.due.get(&header.parent_hash) else { return Ok(()) };
        let Some(kette) = &world.spec.kette else { return Ok(()) };
        let voters = self.voters.at(header.number).map(|voters| voters.size()).unwrap_or_default();
        let issued = validator::reward(&kette.reward, header.number, voters);
        let least = burned(kette, block);
        // Contracts may destroy wei as well; a block without calls of them may not.
        let exact = block.block.body.transactions.iter().all(is_plain) && !punishes(world, block);
        if block.burned < least || (exact && block.burned != least) {
            let (number, got) = (header.number, block.burned);
            return Err(format!("{who}: block {number} burned {got} wei, expected {least}"));
        }
        let due = before.saturating_add(issued).saturating_sub(block.burned);
        self.due.insert(block.hash(), due);
        if header.number.is_multiple_of(EVERY) && !world.hosts[host].disk.is_excused() {
            judged(&world.hosts[host], block, due)?;
        }
        Ok(())
    }
}

fn burned(kette: &KetteConfig, block: &ExecutedBlock) -> U256 {
    let header = &block.block.header;
    match kette.base_fee {
        BaseFee::Producer => U256::ZERO,
        BaseFee::Burn => {
            U256::from(header.base_fee_per_gas.unwrap_or(0)) * U256::from(header.gas_used)
        }
    }
}

/// Returns the stake that genesis creates.
fn staked(world: &World) -> U256 {
    let Some(bft) = world.spec.bft() else { return U256::ZERO };
    let weights = bft.validators.iter().map(|validator| U256::from(validator.weight));
    weights.fold(U256::ZERO, |sum, weight| sum + weight * bft.weight_unit)
}

/// Tells whether a block may destroy stake.
fn punishes(world: &World, block: &ExecutedBlock) -> bool {
    world.spec.bft().is_some_and(|bft| {
        let seal = Seal::decode_exact(block.block.header.seal());
        bft.slashing.downtime_share > 0 || seal.is_ok_and(|seal| !seal.evidence.is_empty())
    })
}

/// Tells whether a transaction has no gas for running code.
fn is_plain(transaction: &kette_types::Transaction) -> bool {
    use alloy_consensus::Transaction as _;
    transaction.to().is_some() && transaction.gas_limit() <= 21_000
}

/// Compares, unless reading the state is what finds that the disk rots.
fn judged(host: &Host, block: &ExecutedBlock, due: U256) -> Result<(), String> {
    let found = compare(&host.name, block, due);
    if host.disk.is_excused() { Ok(()) } else { found }
}

fn compare(who: &str, block: &ExecutedBlock, due: U256) -> Result<(), String> {
    let (number, hash) = (block.number(), block.hash());
    match block.state.supply() {
        Ok(supply) if supply == due => Ok(()),
        Ok(supply) => Err(format!(
            "{who}: supply after block {number} {hash} is {supply} wei, expected {due}"
        )),
        Err(error) => {
            Err(format!("{who}: the state of block {number} {hash} cannot be read: {error}"))
        }
    }
}
