//! Small networks with actors in them, and what was seen there.

use crate::{
    Machine, Moment, World,
    byzantine::Setup,
    checkers::{Checker, Observation},
    rng::{Purpose, stream},
    scenario::{Misbehaviour, NetworkFile, Plan, plan::PlannedNode},
    world::Options,
};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::TxKind;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_node::{Event, Input, Node};
use kette_types::{
    Address, B256, ChainSpec, DisconnectReason, Message, PeerId, Recovered, Transaction, U256,
};
use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

/// A node to be.
#[derive(Clone, Default)]
pub(super) struct Part {
    byzantine: Option<Misbehaviour>,
    rate: u64,
    dials: Vec<usize>,
    identity: Option<usize>,
}

/// An honest node that dials these.
pub(super) fn honest(dials: &[usize]) -> Part {
    Part { dials: dials.to_vec(), ..Part::default() }
}

/// An actor that dials these.
pub(super) fn actor(misbehaviour: Misbehaviour, dials: &[usize]) -> Part {
    Part { byzantine: Some(misbehaviour), ..honest(dials) }
}

impl Part {
    /// Makes it mine at this many hashes per second; 100 alone find a block in 12 seconds.
    pub(super) const fn mining(mut self, rate: u64) -> Self {
        self.rate = rate;
        self
    }

    /// Gives it another node's identity.
    pub(super) const fn twin_of(mut self, index: usize) -> Self {
        self.identity = Some(index);
        self
    }
}

/// What happened, in order.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) events: Vec<(usize, Event)>,
    pub(super) sent: Vec<(usize, Vec<PeerId>, Message)>,
}

struct Recorder(Rc<RefCell<Seen>>);

