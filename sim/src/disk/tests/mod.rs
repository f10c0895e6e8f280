//! What is durable when, and what faults do.

mod model;
mod random;
mod tree;

use super::{Disk, DiskError, Loss, UNSYNCED_MAX};
use crate::{
    rng::{Purpose, stream},
    scenario::step::DiskFault,
};
use alloy_primitives::keccak256;
use kette_chain::{ChainReader, Record};
use kette_ledger::{NodeReader, ReadError};
use kette_types::{
    B256, Bytes,
    bft::{PublicKey, SignState},
};
use tree::Tree;

fn disk_of(tree: &Tree, seed: u64) -> Disk {
    Disk::new(&tree.blocks[0], &tree.genesis_commit, stream(seed, Purpose::Disk, 0))
}

fn head(disk: &Disk) -> u64 {
    (0..).take_while(|number| disk.canonical(*number).unwrap().is_some()).count() as u64 - 1
}

#[test]
fn a_new_disk_holds_block_0() {
    let tree = Tree::new();
    let disk = disk_of(&tree, 1);
    let restored = disk.restored().unwrap();
    let hash = tree.blocks[0].hash();
    assert_eq!((restored.checkpoint, restored.finalized), ((0, hash), (0, hash)));
    assert_eq!((head(&disk), disk.writes()), (0, 0));
    assert!(disk.is_durable(hash) && !disk.is_excused());
}

#[test]
fn what_is_written_is_readable_at_once_and_durable_after_a_sync() {
    let tree = Tree::line(2);
    let disk = disk_of(&tree, 1);
    let (pending, hash) = (Bytes::from_static(b"a transaction"), tree.blocks[1].hash());
    let mut batch = tree.extend(1, 1);
    batch.push(Record::Pending(pending.clone()));
    disk.write(&batch).unwrap();
    assert!(disk.header(hash).unwrap().is_some());
    assert!(!disk.is_durable(hash) && !disk.is_pending_durable(keccak256(&pending)));
    disk.crash(Loss::Unsynced);
    assert!(disk.header(hash).unwrap().is_none());
    disk.write(&batch).unwrap();
    disk.sync();
    assert!(disk.is_durable(hash) && disk.is_pending_durable(keccak256(&pending)));
    disk.write(&tree.extend(2, 2)).unwrap();
    assert_eq!((head(&disk), head(&disk.fork()), head(&disk.blank())), (2, 1, 0));
    disk.crash(Loss::Unsynced);
    assert_eq!((head(&disk), disk.writes()), (1, 3));
    disk.wipe();
    assert_eq!(head(&disk), 0);
    assert_eq!(disk.restored().unwrap().pending, Vec::<Bytes>::new());
}

