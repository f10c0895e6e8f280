//! What several checkers ask about blocks: whose child is it, and what would an honest node choose.

use crate::World;
use alloy_primitives::B256;
use kette_chain::BlockTree;
use kette_types::U256;
use std::cmp::Reverse;

/// Returns number and parent of a block that somebody attached.
pub(super) fn place(world: &World, hash: B256) -> Option<(u64, B256)> {
    if hash == world.genesis.hash() {
        return Some((0, B256::ZERO));
    }
    let header = &world.blocks.get(&hash)?.block.block.header;
    Some((header.number, header.parent_hash))
}

/// Returns the ancestor of a block (or itself) with this number.
pub(super) fn ancestor(world: &World, hash: B256, number: u64) -> Option<B256> {
    let (mut cursor, mut at) = (hash, place(world, hash)?);
    while at.0 > number {
        cursor = at.1;
        at = place(world, cursor)?;
    }
    (at.0 == number).then_some(cursor)
}

/// Orders branches: the greater total weight wins, of equal ones the smaller hash.
pub(super) type Rank = (U256, Reverse<B256>);

/// Returns the rank of a tree's head.
pub(super) fn head_rank(tree: &BlockTree) -> Rank {
    (tree.head_weight(), Reverse(tree.head().hash()))
}

/// Returns the leaves of a tree that beat its head, although a switch to them would not be too deep to need an operator.
pub(super) fn neglected(tree: &BlockTree, reorg_limit: u64) -> Option<B256> {
    beating(tree).find(|(_, depth)| *depth <= reorg_limit).map(|(hash, _)| hash)
}

/// Tells whether a tree has a branch that waits for an operator.
pub(super) fn waits(tree: &BlockTree, reorg_limit: u64) -> bool {
    beating(tree).any(|(_, depth)| depth > reorg_limit)
}

/// Returns the leaves that beat the head, with the depth of a switch to them.
fn beating(tree: &BlockTree) -> impl Iterator<Item = (B256, u64)> {
    tree.leaves().filter_map(|leaf| {
        let rank = (tree.total_weight(leaf.hash())?, Reverse(leaf.hash()));
        if rank <= head_rank(tree) {
            return None;
        }
        let depth = tree.plan(leaf.hash())?.removed.len() as u64;
        Some((leaf.hash(), depth))
    })
}
