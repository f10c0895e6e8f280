//! The address book: bounded tables of addresses that were heard of and that were reached.
//!
//! After the idea of Bitcoin's addrman: an address lands in a slot that its network group and the group
//! of whoever told us decide under a secret key. So one source reaches only a few slots, and what was only
//! heard never displaces what was reached.

use kette_chain::Record;
use kette_types::{PeerAddress, PeerId, Time, Transport, spec::NetworkKind};
use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use siphasher::sip::SipHasher24;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Where a node listens, without who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Endpoint {
    pub(super) socket: SocketAddr,
    pub(super) transport: Transport,
}

impl Endpoint {
    pub(super) fn of(address: &PeerAddress) -> Self {
        let ip = address.socket.ip().to_canonical();
        Self { socket: SocketAddr::new(ip, address.socket.port()), transport: address.transport }
    }

    pub(super) const fn address(self, peer: Option<PeerId>) -> PeerAddress {
        PeerAddress { peer, socket: self.socket, transport: self.transport }
    }
}

/// Addresses that one party probably controls together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    bits: u128,
    width: u8,
    port: u16,
}

impl Group {
    /// The source group of addresses that the host's discovery found.
    pub const DISCOVERY: Self = Self { bits: 0, width: 0, port: 0 };

    /// Returns the group of an address: /16 of IPv4, /32 of IPv6. In local networks every loopback or
    /// private socket is a group of its own, because there all nodes share a few addresses.
    pub fn of(kind: NetworkKind, socket: SocketAddr) -> Self {
        if kind == NetworkKind::Local && !is_global(socket.ip()) {
            return Self { port: socket.port(), ..Self::prefix(socket.ip(), 32, 128) };
        }
        Self::prefix(socket.ip(), 16, 32)
    }

    /// Returns the narrower group whose inbound sessions are capped: /24 of IPv4, /64 of IPv6.
    pub fn subnet(ip: IpAddr) -> Self {
        Self::prefix(ip, 24, 64)
    }

    fn prefix(ip: IpAddr, v4: u8, v6: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let bits = u128::from(u32::from(ip) >> (32 - v4));
                Self { bits, width: v4, port: 0 }
            }
            // The width of IPv6 groups is marked, so that no IPv4 group equals one of them.
            IpAddr::V6(ip) => {
                Self { bits: u128::from(ip) >> (128 - v6), width: 128 + v6 / 2, port: 0 }
            }
        }
    }

    pub(super) fn keyed(&self, key: (u64, u64)) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(key.0, key.1);
        self.write(&mut hasher);
        hasher.finish()
    }

    fn write(&self, hasher: &mut SipHasher24) {
        hasher.write(&self.bits.to_le_bytes());
        hasher.write(&[self.width]);
        hasher.write(&self.port.to_le_bytes());
    }
}

/// What is known about one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Who answered there, if we reached it ourselves; what others say about that is not kept.
    pub(super) peer: Option<PeerId>,
    /// When a session that we opened there last worked; zero if never.
    pub(super) last_success: Time,
    /// Failed dials since then.
    pub(super) failures: u32,
    /// Not dialled before this time.
    pub(super) next_try: Time,
    /// Region label from its hello; empty if unknown.
    pub(super) region: String,
    slot: Slot,
}

impl Entry {
    pub(super) const fn is_tried(&self) -> bool {
        matches!(self.slot.table, Table::Tried)
    }

    /// Returns the identity to insist on: none after some failures, because a node may have a new key.
    pub(super) fn expected(&self) -> Option<PeerId> {
        self.peer.filter(|_| self.failures < FAILURES_NEW_MAX)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    New,
    Tried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    table: Table,
    bucket: u64,
    position: u64,
}

/// Addresses of other nodes.
#[derive(Clone, Debug)]
pub(super) struct Book {
    kind: NetworkKind,
    key: (u64, u64),
    entries: BTreeMap<Endpoint, Entry>,
    slots: BTreeMap<Slot, Endpoint>,
}

impl Book {
    pub(super) const fn new(kind: NetworkKind, key: (u64, u64)) -> Self {
        Self { kind, key, entries: BTreeMap::new(), slots: BTreeMap::new() }
    }

