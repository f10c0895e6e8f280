//! One contract, two disks: the same records give the same answers from SQLite and from the simulator's disk.
//!
//! This is what lets a simulated run speak for the real store. The records are those of a real node that was fed
//! branches, users' transactions, restarts and rollbacks; lists that a lone node hardly writes are added by chance.

mod adapters;
mod history;
mod maker;

use adapters::{Answers, End, Sql, Virtual};
use history::History;
use kette_chain::{ChainReader as _, Record};
use kette_ledger::State;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, sync::Arc};

/// Histories that are compared.
const SEEDS: u64 = 3;
/// Readers are compared after every so many batches, and whenever a node would start.
const COMPARED_EVERY: usize = 40;

#[test]
fn the_virtual_disk_answers_as_the_store_does() {
    let mut kinds = BTreeMap::new();
    for seed in 0..SEEDS {
        let history = History::draw(seed);
        count(&history, &mut kinds);
        compare(seed, &history);
    }
    // What is not among the records would not be compared either.
    for kind in KINDS {
        assert!(kinds.contains_key(kind), "no record is a {kind}: {kinds:?}");
    }
    assert!(kinds["reorganization"] > 8 && kinds["code"] > 0, "{kinds:?}");
}

const KINDS: [&str; 19] = [
    "block",
    "canonical",
    "reorganization",
    "below final",
    "rollback",
    "final",
    "prune",
    "checkpoint",
    "code",
    "prune states",
    "engine",
    "engine truncate",
    "pending",
    "pending done",
    "address",
    "address gone",
    "ban",
    "unban",
    "nothing",
];

fn count(history: &History, kinds: &mut BTreeMap<&'static str, usize>) {
    let (mut head, mut last) = (0, 0);
    for batch in &history.batches {
        if batch.is_empty() {
            *kinds.entry("nothing").or_default() += 1;
        }
        for record in batch {
            let kind = match record {
                Record::Block(_) => "block",
                Record::Canonical { keep, added } => {
                    let old = std::mem::replace(&mut head, keep + added.len() as u64);
                    match *keep {
                        keep if keep < last => {
                            last = keep;
                            "below final"
                        }
                        _ if added.is_empty() => "rollback",
                        keep if keep < old => "reorganization",
                        _ => "canonical",
                    }
                }
                Record::Final { number, .. } => {
                    last = *number;
                    "final"
                }
                Record::Prune(_) => "prune",
                Record::Checkpoint { commit, .. } if !commit.codes.is_empty() => "code",
                Record::Checkpoint { .. } => "checkpoint",
                Record::PruneStates { .. } => "prune states",
                Record::Engine(_) => "engine",
                Record::EngineTruncate => "engine truncate",
                Record::Sign(_) => "sign",
                Record::Pending(_) => "pending",
                Record::PendingDone(_) => "pending done",
                Record::Address { .. } => "address",
                Record::AddressGone(_) => "address gone",
                Record::Ban(..) => "ban",
                Record::Unban(_) => "unban",
            };
            *kinds.entry(kind).or_default() += 1;
        }
    }
}

/// Writes a history to both and compares all along. Nodes end in every way that there is.
fn compare(seed: u64, history: &History) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut store = Sql::new(&history.genesis, &history.commit, history.chain_id);
    let disk = Virtual::new(&history.genesis, &history.commit);
    let mut written = 0;
    for (index, batch) in history.batches.iter().enumerate() {
        if rng.random_range(0..24) == 0 {
            let end = [End::Close, End::Drop, End::Kill][rng.random_range(0..3)];
            // What was written and not synced is gone, as what a killed process had not committed.
            disk.crash_with(batch);
            store.end(end);
            let at = format!("seed {seed}, batch {index}, {end:?}");
            assert_eq!(disk.restored(), *store.restored(), "{at}");
            same_answers(&at, history, &store, &disk);
        }
        disk.write(batch);
        store.write(batch);
        written += usize::from(!batch.is_empty());
        if index % COMPARED_EVERY == 0 {
            same_answers(&format!("seed {seed}, batch {index}"), history, &store, &disk);
        }
    }
    assert_eq!(disk.disk.writes(), (written + disk.lost()) as u64);
    store.end(End::Kill);
    disk.crash_with(&[]);
    assert_eq!(disk.restored(), *store.restored(), "seed {seed}, at the end");
    same_answers(&format!("seed {seed}, at the end"), history, &store, &disk);
}

fn same_answers(at: &str, history: &History, store: &Sql, disk: &Virtual) {
    let theirs = Answers::of(&**store.reader(), history);
    let ours = Answers::of(&*disk.disk, history);
    if let Some(difference) = theirs.difference(&ours) {
        panic!("{at}: {difference}");
    }
    // The state that a node starts from is whole in both.
    let (_, hash) = disk.restored().checkpoint;
    let header =
        store.reader().header(hash).expect("the state is read").expect("the block of a checkpoint");
    let (root, supply) = (header.state_root, history.supplies[&hash]);
    for reader in
        [Arc::clone(store.reader()) as Arc<dyn kette_ledger::NodeReader>, disk.disk.clone()]
    {
        assert_eq!(State::open(reader, root).supply().expect("the state is read"), supply, "{at}");
    }
}
