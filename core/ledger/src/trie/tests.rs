//! The trie against a full rebuild by `alloy_trie::HashBuilder`, on keys that share prefixes and
//! values so short that nodes lie inside their parents.

use super::{Change, Diff, Place, Source, Trie, Value};
use crate::{MemoryNodes, NodeKey, NodeReader, ReadError, StateCommit};
use alloy_primitives::{B256, Bytes, b256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, proof::verify_proof};
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

type Model = BTreeMap<Nibbles, Vec<u8>>;
type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

const OWNER: Option<B256> = Some(B256::repeat_byte(0xaa));

/// How the few nibbles that vary lie in a key.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Short,
    First,
    Last,
    Spread,
}

impl Layout {
    fn key(self, nibbles: &[u8]) -> Nibbles {
        let mut key = [0; 64];
        match self {
            Self::Short => return Nibbles::from_nibbles(nibbles),
            Self::First => key[..nibbles.len()].copy_from_slice(nibbles),
            Self::Last => key[64 - nibbles.len()..].copy_from_slice(nibbles),
            Self::Spread => nibbles.iter().enumerate().for_each(|(i, n)| key[i * 17] = *n),
        }
        Nibbles::from_nibbles(key)
    }
    fn changes(self, batch: &Batch) -> BTreeMap<Nibbles, Option<Vec<u8>>> {
        batch.iter().map(|(key, value)| (self.key(key), value.clone())).collect()
    }
}

fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![Just(Layout::Short), Just(Layout::First), Just(Layout::Last), Just(Layout::Spread)]
}

/// Keys of four nibbles out of three; values of one byte, of about a hash, or removal.
fn batch(size_max: usize) -> impl Strategy<Value = Batch> {
    let nibble = prop_oneof![Just(0u8), Just(1), Just(15)];
    let value = prop_oneof![
        3 => Just(None),
        3 => (1u8..4).prop_map(|byte| Some(vec![byte])),
        1 => (1u8..4).prop_map(|byte| Some(vec![byte; 31])),
        1 => (1u8..4).prop_map(|byte| Some(vec![byte; 33])),
    ];
    vec((vec(nibble, 4), value), 1..size_max)
}

fn source(nodes: &Arc<MemoryNodes>) -> Source {
    Source::new(nodes.clone())
}

fn place(source: &Source) -> Place<'_> {
    Place { source, owner: OWNER }
}

fn update(source: &Source, trie: &Trie, changes: &BTreeMap<Nibbles, Option<Vec<u8>>>) -> Trie {
    let changes = changes.iter().map(|(key, value)| Change {
        key: *key,
        value: value.clone().map(|value| Arc::new(Value::new(value))),
    });
    trie.update(place(source), &changes.collect::<Vec<_>>()).unwrap()
}

fn update_model(model: &mut Model, changes: &BTreeMap<Nibbles, Option<Vec<u8>>>) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(model.insert(*key, value.clone())),
            None => drop(model.remove(key)),
        }
    }
}

fn model_root(model: &Model) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in model {
        builder.add_leaf(*key, value);
    }
    builder.root()
}

fn commit(new: (&Source, &Trie), base: (&Source, &Trie)) -> StateCommit {
    let mut diff = Diff::default();
    diff.add((place(new.0), new.1), (place(base.0), base.1)).unwrap();
    StateCommit { nodes: diff.nodes, stale: diff.stale, ..Default::default() }
}

/// The rows of a trie, each with its RLP.
fn rows(source: &Source, trie: &Trie) -> BTreeMap<NodeKey, Bytes> {
    let commit = commit((source, trie), (source, &Trie::default()));
    assert_eq!(commit.stale, []);
    let rows: BTreeMap<_, _> = commit.nodes.iter().cloned().collect();
    assert_eq!(rows.len(), commit.nodes.len(), "a row is written once");
    rows
}

fn check_reads(source: &Source, trie: &Trie, model: &Model, keys: impl Iterator<Item = Nibbles>) {
    for key in keys {
        let value = trie.get(place(source), &key).unwrap().map(|value| value.rlp.to_vec());
        assert_eq!(value.as_ref(), model.get(&key), "{key:?}");
        let proof = trie.prove(place(source), &key).unwrap();
        // The verifier knows no root shorter than a hash; no key of 64 nibbles makes one.
        if proof.first().is_none_or(|root| root.len() >= 32) {
            verify_proof(trie.root(), key, value, &proof).unwrap();
        } else {
            assert_eq!(key.len(), 4);
        }
    }
}

