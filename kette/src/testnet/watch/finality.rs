//! Whether nodes have the same chain, and whether they disagree about what is final.
//!
//! A node that cannot say counts as neither: only two different hashes are a conflict.

use super::said::{Said, hash_at};
use crate::testnet::directory::ManifestNode;
use alloy_primitives::B256;
use futures::future::join_all;
use serde::Serialize;

/// A running node and what it said.
pub type Running<'a> = (&'a ManifestNode, &'a Said);

/// Two nodes with different final blocks of one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The number.
    pub number: u64,
    /// One node.
    pub node: String,
    /// Its final block.
    pub hash: B256,
    /// The other node.
    pub other: String,
    /// Its final block.
    pub other_hash: B256,
}

/// Tells whether all nodes have the same block at this number. Its hash stands for state root and ancestors too, and
/// so for the weight, which is the sum of theirs.
pub async fn same_at(running: &[Running<'_>], number: u64) -> bool {
    let hashes = join_all(running.iter().map(|node| canonical(*node, number))).await;
    hashes.iter().all(Option::is_some) && hashes.windows(2).all(|pair| pair[0] == pair[1])
}

/// Looks for nodes that disagree about a final block: each one's newest against the chain of the one that is furthest.
pub async fn conflict(running: &[Running<'_>]) -> Option<Conflict> {
    let top = *running.iter().max_by_key(|(_, said)| said.status.finalized)?;
    let hashes =
        join_all(running.iter().map(|(_, said)| canonical(top, said.status.finalized))).await;
    running.iter().zip(hashes).find_map(|((node, said), hash)| {
        let (number, mine) = (said.status.finalized, said.status.finalized_hash);
        let other_hash =
            if number == top.1.status.finalized { top.1.status.finalized_hash } else { hash? };
        (other_hash != mine).then(|| Conflict {
            number,
            node: node.plan.name.clone(),
            hash: mine,
            other: top.0.plan.name.clone(),
            other_hash,
        })
    })
}

/// Returns the hash of a node's canonical block, from what it said or by asking.
async fn canonical((node, said): Running<'_>, number: u64) -> Option<B256> {
    match said.canonical(number) {
        Some(hash) => Some(hash),
        None => hash_at(node, number).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::watch::{links::tests::network, said::Head};

    fn block(number: u64, fork: u8) -> B256 {
        let mut hash = B256::with_last_byte(u8::try_from(number).unwrap());
        hash[0] = fork;
        hash
    }

    /// A network of three whose nodes are at `(height, final, fork)`.
    async fn verdict(nodes: [(u64, u64, u8); 3]) -> (bool, Option<Conflict>) {
        let (manifest, mut said) = network("volkskette", &[]);
        for (said, (height, finalized, fork)) in said.iter_mut().flatten().zip(nodes) {
            said.status.height = height;
            said.status.finalized = finalized;
            said.status.finalized_hash = block(finalized, fork);
            said.observed.heads = (0..=height)
                .map(|number| Head { number, hash: block(number, fork), ..Head::default() })
                .collect();
        }
        let running: Vec<Running<'_>> = manifest.nodes.iter().zip(said.iter().flatten()).collect();
        let lowest = nodes.iter().map(|(height, _, _)| *height).min().unwrap();
        (same_at(&running, lowest).await, conflict(&running).await)
    }

    #[tokio::test]
    async fn one_chain_is_no_conflict() {
        assert_eq!(verdict([(9, 3, 0), (8, 2, 0), (9, 3, 0)]).await, (true, None));
    }

    #[tokio::test]
    async fn different_final_blocks_are_a_conflict() {
        for nodes in [[(9, 3, 0), (9, 3, 1), (9, 3, 0)], [(9, 5, 0), (9, 3, 1), (9, 4, 0)]] {
            let (equal, conflict) = verdict(nodes).await;
            let conflict = conflict.unwrap();
            assert_eq!((equal, conflict.number), (false, 3));
            assert_ne!(conflict.hash, conflict.other_hash);
        }
    }

    #[tokio::test]
    async fn forks_above_the_final_block_are_none() {
        let (manifest, mut said) = network("volkskette", &[]);
        for (said, fork) in said.iter_mut().flatten().zip([0, 1, 0]) {
            said.status.height = 2;
            said.observed.heads = [(0, 0), (1, fork), (2, fork)]
                .map(|(number, fork)| Head { number, hash: block(number, fork), ..Head::default() })
                .to_vec();
        }
        let running: Vec<Running<'_>> = manifest.nodes.iter().zip(said.iter().flatten()).collect();
        assert!(!same_at(&running, 2).await && conflict(&running).await.is_none());
    }
}
