//! Small networks on virtual time: machines, a queue with ten milliseconds of delay, nothing else.

use super::*;
/// Something that arrives.
#[derive(Debug)]
enum Arrival {
    Connect { from: usize, address: PeerAddress },
    Message { from: usize, to: usize, link: u64, message: Arc<Message> },
    Closed { from: usize, to: usize, link: u64 },
}

struct Host {
    peers: Peers,
    config: Config,
    links: BTreeMap<usize, (u64, Direction)>,
    log: Vec<Event>,
    stored: BTreeMap<SocketAddr, (PeerAddress, Time, u32)>,
    /// Neither reads nor ticks, as a stopped process.
    stopped: bool,
    /// Gone: dials to it fail.
    dead: bool,
    dialled: Vec<PeerAddress>,
}

struct Toy {
    now: Time,
    hosts: Vec<Host>,
    queue: BTreeMap<(Time, u64), Arrival>,
    sequence: u64,
}

impl Toy {
    fn new(configs: Vec<Config>) -> Self {
        let host = |config: Config| Host {
            peers: Peers::new(config.clone(), Vec::new(), Vec::new()),
            config,
            links: BTreeMap::new(),
            log: Vec::new(),
            stored: BTreeMap::new(),
            stopped: false,
            dead: false,
            dialled: Vec::new(),
        };
        let hosts = configs.into_iter().map(host).collect();
        let mut toy = Self { now: T0, hosts, queue: BTreeMap::new(), sequence: 0 };
        for i in 0..toy.hosts.len() {
            toy.call(i, |peers, now, out| peers.start(now, out));
        }
        toy
    }

    fn call(&mut self, i: usize, act: impl FnOnce(&mut Peers, Time, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.hosts[i].peers, self.now, &mut out);
        for output in out {
            self.carry_out(i, output);
        }
    }

