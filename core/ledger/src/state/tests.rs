//! The state against a model of plain maps, whose roots `alloy_trie` computes from nothing.

use super::State;
use crate::{
    Account, AccountChange, MemoryNodes, NodeKey, ReadError, StateChanges, StateCommit,
    StorageProof,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, proof::verify_proof, root};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Clone, Debug, Default)]
struct Entry {
    nonce: u64,
    balance: u64,
    storage: BTreeMap<U256, U256>,
}

type Model = BTreeMap<Address, Entry>;

const ADDRESSES: u8 = 24;
const SLOTS: u8 = 12;

fn address(number: u8) -> Address {
    Address::repeat_byte(number)
}

/// Slot, and value; zero removes.
fn slots() -> impl Strategy<Value = BTreeMap<U256, U256>> {
    let value = prop_oneof![
        2 => Just(U256::ZERO),
        2 => (1u64..3).prop_map(U256::from),
        1 => Just(U256::MAX),
    ];
    vec(((0..SLOTS).prop_map(U256::from), value), 0..10)
        .prop_map(|slots| slots.into_iter().collect())
}

fn change() -> impl Strategy<Value = Option<AccountChange>> {
    let some = (0u64..3, 0u64..3, prop::bool::weighted(0.2), slots()).prop_map(
        |(nonce, balance, storage_wiped, storage)| {
            let balance = U256::from(balance);
            Some(AccountChange { nonce, balance, storage_wiped, storage, ..Default::default() })
        },
    );
    prop_oneof![1 => Just(None), 3 => some]
}

fn changes(size_max: usize) -> impl Strategy<Value = StateChanges> {
    vec(((0..ADDRESSES).prop_map(address), change()), 1..size_max).prop_map(|accounts| {
        StateChanges { accounts: accounts.into_iter().collect(), ..Default::default() }
    })
}

fn update_model(model: &mut Model, changes: &StateChanges) {
    for (address, change) in &changes.accounts {
        let Some(change) = change else {
            model.remove(address);
            continue;
        };
        let entry = model.entry(*address).or_default();
        entry.nonce = change.nonce;
        entry.balance = change.balance.to();
        if change.storage_wiped {
            entry.storage.clear();
        }
        entry.storage.extend(&change.storage);
        entry.storage.retain(|_, value| !value.is_zero());
    }
}

fn model_account(entry: &Entry) -> Account {
    let slots = entry.storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
    let storage_root = root::storage_root_unhashed(slots);
    Account::new(entry.nonce, U256::from(entry.balance), storage_root, KECCAK256_EMPTY)
}

fn model_accounts(model: &Model) -> BTreeMap<Address, Account> {
    model.iter().map(|(address, entry)| (*address, model_account(entry))).collect()
}

fn model_root(model: &Model) -> B256 {
    root::state_root_unhashed(model_accounts(model))
}

/// The state built in one batch from nothing.
fn rebuilt(model: &Model) -> State {
    let accounts = model.iter().map(|(address, entry)| {
        let change = AccountChange {
            nonce: entry.nonce,
            balance: U256::from(entry.balance),
            storage: entry.storage.clone(),
            ..Default::default()
        };
        (*address, Some(change))
    });
    let changes = StateChanges { accounts: accounts.collect(), ..Default::default() };
    State::empty().apply(&changes).unwrap()
}

/// The rows that a store holding only this state has.
fn rows(model: &Model) -> BTreeSet<NodeKey> {
    let commit = rebuilt(model).commit(&State::empty(), &mut model.keys().copied()).unwrap();
    assert_eq!(commit.root, model_root(model));
    assert_eq!(commit.stale, []);
    commit.nodes.into_iter().map(|(key, _)| key).collect()
}

fn check_rows(nodes: &MemoryNodes, model: &Model) {
    assert!(nodes.keys().iter().eq(&rows(model)), "exactly the live nodes are left");
}