impl Checker for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn observe(&mut self, _: &World, seen: &Observation<'_>) -> Result<(), String> {
        let mut all = self.0.borrow_mut();
        match seen {
            Observation::Event { host, event } => all.events.push((*host, (*event).clone())),
            Observation::Sent { host, to, message } => {
                all.sent.push((*host, to.to_vec(), (*message).clone()));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A network.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) seen: Rc<RefCell<Seen>>,
}

/// Makes a network in which nobody has started; nobody is dialled but those named unless `discovery`.
pub(super) fn scene(seed: u64, discovery: bool, parts: &[Part]) -> Scene {
    let file = "schema = 1\n[network]\nname = \"test\"\nchain = \"test\"\n\
                [[group]]\nname = \"n\"\ncount = 1\n";
    let file: NetworkFile = toml::from_str(file).unwrap();
    let nodes = parts.iter().enumerate().map(|(index, part)| PlannedNode {
        name: format!("n{index}"),
        group: 0,
        tier: 1,
        region: String::new(),
        miner: part.rate > 0,
        mine_rate: part.rate,
        stake: 0,
        byzantine: part.byzantine,
        start_at: Duration::ZERO,
        clock_offset_ms: 0,
        clock_drift_ppm: 0,
        slow: 1.0,
        identity: part.identity,
        dials: part.dials.clone(),
    });
    let plan = Plan { nodes: nodes.collect(), groups: vec![Some("n".to_owned())], discovery };
    let seen = Rc::new(RefCell::new(Seen::default()));
    let checkers: Vec<Box<dyn Checker>> = vec![Box::new(Recorder(seen.clone()))];
    let options = Options { seed, memo: None };
    let world = World::new(&file, &plan, spec(), &options, checkers).unwrap();
    Scene { world, seen }
}

impl Scene {
    /// Starts everybody.
    pub(super) fn started(mut self) -> Self {
        for host in 0..self.world.hosts.len() {
            self.world.start(host);
        }
        self
    }

    /// Starts a host with an actor made by hand.
    pub(super) fn start_with(
        &mut self,
        host: usize,
        make: impl FnOnce(Node, Setup<'_>) -> Box<dyn Machine>,
    ) {
        let world = &mut self.world;
        let here = &world.hosts[host];
        let (time, disk) = (world.time(), here.disk.clone());
        let (spec, config) = (world.spec.clone(), here.config.clone());
        let restored = disk.restored().unwrap();
        let node = Node::restore(spec.clone(), config, disk, time, restored).unwrap();
        let setup = Setup {
            host,
            spec,
            memo: world.memo.clone(),
            rng: stream(1, Purpose::Byzantine, host as u64),
            another: &mut || unreachable!("this actor has one node"),
            everybody: world.hosts.iter().map(|h| (h.id, h.address)).collect(),
            accomplices: vec![host],
            validators: vec![None; world.hosts.len()],
        };
        let machine = make(node, setup);
        world.hosts[host].machine = Some(machine);
        world.hosts[host].life += 1;
        world.give(host, Input::Start);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, secs: u64) {
        let until = self.world.now() + Duration::from_secs(secs);
        self.world.run_until(until);
        assert_eq!(self.world.violations(), &[]);
    }

    /// Lets time pass until this holds; panics after an hour.
    pub(super) fn run_until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end: Moment = self.world.now() + Duration::from_secs(3_600);
        while !holds(self) {
            assert!(self.world.now() < end, "in vain: {what}");
            self.run(1);
        }
    }

    pub(super) fn id(&self, host: usize) -> PeerId {
        self.world.hosts[host].id
    }

    pub(super) fn head(&self, host: usize) -> B256 {
        self.world.hosts[host].node().unwrap().tree().head().hash()
    }

    pub(super) fn height(&self, host: usize) -> u64 {
        self.world.hosts[host].node().unwrap().tree().head().number
    }

    /// Returns the kinds of faults that a host blamed another for.
    pub(super) fn blamed(&self, by: usize, whom: usize) -> Vec<&'static str> {
        let id = self.id(whom);
        let seen = self.seen.borrow();
        let faults = seen.events.iter().filter(|(host, _)| *host == by);
        faults
            .filter_map(|(_, event)| match event {
                Event::PeerFault { peer, fault, .. } if *peer == id => Some(fault.kind()),
                _ => None,
            })
            .collect()
    }

    /// Returns why a host's sessions with another ended.
    pub(super) fn ended(&self, by: usize, with: usize) -> Vec<DisconnectReason> {
        let id = self.id(with);
        let seen = self.seen.borrow();
        let events = seen.events.iter().filter(|(host, _)| *host == by);
        events
            .filter_map(|(_, event)| match event {
                Event::PeerDown { peer, reason } if *peer == id => Some(*reason),
                _ => None,
            })
            .collect()
    }

    /// Returns what a host sent, to how many.
    pub(super) fn sent(&self, by: usize) -> Vec<(Vec<PeerId>, Message)> {
        let seen = self.seen.borrow();
        let sent = seen.sent.iter().filter(|(host, ..)| *host == by);
        sent.map(|(_, to, message)| (to.clone(), message.clone())).collect()
    }

    /// Returns blocks that a host announced, with those whom it told.
    pub(super) fn announced(&self, by: usize) -> Vec<(u64, B256, Vec<PeerId>)> {
        let blocks = self.sent(by).into_iter().filter_map(|(to, message)| match message {
            Message::NewBlock(block) => Some((block.header.number, block.header.hash(), to)),
            _ => None,
        });
        blocks.collect()
    }

    /// Panics if one honest host blamed another.
    pub(super) fn honest_trust_each_other(&self) {
        let honest: Vec<usize> =
            self.world.hosts.iter().filter(|h| h.is_honest()).map(|h| h.index).collect();
        for by in &honest {
            for whom in &honest {
                assert_eq!(self.blamed(*by, *whom), Vec::<&str>::new(), "{by} blames {whom}");
            }
        }
    }
}

/// The n-th funded key.
fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::with_last_byte(n + 1)).unwrap()
}

/// A transfer of one wei by the n-th funded key.
pub(super) fn transfer(n: u8, nonce: u64) -> Recovered<Transaction> {
    let transaction = TxEip1559 {
        chain_id: 1_337,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0x99)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signature = key(n).sign_hash_sync(&transaction.signature_hash()).unwrap();
    Recovered::new_unchecked(transaction.into_signed(signature).into(), key(n).address())
}

/// A chain with a fixed difficulty and four funded keys.
fn spec() -> Arc<ChainSpec> {
    let mut file = serde_json::json!({
        "config": { "chainId": 1_337, "kette": {
            "engine": { "pow": {
                "blockTime": 12, "halfLife": 120, "pauseLimit": 600, "anchorDifficulty": "0x4b0",
                "futureLimit": 60, "finalityDepth": 6, "reorgLimit": 100, "retarget": "fixed",
            } },
            "reward": { "policy": "constant", "amount": U256::from(2_000_000_000_000_000_000u64) },
            "baseFee": "producer",
            "development": true,
        } },
        "gasLimit": "0x1c9c380",
        "difficulty": "0x4b0",
        "timestamp": "0x6553f100",
        "alloc": {},
    });
    for n in 0..4 {
        file["alloc"][key(n).address().to_string()] =
            serde_json::json!({ "balance": "0x3635c9adc5dea00000" });
    }
    Arc::new(ChainSpec::from_json(&file.to_string()).unwrap())
}
