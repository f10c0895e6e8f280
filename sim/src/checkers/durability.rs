//! Nothing is said before it is durable, and nothing that was said is lost.
//!
//! Said means: a block announced or shown as head to a peer, a transaction or block acknowledged to a client. After a
//! crash what was acknowledged must be pending or in the node's own chain, and what was announced must be there. Excused
//! is a host whose disk lied, rotted or was emptied.

use super::{Checker, Observation, per_host::PerHost};
use crate::{World, scenario::step::DiskFault, world::Host};
use kette_chain::Record;
use kette_node::{Event, Reply};
use kette_types::{B256, Message};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See the file's description.
#[derive(Debug, Default)]
pub struct Durability {
    hosts: PerHost<Promises>,
    /// Which blocks a transaction is in.
    included: BTreeMap<B256, Vec<B256>>,
}

/// What a host said.
#[derive(Debug, Default)]
struct Promises {
    /// Blocks, newest last; older ones are durable since long.
    announced: VecDeque<B256>,
    /// Transactions that it did not drop since, with a reason.
    acknowledged: BTreeSet<B256>,
    wipes: u32,
}

/// Announced blocks remembered per host: a crash loses the newest writes only.
const ANNOUNCED_MAX: usize = 64;

impl Checker for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        match seen {
            Observation::Ordered { host, records } => self.ordered(world, *host, records),
            Observation::Event { host, event: Event::Dropped { hash, .. } } => {
                self.hosts.of(*host).acknowledged.remove(hash);
            }
            Observation::Sent { host, message, .. } => {
                let Some(hash) = shown(message) else { return Ok(()) };
                return self.sent(&world.hosts[*host], hash, message.name());
            }
            Observation::Replied { host, result: Ok(reply), .. } => {
                return self.replied(&world.hosts[*host], reply);
            }
            Observation::Up { host } => return self.up(world, *host),
            _ => {}
        }
        Ok(())
    }
}

