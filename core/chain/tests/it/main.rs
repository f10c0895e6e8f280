//! The block tree against small trees made by hand: what is head, what a switch changes, what is forgotten.

use kette_chain::{BlockTree, ChainReader, ExecutedBlock, Headers, MemoryChain, Record, Reorg};
use kette_ledger::State;
use kette_types::{B256, Block, Body, Bytes, Header, SealedHeader, U256};
use std::{collections::BTreeMap, sync::Arc};

/// Blocks by name. Numbers and weights follow from the parents; nothing is executed.
struct Toy {
    tree: BlockTree,
    chain: Arc<MemoryChain>,
    blocks: BTreeMap<String, Arc<ExecutedBlock>>,
}

fn block(name: &str, parent: Option<&ExecutedBlock>, weight: u64) -> Arc<ExecutedBlock> {
    let header = Header {
        parent_hash: parent.map_or(B256::ZERO, |p| p.hash()),
        number: parent.map_or(0, |p| p.number() + 1),
        extra_data: Bytes::copy_from_slice(name.as_bytes()),
        ..Header::default()
    };
    let total_weight = parent.map_or(U256::ZERO, |p| p.total_weight) + U256::from(weight);
    Arc::new(ExecutedBlock {
        block: Block { header: SealedHeader::new(header, Bytes::new()), body: Body::default() },
        senders: Vec::new(),
        receipts: Vec::new(),
        state: State::empty(),
        changed: Vec::new(),
        weight: U256::from(weight),
        total_weight,
        issued: U256::ZERO,
        burned: U256::ZERO,
    })
}

impl Toy {
    fn new() -> Self {
        let chain = Arc::new(MemoryChain::default());
        let genesis = block("g", None, 0);
        chain.apply(&[Record::Block(genesis.clone())]);
        let tree = BlockTree::new(genesis.clone(), chain.clone());
        Self { tree, chain, blocks: BTreeMap::from([("g".to_owned(), genesis)]) }
    }

    /// Adds `name1`, `name2`, ... on `parent`.
    fn branch(&mut self, parent: &str, name: &str, n: usize) {
        let mut parent = parent.to_owned();
        for i in 1..=n {
            let name = format!("{name}{i}");
            let block = block(&name, Some(&self.blocks[&parent]), 1);
            self.chain.apply(&[Record::Block(block.clone())]);
            self.tree.insert(block.clone());
            self.blocks.insert(name.clone(), block);
            parent = name;
        }
    }

    fn hash(&self, name: &str) -> B256 {
        self.blocks[name].hash()
    }

    fn name(&self, hash: B256) -> &str {
        self.blocks.iter().find(|(_, b)| b.hash() == hash).map_or("?", |(name, _)| name)
    }

    fn names(&self, hashes: &[B256]) -> Vec<&str> {
        hashes.iter().map(|hash| self.name(*hash)).collect()
    }

    /// Switches the head, in the tree and then in the store.
    fn head(&mut self, name: &str) -> Reorg {
        let hash = self.hash(name);
        let planned = self.tree.plan(hash).expect("it is in the tree");
        let reorg = self.tree.set_head(hash);
        assert_eq!(planned, reorg);
        let (keep, added) = (reorg.keep, reorg.added.clone());
        self.chain.apply(&[Record::Canonical { keep, added }]);
        assert_eq!(self.tree.head().hash(), hash);
        assert_eq!(self.tree.head_block().hash(), hash);
        reorg
    }

    fn at(&self, number: u64) -> Option<B256> {
        self.tree.canonical(number).expect("memory does not fail")
    }

    fn canonical(&self) -> Vec<&str> {
        let hashes = (0..=self.tree.head().number).map(|n| self.at(n).expect("no hole"));
        let names = hashes.map(|hash| self.name(hash)).collect();
        assert_eq!(self.at(self.tree.head().number + 1), None);
        names
    }

    fn check(&self, reorg: &Reorg, keep: u64, removed: &[&str], added: &[&str]) {
        assert_eq!(reorg.keep, keep);
        assert_eq!(self.names(&reorg.removed), removed);
        assert_eq!(self.names(&reorg.added), added);
    }
}