    /// Takes back what was stored. Addresses that find no slot under this run's key are forgotten.
    pub(super) fn restore(
        &mut self,
        stored: Vec<(PeerAddress, Time, u32)>,
        records: &mut Vec<Record>,
    ) {
        for (address, last_success, failures) in stored {
            let endpoint = Endpoint::of(&address);
            if !is_dialable(self.kind, endpoint.socket) {
                records.push(Record::AddressGone(address));
                continue;
            }
            let tried = self.tried_slot(&endpoint);
            let slot = if last_success > Time::ZERO && !self.slots.contains_key(&tried) {
                tried
            } else {
                self.new_slot(&endpoint, Group::of(self.kind, endpoint.socket))
            };
            if self.slots.contains_key(&slot) || self.entries.contains_key(&endpoint) {
                records.push(Record::AddressGone(address));
                continue;
            }
            let peer = address.peer.filter(|_| last_success > Time::ZERO);
            let (next_try, region) = (Time::ZERO, String::new());
            self.slots.insert(slot, endpoint);
            self.entries
                .insert(endpoint, Entry { peer, last_success, failures, next_try, region, slot });
        }
    }

    /// Adds an address that was heard of; `false` if it is known, useless or finds no slot.
    pub(super) fn heard(
        &mut self,
        endpoint: Endpoint,
        source: Group,
        records: &mut Vec<Record>,
    ) -> bool {
        if self.entries.contains_key(&endpoint) || !is_dialable(self.kind, endpoint.socket) {
            return false;
        }
        let slot = self.new_slot(&endpoint, source);
        if let Some(holder) = self.slots.get(&slot).copied() {
            // Only an address that never worked and already failed gives way.
            let useless = self
                .entries
                .get(&holder)
                .is_none_or(|e| e.failures > 0 && e.last_success == Time::ZERO);
            if !useless {
                return false;
            }
            self.remove(&holder, records);
        }
        self.slots.insert(slot, endpoint);
        let entry = Entry {
            peer: None,
            last_success: Time::ZERO,
            failures: 0,
            next_try: Time::ZERO,
            region: String::new(),
            slot,
        };
        records.push(record(&endpoint, &entry));
        self.entries.insert(endpoint, entry);
        true
    }

    /// Notes that a session that we opened to this address works: it moves to the tried table, unless a
    /// working address holds its slot there.
    pub(super) fn reached(
        &mut self,
        now: Time,
        endpoint: Endpoint,
        peer: PeerId,
        region: &str,
        records: &mut Vec<Record>,
    ) {
        let own_group = Group::of(self.kind, endpoint.socket);
        if !self.entries.contains_key(&endpoint) && !self.heard(endpoint, own_group, records) {
            // What we reached ourselves is worth more than what we only heard.
            if !is_dialable(self.kind, endpoint.socket) {
                return;
            }
            let slot = self.new_slot(&endpoint, own_group);
            if let Some(holder) = self.slots.get(&slot).copied() {
                if self.entries.get(&holder).is_some_and(|e| e.last_success > Time::ZERO) {
                    return;
                }
                self.remove(&holder, records);
            }
            self.heard(endpoint, own_group, records);
        }
        let target = self.tried_slot(&endpoint);
        let free = match self.slots.get(&target).copied() {
            None => true,
            Some(holder) if holder == endpoint => false,
            Some(holder) => {
                let failing = self.entries.get(&holder).is_none_or(|e| e.failures > 0);
                if failing {
                    self.remove(&holder, records);
                }
                failing
            }
        };
        let Some(entry) = self.entries.get_mut(&endpoint) else { return };
        if free {
            self.slots.remove(&entry.slot);
            self.slots.insert(target, endpoint);
            entry.slot = target;
        }
        if entry.peer != Some(peer) {
            // A store may know the address by its full form, identity included.
            records.push(Record::AddressGone(endpoint.address(entry.peer)));
        }
        entry.peer = Some(peer);
        entry.last_success = now;
        entry.failures = 0;
        if !region.is_empty() {
            region.clone_into(&mut entry.region);
        }
        records.push(record(&endpoint, entry));
    }

