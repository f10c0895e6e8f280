//! A small world for tests of checkers: a mesh of miners on a fast chain, without a scenario.

use super::Checker;
use crate::{
    World,
    disk::Loss,
    scenario::{NetworkFile, Plan},
    world::Options,
};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{TxKind, b256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_node::Node;
use kette_types::{Address, B256, ChainSpec, Recovered, U256};
use std::{sync::Arc, time::Duration};

/// A world and the nonce of its one user.
pub(crate) struct Small {
    pub(crate) world: World,
    nonce: u64,
}

impl Small {
    /// Starts this many miners that nobody judges.
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(nodes, Vec::new())
    }

    /// Starts this many miners before judges.
    pub(crate) fn with(nodes: usize, checkers: Vec<Box<dyn Checker>>) -> Self {
        let text = format!(
            "schema = 1\n[network]\nname = \"t\"\nchain = \"atmn\"\ntopology = \"mesh\"\nmine_rate = 100\n\
             [[group]]\nname = \"n\"\ncount = {nodes}\nroles = [\"miner\"]\n"
        );
        let file = NetworkFile::parse(&text).unwrap();
        let plan = Plan::new(&file).unwrap();
        let mut genesis: serde_json::Value = serde_json::from_str(ATMN).unwrap();
        let pow = &mut genesis["config"]["kette"]["engine"]["pow"];
        pow["anchorDifficulty"] = format!("{:#x}", 1_200 * nodes).into();
        pow["difficultyMin"] = "0x1".into();
        genesis["difficulty"] = format!("{:#x}", 1_200 * nodes).into();
        let spec = Arc::new(ChainSpec::from_json(&genesis.to_string()).unwrap());
        let options = Options { seed: 7, memo: None };
        let mut world = World::new(&file, &plan, spec, &options, checkers).unwrap();
        (0..nodes).for_each(|host| world.start(host));
        Self { world, nonce: 0 }
    }

    /// Lets virtual time pass.
    pub(crate) fn run(&mut self, seconds: u64) {
        let until = self.world.now() + Duration::from_secs(seconds);
        self.world.run_until(until);
    }

    /// Runs until the first node has this many blocks.
    pub(crate) fn mine_to(&mut self, height: u64) {
        for _ in 0..1_000 {
            if self.node(0).tree().head().number >= height {
                return;
            }
            self.run(5);
        }
        panic!("no blocks");
    }

    /// Starts or stops a miner.
    pub(crate) fn mine(&mut self, host: usize, on: bool) {
        self.world.mine(host, on);
    }

    /// Hands in this many transfers.
    pub(crate) fn submit(&mut self, host: usize, count: u64) {
        for _ in 0..count {
            let transfer = self.transfer(self.nonce);
            self.nonce += 1;
            self.world.submit(host, transfer);
        }
    }

    /// Makes a transfer of the user with this nonce.
    pub(crate) fn transfer(&self, nonce: u64) -> Recovered<kette_types::Transaction> {
        let signer = PrivateKeySigner::from_bytes(&KEY).unwrap();
        let transaction = TxEip1559 {
            chain_id: self.world.spec.chain_id(),
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(Address::repeat_byte(1)),
            value: U256::from(1),
            ..TxEip1559::default()
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
        Recovered::new_unchecked(transaction.into_signed(signature).into(), signer.address())
    }

    pub(crate) fn node(&self, host: usize) -> &Node {
        self.world.hosts[host].node().unwrap()
    }

    pub(crate) fn head(&self, host: usize) -> B256 {
        self.node(host).tree().head().hash()
    }
}

/// Ends a node without a word.
pub(crate) fn crash(world: &mut World, host: usize) {
    world.crash(host, Loss::Unsynced);
}

/// Cuts both ways between two hosts, or heals them.
pub(crate) fn cut(world: &mut World, a: usize, b: usize, on: bool) {
    world.set_cut(a, b, on);
    world.set_cut(b, a, on);
}

/// Ends a run as runs end: all nodes up, nobody mines, and time to come to rest. Returns the first objection.
pub(crate) fn ended(world: &mut World) -> Option<String> {
    let wait = |world: &mut World, seconds| {
        let until = world.now() + Duration::from_secs(seconds);
        world.run_until(until);
    };
    wait(world, 60);
    (0..world.hosts.len()).for_each(|host| world.mine(host, false));
    wait(world, 60);
    assert!(world.height >= 10, "{} blocks show nothing", world.height);
    if world.violations().is_empty() {
        world.finish();
    }
    world.violations().first().map(|violation| format!("{violation:?}"))
}

const ATMN: &str = include_str!("../../../kette/presets/chains/atmn.json");
/// The first account of the mnemonic "test test test test test test test test test test test junk".
const KEY: B256 = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
