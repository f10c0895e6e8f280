//! Random batches, syncs, lies and crashes against the naive disk.

use super::{
    disk_of,
    model::{Answers, Plain},
    tree::Tree,
};
use crate::{disk::Loss, scenario::step::DiskFault};
use alloy_primitives::keccak256;
use kette_chain::Record;
use kette_ledger::{NodeKey, State};
use kette_types::{B256, Bytes, PeerAddress, PeerId, Time};
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

/// Numbers are taken modulo what there is to choose from.
#[derive(Clone, Copy, Debug)]
enum Op {
    Head(usize),
    Side(usize),
    Final(usize),
    Checkpoint(usize),
    PruneStates(usize),
    Prune(usize),
    Engine(u8),
    EngineTruncate,
    Pending(u8),
    PendingDone(u8),
    Address(u8),
    AddressGone(u8),
    Ban(u8),
    Unban(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Op>),
    Sync,
    Crash(Loss),
    Lie(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<usize>().prop_map(Op::Head),
        1 => any::<usize>().prop_map(Op::Side),
        1 => any::<usize>().prop_map(Op::Final),
        4 => any::<usize>().prop_map(Op::Checkpoint),
        1 => any::<usize>().prop_map(Op::PruneStates),
        1 => any::<usize>().prop_map(Op::Prune),
        1 => (0..4u8).prop_map(Op::Engine),
        1 => Just(Op::EngineTruncate),
        1 => (0..4u8).prop_map(Op::Pending),
        1 => (0..4u8).prop_map(Op::PendingDone),
        1 => (0..4u8).prop_map(Op::Address),
        1 => (0..4u8).prop_map(Op::AddressGone),
        1 => (0..4u8).prop_map(Op::Ban),
        1 => (0..4u8).prop_map(Op::Unban),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(op(), 1..4).prop_map(Step::Write),
        3 => Just(Step::Sync),
        1 => prop_oneof![Just(Loss::Unsynced), Just(Loss::Torn)].prop_map(Step::Crash),
        1 => any::<bool>().prop_map(Step::Lie),
    ]
}

/// Returns the records of one operation on what is there.
fn records(op: Op, tree: &Tree, plain: &Plain) -> Vec<Record> {
    let block = |n: usize| tree.blocks[n % tree.blocks.len()].hash();
    let canonical = |n: usize| n % plain.canonical.len();
    let bytes = |n: u8| Bytes::from(vec![n; 3]);
    let address =
        |n: u8| PeerAddress::tcp(SocketAddr::from(([10, 0, 0, n], 9 + 90 * u16::from(n))));
    let peer = |n: u8| PeerId([n; 32].into());
    vec![match op {
        Op::Head(n) => {
            let branch = tree.branch(block(n));
            let same = branch.iter().zip(&plain.canonical).take_while(|(a, b)| a.hash() == **b);
            let keep = same.count();
            let added = branch[keep..].iter().map(|block| block.hash()).collect();
            let mut records: Vec<_> = branch.into_iter().map(Record::Block).collect();
            records.push(Record::Canonical { keep: keep as u64 - 1, added });
            return records;
        }
        Op::Side(n) => return tree.branch(block(n)).into_iter().map(Record::Block).collect(),
        Op::Final(n) => {
            let number = canonical(n);
            let (hash, justification) = (plain.canonical[number], Bytes::new());
            Record::Final { number: number as u64, hash, justification }
        }
        Op::Checkpoint(n) => match plain.checkpoint() {
            Some((_, base)) => tree.checkpoint(plain.canonical[canonical(n)], base),
            None => return Vec::new(),
        },
        Op::PruneStates(n) => Record::PruneStates { below: canonical(n) as u64 },
        Op::Prune(n) => Record::Prune(vec![block(n), block(n / 3)]),
        Op::Engine(n) => Record::Engine(bytes(n)),
        Op::EngineTruncate => Record::EngineTruncate,
        Op::Pending(n) => Record::Pending(bytes(n)),
        Op::PendingDone(n) => Record::PendingDone(vec![keccak256(bytes(n))]),
        Op::Address(n) => {
            let last_success = Time::from_secs(n.into());
            Record::Address { address: address(n), last_success, failures: n.into() }
        }
        Op::AddressGone(n) => Record::AddressGone(address(n)),
        Op::Ban(n) => Record::Ban(peer(n), Time::from_secs(n.into())),
        Op::Unban(n) => Record::Unban(peer(n)),
    }]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_disk_answers_as_plain_tables_do(
        seed in any::<u64>(),
        parents in vec(any::<usize>(), 4..24),
        steps in vec(step(), 1..40),
    ) {
        let tree = Tree::grown(&parents);
        let disk = Arc::new(disk_of(&tree, seed));
        let mut plain = vec![Plain::new(&tree)];
        // A pending transaction per batch says which ones survived: what else differs may show only later.
        let mut marks = vec![B256::ZERO];
        let mut keys: BTreeSet<NodeKey> =
            tree.genesis_commit.nodes.iter().map(|(key, _)| key.clone()).collect();
        let mut lies = false;
        for step in steps {
            match step {
                Step::Write(ops) => {
                    let mut next = plain.last().unwrap().clone();
                    let mark = Bytes::from(disk.writes().to_be_bytes().to_vec());
                    marks.push(keccak256(&mark));
                    let mark = Record::Pending(mark);
                    next.apply(&mark);
                    let mut batch = vec![mark];
                    for op in ops {
                        for record in records(op, &tree, &next) {
                            next.apply(&record);
                            if let Record::Checkpoint { commit, .. } = &record {
                                keys.extend(commit.nodes.iter().map(|(key, _)| key.clone()));
                            }
                            batch.push(record);
                        }
                    }
                    disk.write(&batch).unwrap();
                    plain.push(next);
                }
                Step::Sync => {
                    disk.sync();
                    if !lies {
                        plain.drain(..plain.len() - 1);
                        marks.drain(..marks.len() - 1);
                    } else if plain.len() > 1 {
                        prop_assert!(disk.is_excused());
                    }
                }
                Step::Crash(loss) => {
                    disk.crash(loss);
                    let is_left = |mark: &&B256| disk.is_pending_durable(**mark);
                    let survived = marks[1..].iter().take_while(is_left).count();
                    prop_assert!(survived == 0 || loss == Loss::Torn);
                    plain = vec![plain.swap_remove(survived)];
                    marks = vec![marks[survived]];
                }
                Step::Lie(on) => {
                    disk.set_fault(DiskFault::LostFsync, on);
                    lies = on;
                }
            }
            let now = plain.last().unwrap();
            prop_assert_eq!(Answers::of(&disk, &tree, &keys), now.answers());
            let fork = disk.fork();
            prop_assert_eq!(Answers::of(&fork, &tree, &keys), plain[0].answers());
            for hash in now.readable() {
                let block = tree.get(hash);
                let state = State::open(disk.clone(), block.block.header.state_root);
                prop_assert_eq!(state.supply().unwrap(), block.state.supply().unwrap());
            }
        }
    }
}
