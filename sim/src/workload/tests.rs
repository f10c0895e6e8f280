//! Users on a world: what they hand in is taken up, also after nodes lost it.

use super::*;
use crate::{disk::Loss, run::Scenario, scenario::NetworkFile, world::Options};
use alloy_signer_local::{MnemonicBuilder, coins_bip39::English};
use std::collections::BTreeSet;

const ATMN: &str = include_str!("../../../kette/presets/chains/atmn.json");

fn scenario(nodes: usize, rate: f64) -> Scenario {
    let text = format!(
        "schema = 1\n\
         [network]\nname = \"test\"\nchain = \"atmn\"\ntopology = \"mesh\"\nmine_rate = 10\n\
         [workload]\nrate = {rate:?}\n\
         [genesis]\ndifficulty = \"0x20\"\n\
         [genesis.config.kette.engine.pow]\nblockTime = 2\nanchorDifficulty = \"0x20\"\n\
         [[group]]\nname = \"n\"\ncount = {nodes}\nroles = [\"miner\"]\n"
    );
    Scenario::new(NetworkFile::parse(&text).unwrap(), ATMN).unwrap()
}

struct Stage {
    world: World,
    workload: Workload,
}

impl Stage {
    fn new(nodes: usize, rate: f64) -> Self {
        let Scenario { file, plan, spec, .. } = scenario(nodes, rate);
        let options = Options { seed: 3, memo: None };
        let mut world = World::new(&file, &plan, spec.clone(), &options, Vec::new()).unwrap();
        (0..nodes).for_each(|host| world.start(host));
        Self { world, workload: Workload::new(&spec, &file.workload, 3) }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.world.now() + Duration::from_secs(seconds);
        while self.world.now() < until && self.world.violations().is_empty() {
            let due = self.workload.next().map_or(until, |at| at.min(until));
            while self.world.step(due) {}
            self.workload.act(&mut self.world);
        }
        assert!(self.world.violations().is_empty(), "{:?}", self.world.violations());
    }

    /// Returns hashes of all transactions in a host's canonical chain.
    fn included(&self, host: usize) -> BTreeSet<B256> {
        let mut hash = self.world.hosts[host].node().unwrap().tree().head().hash();
        let mut included = BTreeSet::new();
        while let Some(history) = self.world.blocks.get(&hash) {
            let block = &history.block.block;
            included.extend(block.body.transactions.iter().map(|it| *it.tx_hash()));
            hash = block.header.parent_hash;
        }
        included
    }

    fn quiet(&mut self, seconds: u64) {
        self.workload.rate = 0.0;
        self.workload.draw_next(self.world.now());
        self.run(seconds);
    }
}

#[test]
fn the_keys_are_those_of_the_mnemonic() {
    let phrase = "test test test test test test test test test test test junk";
    for (index, key) in KEYS.into_iter().enumerate() {
        let builder = MnemonicBuilder::<English>::default().phrase(phrase);
        let signer = builder.index(index as u32).unwrap().build().unwrap();
        assert_eq!(signer.to_bytes(), key, "account {index}");
    }
}

#[test]
fn transfers_come_at_the_rate_and_are_included() {
    let mut stage = Stage::new(3, 5.0);
    stage.run(100);
    let count = stage.workload.sent().count();
    // A Poisson process: 500 with a standard deviation of 22.4.
    assert!((400..600).contains(&count), "{count}");
    stage.quiet(60);
    let included = stage.included(1);
    for sent in stage.workload.sent() {
        assert!(included.contains(&sent.hash) && sent.taken == Some(true), "{sent:?}");
    }
    let hosts: BTreeSet<usize> = stage.workload.sent().map(|sent| sent.host).collect();
    assert_eq!(hosts.len(), 3, "all hosts are used");
    let legacy = stage.workload.users.iter().flat_map(|user| &user.recent);
    let (legacy, other): (Vec<_>, Vec<_>) =
        legacy.partition(|recent| recent.transaction.inner().is_legacy());
    assert!(legacy.len() > 20 && other.len() > legacy.len());
}