    fn carry_out(&mut self, i: usize, output: Output) {
        match output {
            Output::Send(to, message) => {
                for peer in to {
                    let to = self.index(peer);
                    if let Some((link, _)) = self.hosts[i].links.get(&to).copied() {
                        let message = message.clone();
                        self.arrive(Arrival::Message { from: i, to, link, message });
                    }
                }
            }
            Output::Dial(address) => {
                self.hosts[i].dialled.push(address);
                self.arrive(Arrival::Connect { from: i, address });
            }
            Output::Disconnect(peer, _) => {
                let to = self.index(peer);
                if let Some((link, _)) = self.hosts[i].links.remove(&to) {
                    self.arrive(Arrival::Closed { from: i, to, link });
                }
            }
            Output::Persist(records) => {
                for record in records {
                    match record {
                        Record::Address { address, last_success, failures } => {
                            let entry = (address, last_success, failures);
                            self.hosts[i].stored.insert(address.socket, entry);
                        }
                        Record::AddressGone(address) => {
                            self.hosts[i].stored.remove(&address.socket);
                        }
                        _ => {}
                    }
                }
            }
            Output::Event(event) => self.hosts[i].log.push(event),
            other => panic!("the peer machine does not order {other:?}"),
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.sequence += 1;
        self.queue.insert((self.now + Duration::from_millis(10), self.sequence), arrival);
    }

    fn index(&self, peer: PeerId) -> usize {
        self.hosts.iter().position(|h| h.config.me == peer).expect("a node of this network")
    }

    /// Connects as hosts must: one session per pair, by the common rule.
    fn connect(&mut self, from: usize, address: PeerAddress) {
        let at = |h: &Host| h.config.listen.socket == address.socket && !h.dead && !h.stopped;
        let to = self.hosts.iter().position(at).filter(|_| !self.hosts[from].dead);
        let Some(to) = to else {
            return self.call(from, |peers, now, out| peers.dial_failed(now, address, out));
        };
        let (me, other) = (self.hosts[from].config.me, self.hosts[to].config.me);
        if let Some((_, old)) = self.hosts[from].links.get(&to).copied() {
            if !keeps_new(me, other, old, Direction::Outbound) {
                let known = address.with_peer(other);
                return self.call(from, |peers, now, out| peers.dial_failed(now, known, out));
            }
            for (i, peer) in [(from, other), (to, me)] {
                let gone = DisconnectReason::Duplicate;
                self.call(i, |peers, now, out| peers.disconnected(now, peer, gone, out));
            }
        }
        self.sequence += 1;
        let link = self.sequence;
        self.hosts[from].links.insert(to, (link, Direction::Outbound));
        self.hosts[to].links.insert(from, (link, Direction::Inbound));
        let ephemeral = address_of_dialler(&self.hosts[from].config, link);
        self.call(from, |peers, now, out| {
            peers.connected(now, other, address, Direction::Outbound, ChainStatus::default(), out);
        });
        self.call(to, |peers, now, out| {
            peers.connected(now, me, ephemeral, Direction::Inbound, ChainStatus::default(), out);
        });
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Connect { from, address } => self.connect(from, address),
            Arrival::Message { from, to, link, message } => {
                let host = &self.hosts[to];
                if host.stopped || host.links.get(&from).map(|l| l.0) != Some(link) {
                    return;
                }
                let peer = self.hosts[from].config.me;
                self.call(to, |peers, now, out| {
                    match peers.gate(now, peer, &message, out) {
                        Gate::Pass => {}
                        Gate::Drop => return,
                        Gate::Fault(fault) => return peers.fault(now, peer, fault, out),
                    }
                    match (*message).clone() {
                        Message::Hello(hello) => {
                            peers.hello(now, peer, *hello, ChainStatus::default(), out);
                        }
                        message @ (Message::GetPeers | Message::Peers(_)) => {
                            peers.exchange(now, peer, message, out);
                        }
                        message => peers.control(now, peer, &message, out),
                    }
                });
            }
            // A stopped process sees it when it runs again.
            Arrival::Closed { to, .. } if self.hosts[to].stopped => self.arrive(arrival),
            Arrival::Closed { from, to, link } => {
                if self.hosts[to].links.get(&from).map(|l| l.0) == Some(link) {
                    self.hosts[to].links.remove(&from);
                    let peer = self.hosts[from].config.me;
                    let lost = DisconnectReason::ConnectionLost;
                    self.call(to, |peers, now, out| peers.disconnected(now, peer, lost, out));
                }
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let alive = |h: &&Host| !h.stopped && !h.dead;
            let tick = self.hosts.iter().filter(alive).filter_map(|h| h.peers.deadline()).min();
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let Some(at) = tick.into_iter().chain(next).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            if next.is_some_and(|next| next <= self.now) {
                let (_, arrival) = self.queue.pop_first().expect("looked at above");
                self.take(arrival);
                continue;
            }
            for i in 0..self.hosts.len() {
                let host = &self.hosts[i];
                let due = host.peers.deadline().is_some_and(|at| at <= self.now);
                if due && !host.stopped && !host.dead {
                    self.call(i, |peers, now, out| peers.tick(now, out));
                }
            }
        }
        self.now = end;
    }

    /// Ends a node at once: its links break.
    fn kill(&mut self, i: usize) {
        self.hosts[i].dead = true;
        for (to, (link, _)) in std::mem::take(&mut self.hosts[i].links) {
            self.arrive(Arrival::Closed { from: i, to, link });
        }
    }

    /// Starts a killed node again with what it stored.
    fn restart(&mut self, i: usize) {
        let host = &mut self.hosts[i];
        let stored = host.stored.values().copied().collect();
        host.peers = Peers::new(host.config.clone(), stored, Vec::new());
        (host.dead, host.stopped) = (false, false);
        host.dialled.clear();
        self.call(i, |peers, now, out| peers.start(now, out));
    }

    fn reasons(&self, i: usize) -> Vec<DisconnectReason> {
        let down = |e: &Event| {
            if let Event::PeerDown { reason, .. } = e { Some(*reason) } else { None }
        };
        self.hosts[i].log.iter().filter_map(down).collect()
    }

    /// Whether the living nodes are one component.
    fn is_connected(&self) -> bool {
        let living: Vec<_> = (0..self.hosts.len()).filter(|i| !self.hosts[*i].dead).collect();
        let (mut seen, mut todo) = (BTreeSet::new(), vec![living[0]]);
        while let Some(i) = todo.pop() {
            if seen.insert(i) {
                todo.extend(self.hosts[i].peers.ready().map(|p| self.index(p)));
            }
        }
        living.iter().all(|i| seen.contains(i))
    }
}

fn address_of_dialler(config: &Config, link: u64) -> PeerAddress {
    let port = 40_000 + u16::try_from(link % 20_000).expect("below the modulus");
    PeerAddress::tcp(SocketAddr::new(config.listen.socket.ip(), port))
}

/// Ten nodes: 0 first, 1 and 2 told of 0, the others told of one of these.
fn tiers(seed: u64) -> Vec<Config> {
    (0..10u8)
        .map(|n| {
            let mut settings = config(NetworkKind::Local, n + 1);
            settings.seed = seed;
            settings.configured = match n {
                0 => vec![],
                1 | 2 => vec![local(1)],
                _ => vec![local(2 + n % 2)],
            };
            settings
        })
        .collect()
}

#[test]
fn a_tree_of_bootstraps_becomes_a_mesh() {
    for seed in 0..20 {
        let mut toy = Toy::new(tiers(seed));
        for (i, host) in toy.hosts.iter().enumerate() {
            assert_eq!(
                host.dialled, host.config.configured,
                "node {i}: the tier decides the first dial"
            );
        }
        toy.run(30);
        for (i, host) in toy.hosts.iter().enumerate() {
            let (outbound, known) = (host.peers.outbound(), host.peers.known_addresses());
            // Where everybody is connected to everybody, nobody is left to dial.
            let enough = outbound >= OUTBOUND_MIN || host.peers.count() == 9;
            assert!(enough, "seed {seed}, node {i}: {outbound} outbound");
            assert!(known >= 8, "seed {seed}, node {i}: {known} known");
            for info in host.peers.infos(toy.now) {
                assert_eq!(info.score, 100, "nobody is blamed in an honest network");
            }
        }
    }
}

#[test]
fn the_mesh_survives_its_bootstraps_and_takes_them_back() {
    let mut toy = Toy::new(tiers(5));
    toy.run(30);
    (0..3).for_each(|i| toy.kill(i));
    toy.run(30);
    assert!(toy.is_connected());
    assert!(toy.hosts[3..].iter().all(|h| h.peers.count() == 6));
    (0..3).for_each(|i| toy.restart(i));
    toy.run(60);
    assert!(toy.hosts.iter().all(|h| h.peers.count() == 9), "a full mesh again");
}

#[test]
fn a_node_comes_back_from_its_stored_book_alone() {
    let mut toy = Toy::new(tiers(6));
    toy.run(30);
    (1..3).for_each(|i| toy.kill(i));
    toy.kill(7);
    toy.run(30);
    toy.restart(7);
    assert_eq!(toy.hosts[7].dialled[0], toy.hosts[7].config.configured[0], "the tier comes first");
    toy.run(20);
    assert_eq!(toy.hosts[7].peers.count(), 7, "all that live");
}

#[test]
fn two_nodes_that_dial_each_other_keep_one_session() {
    for seed in 0..20 {
        let pair = |n: u8, other: u8| {
            let mut settings = config(NetworkKind::Local, n);
            settings.configured = vec![local(other)];
            settings.seed = seed;
            settings
        };
        let mut toy = Toy::new(vec![pair(1, 2), pair(2, 1)]);
        toy.run(60);
        for host in &toy.hosts {
            assert_eq!(host.peers.count(), 1);
            assert!(host.dialled.len() <= 2, "and dial no more: {:?}", host.dialled);
        }
        let directions: BTreeSet<_> = toy.hosts.iter().map(|h| h.peers.outbound()).collect();
        assert_eq!(directions, BTreeSet::from([0, 1]), "the same session at both ends");
    }
}

#[test]
fn both_sides_learn_why_they_do_not_connect() {
    use DisconnectReason as R;
    type Change = fn(&mut Config);
    let table: [(Change, R); 3] = [
        (|c| c.chain_id += 1, R::WrongChainId),
        (|c| c.genesis = B256::ZERO, R::WrongGenesis),
        (|c| c.rules = B256::ZERO, R::WrongGenesis),
    ];
    for (change, reason) in table {
        let mut other = config(NetworkKind::Local, 2);
        change(&mut other);
        other.configured = vec![local(1)];
        let mut toy = Toy::new(vec![config(NetworkKind::Local, 1), other]);
        toy.run(5);
        for i in 0..2 {
            let reasons = toy.reasons(i);
            assert!(
                !reasons.is_empty() && reasons.iter().all(|r| *r == reason),
                "{i}: {reasons:?}"
            );
        }
    }
}

#[test]
fn a_stopped_process_is_noticed_and_comes_back() {
    let mut toy = Toy::new(tiers(8));
    toy.run(30);
    toy.hosts[4].stopped = true;
    toy.run(20);
    for (i, host) in toy.hosts.iter().enumerate().filter(|(i, _)| *i != 4) {
        assert!(!host.peers.is_ready(&id(5)), "node {i} still waits for the stopped one");
    }
    assert!(toy.hosts.iter().all(|h| h.peers.score(toy.now, &id(5)) == 100), "no fault");
    toy.hosts[4].stopped = false;
    toy.run(60);
    assert!(toy.hosts[4].peers.count() >= OUTBOUND_MIN);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut toy = Toy::new(tiers(seed));
        toy.run(60);
        toy.hosts.iter().map(|h| format!("{:?}{:?}", h.log, h.dialled)).collect::<Vec<_>>()
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1), history(2));
}

