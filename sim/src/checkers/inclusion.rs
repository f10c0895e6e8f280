//! Inclusion: a transaction that an honest node took from a client is in the chain at the end, or in the pools if there
//! were too few blocks since; it may be gone only if its nonce was used otherwise or all who took it said why.

use super::{Checker, Observation};
use crate::{Moment, World, scenario::step::DiskFault, world::Host};
use alloy_consensus::Transaction as _;
use kette_chain::ExecutedBlock;
use kette_node::{Event, Node, Reply};
use kette_types::{Address, B256};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// See the file's description.
#[derive(Debug, Default)]
pub struct Inclusion {
    taken: BTreeMap<B256, Taken>,
    healed: Moment,
}

/// A transaction that somebody took.
#[derive(Debug)]
struct Taken {
    sender: Address,
    nonce: u64,
    fee_cap: u128,
    gas: u64,
    /// Last time that somebody did.
    at: Moment,
    /// Who holds itself to it, and how often its disk had been emptied.
    by: Vec<(usize, u32)>,
    /// Since when which honest miners have it in their pools.
    known: BTreeMap<usize, Moment>,
}

/// Blocks after which a transaction must be in one. Only blocks count that had room for it, whose miner had known it for
/// a while and that hold nothing of its sender, whose earlier transactions may have come late.
const BLOCKS: usize = 6;
/// A miner makes new templates at least so often.
const TEMPLATE_EVERY: Duration = Duration::from_secs(10);

impl Checker for Inclusion {
    fn name(&self) -> &'static str {
        "inclusion"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Healed => self.healed = world.now(),
            Observation::Replied { host, result: Ok(Reply::Transaction(hash)), .. } => {
                self.took(world, &world.hosts[*host], *hash);
            }
            Observation::Event { host, event: Event::Pending(transaction) } => {
                let here = &world.hosts[*host];
                if here.mine_rate > 0
                    && here.config.local.mining
                    && let Some(taken) = self.taken.get_mut(transaction.tx_hash())
                {
                    taken.known.insert(*host, world.now());
                }
            }
            Observation::Down { host } => {
                for taken in self.taken.values_mut() {
                    taken.known.remove(host);
                }
            }
            Observation::Event { host, event: Event::Dropped { hash, reason } } => {
                return self.dropped(world, &world.hosts[*host], *hash, reason);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let readable = world.honest().filter(|host| !host.disk.has_fault(DiskFault::BitRot));
        let nodes: Vec<(&Host, &Node)> =
            readable.filter_map(|host| Some((host, host.node()?))).collect();
        let Some((_, best)) = nodes.iter().max_by_key(|(_, node)| node.tree().head_weight()) else {
            return Ok(());
        };
        let mut nonces = BTreeMap::new();
        let blocks = honest_blocks(world, best);
        for (hash, taken) in &self.taken {
            let next =
                *nonces.entry(taken.sender).or_insert_with(|| next_nonce(best, taken.sender));
            if next.is_none_or(|next| next > taken.nonce) {
                continue;
            }
            self.look(world, &nodes, best, &blocks, *hash)?;
        }
        Ok(())
    }
}

impl Inclusion {
    fn took(&mut self, world: &World, host: &Host, hash: B256) {
        let transaction = host.node().and_then(|node| node.mempool().get(hash));
        let Some(transaction) = transaction.filter(|_| host.is_honest()) else { return };
        let new = || Taken {
            sender: transaction.signer(),
            nonce: transaction.nonce(),
            fee_cap: transaction.max_fee_per_gas(),
            gas: transaction.gas_limit(),
            at: world.now(),
            by: Vec::new(),
            known: BTreeMap::new(),
        };
        let taken = self.taken.entry(hash).or_insert_with(new);
        taken.at = world.now();
        taken.by.retain(|(other, _)| *other != host.index);
        taken.by.push((host.index, host.disk.wipes()));
        taken.known.entry(host.index).or_insert(world.now());
    }

    /// A host lets go of a transaction: it must have the reason that it names.
    fn dropped(
        &mut self,
        world: &World,
        host: &Host,
        hash: B256,
        reason: &str,
    ) -> Result<(), String> {
        let Some(taken) = self.taken.get_mut(&hash) else { return Ok(()) };
        taken.by.retain(|(other, _)| *other != host.index);
        taken.known.remove(&host.index);
        let Some(node) = host.node().filter(|_| host.is_honest()) else { return Ok(()) };
        let limits = node.mempool().limits();
        let plausible = match reason {
            "nonce too low" => next_nonce(node, taken.sender).is_none_or(|next| next > taken.nonce),
            "expired" => world.now().since_start() >= limits.expiry,
            "evicted" => {
                node.mempool().len() >= limits.count / 2
                    || node.mempool().bytes() >= limits.bytes / 2
            }
            _ => true,
        };
        if plausible {
            return Ok(());
        }
        let (name, nonce, sender) = (&host.name, taken.nonce, taken.sender);
        Err(format!(
            "{name} drops transaction {hash} (nonce {nonce} of {sender}) as `{reason}`, which it is not"
        ))
    }