#[test]
fn a_switch_of_the_head_tells_what_it_changes() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 3);
    toy.branch("a1", "b", 3);
    let reorg = toy.head("a3");
    toy.check(&reorg, 0, &[], &["a1", "a2", "a3"]);
    let reorg = toy.head("b3");
    toy.check(&reorg, 1, &["a3", "a2"], &["b1", "b2", "b3"]);
    assert_eq!(toy.canonical(), ["g", "a1", "b1", "b2", "b3"]);
    assert!(toy.tree.is_canonical(toy.hash("b2")) && !toy.tree.is_canonical(toy.hash("a2")));
    // Down to a shorter branch, and back along the own one.
    let reorg = toy.head("a2");
    toy.check(&reorg, 1, &["b3", "b2", "b1"], &["a2"]);
    let reorg = toy.head("a1");
    toy.check(&reorg, 1, &["a2"], &[]);
    let reorg = toy.head("a1");
    toy.check(&reorg, 1, &[], &[]);
    assert_eq!(toy.tree.plan(B256::repeat_byte(1)), None);
    assert_eq!(toy.tree.head_weight(), U256::from(1));
    assert_eq!(toy.tree.total_weight(toy.hash("b3")), Some(U256::from(4)));
}

#[test]
fn leaves_are_blocks_without_children() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 3);
    toy.branch("a1", "b", 1);
    toy.branch("g", "c", 2);
    let mut leaves: Vec<_> = toy.tree.leaves().map(|leaf| toy.name(leaf.hash())).collect();
    leaves.sort_unstable();
    assert_eq!(leaves, ["a3", "b1", "c2"]);
    assert_eq!((toy.tree.len(), toy.tree.is_empty()), (7, false));
}

#[test]
fn a_block_that_is_there_already_stays() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 1);
    let again = Arc::new(ExecutedBlock { weight: U256::from(9), ..(*toy.blocks["a1"]).clone() });
    toy.tree.insert(again);
    assert_eq!(toy.tree.executed(toy.hash("a1")).unwrap().weight, U256::from(1));
}

#[test]
#[should_panic(expected = "a parent in the tree")]
fn a_block_without_parent_is_refused() {
    let mut toy = Toy::new();
    let alone = block("x", Some(&block("y", None, 1)), 1);
    toy.tree.insert(alone);
}

#[test]
fn finality_follows_the_chain_and_falls_back_with_a_reorganization() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 10);
    toy.head("a10");
    toy.tree.finalize(toy.hash("a7"));
    assert_eq!(toy.tree.finalized(), (7, toy.hash("a7")));
    toy.tree.finalize(toy.hash("a3"));
    toy.tree.finalize(B256::repeat_byte(1));
    assert_eq!(toy.tree.finalized(), (7, toy.hash("a7")), "never back by itself");
    // Well below it blocks are no longer held whole.
    let whole = |toy: &Toy, name: &str| toy.tree.executed(toy.hash(name)).is_some();
    assert!(!whole(&toy, "a4") && whole(&toy, "a5") && whole(&toy, "a10"));
    let old = toy.blocks["a4"].clone();
    let name = old.hash();
    toy.tree.hold(name, Some(old));
    assert!(whole(&toy, "a4"));
    toy.branch("a6", "b", 5);
    let reorg = toy.head("b5");
    toy.check(&reorg, 6, &["a10", "a9", "a8", "a7"], &["b1", "b2", "b3", "b4", "b5"]);
    assert_eq!(toy.tree.finalized(), (6, toy.hash("a6")));
    toy.tree.finalize(toy.hash("b1"));
    assert_eq!(toy.tree.finalized(), (7, toy.hash("b1")));
}

#[test]
fn pruning_forgets_what_is_deep_and_names_dead_side_blocks() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 20);
    toy.branch("a5", "b", 3);
    toy.branch("b1", "c", 9);
    toy.branch("a12", "d", 2);
    toy.branch("a15", "e", 2);
    toy.head("a20");
    let dead = toy.tree.prune(8);
    let mut names = toy.names(&dead);
    names.sort_unstable();
    let c: Vec<String> = (1..=9).map(|i| format!("c{i}")).collect();
    let mut expected: Vec<&str> =
        ["b1", "b2", "b3"].into_iter().chain(c.iter().map(|c| &**c)).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(toy.tree.horizon(), 12);
    assert!(toy.tree.contains(toy.hash("d2")) && toy.tree.contains(toy.hash("a12")));
    assert!(!toy.tree.contains(toy.hash("a11")));
    // What is no longer held is read.
    assert_eq!(toy.canonical().len(), 21);
    let header = Headers::header(&toy.tree, toy.hash("a11")).unwrap();
    assert_eq!(header.unwrap().number, 11);
    assert!(toy.tree.prune(8).is_empty());
    assert!(toy.tree.prune(100).is_empty(), "nothing is forgotten twice");
    let reorg = toy.head("d2");
    toy.check(&reorg, 12, &["a20", "a19", "a18", "a17", "a16", "a15", "a14", "a13"], &["d1", "d2"]);
}