    /// Notes a failed dial; the address is forgotten after some of them without a success.
    pub(super) fn failed(
        &mut self,
        now: Time,
        endpoint: &Endpoint,
        next_try: Time,
        records: &mut Vec<Record>,
    ) {
        let Some(entry) = self.entries.get_mut(endpoint) else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.next_try = next_try;
        let hopeless = if entry.last_success == Time::ZERO {
            entry.failures >= FAILURES_NEW_MAX
        } else {
            entry.failures >= FAILURES_TRIED_MAX && now.since(entry.last_success) > TRIED_KEPT
        };
        if hopeless {
            self.remove(endpoint, records);
        } else {
            records.push(record(endpoint, entry));
        }
    }

    /// Puts off the next dial without blame.
    pub(super) fn put_off(&mut self, endpoint: &Endpoint, next_try: Time) {
        if let Some(entry) = self.entries.get_mut(endpoint) {
            entry.next_try = next_try;
        }
    }

    /// Remembers where an address is.
    pub(super) fn set_region(&mut self, endpoint: &Endpoint, region: &str) {
        if let Some(entry) = self.entries.get_mut(endpoint) {
            region.clone_into(&mut entry.region);
        }
    }

    pub(super) fn remove(&mut self, endpoint: &Endpoint, records: &mut Vec<Record>) {
        if let Some(entry) = self.entries.remove(endpoint) {
            self.slots.remove(&entry.slot);
            records.push(Record::AddressGone(endpoint.address(entry.peer)));
        }
    }

    pub(super) fn get(&self, endpoint: &Endpoint) -> Option<&Entry> {
        self.entries.get(endpoint)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Endpoint, &Entry)> {
        self.entries.iter()
    }

    /// Returns a random part of the book for others: what works, and what did not fail yet.
    pub(super) fn sample(&self, rng: &mut ChaCha8Rng, max: usize) -> Vec<PeerAddress> {
        let share = (self.len() * SHARE_PERCENT / 100).max(SHARE_MIN).min(max);
        let mut fit: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.failures == 0)
            .map(|(endpoint, entry)| endpoint.address(entry.peer))
            .collect();
        fit.shuffle(rng);
        fit.truncate(share);
        fit
    }

