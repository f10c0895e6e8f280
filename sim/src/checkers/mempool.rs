//! Mempool convergence: when no transaction came for a while, all honest pools hold the same executable transactions,
//! none that the chain made impossible, and every transaction of a replaced block is in a block or in a pool.
//!
//! Policy may make a difference: what expired somewhere, and anything while a pool is crowded, whose price floor rises.

use super::{Checker, Observation, per_host::PerHost};
use crate::{Moment, World, scenario::step::DiskFault, world::Host};
use alloy_consensus::Transaction as _;
use kette_chain::ExecutedBlock;
use kette_node::{Event, Node};
use kette_types::{Address, B256};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// See the file's description.
#[derive(Debug, Default)]
pub struct Mempool {
    /// When a transaction last entered any honest pool.
    newest: Moment,
    expired: BTreeSet<B256>,
    replaced: BTreeMap<B256, Replaced>,
    /// When each host last ended.
    ended: PerHost<Option<Moment>>,
}

/// A transaction of a block that some honest node no longer follows.
#[derive(Debug)]
struct Replaced {
    sender: Address,
    nonce: u64,
    /// Who took it back into its pool, and when; the newest few.
    by: Vec<(usize, Moment)>,
    /// Some pool let go of it and said why.
    dropped: bool,
}

/// Pools are compared if nothing came for so long: a few times what announcing and fetching takes.
const QUIET: Duration = Duration::from_secs(10);
/// Hosts remembered per replaced transaction.
const BY_MAX: usize = 8;

impl Checker for Mempool {
    fn name(&self) -> &'static str {
        "mempool"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Event { host, event } if world.hosts[*host].is_honest() => match event {
                Event::Pending(_) => self.newest = world.now(),
                Event::Dropped { hash, reason } => {
                    if *reason == "expired" {
                        self.expired.insert(*hash);
                    }
                    if let Some(replaced) = self.replaced.get_mut(hash) {
                        replaced.dropped = true;
                    }
                }
                Event::Head { removed, .. } => {
                    for block in removed {
                        self.replaced(*host, world.now(), block);
                    }
                }
                _ => {}
            },
            Observation::Down { host } => *self.ended.of(*host) = Some(world.now()),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        // Reading a rotting disk would change what it does next.
        let hosts: Vec<(&Host, &Node)> = world
            .honest()
            .filter(|host| !host.disk.has_fault(DiskFault::BitRot))
            .filter_map(|host| Some((host, host.node()?)))
            .collect();
        for (host, node) in &hosts {
            not_stale(&host.name, node)?;
        }
        if world.now() >= self.newest + QUIET {
            self.equal(&hosts)?;
        }
        self.nothing_lost(&hosts)
    }
}

impl Mempool {
    fn replaced(&mut self, host: usize, now: Moment, block: &ExecutedBlock) {
        for (transaction, sender) in block.block.body.transactions.iter().zip(&block.senders) {
            let (sender, nonce) = (*sender, transaction.nonce());
            let new = || Replaced { sender, nonce, by: Vec::new(), dropped: false };
            let replaced = self.replaced.entry(*transaction.tx_hash()).or_insert_with(new);
            if replaced.by.len() >= BY_MAX {
                replaced.by.remove(0);
            }
            replaced.by.push((host, now));
        }
    }

    fn equal(&self, hosts: &[(&Host, &Node)]) -> Result<(), String> {
        let pages: Vec<Vec<B256>> =
            hosts.iter().map(|(_, node)| node.mempool().page(None, usize::MAX).0).collect();
        if pages.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(());
        }
        if hosts.iter().any(|(_, node)| is_crowded(node)) {
            return Ok(());
        }
        let mut holders: BTreeMap<B256, usize> = BTreeMap::new();
        for (index, page) in pages.iter().enumerate() {
            for hash in page {
                holders.entry(*hash).or_insert(index);
            }
        }
        for (hash, holder) in holders.iter().filter(|(hash, _)| !self.expired.contains(*hash)) {
            let (one, node) = hosts[*holder];
            let Some(transaction) = node.mempool().get(*hash) else { continue };
            let (sender, nonce) = (transaction.signer(), transaction.nonce());
            let full = node.mempool().limits().per_sender;
            if node.mempool().pending(sender).count() >= full {
                continue;
            }
            let lacks = |(_, other): &&(&Host, &Node)| {
                let pool = other.mempool();
                let executable = pool.pending(sender).any(|tx| tx.tx_hash() == hash);
                !executable && next_nonce(other, sender).is_some_and(|next| next <= nonce)
            };
            if let Some((other, pool)) = hosts.iter().find(lacks) {
                let queued = if pool.mempool().contains(*hash) { " as executable" } else { "" };
                return Err(format!(
                    "{} has transaction {hash} (nonce {nonce} of {sender}), {} does not have it{queued}",
                    one.name, other.name,
                ));
            }
        }
        Ok(())
    }

    fn nothing_lost(&self, hosts: &[(&Host, &Node)]) -> Result<(), String> {
        let Some((_, best)) = hosts.iter().max_by_key(|(_, node)| node.tree().head_weight()) else {
            return Ok(());
        };
        for (hash, replaced) in &self.replaced {
            let gone = |(host, at): &(usize, Moment)| {
                self.ended.get(*host).is_some_and(|ended| ended.is_some_and(|ended| ended >= *at))
            };
            let excused = replaced.dropped || replaced.by.iter().all(gone);
            let settled =
                next_nonce(best, replaced.sender).is_none_or(|next| next > replaced.nonce);
            if excused || settled || hosts.iter().any(|(_, node)| node.mempool().contains(*hash)) {
                continue;
            }
            let (sender, nonce) = (replaced.sender, replaced.nonce);
            return Err(format!(
                "transaction {hash} (nonce {nonce} of {sender}) was in a replaced block and is in no \
                 block and no pool now"
            ));
        }
        Ok(())
    }
}