#[test]
fn an_idle_machine_asks_for_few_wakeups() {
    let mut peers = started(config(NetworkKind::Public, 1));
    let (mut now, mut wakeups) = (T0, 0);
    while now < T0 + Duration::from_secs(3_600) {
        now = peers.deadline().expect("it asks now and then").max(now + Duration::from_millis(1));
        peers.tick(now, &mut Vec::new());
        wakeups += 1;
    }
    assert!(wakeups <= 10, "{wakeups} in an hour alone");
}

#[test]
fn our_hello_fits_its_bound() {
    let mut settings = config(NetworkKind::Local, 1);
    let longest = "x".repeat(kette_types::limits::NAME_BYTES_MAX);
    (settings.agent, settings.moniker, settings.region) =
        (longest.clone(), longest.clone(), longest);
    settings.chain_id = u64::MAX;
    let hello = started(settings).own_hello(
        Time::MAX,
        ChainStatus {
            weight: kette_types::U256::MAX,
            number: u64::MAX,
            finalized: u64::MAX,
            head: B256::repeat_byte(0xff),
        },
    );
    let bytes = hello.encode();
    assert!(bytes.len() <= kette_types::limits::HELLO_BYTES_MAX, "{} bytes", bytes.len());
    let decoded = Message::decode(kette_types::Lane::Control, &bytes).expect("our own hello");
    assert_eq!(decoded, hello);
}
