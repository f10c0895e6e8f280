//! Relay of new blocks: compact announcements (after BIP 152), and fetching what is missing.
//!
//! A block is announced only after it was executed and written. A peer gets a header and short ids; it
//! rebuilds the body from its mempool and asks for the rest.

use crate::{Mempool, Output, bounded::BoundedSet, patience::patience};
use kette_types::{
    B256, Block, Body, Fault, Message, PeerId, SealedHeader, Time, Transaction,
    limits::BODY_BYTES_MAX,
    message::CompactBlock,
    planted::{Bug, is_planted},
};
use siphasher::sip::SipHasher24;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher,
    sync::Arc,
    time::Duration,
};

/// Compact blocks that wait for missing transactions.
pub const REBUILDS_MAX: usize = 64;
/// Missing transactions are asked from another announcer after this time.
pub const REBUILD_TIMEOUT: Duration = Duration::from_secs(2);
/// If an announcer was silent for so long, the next one is asked at once.
const IMPATIENT_AFTER: Duration = Duration::from_millis(300);
/// Block hashes remembered per peer.
const KNOWN_PER_PEER: usize = 64;
/// A rebuild that lacks more than this share of its transactions fetches the whole body instead.
const MISSING_SHARE_MAX: usize = 2;

/// Announces and rebuilds blocks.
#[derive(Debug, Default)]
pub struct Relay {
    known: BTreeMap<PeerId, BoundedSet<B256>>,
    rebuilds: BTreeMap<B256, Rebuild>,
    /// Blocks are proposals: sync does not know of them, so everything is asked for here, of one announcer after
    /// another, and a block that nobody hands out is dropped.
    alone: bool,
}

#[derive(Debug)]
struct Rebuild {
    header: SealedHeader,
    short_ids: Vec<u64>,
    transactions: Vec<Option<Transaction>>,
    announcers: BTreeSet<PeerId>,
    asked: PeerId,
    asked_at: Time,
    due: Time,
}

/// What became of an announcement.
#[derive(Debug)]
pub enum Rebuilt {
    /// The whole block.
    Block(Box<Block>),
    /// Asked for what is missing.
    Waiting,
    /// It cannot be rebuilt: fetch the body of this header from this peer.
    Fetch(Box<SealedHeader>, PeerId),
    /// It cannot be rebuilt from what its announcers gave, and is forgotten.
    Dropped,
    /// Nobody asked.
    Unsolicited,
}

impl Relay {
    /// Starts with no peers, on a chain where blocks spread before they are chosen or not.
    pub fn new(proposes: bool) -> Self {
        Self { alone: proposes, ..Self::default() }
    }

    /// Notes a new session.
    pub fn connected(&mut self, peer: PeerId) {
        self.known.insert(peer, BoundedSet::new(KNOWN_PER_PEER));
    }

    /// Forgets a session; what it was asked for is asked elsewhere at the next tick.
    pub fn disconnected(&mut self, now: Time, peer: PeerId) {
        self.known.remove(&peer);
        for rebuild in self.rebuilds.values_mut() {
            rebuild.announcers.remove(&peer);
            if rebuild.asked == peer {
                rebuild.due = now;
            }
        }
    }

