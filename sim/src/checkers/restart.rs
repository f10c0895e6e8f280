//! State equality: what a restart finds is what the node had made durable.
//!
//! After a crash the head is the newest durable one, and its whole state is there. At the end a second node is restored
//! aside, without shared results, from a copy of each (or of some) disk: same head, same final block, same accounts.

use super::{Checker, Observation, per_host::PerHost};
use crate::{
    World,
    rng::{Purpose, stream},
    scenario::step::DiskFault,
    world::Host,
};
use kette_chain::{ExecutedBlock, Record};
use kette_node::Node;
use kette_types::B256;
use rand::RngExt;
use std::sync::Arc;

/// See the file's description.
#[derive(Debug, Default)]
pub struct Restart {
    hosts: PerHost<Written>,
}

/// What a host ordered to be written.
#[derive(Debug, Default)]
struct Written {
    /// The last head but one, durable, and the last one, perhaps not; `None` if not known.
    heads: [Option<B256>; 2],
    wipes: u32,
}

/// Up to this many hosts all are looked at, and in whole.
const SMALL: usize = 20;
/// Hosts looked at in larger worlds.
const SAMPLED: usize = 3;
/// Accounts compared.
const ACCOUNTS_MAX: usize = 10_000;

impl Checker for Restart {
    fn name(&self) -> &'static str {
        "restart"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Ordered { host, records } => {
                let written = self.hosts.of(*host);
                // What was ordered before is durable: a node waits for its writes.
                written.heads[0] = written.heads[1];
                for record in *records {
                    if let Record::Canonical { added, .. } = record {
                        written.heads[1] = added.last().copied();
                    }
                }
                if written.heads[1].is_none() {
                    written.heads[0] = None;
                }
                Ok(())
            }
            Observation::Up { host } => self.up(world, *host),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, world: &World) -> Result<(), String> {
        let whole: Vec<&Host> =
            world.honest().filter(|host| is_readable(host) && !host.writing).collect();
        if world.hosts.len() <= SMALL || whole.len() <= SAMPLED {
            return whole.into_iter().try_for_each(|host| beside(world, host));
        }
        let mut rng = stream(world.seed, Purpose::Checkers, 0);
        (0..SAMPLED).try_for_each(|_| beside(world, whole[rng.random_range(0..whole.len())]))
    }
}

impl Restart {
    fn up(&mut self, world: &World, index: usize) -> Result<(), String> {
        let host = &world.hosts[index];
        let Some(node) = host.node() else { return Ok(()) };
        let written = self.hosts.of(index);
        if written.wipes != host.disk.wipes() {
            let genesis = Some(world.genesis.hash());
            *written = Written { heads: [genesis, genesis], wipes: host.disk.wipes() };
        }
        let head = node.tree().head_block();
        let expected = std::mem::replace(&mut written.heads, [Some(head.hash()); 2]);
        if !host.is_honest() || !is_readable(host) {
            return Ok(());
        }
        let known = expected.iter().flatten().count() == expected.len();
        if known && !expected.contains(&Some(head.hash())) {
            return Err(format!(
                "{} restarts with head {} {}; before it had {} and then ordered {}",
                host.name,
                head.number(),
                head.hash(),
                expected[0].unwrap_or_default(),
                expected[1].unwrap_or_default(),
            ));
        }
        let known = world.blocks.get(&head.hash()).map(|history| &history.block);
        if world.hosts.len() > SMALL {
            return root_fits(&host.name, head);
        }
        state_fits(&host.name, head, known.unwrap_or(&world.genesis))
    }
}

/// Tells whether its disk may be read without changing what it does, and is held to its word.
fn is_readable(host: &Host) -> bool {
    !host.disk.is_excused() && !host.disk.has_fault(DiskFault::BitRot)
}

fn root_fits(name: &str, head: &ExecutedBlock) -> Result<(), String> {
    let (root, promised) = (head.state.root(), head.block.header.state_root);
    if root == promised {
        return Ok(());
    }
    Err(format!("{name}: state {root} after block {}, its header says {promised}", head.hash()))
}

/// Looks whether the whole state is there, and whether its supply is what it was when the block was made.
fn state_fits(name: &str, head: &ExecutedBlock, known: &ExecutedBlock) -> Result<(), String> {
    root_fits(name, head)?;
    let supply = head.state.supply().map_err(|error| {
        format!("{name}: the state after block {} is not whole: {error}", head.hash())
    })?;
    // Whoever made it may have lost its disk since.
    let Ok(made) = known.state.supply() else { return Ok(()) };
    if known.hash() == head.hash() && made != supply {
        return Err(format!("{name}: supply {supply} after {}, was {made}", head.hash()));
    }
    Ok(())
}