impl Durability {
    fn ordered(&mut self, world: &World, host: usize, records: &[Record]) {
        for record in records {
            match record {
                // The world noted it just before: it is new if nobody else attached it.
                Record::Block(block) => {
                    let hash = block.hash();
                    if world.blocks.get(&hash).is_none_or(|history| history.reached.len() <= 1) {
                        for transaction in &block.block.body.transactions {
                            self.included.entry(*transaction.tx_hash()).or_default().push(hash);
                        }
                    }
                }
                Record::Prune(gone) => {
                    self.hosts.of(host).announced.retain(|hash| !gone.contains(hash));
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, host: &Host, hash: B256, message: &str) -> Result<(), String> {
        if !host.is_honest() || host.disk.is_excused() {
            return Ok(());
        }
        if !host.disk.is_durable(hash) {
            return Err(format!("{} sends {message} with block {hash}, not durable", host.name));
        }
        let announced = &mut self.hosts.of(host.index).announced;
        if announced.back() != Some(&hash) {
            if announced.len() >= ANNOUNCED_MAX {
                announced.pop_front();
            }
            announced.push_back(hash);
        }
        Ok(())
    }

    fn replied(&mut self, host: &Host, reply: &Reply) -> Result<(), String> {
        if !host.is_honest() || host.disk.is_excused() {
            return Ok(());
        }
        let (what, hash, durable) = match reply {
            Reply::Transaction(hash) => {
                self.hosts.of(host.index).acknowledged.insert(*hash);
                // A validator that is alone has it in a final block at once.
                let mut blocks = self.included.get(hash).into_iter().flatten();
                let in_block = blocks.any(|block| host.disk.is_durable(*block));
                ("transaction", hash, in_block || host.disk.is_pending_durable(*hash))
            }
            Reply::Block(hash) => ("block", hash, host.disk.is_durable(*hash)),
            Reply::Done => return Ok(()),
        };
        let problem = || format!("{} acknowledges {what} {hash}, not durable", host.name);
        if durable { Ok(()) } else { Err(problem()) }
    }

    fn up(&mut self, world: &World, index: usize) -> Result<(), String> {
        let host = &world.hosts[index];
        let promises = self.hosts.of(index);
        if promises.wipes != host.disk.wipes() {
            *promises = Promises { wipes: host.disk.wipes(), ..Promises::default() };
        }
        // Reading a rotting disk would change what it does next.
        if !host.is_honest() || host.disk.is_excused() || host.disk.has_fault(DiskFault::BitRot) {
            return Ok(());
        }
        if let Some(hash) = promises.announced.iter().find(|hash| !host.disk.is_durable(**hash)) {
            return Err(format!("{} announced block {hash} and lost it in a crash", host.name));
        }
        let Some(node) = host.node() else { return Ok(()) };
        let included = &self.included;
        let in_chain = |hash: &B256| {
            included.get(hash).into_iter().flatten().any(|block| {
                let number = world.blocks.get(block).map(|history| history.block.number());
                number.is_some_and(|number| node.tree().canonical(number) == Ok(Some(*block)))
            })
        };
        let lost = promises
            .acknowledged
            .iter()
            .find(|hash| !host.disk.is_pending_durable(**hash) && !in_chain(hash));
        match lost {
            Some(hash) => Err(format!(
                "{} acknowledged transaction {hash}; after a restart it is neither pending nor in its chain",
                host.name
            )),
            None => Ok(()),
        }
    }
}

/// Returns the block that a message shows as the sender's own.
fn shown(message: &Message) -> Option<B256> {
    match message {
        Message::NewBlock(compact) => Some(compact.header.hash()),
        Message::Status(status) => Some(status.head),
        Message::Hello(hello) => Some(hello.status.head),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::fixture::{Small, crash, ended};
    use kette_types::message::ChainStatus;

    fn status(head: B256) -> Message {
        Message::Status(ChainStatus { head, ..ChainStatus::default() })
    }

    #[test]
    fn a_status_with_a_block_that_is_nowhere_is_noticed() {
        let small = Small::new(2);
        let mut checker = Durability::default();
        let genesis = status(small.world.genesis.hash());
        let sent = |message| Observation::Sent { host: 0, to: &[], message };
        checker.observe(&small.world, &sent(&genesis)).unwrap();
        let unknown = status(B256::repeat_byte(7));
        let error = checker.observe(&small.world, &sent(&unknown)).unwrap_err();
        assert!(error.contains("not durable"), "{error}");
    }

    #[test]
    fn an_acknowledgement_before_the_write_is_noticed() {
        let small = Small::new(1);
        for reply in [Reply::Transaction(B256::ZERO), Reply::Block(B256::ZERO)] {
            let (mut checker, result) = (Durability::default(), Ok(reply));
            let seen = Observation::Replied { host: 0, ticket: 1, result: &result };
            assert!(checker.observe(&small.world, &seen).is_err());
        }
    }

    #[test]
    fn a_loss_after_a_crash_is_noticed_and_a_wiped_disk_is_excused() {
        let mut small = Small::new(1);
        small.mine_to(3);
        let mut checker = Durability::default();
        let head = status(small.head(0));
        let seen = Observation::Sent { host: 0, to: &[], message: &head };
        checker.observe(&small.world, &seen).unwrap();
        checker.hosts.of(0).acknowledged.insert(B256::repeat_byte(1));
        crash(&mut small.world, 0);
        small.world.start(0);
        let up = Observation::Up { host: 0 };
        let error = checker.observe(&small.world, &up).unwrap_err();
        assert!(error.contains("neither pending"), "{error}");
        checker.hosts.of(0).acknowledged.clear();
        checker.observe(&small.world, &up).unwrap();
        checker.hosts.of(0).announced.push_back(B256::repeat_byte(2));
        assert!(checker.observe(&small.world, &up).unwrap_err().contains("lost it"));
        small.world.wipe(0);
        small.world.start(0);
        checker.observe(&small.world, &up).unwrap();
    }

    #[test]
    fn an_honest_run_with_crashes_passes() {
        let mut small = Small::with(3, vec![Box::new(Durability::default())]);
        for round in 0..4 {
            small.submit(0, 2);
            small.run(40);
            crash(&mut small.world, round % 3);
            small.run(5);
            small.world.start(round % 3);
            small.mine(round % 3, true);
        }
        assert_eq!(ended(&mut small.world), None);
    }
}