/// Looks whether a pool holds something whose nonce is used.
fn not_stale(name: &str, node: &Node) -> Result<(), String> {
    let pool = node.mempool();
    for sender in pool.senders() {
        let Some(next) = next_nonce(node, sender) else { continue };
        let mut held = pool.pending(sender).chain(pool.queued(sender));
        if let Some(stale) = held.find(|transaction| transaction.nonce() < next) {
            let (hash, nonce) = (stale.tx_hash(), stale.nonce());
            return Err(format!(
                "{name} still holds transaction {hash} of {sender} with nonce {nonce}; the chain expects {next}"
            ));
        }
    }
    Ok(())
}

/// Returns the nonce that a sender's next transaction must have on a node's chain; `None` if it cannot be read.
fn next_nonce(node: &Node, sender: Address) -> Option<u64> {
    let account = node.tree().head_block().state.account(sender).ok()?;
    Some(account.map_or(0, |account| account.nonce))
}

/// More than half full, or dearer than usual.
fn is_crowded(node: &Node) -> bool {
    let (pool, limits) = (node.mempool(), node.mempool().limits());
    pool.len() > limits.count / 2
        || pool.bytes() > limits.bytes / 2
        || pool.floor() > limits.price_floor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, cut, ended};
    use std::sync::Arc;

    /// Two nodes that do not mine, cut off from each other before a transaction reaches one of them.
    fn apart() -> Small {
        let mut small = Small::new(2);
        small.run(60);
        small.mine(0, false);
        small.mine(1, false);
        small.run(5);
        cut(&mut small.world, 0, 1, true);
        small.submit(0, 1);
        small.run(15);
        small
    }

    #[test]
    fn a_transaction_that_one_pool_lacks_is_noticed() {
        let small = apart();
        let error = Mempool::default().finish(&small.world).unwrap_err();
        assert!(error.contains("does not have it"), "{error}");
        let recent = Mempool { newest: small.world.now(), ..Mempool::default() };
        let mut recent = recent;
        recent.finish(&small.world).unwrap();
        let hash = small.node(0).mempool().hashes().next().unwrap();
        let mut expired = Mempool { expired: [hash].into(), ..Mempool::default() };
        expired.finish(&small.world).unwrap();
    }

    #[test]
    fn a_transaction_of_a_replaced_block_that_is_nowhere_is_noticed() {
        let mut small = Small::new(1);
        small.run(60);
        let mut checker = Mempool::default();
        let mut block = (**small.node(0).tree().head_block()).clone();
        let transfer = small.transfer(5);
        block.senders = vec![transfer.signer()];
        block.block.body.transactions = vec![transfer.inner().clone()];
        let removed = vec![Arc::new(block)];
        let event = Event::Head { removed, added: Vec::new(), depth: 1 };
        checker.observe(&small.world, &Observation::Event { host: 0, event: &event }).unwrap();
        let error = checker.finish(&small.world).unwrap_err();
        assert!(error.contains("replaced block"), "{error}");
        checker.observe(&small.world, &Observation::Down { host: 0 }).unwrap();
        checker.finish(&small.world).unwrap();
    }

    #[test]
    fn a_run_with_forks_passes() {
        let mut small = Small::with(3, vec![Box::new(Mempool::default())]);
        for _ in 0..4 {
            small.submit(0, 3);
            small.run(30);
            cut(&mut small.world, 0, 1, true);
            cut(&mut small.world, 0, 2, true);
            small.submit(0, 3);
            small.run(60);
            cut(&mut small.world, 0, 1, false);
            cut(&mut small.world, 0, 2, false);
            small.run(60);
        }
        assert_eq!(ended(&mut small.world), None);
    }
}
