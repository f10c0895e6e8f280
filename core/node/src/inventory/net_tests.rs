//! Several relays that talk to each other.

use super::{tests::*, *};
use crate::mempool::Origin;

/// A node's part that relays: recovery is replaced by knowing every transaction.
struct Site {
    pool: Mempool,
    inventory: Inventory,
}

/// Sites that are connected in pairs, with one delay for every message.
struct Net {
    sites: Vec<Site>,
    known: BTreeMap<B256, Recovered<Transaction>>,
    wire: BTreeMap<(Time, u64), (usize, usize, Message)>,
    order: u64,
    now: Time,
    delivered: BTreeMap<(usize, usize), Vec<B256>>,
}

impl Net {
    const DELAY: Duration = Duration::from_millis(20);

    fn new(sites: usize) -> Self {
        let site = || Site { pool: empty(), inventory: relay(&[]) };
        Self {
            sites: (0..sites).map(|_| site()).collect(),
            known: BTreeMap::new(),
            wire: BTreeMap::new(),
            order: 0,
            now: START,
            delivered: BTreeMap::new(),
        }
    }

    fn id(site: usize) -> PeerId {
        peer(u8::try_from(site).unwrap())
    }

    fn connect(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let mut out = Vec::new();
            let site = &mut self.sites[from];
            site.inventory.connected(self.now, Self::id(to), &site.pool, &mut out);
            self.send(from, out);
        }
    }

    fn send(&mut self, from: usize, mut out: Vec<Output>) {
        for (to, message) in sent(&mut out) {
            let to = usize::from(to.0[0]);
            self.wire.insert((self.now + Self::DELAY, self.order), (from, to, message));
            self.order += 1;
        }
    }

    fn add(&mut self, site: usize, tx: &Recovered<Transaction>, origin: Origin) {
        self.known.insert(hash(tx), tx.clone());
        let place = &mut self.sites[site];
        let Ok(added) = place.pool.add(self.now, tx.clone(), origin, &state(), &HEAD) else {
            place.inventory.rejected(hash(tx));
            return;
        };
        for tx in place.pool.get(added.hash).filter(|_| added.executable).iter() {
            place.inventory.added(self.now, tx);
        }
        for tx in &added.promoted {
            place.inventory.added(self.now, tx);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        let mut out = Vec::new();
        let Site { pool, inventory } = &mut self.sites[to];
        let peer = Self::id(from);
        match message {
            Message::NewTransactions(hashes) => {
                assert_eq!(inventory.announced(self.now, peer, hashes, pool, &mut out), None);
            }
            Message::GetTransactions(hashes) => {
                inventory.requested(peer, &hashes, pool, &mut out);
            }
            Message::Transactions(txs) => {
                let hashes = txs.iter().map(|tx| *tx.tx_hash());
                self.delivered.entry((from, to)).or_default().extend(hashes);
                for tx in inventory.received(self.now, peer, txs, pool) {
                    let tx = self.known[tx.tx_hash()].clone();
                    self.add(to, &tx, Origin::Peer);
                }
            }
            other => panic!("{other:?}"),
        }
        self.send(to, out);
    }

    /// Runs until nothing is due.
    fn settle(&mut self) {
        loop {
            let tick = self.sites.iter().filter_map(|site| site.inventory.deadline()).min();
            let wire = self.wire.keys().next().map(|(due, _)| *due);
            let Some(next) = tick.into_iter().chain(wire).min() else { return };
            self.now = self.now.max(next);
            while let Some(((due, _), _)) = self.wire.first_key_value()
                && *due <= self.now
            {
                let (_, (from, to, message)) = self.wire.pop_first().unwrap();
                self.deliver(from, to, message);
            }
            for site in 0..self.sites.len() {
                let mut out = Vec::new();
                assert_eq!(self.sites[site].inventory.tick(self.now, &mut out), []);
                self.send(site, out);
            }
        }
    }
}

#[test]
fn every_site_of_a_ring_gets_everything_once_per_link() {
    let mut net = Net::new(7);
    for site in 0..7 {
        net.connect(site, (site + 1) % 7);
    }
    let txs: Vec<_> =
        (0..50).map(|n| tx(n, 0, if n % 2 == 0 { 0 } else { PUSH_BYTES_MAX })).collect();
    for (n, tx) in txs.iter().enumerate() {
        net.add(n % 7, tx, Origin::Local);
    }
    net.settle();
    for site in &net.sites {
        assert_eq!(site.pool.len(), txs.len());
        check_idle(&site.inventory);
    }
    for ((from, to), hashes) in &net.delivered {
        let unique: BTreeSet<_> = hashes.iter().collect();
        assert_eq!(unique.len(), hashes.len(), "{from} to {to}: something came twice");
    }
    assert!(net.now.since(START) < Duration::from_secs(1));
}

#[test]
fn a_late_joiner_gets_the_pending_set() {
    let mut net = Net::new(3);
    net.connect(0, 1);
    for nonce in (0..40).rev() {
        for n in 0..60 {
            net.add(0, &tx(n, nonce, 0), Origin::Local);
        }
    }
    net.settle();
    assert_eq!(net.sites[1].pool.pending_count(), 2_400);
    let joined = net.now;
    net.connect(2, 0);
    net.connect(2, 1);
    net.settle();
    assert_eq!(net.sites[2].pool.pending_count(), 2_400);
    let took = net.now.since(joined);
    assert!(took < Duration::from_secs(1), "{took:?}");
    // It came once, and nothing was sent back.
    let count = |from, to| net.delivered.get(&(from, to)).map_or(0, Vec::len);
    assert_eq!(count(0, 2) + count(1, 2), 2_400);
    assert_eq!(count(2, 0) + count(2, 1), 0);
    for site in &net.sites {
        check_idle(&site.inventory);
    }
}