/// Restores a node from a copy of a host's disk and compares it with the one that runs.
fn beside(world: &World, host: &Host) -> Result<(), String> {
    let Some(live) = host.node() else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| format!("{}: a restart fails: {error}", host.name);
    let disk = Arc::new(host.disk.fork());
    let restored = disk.restored().map_err(|error| failed(&error))?;
    let config = kette_node::Config { memo: None, ..host.settings() };
    let time = host.clock.time(world.now());
    let again = Node::restore(world.spec.clone(), config, disk, time, restored)
        .map_err(|error| failed(&error))?;
    same(&host.name, live, &again)
}

fn same(name: &str, live: &Node, again: &Node) -> Result<(), String> {
    let (head, found) = (live.tree().head_block(), again.tree().head_block());
    let differs = |what: &str, one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| {
        Err(format!("{name}: {what} is {one:?}, a restart finds {other:?}"))
    };
    if head.hash() != found.hash() {
        let (one, other) = ((head.number(), head.hash()), (found.number(), found.hash()));
        return differs("the head", &one, &other);
    }
    let (one, other) = (live.tree().finalized(), again.tree().finalized());
    if one != other {
        return differs("the final block", &one, &other);
    }
    root_fits(name, head)?;
    state_fits(name, found, head)?;
    let read = |block: &ExecutedBlock| {
        let accounts = block.state.accounts(B256::ZERO, ACCOUNTS_MAX);
        accounts.map_err(|error| format!("{name}: accounts cannot be read: {error}"))
    };
    let (one, other) = (read(head)?, read(found)?);
    match one.iter().zip(&other).find(|(a, b)| a != b) {
        Some((one, other)) => differs("an account", one, other),
        None if one.len() != other.len() => {
            differs("the number of accounts", &one.len(), &other.len())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, crash, ended};

    #[test]
    fn another_head_than_the_durable_one_is_noticed() {
        let mut small = Small::new(1);
        small.mine_to(3);
        let mut checker = Restart::default();
        let record = |hash| [Record::Canonical { keep: 0, added: vec![hash] }];
        for hash in [B256::repeat_byte(1), B256::repeat_byte(2)] {
            let records = record(hash);
            let seen = Observation::Ordered { host: 0, records: &records };
            checker.observe(&small.world, &seen).unwrap();
        }
        crash(&mut small.world, 0);
        small.world.start(0);
        let up = Observation::Up { host: 0 };
        let error = checker.observe(&small.world, &up).unwrap_err();
        assert!(error.contains("restarts with head"), "{error}");
        // From then on the head that was found is the one to be found.
        checker.observe(&small.world, &up).unwrap();
        small.world.wipe(0);
        small.world.start(0);
        checker.observe(&small.world, &up).unwrap();
    }

    #[test]
    fn a_live_node_that_is_ahead_of_its_disk_is_noticed() {
        let mut small = Small::new(2);
        small.mine_to(3);
        let (one, mut other) = (small.node(0), Small::new(1));
        assert!(same("a", one, one).is_ok());
        other.mine_to(1);
        let error = same("a", one, other.node(0)).unwrap_err();
        assert!(error.contains("the head"), "{error}");
    }

    #[test]
    fn another_supply_and_another_root_are_noticed() {
        let mut small = Small::new(1);
        small.mine_to(2);
        let (head, genesis) = (small.node(0).tree().head_block().clone(), &small.world.genesis);
        assert!(state_fits("a", &head, &head).is_ok());
        let wrong = ExecutedBlock { state: genesis.state.clone(), ..(*head).clone() };
        assert!(root_fits("a", &wrong).is_err());
        assert!(state_fits("a", &head, &wrong).unwrap_err().contains("supply"));
    }

    #[test]
    fn an_honest_run_with_crashes_passes() {
        let mut small = Small::with(3, vec![Box::new(Restart::default())]);
        for round in 0..4 {
            small.submit(0, 2);
            small.run(100);
            crash(&mut small.world, round % 3);
            small.world.start(round % 3);
            small.mine(round % 3, true);
        }
        assert_eq!(ended(&mut small.world), None);
    }
}