#[test]
fn a_torn_tail_leaves_any_prefix() {
    let tree = Tree::line(3);
    let heads = (0..64).map(|seed| {
        let disk = disk_of(&tree, seed);
        (1..=3).for_each(|n| disk.write(&tree.extend(n, n)).unwrap());
        disk.crash(Loss::Torn);
        assert_eq!(head(&disk), head(&disk.fork()));
        head(&disk)
    });
    let heads: std::collections::BTreeSet<u64> = heads.collect();
    assert_eq!(heads.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_disk_that_lies_keeps_nothing_until_it_is_honest_again() {
    let tree = Tree::line(3);
    let disk = disk_of(&tree, 1);
    disk.set_fault(DiskFault::LostFsync, true);
    disk.sync();
    assert!(!disk.is_excused(), "nothing was lost yet");
    disk.write(&tree.extend(1, 1)).unwrap();
    disk.sync();
    assert!(disk.is_excused() && !disk.is_durable(tree.blocks[1].hash()));
    disk.crash(Loss::Unsynced);
    assert_eq!(head(&disk), 0);
    disk.write(&tree.extend(1, 1)).unwrap();
    disk.sync();
    disk.set_fault(DiskFault::LostFsync, false);
    assert!(!disk.is_durable(tree.blocks[1].hash()));
    disk.write(&tree.extend(2, 2)).unwrap();
    disk.sync();
    disk.crash(Loss::Unsynced);
    assert_eq!(head(&disk), 2);
    assert!(disk.is_excused() && !disk.fork().is_excused());
}

#[test]
fn what_is_unsynced_is_bounded() {
    let tree = Tree::line(4 * UNSYNCED_MAX);
    let disk = disk_of(&tree, 1);
    for n in 1..=4 * UNSYNCED_MAX {
        disk.write(&tree.extend(n, n)).unwrap();
        assert_eq!(head(&disk), n as u64);
        assert!(disk.lock().unsynced.len() <= UNSYNCED_MAX);
    }
    disk.sync();
    assert_eq!(head(&disk.fork()), 4 * UNSYNCED_MAX as u64);
    assert!(disk.lock().unsynced.is_empty());
}

#[test]
fn a_full_disk_refuses_and_keeps_what_it_has() {
    let tree = Tree::line(2);
    let disk = disk_of(&tree, 1);
    disk.write(&tree.extend(1, 1)).unwrap();
    disk.set_fault(DiskFault::Full, true);
    assert_eq!(disk.write(&tree.extend(2, 2)), Err(DiskError::Full));
    disk.sync();
    assert!(disk.has_fault(DiskFault::Full) && !disk.has_fault(DiskFault::Slow));
    assert_eq!((head(&disk.fork()), disk.writes()), (1, 1));
    disk.set_fault(DiskFault::Full, false);
    disk.write(&tree.extend(2, 2)).unwrap();
    assert!(!disk.is_excused());
}

#[test]
fn a_rotten_disk_says_so_now_and_then() {
    let tree = Tree::line(1);
    let disk = disk_of(&tree, 1);
    let (hash, key) = (tree.blocks[0].hash(), &tree.genesis_commit.nodes[0].0);
    let damaged = |n: usize| {
        let headers = (0..n).filter(|_| disk.header(hash).is_err()).count();
        let bodies = (0..n).filter(|_| disk.body(hash).is_err()).count();
        let is_damaged = |_: &usize| disk.node(key) == Err(ReadError::Damaged(key.hash));
        let nodes = (0..n).filter(is_damaged).count();
        [headers, bodies, nodes, (0..n).filter(|_| disk.restored().is_err()).count()]
    };
    assert_eq!(damaged(1_000), [0; 4]);
    disk.set_fault(DiskFault::BitRot, true);
    let [headers, bodies, nodes, starts] = damaged(4_000);
    for reads in [headers, bodies, nodes] {
        assert!((2..=60).contains(&reads), "{reads} of 4000, expected about 20");
    }
    assert!((800..=1_200).contains(&starts), "{starts} of 4000, expected about 1000");
    assert!(disk.is_excused());
    assert_eq!(disk.header(B256::repeat_byte(9)), Ok(None), "what is not there cannot rot");
    assert!((0..100).all(|_| disk.blank().restored().is_ok() && disk.fork().restored().is_ok()));
}

#[test]
fn a_record_that_contradicts_what_is_stored_is_refused_with_its_batch() {
    let tree = Tree::line(3);
    let disk = disk_of(&tree, 1);
    let [one, three] = [1, 3].map(|n| tree.blocks[n].hash());
    let block = |n: usize| Record::Block(tree.blocks[n].clone());
    let bad = [
        vec![block(1), Record::Canonical { keep: 0, added: vec![three] }],
        vec![block(1), block(3), Record::Canonical { keep: 0, added: vec![one, three] }],
        vec![block(1), Record::Canonical { keep: 5, added: vec![] }],
        vec![block(1), Record::Canonical { keep: u64::MAX, added: vec![one] }],
        vec![block(1), tree.checkpoint(three, tree.blocks[0].hash())],
    ];
    for batch in bad {
        assert!(matches!(disk.write(&batch), Err(DiskError::Refused(_))), "{batch:?}");
        assert!(disk.header(one).unwrap().is_none(), "nothing of it was written");
    }
    assert_eq!(disk.write(&[]), Ok(()));
    assert_eq!(disk.writes(), 0);
}

fn sign(height: u64, what: u8) -> Record {
    Record::Sign(Box::new(SignState {
        chain: B256::ZERO,
        key: PublicKey::default(),
        height,
        round: 0,
        step: 2,
        block: B256::ZERO,
        digest: B256::repeat_byte(what),
        signature: Default::default(),
    }))
}

fn signed(disk: &Disk) -> Option<u64> {
    disk.signed().map(|state| state.height)
}

#[test]
fn what_was_signed_is_never_ahead_of_what_was_written_with_it() {
    let tree = Tree::line(2);
    let mut found = std::collections::BTreeSet::new();
    for (seed, loss) in (0..64).zip([Loss::Unsynced, Loss::Torn].into_iter().cycle()) {
        let disk = disk_of(&tree, seed);
        disk.write(&[sign(1, 1)]).unwrap();
        disk.sync();
        let mut batch = vec![sign(2, 1)];
        batch.extend(tree.extend(1, 1));
        disk.write(&batch).unwrap();
        assert_eq!((signed(&disk), signed(&disk.fork())), (Some(2), Some(1)));
        disk.crash(loss);
        assert_eq!(signed(&disk.fork()), signed(&disk));
        found.insert((signed(&disk), head(&disk)));
    }
    let all = [(Some(1), 0), (Some(1), 1), (Some(2), 1)];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), all, "before, between, after");
}