fn check_walk(source: &Source, trie: &Trie, model: &Model, start: Nibbles) {
    let mut seen = Vec::new();
    trie.walk(place(source), &start, &mut |key, value| {
        seen.push((key, value.rlp.to_vec()));
        Ok(seen.len() < 5)
    })
    .unwrap();
    let expected: Vec<_> =
        model.range(start..).take(5).map(|(key, value)| (*key, value.clone())).collect();
    assert_eq!(seen, expected);
}

fn check_history(layout: Layout, steps: &[(Batch, bool, bool)]) {
    let nodes = Arc::new(MemoryNodes::default());
    let mut source = source(&nodes);
    let (mut trie, mut durable) = (Trie::default(), Trie::default());
    let mut model = Model::new();
    for (batch, committed, reopened) in steps {
        let changes = layout.changes(batch);
        trie = update(&source, &trie, &changes);
        update_model(&mut model, &changes);
        assert_eq!(trie.root(), model_root(&model));
        if *committed {
            let before: BTreeSet<_> = nodes.keys().into_iter().collect();
            let commit = commit((&source, &trie), (&source, &durable));
            assert!(commit.nodes.iter().all(|(key, _)| !before.contains(key)));
            assert!(commit.stale.iter().all(|key| before.contains(key)));
            nodes.apply(&commit);
            durable = trie.clone();
            let rebuilt = update(
                &source,
                &Trie::default(),
                &model.iter().map(|(key, value)| (*key, Some(value.clone()))).collect(),
            );
            let rows = rows(&source, &rebuilt);
            assert!(nodes.keys().iter().eq(rows.keys()), "exactly the live nodes are left");
        }
        if *committed && *reopened {
            source = Source::new(nodes.clone());
            trie = Trie::open(trie.root());
            durable = Trie::open(trie.root());
        }
        check_walk(&source, &trie, &model, layout.key(&batch[0].0));
        let keys = changes.into_keys().chain(model.keys().copied());
        if *reopened {
            check_reads(&source, &trie, &model, keys);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_a_full_rebuild_after_every_step(
        layout in layout(),
        steps in vec((batch(8), any::<bool>(), any::<bool>()), 1..25),
    ) {
        check_history(layout, &steps);
    }

    #[test]
    fn big_batches_equal_a_full_rebuild(
        layout in layout(),
        steps in vec((batch(80), any::<bool>(), any::<bool>()), 1..6),
    ) {
        check_history(layout, &steps);
    }

    #[test]
    fn branches_of_one_base_do_not_disturb_each_other(
        layout in layout(), start in batch(40), left in batch(8), right in batch(8),
    ) {
        let (start, left, right) =
            (layout.changes(&start), layout.changes(&left), layout.changes(&right));
        let nodes = Arc::new(MemoryNodes::default());
        let fresh = source(&nodes);
        let base = update(&fresh, &Trie::default(), &start);
        let base_rows = rows(&fresh, &base);
        nodes.apply(&commit((&fresh, &base), (&fresh, &Trie::default())));

        // One branch on the state in memory, the other on the same state loaded on demand.
        let loaded = source(&nodes);
        let left_trie = update(&fresh, &base, &left);
        let right_trie = update(&loaded, &Trie::open(base.root()), &right);
        let mut model = Model::new();
        update_model(&mut model, &start);
        prop_assert_eq!(base.root(), model_root(&model));
        let mut left_model = model.clone();
        update_model(&mut left_model, &left);
        update_model(&mut model, &right);
        prop_assert_eq!(left_trie.root(), model_root(&left_model));
        prop_assert_eq!(right_trie.root(), model_root(&model));

        let (left_rows, right_rows) = (rows(&fresh, &left_trie), rows(&loaded, &right_trie));
        let across = commit((&loaded, &right_trie), (&fresh, &left_trie));
        let back = commit((&fresh, &base), (&loaded, &right_trie));
        nodes.apply(&commit((&fresh, &left_trie), (&fresh, &base)));
        prop_assert!(nodes.keys().iter().eq(left_rows.keys()));
        nodes.apply(&across);
        prop_assert!(nodes.keys().iter().eq(right_rows.keys()));
        nodes.apply(&back);
        prop_assert!(nodes.keys().iter().eq(base_rows.keys()));
    }

    #[test]
    fn a_batch_that_changes_nothing_shares_everything(layout in layout(), start in batch(40)) {
        let nodes = Arc::new(MemoryNodes::default());
        let source = source(&nodes);
        let mut changes = layout.changes(&start);
        let trie = update(&source, &Trie::default(), &changes);
        // Set what is set, and remove what is not there, beside and between the keys.
        for nibbles in [[0, 0, 0, 2], [2, 0, 0, 0], [1, 1, 7, 1], [15, 15, 15, 14]] {
            changes.insert(layout.key(&nibbles), None);
        }
        let again = update(&source, &trie, &changes);
        match (&trie.root, &again.root) {
            (None, None) => {}
            (Some(one), Some(other)) => prop_assert!(one.is(other)),
            _ => prop_assert!(false),
        }
        prop_assert_eq!(trie.bytes(), again.bytes());
    }
}

#[test]
fn the_empty_trie_has_the_published_root() {
    let empty = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
    assert_eq!(EMPTY_ROOT_HASH, empty);
    assert_eq!(Trie::default().root(), empty);
    assert_eq!(Trie::open(empty).root(), empty);
    assert!(Trie::open(empty).root.is_none());
}

#[test]
fn removing_a_key_loads_the_sibling_that_takes_its_place() {
    for rest in [&[1u8, 1, 1, 1][..], &[1, 1, 1, 2]] {
        let nodes = Arc::new(MemoryNodes::default());
        let fresh = source(&nodes);
        // Long values: every node has its own row, so the sibling can only come from the reader.
        let keys = [[0u8, 0, 0, 0], [1, 1, 1, 1], rest.try_into().unwrap()];
        let changes = keys.iter().map(|key| (Layout::Short.key(key), Some(vec![7; 40]))).collect();
        let trie = update(&fresh, &Trie::default(), &changes);
        nodes.apply(&commit((&fresh, &trie), (&fresh, &Trie::default())));

        let loaded = source(&nodes);
        let gone = BTreeMap::from([(Layout::Short.key(&keys[0]), None)]);
        let trie = update(&loaded, &Trie::open(trie.root()), &gone);
        let left = keys[1..].iter().map(|key| (Layout::Short.key(key), vec![7; 40])).collect();
        assert_eq!(trie.root(), model_root(&left));
    }
}

/// A store that gives back something else than was written, or nothing.
struct Damaged(Option<Bytes>);

impl NodeReader for Damaged {
    fn node(&self, _: &NodeKey) -> Result<Option<Bytes>, ReadError> {
        Ok(self.0.clone())
    }
    fn code(&self, _: B256) -> Result<Option<Bytes>, ReadError> {
        Ok(self.0.clone())
    }
}

#[test]
fn a_row_that_is_missing_or_damaged_is_told() {
    let garbage = Bytes::from_static(b"\xc2\x01\x02");
    let hash = alloy_primitives::keccak256(&garbage);
    let other = B256::repeat_byte(1);
    let table = [
        (None, other, ReadError::MissingNode(other)),
        (Some(garbage.clone()), other, ReadError::Damaged(other)),
        // The hash is right, but it is no node.
        (Some(garbage), hash, ReadError::Damaged(hash)),
    ];
    for (row, root, expected) in table {
        let source = Source::new(Arc::new(Damaged(row)));
        let trie = Trie::open(root);
        let key = Nibbles::unpack(B256::ZERO);
        let change = Change { key, value: Some(Arc::new(Value::new(vec![1]))) };
        assert_eq!(trie.get(place(&source), &key).unwrap_err(), expected);
        assert_eq!(trie.prove(place(&source), &key).unwrap_err(), expected);
        assert_eq!(trie.update(place(&source), &[change]).unwrap_err(), expected);
        let walked = trie.walk(place(&source), &key, &mut |_, _| Ok(true));
        assert_eq!(walked.unwrap_err(), expected);
        let mut diff = Diff::default();
        let added = diff.add((place(&source), &Trie::default()), (place(&source), &trie));
        assert_eq!(added.unwrap_err(), expected);
        assert_eq!(trie.root(), root);
    }
}

#[test]
fn node_keys_are_distinct_bytes_in_order_of_place() {
    let hash = B256::repeat_byte(3);
    let key = |owner, nibbles: &[u8], hash| {
        NodeKey { owner, path: Nibbles::from_nibbles(nibbles), hash }.to_bytes()
    };
    let ascending = [
        key(None, &[], hash),
        key(None, &[1], hash),
        key(None, &[1], B256::repeat_byte(4)),
        key(None, &[1, 0], hash),
        key(None, &[15; 64], hash),
        key(Some(B256::ZERO), &[], hash),
        key(OWNER, &[], hash),
        key(OWNER, &[2, 3, 4], hash),
    ];
    assert!(ascending.is_sorted_by(|a, b| a < b));
    assert_eq!(ascending[3], [&[0, 2, 0x10][..], hash.as_slice()].concat());
}