#[test]
fn what_a_node_took_to_its_grave_is_handed_in_again() {
    let mut stage = Stage::new(2, 4.0);
    stage.run(20);
    stage.world.set_cut(0, 1, true);
    stage.world.set_cut(1, 0, true);
    stage.run(10);
    // What only this one had is gone.
    stage.world.crash(1, Loss::Unsynced);
    stage.world.wipe(1);
    stage.world.start(1);
    stage.world.set_cut(0, 1, false);
    stage.world.set_cut(1, 0, false);
    stage.run(30);
    stage.quiet(120);
    let included = stage.included(0);
    let lost = stage.workload.sent().filter(|sent| !included.contains(&sent.hash)).count();
    assert_eq!(lost, 0, "of {}", stage.workload.sent().count());
}

#[test]
fn of_two_with_one_nonce_one_is_committed() {
    let mut stage = Stage::new(3, 5.0);
    stage.workload.conflicts = 4;
    stage.world.pools = Some(BTreeMap::new());
    stage.run(40);
    stage.quiet(60);
    let included = stage.included(1);
    let pairs: Vec<(B256, B256)> =
        stage.workload.sent().filter_map(|sent| Some((sent.hash, sent.rival?))).collect();
    assert_eq!(pairs.len(), 4);
    for (one, other) in &pairs {
        assert!(one != other && included.contains(one) != included.contains(other));
    }
    let single = stage.workload.sent().filter(|sent| sent.rival.is_none());
    assert!(single.count() > 100, "the others go on");
    let pools = stage.world.pools.as_ref().unwrap();
    let with = |hash: &B256| -> BTreeSet<u32> {
        pools.get(hash).into_iter().flatten().map(|(host, _)| *host).collect()
    };
    for (one, other) in pairs {
        assert!(with(&one).is_disjoint(&with(&other)), "a pool had both");
        assert!(!with(&one).is_empty() && !with(&other).is_empty(), "both were handed in");
    }
}

#[test]
fn rates_add_up_and_end() {
    let spec = scenario(1, 0.0).spec;
    let mut workload = Workload::new(&spec, &scenario::Workload::default(), 1);
    assert_eq!(workload.next(), None);
    workload.add_load(Moment::START, 4, 2.0).unwrap();
    workload.add_load(Moment::START, 5, 1e300).unwrap();
    assert!(workload.next().is_some_and(|at| at > Moment::START));
    workload.end_load(Moment::START, 5);
    assert!(workload.next().is_some());
    workload.end_load(Moment::START, 4);
    assert_eq!(workload.next(), None);
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(workload.add_load(Moment::START, 6, bad).is_err());
    }
}

#[test]
fn the_same_seed_signs_the_same_transactions() {
    let hashes = |seed: u64| -> Vec<B256> {
        let spec = scenario(1, 1.0).spec;
        let mut rng = stream(seed, Purpose::Workload, 9);
        let mut user = User::new(&spec, KEYS[2]).unwrap();
        let to = user.address;
        (0..20)
            .map(|_| {
                let draft = user.draft(to, &mut rng);
                *user.sign(7, draft).inner().tx_hash()
            })
            .collect()
    };
    assert_eq!(hashes(1), hashes(1));
    assert_ne!(hashes(1), hashes(2));
}

#[test]
fn a_chain_without_funded_accounts_is_an_error_once() {
    let mut spec = (*scenario(1, 1.0).spec).clone();
    spec.genesis.alloc.clear();
    let mut stage = Stage::new(1, 1.0);
    let file = scenario::Workload { rate: 1.0, senders: None, conflicts: 0 };
    stage.workload = Workload::new(&Arc::new(spec), &file, 1);
    while stage.world.violations().is_empty() && stage.world.now() < Moment::from_micros(60_000_000)
    {
        let due = stage.workload.next().expect("a transfer");
        while stage.world.step(due) {}
        stage.workload.act(&mut stage.world);
    }
    assert!(stage.world.violations()[0].what.contains("funds no development account"));
}
