//! Nodes in one process on virtual time: ordered links with latency, cuts, disks, crashes, and puppets,
//! which are peers that a test speaks for.
//!
//! Every step checks what a host relies on: ticks make progress, and outputs name only what exists.

use super::{
    disk::Disk,
    forge::{self, CHAIN_ID, GENESIS_TIME},
    proposer::Proposer,
    puppet::Puppet,
};
use crate::{
    Command, Config, Event, Input, Mempool, Node, Output, Submitted, Ticket, mempool, peers, serve,
};
use kette_chain::ChainReader;
use kette_consensus::{Engine, Job, JobId, JobResult, Local, pow};
use kette_types::{
    Address, B256, Block, ChainSpec, Direction, DisconnectReason, Fault, Message, PeerAddress,
    PeerId, Time, Transaction, U256, spec::NetworkKind,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

pub(super) struct World {
    pub(super) now: Time,
    pub(super) spec: Arc<ChainSpec>,
    pub(super) genesis: B256,
    pub(super) hosts: Vec<Host>,
    pub(super) puppets: Vec<Puppet>,
    pub(super) latency: BTreeMap<(usize, usize), Duration>,
    cuts: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(Time, u64), (usize, Arrival)>,
    sequence: u64,
    pub(super) links: u64,
    tickets: Ticket,
    /// Nodes run this engine, which proposes blocks before it chooses them, and not `pow`.
    pub(super) proposer: bool,
    /// A hash over everything that was sent, and when.
    pub(super) trace: B256,
}

pub(super) struct Host {
    pub(super) id: PeerId,
    pub(super) node: Option<Node>,
    pub(super) disk: Arc<Disk>,
    pub(super) config: Config,
    /// Hashes per second; 0 leaves searches unanswered.
    pub(super) hash_rate: u64,
    /// Outputs until it crashes.
    pub(super) crash_in: Option<usize>,
    pub(super) events: Vec<Event>,
    pub(super) replies: BTreeMap<Ticket, Submitted>,
    /// Blocks whose bodies it asked for.
    pub(super) asked: Vec<B256>,
    pub(super) links: BTreeMap<PeerId, (u64, Remote)>,
    jobs: BTreeSet<JobId>,
    started: BTreeSet<JobId>,
    ticks: (Time, usize),
    life: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remote {
    Host(usize),
    Puppet(usize),
}

/// What happens at a host, later.
enum Arrival {
    Connect { from: usize, address: PeerAddress },
    Message { from: PeerId, link: u64, message: Arc<Message> },
    Closed { from: PeerId, link: u64, reason: DisconnectReason },
    Done { life: u64, id: JobId, result: JobResult },
}

/// Ticks of one node at one time: what one batch of bodies may lead to.
const TICKS_MAX: usize = 200;
const LATENCY: Duration = Duration::from_millis(10);

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl World {
    /// Starts `n` nodes without links on the plain chain.
    pub(super) fn new(n: usize) -> Self {
        Self::with(n, &serde_json::json!({}), |_, _| {})
    }

    /// Starts nodes on a chain with these constants; `change` may alter each one's settings.
    pub(super) fn with(
        n: usize,
        pow: &serde_json::Value,
        mut change: impl FnMut(usize, &mut Config),
    ) -> Self {
        let spec = forge::spec(pow);
        let (genesis, commit) = forge::genesis_block(&spec);
        let mut world = Self {
            now: Time::from_secs(GENESIS_TIME + 100_000),
            genesis: genesis.hash(),
            hosts: Vec::new(),
            puppets: Vec::new(),
            latency: BTreeMap::new(),
            cuts: BTreeSet::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            links: 0,
            tickets: 0,
            proposer: false,
            trace: B256::ZERO,
            spec,
        };
        for i in 0..n {
            let disk = Arc::new(Disk::new(&genesis, commit.clone()));
            let mut config = world.config(i);
            change(i, &mut config);
            world.hosts.push(Host {
                id: config.peers.me,
                node: None,
                disk,
                config,
                hash_rate: 4,
                crash_in: None,
                events: Vec::new(),
                replies: BTreeMap::new(),
                asked: Vec::new(),
                links: BTreeMap::new(),
                jobs: BTreeSet::new(),
                started: BTreeSet::new(),
                ticks: (Time::ZERO, 0),
                life: 0,
            });
            world.start(i);
        }
        world
    }

    fn config(&self, i: usize) -> Config {
        let me = PeerId(B256::with_last_byte(i as u8 + 1));
        let mut peers = peers::Config::new(
            NetworkKind::Local,
            me,
            address(i),
            CHAIN_ID,
            self.genesis,
            self.spec.rules_hash(),
            i as u64,
        );
        peers.discovery = false;
        let local = Local {
            beneficiary: Address::repeat_byte(i as u8 + 1),
            mining: false,
            on_demand: false,
            threads: 1,
            seed: i as u64,
            ..Local::default()
        };
        Config { peers, local, pool: mempool::Limits::default(), archive: false, memo: None }
    }

    /// Starts nodes without links whose engine is [`Proposer`], with these constants of the chain.
    pub(super) fn proposing(n: usize, pow: &serde_json::Value) -> Self {
        let mut world = Self::with(n, pow, |_, _| {});
        world.proposer = true;
        for i in 0..n {
            world.crash(i);
            world.hosts[i].events.clear();
            world.start(i);
        }
        world
    }

    /// Starts a node from what its disk holds.
    pub(super) fn start(&mut self, i: usize) {
        let host = &mut self.hosts[i];
        assert!(host.node.is_none(), "it runs");
        let restored = host.disk.restored();
        let (spec, config) = (self.spec.clone(), host.config.clone());
        let (disk, now) = (host.disk.clone(), self.now);
        let node = if self.proposer {
            let engine = (Box::<Proposer>::default() as Box<dyn Engine>, true);
            Node::restore_with(spec, config, disk, now, restored, engine)
        } else {
            Node::restore(spec, config, disk, now, restored)
        };
        host.node = Some(node.expect("what was written is enough"));
        host.jobs.clear();
        host.started.clear();
        host.life += 1;
        self.input(i, Input::Start);
    }

    /// Ends a node without a word: what was not written is lost.
    pub(super) fn crash(&mut self, i: usize) {
        let links = std::mem::take(&mut self.hosts[i].links);
        for (link, remote) in links.into_values() {
            self.closed(self.hosts[i].id, link, remote, DisconnectReason::ConnectionLost);
        }
        self.hosts[i].node = None;
        self.hosts[i].crash_in = None;
    }

    /// Makes `a` dial `b`, now and for ever.
    pub(super) fn link(&mut self, a: usize, b: usize) {
        let target = address(b).with_peer(self.hosts[b].id);
        self.hosts[a].config.peers.configured.push(target);
        self.command(a, Command::AddPeer(target)).unwrap();
    }

    /// Links each to the next.
    pub(super) fn line(&mut self) {
        for i in 1..self.hosts.len() {
            self.link(i - 1, i);
        }
    }

    /// Links each to everybody.
    pub(super) fn mesh(&mut self) {
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                self.link(a, b);
            }
        }
    }

    /// Breaks a link and keeps it broken.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.cuts.insert((a.min(b), a.max(b)));
        for (one, other) in [(a, b), (b, a)] {
            let peer = self.hosts[other].id;
            if self.hosts[one].links.remove(&peer).is_some() {
                let reason = DisconnectReason::ConnectionLost;
                self.input(one, Input::Disconnected { peer, reason });
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// Takes one input at a node, now.
    pub(super) fn input(&mut self, i: usize, input: Input) {
        let now = self.now;
        let Some(node) = self.hosts[i].node.as_mut() else { return };
        let outputs = node.handle(now, input);
        assert_eq!(node.loads().over(), None, "node {i} holds more than it promised");
        for output in outputs {
            match &mut self.hosts[i].crash_in {
                Some(0) => return self.crash(i),
                Some(left) => *left -= 1,
                None => {}
            }
            self.perform(i, output);
        }
    }

    fn perform(&mut self, i: usize, output: Output) {
        let host = &mut self.hosts[i];
        match output {
            Output::Persist(batch) => host.disk.apply(&batch),
            Output::Send(peers, message) => {
                assert!(!peers.is_empty(), "{} to nobody", message.name());
                self.check_sent(i, &message);
                for peer in peers {
                    self.send(i, peer, message.clone());
                }
            }
            Output::Serve(peer, request) => {
                let answer = serve(&*host.disk, &request).unwrap();
                self.send(i, peer, Arc::new(answer.expect("only requests are served")));
            }
            Output::Dial(address) => self.push(LATENCY, i, Arrival::Connect { from: i, address }),
            Output::Disconnect(peer, reason) => {
                let (link, remote) = host.links.remove(&peer).expect("a session that exists");
                self.closed(self.hosts[i].id, link, remote, reason);
            }
            Output::Start(id, job) => {
                assert!(host.started.insert(id), "job ids are used once");
                host.jobs.insert(id);
                self.work(i, id, job);
            }
            Output::Cancel(id) => {
                assert!(host.started.contains(&id), "cancels a job that never began");
                host.jobs.remove(&id);
            }
            Output::Reply(ticket, result) => {
                assert!(ticket <= self.tickets, "nobody asked");
                assert!(host.replies.insert(ticket, result).is_none(), "answered twice");
            }
            Output::Event(event) => host.events.push(event),
        }
    }

    /// What is announced is executed and written; what is asked for is new.
    fn check_sent(&mut self, i: usize, message: &Message) {
        let host = &mut self.hosts[i];
        match message {
            Message::NewBlock(compact) => {
                let stored = host.disk.header(compact.header.hash()).unwrap();
                assert!(stored.is_some(), "announces a block that is not written");
            }
            Message::GetBodies { hashes, .. } => host.asked.extend(hashes),
            _ => {}
        }
    }

    fn send(&mut self, i: usize, peer: PeerId, message: Arc<Message>) {
        let mut bytes = message.encode();
        bytes.extend_from_slice(&self.now.as_millis().to_be_bytes());
        bytes.push(i as u8);
        bytes.extend_from_slice(self.trace.as_slice());
        self.trace = alloy_primitives::keccak256(bytes);
        let host = &self.hosts[i];
        let from = host.id;
        let &(link, remote) = host
            .links
            .get(&peer)
            .unwrap_or_else(|| panic!("{} to {peer:?}, who is not connected", message.name()));
        match remote {
            Remote::Host(to) => {
                let pair = (i.min(to), i.max(to));
                let delay = self.latency.get(&pair).copied().unwrap_or(LATENCY);
                self.push(delay, to, Arrival::Message { from, link, message });
            }
            Remote::Puppet(p) if self.puppets[p].link == link => {
                self.puppets[p].inbox.push(message)
            }
            Remote::Puppet(_) => {}
        }
    }

    fn closed(&mut self, from: PeerId, link: u64, remote: Remote, reason: DisconnectReason) {
        match remote {
            Remote::Host(to) => {
                // Behind everything that is on its way.
                self.push(secs(1), to, Arrival::Closed { from, link, reason });
            }
            Remote::Puppet(p) => {
                if self.puppets[p].link == link {
                    self.puppets[p].closed = Some(reason);
                }
            }
        }
    }

    fn work(&mut self, i: usize, id: JobId, job: Job) {
        let life = self.hosts[i].life;
        match job {
            Job::Recover(transactions) => {
                let result = JobResult::Senders(kette_ledger::recover(&transactions));
                self.push(Duration::from_millis(1), i, Arrival::Done { life, id, result });
            }
            Job::Mine(job) => {
                let rate = self.hosts[i].hash_rate;
                if rate == 0 {
                    return;
                }
                let from = job.nonce_start;
                let nonce = pow::search(&job, from, 1 << 24).expect("test difficulties are low");
                let tries = nonce.wrapping_sub(from) + 1;
                let delay = Duration::from_millis(tries * 1_000 / rate);
                let result = JobResult::Nonce(nonce);
                self.push(delay, i, Arrival::Done { life, id, result });
            }
        }
    }

    fn push(&mut self, delay: Duration, to: usize, arrival: Arrival) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), (to, arrival));
    }

    fn arrive(&mut self, i: usize, arrival: Arrival) {
        match arrival {
            Arrival::Connect { from, address } => self.connect(from, address),
            Arrival::Message { from, link, message } => {
                if self.hosts[i].links.get(&from).is_some_and(|(open, _)| *open == link) {
                    self.input(i, Input::Message(from, (*message).clone()));
                }
            }
            Arrival::Closed { from, link, reason } => {
                if self.hosts[i].links.get(&from).is_some_and(|(open, _)| *open == link) {
                    self.hosts[i].links.remove(&from);
                    self.input(i, Input::Disconnected { peer: from, reason });
                }
            }
            Arrival::Done { life, id, result } => {
                if self.hosts[i].life == life && self.hosts[i].jobs.remove(&id) {
                    self.input(i, Input::Done(id, result));
                }
            }
        }
    }

    fn connect(&mut self, from: usize, target: PeerAddress) {
        if self.hosts[from].node.is_none() {
            return;
        }
        let to = usize::from(target.socket.port()) - usize::from(PORT);
        let (me, peer) = (self.hosts[from].id, self.hosts[to].id);
        if self.hosts[from].links.contains_key(&peer) || self.hosts[to].links.contains_key(&me) {
            return self.input(from, Input::DialFailed { address: target.with_peer(peer) });
        }
        let cut = self.cuts.contains(&(from.min(to), from.max(to)));
        if cut || self.hosts[to].node.is_none() {
            return self.input(from, Input::DialFailed { address: target });
        }
        self.links += 1;
        let link = self.links;
        self.hosts[from].links.insert(peer, (link, Remote::Host(to)));
        self.hosts[to].links.insert(me, (link, Remote::Host(from)));
        let direction = Direction::Outbound;
        self.input(from, Input::Connected { peer, address: target, direction });
        if self.hosts[to].links.contains_key(&me) {
            let address =
                PeerAddress::tcp(SocketAddr::from(([127, 0, 0, 1], 40_000 + from as u16)));
            let direction = Direction::Inbound;
            self.input(to, Input::Connected { peer: me, address, direction });
        }
    }

    /// Does the next thing, if it is due by `until`.
    fn step(&mut self, until: Time) -> bool {
        let arrival = self.queue.first_key_value().map(|((at, _), _)| *at);
        let tick = (0..self.hosts.len())
            .filter_map(|i| Some((self.hosts[i].node.as_ref()?.deadline()?, i)))
            .min();
        let due = arrival.into_iter().chain(tick.map(|(at, _)| at)).min();
        let Some(due) = due.filter(|due| *due <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(due);
        match tick {
            Some((at, i)) if arrival.is_none_or(|arrival| at < arrival) => {
                let now = self.now;
                let ticks = &mut self.hosts[i].ticks;
                *ticks = if ticks.0 == now { (now, ticks.1 + 1) } else { (now, 1) };
                assert!(ticks.1 <= TICKS_MAX, "node {i} spins at {now}");
                self.input(i, Input::Tick);
            }
            _ => {
                let (_, (i, arrival)) = self.queue.pop_first().expect("it is due");
                self.arrive(i, arrival);
            }
        }
        true
    }

    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Runs until something is so; fails if it is not within `time`.
    pub(super) fn run_until(&mut self, what: &str, time: Duration, so: impl Fn(&Self) -> bool) {
        let until = self.now + time;
        while !so(self) {
            assert!(self.step(until), "not within {time:?}: {what}\n{}", self.describe());
        }
    }

    pub(super) fn describe(&self) -> String {
        use std::fmt::Write;
        let mut out = String::new();
        for (i, host) in self.hosts.iter().enumerate() {
            let Some(node) = &host.node else {
                let _ = writeln!(out, "{i}: down");
                continue;
            };
            let head = node.tree().head();
            let _ = writeln!(
                out,
                "{i}: head {} {} peers {} pool {} alarms {:?}",
                head.number,
                head.hash(),
                node.peers.count(),
                node.mempool().len(),
                node.alarms
            );
        }
        out
    }

    // What tests ask of it.

    pub(super) fn node(&self, i: usize) -> &Node {
        self.hosts[i].node.as_ref().expect("it runs")
    }

    pub(super) fn node_mut(&mut self, i: usize) -> &mut Node {
        self.hosts[i].node.as_mut().expect("it runs")
    }

    pub(super) fn head(&self, i: usize) -> B256 {
        self.node(i).tree().head().hash()
    }

    pub(super) fn height(&self, i: usize) -> u64 {
        self.node(i).tree().head().number
    }

    pub(super) fn pool(&self, i: usize) -> &Mempool {
        self.node(i).mempool()
    }

    /// Whether all running nodes have one head.
    pub(super) fn agree(&self) -> bool {
        let mut heads =
            self.hosts.iter().filter_map(|h| Some(h.node.as_ref()?.tree().head().hash()));
        let first = heads.next();
        heads.all(|head| Some(head) == first)
    }

    pub(super) fn ask(&mut self, i: usize, input: impl FnOnce(Ticket) -> Input) -> Ticket {
        self.tickets += 1;
        let ticket = self.tickets;
        self.input(i, input(ticket));
        ticket
    }

    pub(super) fn command(&mut self, i: usize, command: Command) -> Submitted {
        let ticket = self.ask(i, |ticket| Input::Command(ticket, command));
        self.hosts[i].replies[&ticket].clone()
    }

    pub(super) fn engine(&mut self, i: usize, command: kette_consensus::Command) -> Submitted {
        self.command(i, Command::Engine(command))
    }

    pub(super) fn mine(&mut self, i: usize, on: bool) {
        let command = kette_consensus::Command::Mining { on, threads: None };
        self.engine(i, command).unwrap();
    }

    pub(super) fn submit(&mut self, i: usize, transaction: &Transaction) -> Submitted {
        let transaction = forge::recovered(transaction);
        let ticket = self.ask(i, |ticket| Input::Submit(ticket, transaction));
        self.hosts[i].replies[&ticket].clone()
    }

    /// Hands a node blocks, as a client does, and lets it execute them.
    pub(super) fn feed(&mut self, i: usize, blocks: &[Block]) {
        for block in blocks {
            self.ask(i, |ticket| Input::SubmitBlock(ticket, Box::new(block.clone())));
            self.run(Duration::from_millis(2));
        }
    }

    pub(super) fn faults(&self, i: usize) -> Vec<(PeerId, Fault)> {
        let fault = |event: &Event| match event {
            Event::PeerFault { peer, fault, .. } => Some((*peer, fault.clone())),
            _ => None,
        };
        self.hosts[i].events.iter().filter_map(fault).collect()
    }

    pub(super) fn count(&self, i: usize, is: impl Fn(&Event) -> bool) -> usize {
        self.hosts[i].events.iter().filter(|event| is(event)).count()
    }

    // Checks.

    /// What must hold of a node at any time: its disk leads to the same state, and wei are neither lost
    /// nor made.
    pub(super) fn check(&self, i: usize) {
        let (node, disk) = (self.node(i), &self.hosts[i].disk);
        let head = node.tree().head_block();
        assert_eq!(head.state.root(), head.block.header.state_root);
        let supply = U256::from(4_000 * forge::ETHER)
            + U256::from(forge::REWARD) * U256::from(head.number());
        assert_eq!(head.state.supply().unwrap(), supply, "supply is genesis and rewards");
        let config = self.hosts[i].config.clone();
        let again =
            Node::restore(self.spec.clone(), config, disk.clone(), self.now, disk.restored())
                .expect("what was written is enough");
        let restored = again.tree().head_block();
        assert_eq!(restored.hash(), head.hash(), "a restart finds the head");
        assert_eq!(restored.state.supply().unwrap(), supply, "a restart reads the whole state");
        assert_eq!(again.tree().finalized(), node.tree().finalized(), "and what is final");
        for number in 0..=head.number() {
            let stored = disk.canonical(number).unwrap();
            assert_eq!(stored, node.tree().canonical(number).unwrap(), "canonical {number}");
        }
        assert_eq!(disk.canonical(head.number() + 1).unwrap(), None);
    }
}

fn address(i: usize) -> PeerAddress {
    PeerAddress::tcp(SocketAddr::from(([127, 0, 0, 1], PORT + i as u16)))
}

const PORT: u16 = 20_000;
