//! Checkpoints and pruning: what must be readable is, and nothing else is kept.

use crate::fixture::*;
use kette_chain::{ExecutedBlock, Record};
use kette_ledger::{NodeReader, State, StateChanges};
use kette_types::{Address, U256};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeMap, collections::BTreeSet, path::Path, sync::Arc};

/// Accounts, storage and code come, change and go.
fn random_changes(rng: &mut StdRng) -> StateChanges {
    let mut changes = StateChanges::default();
    for _ in 0..20 {
        let n = rng.random_range(1..60);
        if rng.random_bool(0.2) {
            changes.accounts.insert(account(n), None);
            continue;
        }
        let mut change = balance_of(rng.random_range(1..1_000_000));
        if n % 3 == 0 {
            let code = vec![u8::try_from(n).unwrap(); 40];
            change.code_hash = alloy_primitives::keccak256(&code);
            changes.codes.insert(change.code_hash, code.into());
            for _ in 0..8 {
                let (slot, value) = (rng.random_range(0..40), rng.random_range(0..3));
                change.storage.insert(U256::from(slot), U256::from(value));
            }
        }
        changes.accounts.insert(account(n), Some(change));
    }
    changes
}

/// Writes a chain with a checkpoint every third block; returns the blocks.
fn write_chain(
    home: &Home,
    store: &mut kette_store::Store,
    prune: bool,
) -> Vec<Arc<ExecutedBlock>> {
    let mut rng = StdRng::seed_from_u64(5);
    let mut blocks = vec![home.genesis.clone()];
    let mut base = home.genesis.clone();
    let mut changed = BTreeSet::new();
    for _ in 0..60 {
        let parent = blocks.last().unwrap();
        let block = child_with(parent, 1, &[], &random_changes(&mut rng));
        changed.extend(block.changed.iter().copied());
        let mut batch = extend(std::slice::from_ref(&block));
        if block.number().is_multiple_of(3) {
            batch.push(checkpoint(&block, &base, &mut std::mem::take(&mut changed).into_iter()));
            if prune {
                batch.push(Record::PruneStates { below: block.number() });
            }
            base = block.clone();
        }
        store.write(&batch).unwrap();
        blocks.push(block);
    }
    blocks
}

fn rows(path: &Path, table: &str) -> u64 {
    let conn = rusqlite::Connection::open(path).unwrap();
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

fn assert_equal(stored: &State, memory: &State) {
    assert_eq!(stored.root(), memory.root());
    for n in 0..60 {
        assert_eq!(stored.account(account(n)).unwrap(), memory.account(account(n)).unwrap());
        let slots = (0..40).map(U256::from);
        for slot in slots {
            let expected = memory.storage(account(n), slot).unwrap();
            assert_eq!(stored.storage(account(n), slot).unwrap(), expected);
        }
    }
    assert_eq!(stored.supply().unwrap(), memory.supply().unwrap());
}

#[test]
fn pruning_leaves_exactly_the_live_nodes() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let blocks = write_chain(&home, &mut store, true);
    let last = &blocks[60];
    let found = reader.verify_integrity().unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!((found.states, found.supply), (1, last.state.supply().unwrap()));
    assert!(found.state_nodes > 50, "the test has something to keep");
    assert_eq!(rows(&home.path(), "trie_nodes"), found.state_nodes);
    assert_eq!(rows(&home.path(), "accounts"), found.accounts);
    let point = reader.state_at_or_below(1_000).unwrap().unwrap();
    assert_eq!((point.number, point.block), (60, last.hash()));

    let nodes: Arc<dyn NodeReader> = Arc::new(reader);
    assert_equal(&State::open(nodes, point.state_root), &last.state);
}

#[test]
fn an_archive_keeps_every_checkpoint() {
    let mut home = Home::new();
    home.options.archive = true;
    let (mut store, reader, _) = home.open();
    let blocks = write_chain(&home, &mut store, true);
    let found = reader.verify_integrity().unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!(found.states, 21);
    let point = reader.state_at_or_below(32).unwrap().unwrap();
    assert_eq!(point.number, 30);
    let nodes: Arc<dyn NodeReader> = Arc::new(reader);
    assert_equal(&State::open(nodes, point.state_root), &blocks[30].state);
}

#[test]
fn what_is_above_the_pruned_number_stays_readable() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let blocks = write_chain(&home, &mut store, false);
    // 40 is between two checkpoints: that of 39 is the newest at or below it.
    store.write(&[Record::PruneStates { below: 40 }]).unwrap();
    assert_eq!(reader.states().unwrap().first().unwrap().number, 39);
    assert_eq!(reader.verify_integrity().unwrap().problems, Vec::<String>::new());
    let nodes: Arc<dyn NodeReader> = Arc::new(reader);
    let state = State::open(nodes.clone(), blocks[39].state.root());
    assert_equal(&state, &blocks[39].state);
    assert!(State::open(nodes, blocks[9].state.root()).supply().is_err());
}

#[test]
fn a_checkpoint_at_a_lower_number_revives_what_it_needs() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let paid = |entries: &[(u64, u64)]| {
        let mut changes = StateChanges::default();
        changes
            .accounts
            .extend(entries.iter().map(|(n, wei)| (account(*n), Some(balance_of(*wei)))));
        changes
    };
    let a1 = child_with(&home.genesis, 1, &[], &paid(&[(1, 1), (2, 2), (3, 3)]));
    let a2 = child_with(&a1, 1, &[], &paid(&[(1, 10), (2, 20)]));
    let mut batch = extend(&[a1.clone(), a2.clone()]);
    let all = || (0..4).map(account).collect::<Vec<Address>>().into_iter();
    batch.push(checkpoint(&a1, &home.genesis, &mut all()));
    batch.push(checkpoint(&a2, &a1, &mut all()));
    store.write(&batch).unwrap();
    // The same states again, from a2 back to a1 and forth: a1's nodes are written anew or still there.
    store.write(&[checkpoint(&a1, &a2, &mut all()), Record::PruneStates { below: 1 }]).unwrap();
    assert_eq!(reader.checkpoint().unwrap(), (1, a1.hash()));
    assert_eq!(reader.verify_integrity().unwrap().problems, Vec::<String>::new());
    store.write(&[checkpoint(&a2, &a1, &mut all()), Record::PruneStates { below: 2 }]).unwrap();
    let found = reader.verify_integrity().unwrap();
    assert_eq!((found.problems, found.states), (Vec::new(), 1));
    // Genesis' root went stale at a checkpoint that was replaced, so nothing says when it may go.
    assert_eq!(rows(&home.path(), "trie_nodes"), found.state_nodes + 1);
}

#[test]
fn the_flat_table_says_what_the_trie_says() {
    let home = Home::new();
    let (mut store, _reader, _) = home.open();
    let blocks = write_chain(&home, &mut store, true);
    let conn = rusqlite::Connection::open(home.path()).unwrap();
    let mut statement = conn.prepare("SELECT address, balance FROM accounts").unwrap();
    let flat: BTreeMap<Vec<u8>, String> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut expected = BTreeMap::new();
    for n in 0..60 {
        if let Some(found) = blocks[60].state.account(account(n)).unwrap() {
            expected.insert(account(n).to_vec(), found.balance.to_string());
        }
    }
    assert!(expected.len() > 20, "the test has something to compare");
    assert_eq!(flat, expected);
}
