//! Fresh nodes that get all blocks of a run in drawn orders.

use super::lineage::Rank;
use crate::{
    World,
    disk::Disk,
    rng::{ChaCha8Rng, Purpose, stream},
};
use alloy_primitives::B256;
use kette_chain::ExecutedBlock;
use kette_consensus::{Job, JobResult};
use kette_node::{Input, Node, Output};
use kette_types::Time;
use rand::RngExt;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Runs with more blocks are not replayed.
const BLOCKS_MAX: usize = 4_000;
/// Blocks fed in all orders together, about.
const FED_MAX: usize = 1_200;
/// Orders at most.
const ORDERS_MAX: usize = 3;
/// How many numbers a block may come too early: a node keeps 256 blocks without parents.
const EARLY_MAX: u64 = 48;
/// Ticks after one block at most.
const TICKS_MAX: usize = 64;

/// Compares the heads of fresh nodes with the best block.
pub(super) fn judge(world: &World, reorg_limit: u64) -> Result<(), String> {
    let honest = |host: &u32| world.hosts[*host as usize].is_honest();
    let histories = world.blocks.values();
    let blocks: Vec<Arc<ExecutedBlock>> = histories
        .filter(|history| history.reached.iter().any(|(host, _)| honest(host)))
        .map(|history| history.block.clone())
        .collect();
    let rank = |block: &Arc<ExecutedBlock>| -> Rank { (block.total_weight, Reverse(block.hash())) };
    let Some(best) = blocks.iter().max_by_key(|block| rank(block)) else { return Ok(()) };
    if blocks.len() > BLOCKS_MAX || deepest_fork(&blocks, best) > reorg_limit {
        // Beyond the limit the order does matter: an operator decides.
        return Ok(());
    }
    let mut rng = stream(world.seed, Purpose::Checkers, 0);
    for order in 0..(FED_MAX / blocks.len()).clamp(1, ORDERS_MAX) {
        let head = head_of(world, &blocks, &mut rng)?;
        if head != best.hash() {
            let (number, hash) = (best.number(), best.hash());
            return Err(format!(
                "a fresh node has head {head} after all {} blocks in drawn order {order}; the best \
                 is {number} {hash}",
                blocks.len()
            ));
        }
    }
    Ok(())
}

/// Returns how many blocks the longest branch has that is not part of the best one.
fn deepest_fork(blocks: &[Arc<ExecutedBlock>], best: &Arc<ExecutedBlock>) -> u64 {
    let by_hash: BTreeMap<B256, &Arc<ExecutedBlock>> =
        blocks.iter().map(|block| (block.hash(), block)).collect();
    let mut main = BTreeSet::new();
    let mut cursor = Some(best);
    while let Some(block) = cursor {
        main.insert(block.hash());
        cursor = by_hash.get(&block.block.header.parent_hash).copied();
    }
    let mut sorted: Vec<_> = blocks.iter().collect();
    sorted.sort_by_key(|block| block.number());
    let mut depths: BTreeMap<B256, u64> = BTreeMap::new();
    for block in sorted.into_iter().filter(|block| !main.contains(&block.hash())) {
        let below = depths.get(&block.block.header.parent_hash).copied().unwrap_or(0);
        depths.insert(block.hash(), below + 1);
    }
    depths.into_values().max().unwrap_or(0)
}

fn head_of(
    world: &World,
    blocks: &[Arc<ExecutedBlock>],
    rng: &mut ChaCha8Rng,
) -> Result<B256, String> {
    let mut order: Vec<(u64, u64, &Arc<ExecutedBlock>)> = blocks
        .iter()
        .map(|block| (block.number() + rng.random_range(0..EARLY_MAX), rng.random(), block))
        .collect();
    order.sort_by_key(|(place, tie, _)| (*place, *tie));
    // What a node did not keep for want of its parent comes once more, in order.
    let mut again: Vec<_> = blocks.iter().collect();
    again.sort_by_key(|block| (block.number(), block.hash()));

    let mut fresh = Fresh::new(world)?;
    for block in order.into_iter().map(|(_, _, block)| block).chain(again) {
        if !fresh.node.tree().contains(block.hash()) {
            fresh.give(world, Input::SubmitBlock(0, Box::new(block.block.clone())))?;
        }
    }
    Ok(fresh.node.tree().head().hash())
}

/// A node without peers.
struct Fresh {
    node: Node,
    disk: Arc<Disk>,
    now: Time,
}

impl Fresh {
    fn new(world: &World) -> Result<Self, String> {
        let like = world.hosts.first().ok_or("a world without hosts")?;
        let mut config = like.config.clone();
        config.local.mining = false;
        config.local.on_demand = false;
        config.peers.configured.clear();
        let disk = Arc::new(like.disk.blank());
        let restored = disk.restored().map_err(|error| error.to_string())?;
        // Late enough for every timestamp.
        let now = world.time() + Duration::from_secs(86_400);
        let node = Node::restore(world.spec.clone(), config, disk.clone(), now, restored)
            .map_err(|error| error.to_string())?;
        let mut fresh = Self { node, disk, now };
        fresh.give(world, Input::Start)?;
        Ok(fresh)
    }

    fn give(&mut self, world: &World, input: Input) -> Result<(), String> {
        let mut inputs = VecDeque::from([input]);
        let mut ticks = 0;
        loop {
            let due = self.node.deadline().is_some_and(|due| due <= self.now);
            let input = match inputs.pop_front() {
                Some(input) => input,
                None if due && ticks < TICKS_MAX => {
                    ticks += 1;
                    Input::Tick
                }
                None => return Ok(()),
            };
            for output in self.node.handle(self.now, input) {
                match output {
                    Output::Persist(records) => {
                        self.disk.write(&records).map_err(|error| error.to_string())?;
                        self.disk.sync();
                    }
                    Output::Start(id, Job::Recover(transactions)) => {
                        let senders = world.memo.recover(&transactions);
                        inputs.push_back(Input::Done(id, JobResult::Senders(senders)));
                    }
                    _ => {}
                }
            }
        }
    }
}