    /// Notes that a peer has a block.
    pub fn knows(&mut self, peer: PeerId, hash: B256) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.insert(hash);
        }
    }

    /// Announces a block to all peers that do not have it. Returns to how many.
    pub fn announce(&mut self, block: &Block, out: &mut Vec<Output>) -> usize {
        let hash = block.hash();
        let mut peers: Vec<PeerId> = self
            .known
            .iter_mut()
            .filter_map(|(peer, known)| known.insert(hash).then_some(*peer))
            .collect();
        if is_planted(Bug::UnorderedMap) {
            let order = std::hash::RandomState::new();
            peers.sort_by_key(|peer| std::hash::BuildHasher::hash_one(&order, peer));
        }
        let count = peers.len();
        if count > 0 {
            let message = Message::NewBlock(Box::new(compact(block)));
            out.push(Output::Send(peers, Arc::new(message)));
        }
        count
    }

    /// Tells whether a block is being rebuilt; notes the announcer as another source. If the first one keeps us
    /// waiting, and nobody else sees to it, this one is asked.
    pub fn rebuilding(
        &mut self,
        now: Time,
        hash: B256,
        peer: PeerId,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(rebuild) = self.rebuilds.get_mut(&hash) else { return false };
        let new = rebuild.announcers.insert(peer);
        if self.alone && new && now >= rebuild.asked_at + IMPATIENT_AFTER {
            rebuild.ask(now, peer, out);
        }
        true
    }

    /// Tells whether a block waits for missing transactions.
    pub fn is_rebuilding(&self, hash: B256) -> bool {
        self.rebuilds.contains_key(&hash)
    }

    /// Takes a compact block whose header passed its checks.
    pub fn begin(
        &mut self,
        now: Time,
        peer: PeerId,
        compact: CompactBlock,
        mempool: &Mempool,
        out: &mut Vec<Output>,
    ) -> Rebuilt {
        let hash = compact.header.hash();
        let transactions = lookup(hash, &compact.short_ids, mempool);
        let missing: Vec<u32> = (0u32..)
            .zip(&transactions)
            .filter(|(_, transaction)| transaction.is_none())
            .map(|(index, _)| index)
            .collect();
        if missing.is_empty() {
            return Rebuilt::Block(Box::new(assemble(compact.header, transactions)));
        }
        let full = self.rebuilds.len() >= REBUILDS_MAX;
        if full && self.alone {
            return Rebuilt::Dropped;
        }
        let many = missing.len() > SMALL_BODY
            && missing.len() * MISSING_SHARE_MAX > compact.short_ids.len();
        if full || many && !self.alone {
            return Rebuilt::Fetch(Box::new(compact.header), peer);
        }
        let mut rebuild = Rebuild {
            header: compact.header,
            short_ids: compact.short_ids,
            transactions,
            announcers: BTreeSet::from([peer]),
            asked: peer,
            asked_at: now,
            due: now,
        };
        rebuild.ask(now, peer, out);
        self.rebuilds.insert(hash, rebuild);
        Rebuilt::Waiting
    }

    /// Takes missing transactions.
    pub fn transactions(
        &mut self,
        now: Time,
        peer: PeerId,
        hash: B256,
        transactions: Vec<Transaction>,
        out: &mut Vec<Output>,
    ) -> Rebuilt {
        match self.rebuilds.get(&hash) {
            Some(rebuild) if rebuild.asked == peer => {}
            Some(_) => return Rebuilt::Unsolicited,
            None => return Rebuilt::Unsolicited,
        }
        let mut rebuild = self.rebuilds.remove(&hash).expect("it was just found");
        if self.alone && transactions.len() < rebuild.missing().count() {
            // It does not have the block any more. What it gave is not kept: it may be wrong.
            let Some(other) = rebuild.another() else { return Rebuilt::Dropped };
            rebuild.ask(now, other, out);
            self.rebuilds.insert(hash, rebuild);
            return Rebuilt::Waiting;
        }
        let mut slots = rebuild.transactions;
        let missing = slots.iter_mut().filter(|slot| slot.is_none());
        let mut filled = 0;
        for (slot, transaction) in missing.zip(transactions) {
            *slot = Some(transaction);
            filled += 1;
        }
        if slots.iter().any(Option::is_none) {
            // An empty answer means that it does not have the block any more; the body may be elsewhere.
            tracing::debug!(%hash, filled, of = rebuild.short_ids.len(), "compact block incomplete");
            return Rebuilt::Fetch(Box::new(rebuild.header), peer);
        }
        Rebuilt::Block(Box::new(assemble(rebuild.header, slots)))
    }

    /// Gives up on a block that came another way.
    pub fn finished(&mut self, hash: B256) {
        self.rebuilds.remove(&hash);
    }

    /// Moves overdue rebuilds to another announcer, or to its whole body. Returns who did not answer, and the headers
    /// whose bodies sync must fetch.
    pub fn tick(
        &mut self,
        now: Time,
        out: &mut Vec<Output>,
    ) -> Vec<(Option<SealedHeader>, Option<PeerId>, PeerId, Fault)> {
        let late: Vec<B256> = self
            .rebuilds
            .iter()
            .filter(|(_, rebuild)| rebuild.due <= now)
            .map(|(hash, _)| *hash)
            .collect();
        late.into_iter()
            .filter_map(|hash| {
                let mut rebuild = self.rebuilds.remove(&hash)?;
                let (late, other) = (rebuild.asked, rebuild.another());
                if !self.alone {
                    return Some((Some(rebuild.header), other, late, Fault::Timeout));
                }
                if let Some(other) = other {
                    rebuild.ask(now, other, out);
                    self.rebuilds.insert(hash, rebuild);
                }
                Some((None, None, late, Fault::Timeout))
            })
            .collect()
    }

    pub(crate) fn loads(&self, peers: usize, loads: &mut crate::Loads) {
        let known = self.known.values().map(BoundedSet::len).max().unwrap_or(0);
        loads.note("relay_peers", self.known.len(), peers);
        loads.note("relay_known", known, KNOWN_PER_PEER);
        loads.note("rebuilds", self.rebuilds.len(), REBUILDS_MAX);
        let announcers = self.rebuilds.values().map(|rebuild| rebuild.announcers.len());
        loads.note("rebuild_announcers", announcers.max().unwrap_or(0), peers);
    }

    /// Returns when [`Self::tick`] is due.
    pub fn deadline(&self) -> Option<Time> {
        self.rebuilds.values().map(|rebuild| rebuild.due).min()
    }
}