#[test]
fn pruning_believes_the_tree_and_not_a_store_that_lags() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 20);
    toy.branch("a2", "b", 30);
    toy.head("a20");
    // A deep switch that is not written yet.
    toy.tree.set_head(toy.hash("b30"));
    let dead = toy.tree.prune(8);
    assert!(dead.contains(&toy.hash("a3")), "the branch that was left is dead");
    assert!(!dead.contains(&toy.hash("b1")), "the branch that is followed is not");
    assert_eq!(dead.len(), 18);
}

#[test]
fn everything_above_a_block_can_be_forgotten() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 5);
    toy.branch("a2", "b", 4);
    toy.head("a5");
    toy.head("a3");
    let gone = toy.tree.forget_above(toy.hash("a3"));
    let mut names = toy.names(&gone);
    names.sort_unstable();
    assert_eq!(names, ["a4", "a5", "b2", "b3", "b4"]);
    assert!(toy.tree.contains(toy.hash("b1")), "as high as the head");
    assert_eq!(toy.tree.forget_above(B256::repeat_byte(1)), Vec::<B256>::new());
    assert_eq!(toy.canonical(), ["g", "a1", "a2", "a3"]);
}

#[test]
fn a_locator_is_dense_and_then_sparse() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 200);
    toy.head("a200");
    toy.tree.prune(50);
    let locator = toy.tree.locator().unwrap();
    let numbers: Vec<u64> =
        locator.iter().map(|hash| toy.chain.header(*hash).unwrap().unwrap().number).collect();
    assert_eq!(numbers[..10], [200, 199, 198, 197, 196, 195, 194, 193, 192, 191]);
    assert!(numbers.windows(2).all(|pair| pair[0] > pair[1]));
    let steps: Vec<u64> = numbers.windows(2).map(|pair| pair[0] - pair[1]).collect();
    assert!(steps[10..steps.len() - 1].windows(2).all(|pair| pair[1] == 2 * pair[0]), "{steps:?}");
    assert_eq!(numbers.last(), Some(&0));
    assert!(numbers.len() < 20);
    assert!(locator.iter().all(|hash| toy.name(*hash) == "g" || toy.name(*hash).starts_with('a')));
}

#[test]
fn a_tree_is_extended_down_after_a_restart() {
    let mut toy = Toy::new();
    toy.branch("g", "a", 20);
    toy.head("a20");
    let root = toy.blocks["a15"].clone();
    let mut tree = BlockTree::new(root, toy.chain.clone());
    assert_eq!(tree.horizon(), 15);
    let header = |name: &str| toy.blocks[name].block.header.clone();
    tree.extend_down(header("a13"), U256::from(13));
    assert_eq!(tree.horizon(), 15, "not its parent");
    for number in (10..15).rev() {
        tree.extend_down(header(&format!("a{number}")), U256::from(number));
    }
    assert_eq!(tree.horizon(), 10);
    assert_eq!(tree.total_weight(toy.hash("a10")), Some(U256::from(10)));
    assert!(tree.executed(toy.hash("a12")).is_none() && tree.executed(toy.hash("a15")).is_some());
    assert_eq!(tree.canonical(3).unwrap(), Some(toy.hash("a3")), "below it the store is read");
    tree.insert(block("x", Some(&toy.blocks["a12"]), 9));
    let x = block("x", Some(&toy.blocks["a12"]), 9).hash();
    let reorg = tree.set_head(x);
    assert_eq!((reorg.keep, reorg.removed.len(), reorg.added), (12, 3, vec![x]));
    assert_eq!(tree.finalized().0, 12);
}
