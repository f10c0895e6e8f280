//! The simulator's network, with puppets instead of nodes.

use super::{Net, Seen};
use crate::harness::Chain;
use kette_node::{Input, Node, Output};
use kette_sim::{
    Machine, Moment, World,
    disk::Loss,
    scenario::{NetworkFile, Plan},
    world::Options,
};
use kette_types::{DisconnectReason, Message, PeerAddress, PeerId, Time};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

/// Sides in one world.
pub(super) struct Simulated {
    world: World,
    strings: Vec<Arc<Mutex<Strings>>>,
}

/// What moves a puppet, and what it was told.
#[derive(Default)]
struct Strings {
    say: Vec<Output>,
    told: VecDeque<Input>,
}

/// Notes what it is told and does what it is given. The node inside does nothing.
struct Puppet {
    node: Node,
    strings: Arc<Mutex<Strings>>,
}

impl Machine for Puppet {
    fn handle(&mut self, _: Time, input: Input) -> Vec<Output> {
        let mut strings = self.strings.lock().expect("no holder panics");
        if !matches!(input, Input::Tick) {
            strings.told.push_back(input);
        }
        std::mem::take(&mut strings.say)
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn stop(&mut self) -> Vec<Output> {
        Vec::new()
    }

    fn node(&self) -> &Node {
        &self.node
    }
}

/// Virtual time in which something must come: more than any timeout of the model.
const PATIENCE: Duration = Duration::from_secs(60);

const FILE: &str = r#"
schema = 1
[network]
name = "contract"
chain = "dev"
[shape]
latency = "20ms"
jitter = "5ms"
loss = 0.05
bandwidth = "100mbit"
cpu = 0.0
[[group]]
name = "side"
count = 4
"#;

impl Simulated {
    /// Returns bytes and frames sent so far.
    pub(super) fn traffic(&self) -> (u64, u64) {
        self.world.traffic()
    }

    fn put(&mut self, side: usize) {
        let host = &self.world.hosts[side];
        let restored = host.disk.restored().expect("a whole disk");
        let time = host.clock.time(self.world.now());
        let (spec, config) = (self.world.spec.clone(), host.config.clone());
        let node = Node::restore(spec, config, host.disk.clone(), time, restored).expect("block 0");
        let strings = Arc::new(Mutex::new(Strings::default()));
        self.strings[side] = strings.clone();
        self.world.hosts[side].machine = Some(Box::new(Puppet { node, strings }));
    }

    fn order(&mut self, side: usize, output: Output) {
        self.strings[side].lock().expect("no holder panics").say.push(output);
        self.world.give(side, Input::Tick);
    }
}

impl Net for Simulated {
    fn of(sides: usize) -> Self {
        let file: NetworkFile = toml::from_str(FILE).expect("a network file");
        let plan = Plan::new(&file).expect("a plan");
        let spec = Arc::new(Chain::fixed(9_700, 1).spec());
        let options = Options { seed: 5, memo: None };
        let world = World::new(&file, &plan, spec, &options, Vec::new()).expect("a world");
        let strings = world.hosts.iter().map(|_| Arc::default()).collect();
        let mut net = Self { world, strings };
        (0..sides).for_each(|side| net.put(side));
        net
    }

    fn id(&self, side: usize) -> PeerId {
        self.world.hosts[side].id
    }

    fn address(&self, side: usize) -> PeerAddress {
        self.world.hosts[side].address.with_peer(self.id(side))
    }

    fn nobody(&self) -> PeerAddress {
        PeerAddress::tcp(([10, 200, 0, 1], 20_000).into())
    }

    fn dial(&mut self, side: usize, address: PeerAddress) {
        self.order(side, Output::Dial(address));
    }

    fn send(&mut self, side: usize, to: PeerId, message: Message) {
        self.order(side, Output::Send(vec![to], Arc::new(message)));
    }

    fn disconnect(&mut self, side: usize, peer: PeerId, reason: DisconnectReason) {
        self.order(side, Output::Disconnect(peer, reason));
    }

    fn crash(&mut self, side: usize) {
        self.world.crash(side, Loss::Unsynced);
    }

    fn restart(&mut self, side: usize) {
        self.put(side);
    }

    fn cut(&mut self, a: usize, b: usize, cut: bool) {
        self.world.set_cut(a, b, cut);
        self.world.set_cut(b, a, cut);
    }

    fn next(&mut self, side: usize) -> Option<Seen> {
        let until: Moment = self.world.now() + PATIENCE;
        loop {
            let told = self.strings[side].lock().expect("no holder panics").told.pop_front();
            match told {
                Some(Input::Connected { peer, address, direction }) => {
                    return Some(Seen::Connected { peer, address, direction });
                }
                Some(Input::Disconnected { peer, reason }) => {
                    return Some(Seen::Disconnected { peer, reason });
                }
                Some(Input::DialFailed { address }) => return Some(Seen::DialFailed(address)),
                Some(Input::Message(peer, message)) => return Some(Seen::Message(peer, message)),
                Some(other) => panic!("unexpected {other:?}"),
                None if !self.world.step(until) => return None,
                None => {}
            }
        }
    }
}