    /// Picks an address to dial: another group than those we have (public networks), a new region, then
    /// by the toss of a coin one that was reached or one that was only heard of.
    pub(super) fn pick(
        &self,
        now: Time,
        rng: &mut ChaCha8Rng,
        regions: &BTreeSet<&str>,
        groups: &BTreeSet<Group>,
        usable: impl Fn(&Endpoint, &Entry) -> bool,
    ) -> Option<Endpoint> {
        let prefer_tried: bool = rng.random();
        let mut best = None;
        for (endpoint, entry) in &self.entries {
            if entry.next_try > now || !usable(endpoint, entry) {
                continue;
            }
            let group_taken = groups.contains(&Group::of(self.kind, endpoint.socket));
            let region_rank = match entry.region.as_str() {
                "" => 1,
                region if regions.contains(region) => 2,
                _ => 0,
            };
            let other_table = entry.is_tried() != prefer_tried;
            let rank = (group_taken, region_rank, other_table, rng.random::<u64>());
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, *endpoint));
            }
        }
        best.map(|(_, endpoint)| endpoint)
    }

    /// One source group reaches [`NEW_BUCKETS_PER_SOURCE`] of the new buckets.
    fn new_slot(&self, endpoint: &Endpoint, source: Group) -> Slot {
        let group = Group::of(self.kind, endpoint.socket);
        let spread = self.hash(1, &[group, source], None, 0) % NEW_BUCKETS_PER_SOURCE;
        let bucket = self.hash(2, &[source], None, spread) % NEW_BUCKETS;
        let position = self.hash(3, &[], Some(endpoint), bucket) % BUCKET_SIZE;
        Slot { table: Table::New, bucket, position }
    }

    /// One group reaches [`TRIED_BUCKETS_PER_GROUP`] of the tried buckets.
    fn tried_slot(&self, endpoint: &Endpoint) -> Slot {
        let group = Group::of(self.kind, endpoint.socket);
        let spread = self.hash(4, &[], Some(endpoint), 0) % TRIED_BUCKETS_PER_GROUP;
        let bucket = self.hash(5, &[group], None, spread) % TRIED_BUCKETS;
        let position = self.hash(6, &[], Some(endpoint), bucket) % BUCKET_SIZE;
        Slot { table: Table::Tried, bucket, position }
    }

    fn hash(&self, purpose: u8, groups: &[Group], endpoint: Option<&Endpoint>, n: u64) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(&[purpose]);
        for group in groups {
            group.write(&mut hasher);
        }
        if let Some(endpoint) = endpoint {
            match endpoint.socket.ip() {
                IpAddr::V4(ip) => hasher.write(&ip.octets()),
                IpAddr::V6(ip) => hasher.write(&ip.octets()),
            }
            hasher.write(&endpoint.socket.port().to_le_bytes());
            hasher.write(&[u8::from(endpoint.transport == Transport::Quic)]);
        }
        hasher.write(&n.to_le_bytes());
        hasher.finish()
    }
}

fn record(endpoint: &Endpoint, entry: &Entry) -> Record {
    Record::Address {
        address: endpoint.address(entry.peer),
        last_success: entry.last_success,
        failures: entry.failures,
    }
}

/// Whether an address that a stranger named may be dialled.
pub(super) fn is_dialable(kind: NetworkKind, socket: SocketAddr) -> bool {
    let ip = socket.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if socket.port() == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast {
        return false;
    }
    // Low ports belong to other services, which a rumour must not make us attack.
    kind == NetworkKind::Local || (is_global(ip) && socket.port() >= PUBLIC_PORT_MIN)
}

/// Whether an address is reachable on the open internet (IANA special-purpose registries).
pub(super) fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || a == 0
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b)))
        }
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            // Only 2000::/3 is global unicast; 2001:db8::/32 is for documentation.
            segments[0] & 0xe000 == 0x2000 && !(segments[0] == 0x2001 && segments[1] == 0x0db8)
        }
    }
}

/// Buckets of addresses that were heard of.
const NEW_BUCKETS: u64 = 64;
/// Buckets of addresses that were reached.
const TRIED_BUCKETS: u64 = 16;
/// Addresses in a bucket.
const BUCKET_SIZE: u64 = 16;
/// Addresses in all buckets.
pub(super) const ADDRESSES_MAX: usize = ((NEW_BUCKETS + TRIED_BUCKETS) * BUCKET_SIZE) as usize;
/// New buckets that addresses from one source group can fall into.
const NEW_BUCKETS_PER_SOURCE: u64 = 8;
/// Tried buckets that addresses of one group can fall into.
const TRIED_BUCKETS_PER_GROUP: u64 = 4;
/// Failed dials after which an address that never worked is forgotten.
const FAILURES_NEW_MAX: u32 = 3;
/// Failed dials after which an address that worked long ago is forgotten.
const FAILURES_TRIED_MAX: u32 = 10;
/// How long an address that worked is kept whatever happens.
const TRIED_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Part of the book that one answer may show (as Bitcoin Core).
const SHARE_PERCENT: usize = 23;
/// Addresses that an answer may show however small the book is.
pub(super) const SHARE_MIN: usize = 16;
/// Lowest port that a rumour can make us dial on public networks.
const PUBLIC_PORT_MIN: u16 = 1_024;