impl Rebuild {
    fn missing(&self) -> impl Iterator<Item = u32> {
        let slots = (0u32..).zip(&self.transactions);
        slots.filter(|(_, slot)| slot.is_none()).map(|(index, _)| index)
    }

    /// Forgets who was asked last, and names another announcer.
    fn another(&mut self) -> Option<PeerId> {
        self.announcers.remove(&self.asked);
        self.announcers.first().copied()
    }

    fn ask(&mut self, now: Time, peer: PeerId, out: &mut Vec<Output>) {
        self.asked = peer;
        self.asked_at = now;
        self.due = now + patience(REBUILD_TIMEOUT);
        let indexes = self.missing().collect();
        let message = Message::GetBlockTransactions { block: self.header.hash(), indexes };
        out.push(Output::Send(vec![peer], Arc::new(message)));
    }
}

/// Below this many missing transactions they are asked for one by one whatever their share is.
pub(crate) const SMALL_BODY: usize = 64;

/// Builds the announcement of a block.
pub fn compact(block: &Block) -> CompactBlock {
    let hash = block.hash();
    let short_ids = block.body.transactions.iter().map(|t| short_id(hash, *t.tx_hash())).collect();
    CompactBlock { header: block.header.clone(), short_ids }
}

/// The low 48 bits of SipHash-2-4 keyed by the block's hash (BIP 152, "Short transaction IDs").
fn short_id(block: B256, transaction: B256) -> u64 {
    let key: [u8; 16] = block[..16].try_into().expect("a hash has 32 bytes");
    let mut hasher = SipHasher24::new_with_key(&key);
    hasher.write(transaction.as_slice());
    hasher.finish() & 0xffff_ffff_ffff
}

/// Finds announced transactions in the pool. What is found is never larger than a body may be, whatever
/// was announced: what is not found is asked for.
fn lookup(block: B256, short_ids: &[u64], mempool: &Mempool) -> Vec<Option<Transaction>> {
    let (mut wanted, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for id in short_ids {
        if !wanted.insert(*id) {
            repeated.insert(*id);
        }
    }
    // An id that occurs twice may stand for two transactions, or make one into many.
    let wanted = &wanted - &repeated;
    let mut found: BTreeMap<u64, Option<B256>> = BTreeMap::new();
    if !wanted.is_empty() {
        for hash in mempool.hashes() {
            let id = short_id(block, hash);
            if wanted.contains(&id) {
                // Two transactions with one id: neither is taken; the sender tells which it is.
                found.entry(id).and_modify(|slot| *slot = None).or_insert(Some(hash));
            }
        }
    }
    let mut room = BODY_BYTES_MAX;
    short_ids
        .iter()
        .map(|id| {
            let hash = found.get(id).copied().flatten()?;
            let transaction = mempool.get(hash)?;
            room = room.checked_sub(transaction.eip2718_encoded_length())?;
            Some(transaction.inner().clone())
        })
        .collect()
}

fn assemble(header: SealedHeader, transactions: Vec<Option<Transaction>>) -> Block {
    let withdrawals = header.withdrawals_root.map(|_| Default::default());
    let body = Body {
        transactions: transactions.into_iter().flatten().collect(),
        ommers: Vec::new(),
        withdrawals,
    };
    Block { header, body }
}