    /// Looks at a transaction that is not in the chain.
    fn look(
        &self,
        world: &World,
        nodes: &[(&Host, &Node)],
        best: &Node,
        blocks: &[Room],
        hash: B256,
    ) -> Result<(), String> {
        let taken = &self.taken[&hash];
        let (nonce, sender) = (taken.nonce, taken.sender);
        let held = nodes.iter().any(|(_, node)| node.mempool().contains(hash));
        if !held {
            let bound = taken.by.iter().find(|(host, wipes)| {
                let host = &world.hosts[*host];
                host.is_up() && !host.disk.is_excused() && host.disk.wipes() == *wipes
            });
            let Some((host, _)) = bound else { return Ok(()) };
            let name = &world.hosts[*host].name;
            return Err(format!(
                "{name} took transaction {hash} (nonce {nonce} of {sender}): it is in no block and no pool"
            ));
        }
        let next = next_nonce(best, sender) == Some(nonce);
        let passed = blocks
            .iter()
            .take_while(|room| !room.block.senders.contains(&sender))
            .filter(|room| self.could_take(taken, room))
            .count();
        if next && passed >= BLOCKS {
            return Err(format!(
                "transaction {hash} (nonce {nonce} of {sender}) waits although {passed} blocks had room for it"
            ));
        }
        Ok(())
    }

    fn could_take(&self, taken: &Taken, room: &Room) -> bool {
        let header = &room.block.block.header;
        let fee = header.base_fee_per_gas.unwrap_or(0);
        let known = taken.known.get(&room.producer);
        known.is_some_and(|since| room.born > self.healed.max(*since) + TEMPLATE_EVERY)
            && header.gas_limit.saturating_sub(header.gas_used) >= taken.gas
            && u128::from(fee) <= taken.fee_cap
    }
}

/// A canonical block of an honest miner.
#[derive(Clone, Debug)]
struct Room {
    born: Moment,
    producer: usize,
    block: Arc<ExecutedBlock>,
}

/// Returns the canonical blocks that honest miners made, newest first, as far as the tree reaches.
fn honest_blocks(world: &World, node: &Node) -> Vec<Room> {
    let mut cursor = Some(node.tree().head());
    let mut blocks = Vec::new();
    while let Some(header) = cursor {
        let Some(history) = world.blocks.get(&header.hash()) else { break };
        if let Some(producer) = history.producer.filter(|host| world.hosts[*host].is_honest()) {
            blocks.push(Room { born: history.born, producer, block: history.block.clone() });
        }
        cursor = node.tree().get(header.parent_hash);
    }
    blocks
}

fn next_nonce(node: &Node, sender: Address) -> Option<u64> {
    let account = node.tree().head_block().state.account(sender).ok()?;
    Some(account.map_or(0, |account| account.nonce))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, crash, ended};

    /// A node that does not mine and took a transaction, and a checker that knows.
    fn taken() -> (Small, Inclusion, B256) {
        let mut small = Small::new(1);
        small.mine(0, false);
        small.submit(0, 1);
        small.run(1);
        let hash = small.node(0).mempool().hashes().next().unwrap();
        let mut checker = Inclusion::default();
        let result = Ok(Reply::Transaction(hash));
        let seen = Observation::Replied { host: 0, ticket: 1, result: &result };
        checker.observe(&small.world, &seen).unwrap();
        (small, checker, hash)
    }

    #[test]
    fn what_was_taken_and_is_nowhere_is_noticed() {
        let (mut small, mut checker, hash) = taken();
        checker.finish(&small.world).unwrap();
        small.world.command(0, kette_node::Command::DropTransaction(hash));
        let error = checker.finish(&small.world).unwrap_err();
        assert!(error.contains("no block and no pool"), "{error}");
        let event = Event::Dropped { hash, reason: "requested by the operator" };
        checker.observe(&small.world, &Observation::Event { host: 0, event: &event }).unwrap();
        checker.finish(&small.world).unwrap();
    }

    #[test]
    fn an_emptied_disk_is_an_excuse() {
        let (mut small, mut checker, _) = taken();
        crash(&mut small.world, 0);
        small.world.wipe(0);
        small.world.start(0);
        checker.finish(&small.world).unwrap();
    }

    #[test]
    fn a_false_reason_is_noticed() {
        for reason in ["nonce too low", "expired", "evicted"] {
            let (small, mut checker, hash) = taken();
            let event = Event::Dropped { hash, reason };
            let seen = Observation::Event { host: 0, event: &event };
            let error = checker.observe(&small.world, &seen).unwrap_err();
            assert!(error.contains("which it is not"), "{error}");
        }
    }

    #[test]
    fn what_waits_although_blocks_come_is_noticed() {
        let (small, checker, hash) = taken();
        let node = small.node(0);
        let nodes = [(&small.world.hosts[0], node)];
        let block = small.world.genesis.clone();
        let fits = Room { born: Moment::NEVER, producer: 0, block };
        let mut from_sender = (*fits.block).clone();
        from_sender.senders = vec![checker.taken[&hash].sender];
        let blocks = |count, room: &Room| vec![room.clone(); count];
        for excuse in [
            Room { producer: 1, ..fits.clone() },
            Room { born: Moment::START + TEMPLATE_EVERY, ..fits.clone() },
            Room { block: Arc::new(from_sender), ..fits.clone() },
        ] {
            checker.look(&small.world, &nodes, node, &blocks(2 * BLOCKS, &excuse), hash).unwrap();
        }
        checker.look(&small.world, &nodes, node, &blocks(BLOCKS - 1, &fits), hash).unwrap();
        let error =
            checker.look(&small.world, &nodes, node, &blocks(BLOCKS, &fits), hash).unwrap_err();
        assert!(error.contains("waits although"), "{error}");
    }

    #[test]
    fn a_run_with_crashes_passes() {
        let mut small = Small::with(3, vec![Box::new(Inclusion::default())]);
        for round in 0..4 {
            small.submit(round % 3, 3);
            small.run(50);
            crash(&mut small.world, round % 3);
            small.run(10);
            small.world.start(round % 3);
            small.mine(round % 3, true);
        }
        small.world.set_healed();
        small.run(200);
        assert_eq!(ended(&mut small.world), None);
    }
}