fn check_reads(state: &State, model: &Model) {
    for number in 0..ADDRESSES {
        let address = address(number);
        let expected = model.get(&address).map(model_account);
        assert_eq!(state.account(address).unwrap(), expected);
        for slot in (0..SLOTS).map(U256::from) {
            let storage = model.get(&address).map(|entry| &entry.storage);
            let value = storage.and_then(|storage| storage.get(&slot)).copied();
            assert_eq!(state.storage(address, slot).unwrap(), value.unwrap_or_default());
        }
    }
    let sum: u64 = model.values().map(|entry| entry.balance).sum();
    assert_eq!(state.supply().unwrap(), U256::from(sum));
    let sorted: BTreeMap<B256, Account> =
        model.iter().map(|(address, entry)| (keccak256(address), model_account(entry))).collect();
    let sorted: Vec<_> = sorted.into_iter().collect();
    assert_eq!(state.accounts(B256::ZERO, usize::MAX).unwrap(), sorted);
    for page in sorted.chunks(3) {
        assert_eq!(state.accounts(page[0].0, 3).unwrap(), page);
    }
}

fn check_proofs(state: &State) {
    let slots: Vec<_> = (0..SLOTS).map(U256::from).collect();
    for number in 0..ADDRESSES {
        let address = address(number);
        let proof = state.prove(address, &slots).unwrap();
        let account = state.account(address).unwrap();
        assert_eq!(proof.address, address);
        assert_eq!(proof.account, account.unwrap_or_default());
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(state.root(), key, account.map(alloy_rlp::encode), &proof.proof).unwrap();
        assert_eq!(proof.storage.len(), slots.len());
        for (asked, StorageProof { slot, value, proof: nodes }) in slots.iter().zip(&proof.storage)
        {
            assert_eq!(slot, asked);
            assert_eq!(*value, state.storage(address, *slot).unwrap());
            let key = Nibbles::unpack(keccak256(B256::from(*slot)));
            let expected = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            verify_proof(proof.account.storage_root, key, expected, nodes).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn equals_the_model_over_a_history_of_commits_and_reopenings(
        steps in vec((changes(16), any::<bool>(), any::<bool>()), 1..12),
    ) {
        let nodes = Arc::new(MemoryNodes::default());
        let mut state = State::open(nodes.clone(), EMPTY_ROOT_HASH);
        let mut durable = state.clone();
        let mut touched = BTreeSet::new();
        let mut model = Model::new();
        for (changes, committed, unloaded) in &steps {
            let (before, before_root) = (state.clone(), state.root());
            state = state.apply(changes).unwrap();
            touched.extend(changes.accounts.keys().copied());
            update_model(&mut model, changes);
            prop_assert_eq!(state.root(), model_root(&model));
            prop_assert_eq!(before.root(), before_root);
            if *committed {
                let commit = state.commit(&durable, &mut touched.iter().copied()).unwrap();
                let accounts = model_accounts(&model);
                let expected = touched.iter().map(|at| (*at, accounts.get(at).copied()));
                prop_assert!(expected.eq(commit.accounts.iter().copied()));
                nodes.apply(&commit);
                check_rows(&nodes, &model);
                touched.clear();
                if *unloaded {
                    state = state.unload();
                    prop_assert_eq!(state.loaded_bytes(), 0);
                }
                durable = state.clone();
            }
            check_reads(&state, &model);
        }
        check_proofs(&state);
    }

    #[test]
    fn a_state_that_returns_to_old_content_has_its_old_rows(
        start in changes(40), there in changes(8),
    ) {
        let nodes = Arc::new(MemoryNodes::default());
        let empty = State::open(nodes.clone(), EMPTY_ROOT_HASH);
        let all = || (0..ADDRESSES).map(address);
        let mut first = Model::new();
        update_model(&mut first, &start);
        let first_state = empty.apply(&start).unwrap();
        nodes.apply(&first_state.commit(&empty, &mut all()).unwrap());
        let mut second = first.clone();
        update_model(&mut second, &there);
        let second_state = first_state.unload().apply(&there).unwrap();
        nodes.apply(&second_state.commit(&first_state, &mut all()).unwrap());
        check_rows(&nodes, &second);

        // Back by changes, not by the old value.
        let back = StateChanges {
            accounts: all().map(|address| {
                let change = first.get(&address).map(|entry| AccountChange {
                    nonce: entry.nonce,
                    balance: U256::from(entry.balance),
                    storage_wiped: true,
                    storage: entry.storage.clone(),
                    ..Default::default()
                });
                (address, change)
            }).collect(),
            ..Default::default()
        };
        let third_state = second_state.unload().apply(&back).unwrap();
        prop_assert_eq!(third_state.root(), first_state.root());
        nodes.apply(&third_state.commit(&second_state, &mut all()).unwrap());
        check_rows(&nodes, &first);
        check_reads(&third_state.unload(), &first);
    }

    #[test]
    fn forks_of_one_base_are_separate_states(
        start in changes(40), left in changes(8), right in changes(8),
    ) {
        let nodes = Arc::new(MemoryNodes::default());
        let empty = State::open(nodes.clone(), EMPTY_ROOT_HASH);
        let all = || (0..ADDRESSES).map(address);
        let mut model = Model::new();
        update_model(&mut model, &start);
        let base = empty.apply(&start).unwrap();
        nodes.apply(&base.commit(&empty, &mut all()).unwrap());
        let base = base.unload();
        let (left_state, right_state) = (base.apply(&left).unwrap(), base.apply(&right).unwrap());
        let (mut left_model, mut right_model) = (model.clone(), model.clone());
        update_model(&mut left_model, &left);
        update_model(&mut right_model, &right);
        for (state, model) in
            [(&left_state, &left_model), (&right_state, &right_model), (&base, &model)]
        {
            prop_assert_eq!(state.root(), model_root(model));
            check_reads(state, model);
        }
        let across = right_state.commit(&left_state, &mut all()).unwrap();
        nodes.apply(&left_state.commit(&base, &mut all()).unwrap());
        check_rows(&nodes, &left_model);
        nodes.apply(&across);
        check_rows(&nodes, &right_model);
        check_reads(&right_state.unload(), &right_model);
    }
}

fn balance(number: u8, balance: u64) -> (Address, Option<AccountChange>) {
    let change = AccountChange { balance: U256::from(balance), ..Default::default() };
    (address(number), Some(change))
}

#[test]
fn code_stays_in_the_state_until_it_is_durable() {
    let nodes = Arc::new(MemoryNodes::default());
    let empty = State::open(nodes.clone(), EMPTY_ROOT_HASH);
    let code = Bytes::from_static(b"\x60\x00");
    let hash = keccak256(&code);
    let changes = StateChanges {
        accounts: BTreeMap::from([balance(1, 1)]),
        codes: BTreeMap::from([(hash, code.clone())]),
    };
    let state = empty.apply(&changes).unwrap();
    assert_eq!(state.code(hash), Ok(code.clone()));
    assert_eq!(state.unload().code(hash), Err(ReadError::MissingCode(hash)));
    assert_eq!(empty.code(hash), Err(ReadError::MissingCode(hash)));
    assert_eq!(empty.code(KECCAK256_EMPTY), Ok(Bytes::new()));

    let commit = state.commit(&empty, &mut [address(1)].into_iter()).unwrap();
    assert_eq!(commit.codes, [(hash, code.clone())]);
    nodes.apply(&commit);
    assert_eq!(state.unload().code(hash), Ok(code.clone()));
    let next = state
        .apply(&StateChanges { accounts: BTreeMap::from([balance(2, 1)]), ..Default::default() });
    let commit = next.unwrap().commit(&state, &mut [address(2)].into_iter()).unwrap();
    assert_eq!(commit.codes, []);

    nodes.apply(&StateCommit { codes: vec![(hash, Bytes::new())], ..Default::default() });
    assert_eq!(state.unload().code(hash), Err(ReadError::Damaged(hash)));
}

#[test]
fn a_commit_costs_the_rows_that_changed() {
    let nodes = Arc::new(MemoryNodes::default());
    let empty = State::open(nodes.clone(), EMPTY_ROOT_HASH);
    let accounts = (0..=255).map(|number| balance(number, 1)).collect();
    let state = empty.apply(&StateChanges { accounts, ..Default::default() }).unwrap();
    let all = || (0..=255).map(address);
    nodes.apply(&state.commit(&empty, &mut all()).unwrap());
    let accounts = BTreeMap::from([balance(7, 2)]);
    let next = state.unload().apply(&StateChanges { accounts, ..Default::default() }).unwrap();
    let commit = next.commit(&state, &mut [address(7), address(7)].into_iter()).unwrap();
    let path = next.prove(address(7), &[]).unwrap().proof.len();
    assert_eq!((commit.nodes.len(), commit.stale.len()), (path, path));
    assert_eq!(commit.accounts.len(), 1);
    let same = state.unload().commit(&state, &mut all()).unwrap();
    assert_eq!((same.nodes.len(), same.stale.len()), (0, 0));
}

#[test]
fn loaded_bytes_follow_what_is_held() {
    let nodes = Arc::new(MemoryNodes::default());
    let empty = State::open(nodes.clone(), EMPTY_ROOT_HASH);
    let storage: BTreeMap<_, _> = (1..200u64).map(|n| (U256::from(n), U256::from(n))).collect();
    let all = |balance: u64| {
        let change = |number: u8| AccountChange {
            balance: U256::from(balance),
            storage: if number == 1 { storage.clone() } else { BTreeMap::new() },
            ..Default::default()
        };
        let accounts = (0..=255).map(|number| (address(number), Some(change(number)))).collect();
        StateChanges { accounts, ..Default::default() }
    };
    let mut state = empty.apply(&all(1)).unwrap();
    let first = state.loaded_bytes();
    assert!(first > 455 * 100, "each leaf takes some bytes: {first}");
    for block in 2..50 {
        state = state.apply(&all(block % 7 + 1)).unwrap();
    }
    assert_eq!(state.loaded_bytes(), first, "replaced nodes do not add up");
    nodes.apply(&state.commit(&empty, &mut (0..=255).map(address)).unwrap());

    let opened = state.unload();
    assert_eq!(opened.loaded_bytes(), 0);
    opened.supply().unwrap();
    opened.accounts(B256::ZERO, usize::MAX).unwrap();
    assert_eq!(opened.loaded_bytes(), 0, "walks keep nothing");
    for number in 0..=255 {
        opened.account(address(number)).unwrap();
    }
    for slot in 1..200 {
        opened.storage(address(1), U256::from(slot)).unwrap();
    }
    let loaded = opened.loaded_bytes();
    assert!(loaded.abs_diff(first) < first / 10, "{loaded} is about {first}");

    let none = (0..=255).map(|number| (address(number), None)).collect();
    let gone = state.apply(&StateChanges { accounts: none, ..Default::default() }).unwrap();
    assert_eq!((gone.root(), gone.loaded_bytes()), (EMPTY_ROOT_HASH, 0));
}

#[test]
fn several_threads_load_and_hash_one_state() {
    let nodes = Arc::new(MemoryNodes::default());
    let empty = State::open(nodes.clone(), EMPTY_ROOT_HASH);
    let mut model = Model::new();
    for number in 0..ADDRESSES {
        let storage = (0..SLOTS).map(|slot| (U256::from(slot), U256::from(number) + U256::ONE));
        let entry = Entry { nonce: 1, balance: 1, storage: storage.collect() };
        model.insert(address(number), entry);
    }
    let rebuilt = rebuilt(&model);
    nodes.apply(&rebuilt.commit(&empty, &mut model.keys().copied()).unwrap());
    let opened = State::open(nodes, rebuilt.root());
    let accounts = (0..ADDRESSES).map(|number| balance(number, 2)).collect();
    let changes = StateChanges { accounts, ..Default::default() };
    let next = opened.apply(&changes).unwrap();
    let mut next_model = model.clone();
    update_model(&mut next_model, &changes);
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                assert_eq!(next.root(), model_root(&next_model));
                check_reads(&opened, &model);
                check_proofs(&next);
            });
        }
    });
}