#[test]
fn a_signature_that_goes_back_is_refused_with_its_batch() {
    let tree = Tree::line(1);
    let disk = disk_of(&tree, 1);
    disk.write(&[sign(5, 1), sign(5, 1), sign(6, 1)]).unwrap();
    for bad in [sign(5, 1), sign(6, 2)] {
        let mut batch = tree.extend(1, 1);
        batch.push(bad);
        assert!(matches!(disk.write(&batch), Err(DiskError::Refused(_))));
        assert_eq!((head(&disk), signed(&disk)), (0, Some(6)));
    }
    disk.sync();
    disk.set_fault(DiskFault::LostFsync, true);
    disk.write(&[sign(7, 1)]).unwrap();
    disk.sync();
    disk.crash(Loss::Unsynced);
    assert_eq!(signed(&disk), Some(6), "a disk that lies lies about this as well");
    // Restored from a backup, or lost: then anything goes, and is excused.
    disk.set_signed(None);
    disk.write(&[sign(1, 9)]).unwrap();
    assert!(disk.is_excused());
    disk.wipe();
    assert_eq!(signed(&disk), None);
}

#[test]
fn disks_beside_each_other_hold_one_copy() {
    let tree = Tree::line(20);
    let first = disk_of(&tree, 1);
    let second = first.beside(stream(1, Purpose::Disk, 1));
    // The second node computed its commit itself, and so it is another value.
    for disk in [&first, &second] {
        disk.write(&tree.extend(1, 20)).unwrap();
        disk.write(&[tree.checkpoint(tree.blocks[9].hash(), tree.blocks[0].hash())]).unwrap();
        disk.sync();
    }
    let hash = tree.blocks[20].hash();
    let [a, b] = [&first, &second].map(|disk| disk.block(hash).unwrap().unwrap());
    assert!(std::sync::Arc::ptr_eq(&a, &b));
    let key = &tree.genesis_commit.nodes[0].0;
    let [a, b] = [&first, &second].map(|disk| disk.node(key).unwrap().unwrap());
    assert_eq!(a.as_ptr(), b.as_ptr());
    first.wipe();
    assert_eq!(head(&second), 20);
    assert_eq!(first.header(hash).unwrap(), None);
}
