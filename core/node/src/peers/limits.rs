//! How much a peer may send: a token bucket per kind of message, in messages and in items.
//!
//! The scheme (bucket of N, refilled within a period) is that of Lighthouse's RPC rate limiter.

use super::config::LOCAL_FACTOR;
use kette_types::{Message, Time};

/// `tokens` at once, refilled evenly within `period_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    tokens: u64,
    period_ms: u64,
}

impl Limit {
    pub(super) const fn new(tokens: u64, period_ms: u64) -> Self {
        Self { tokens, period_ms }
    }

    pub(super) const fn times(self, factor: u64) -> Self {
        Self { tokens: self.tokens * factor, period_ms: self.period_ms }
    }
}

/// A token bucket in whole numbers: the level counts tokens times the period, so nothing is rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    limit: Limit,
    level: u64,
    at: Time,
}

impl Bucket {
    pub(super) const fn full(limit: Limit, now: Time) -> Self {
        Self { limit, level: limit.tokens * limit.period_ms, at: now }
    }

    /// Takes `n` tokens if they are there.
    pub(super) fn take(&mut self, now: Time, n: u64) -> bool {
        self.refill(now);
        let price = n.saturating_mul(self.limit.period_ms);
        if self.level < price {
            return false;
        }
        self.level -= price;
        true
    }

    /// Takes up to `n` tokens and returns how many there were.
    pub(super) fn take_up_to(&mut self, now: Time, n: u64) -> u64 {
        self.refill(now);
        let taken = n.min(self.level / self.limit.period_ms);
        self.level -= taken * self.limit.period_ms;
        taken
    }

    /// Adds tokens beyond what refills, up to `n` more than a full bucket.
    pub(super) fn grant(&mut self, n: u64) {
        let most = (self.limit.tokens + n) * self.limit.period_ms;
        self.level = (self.level + n * self.limit.period_ms).min(most);
    }

    fn refill(&mut self, now: Time) {
        let elapsed = now.as_millis().saturating_sub(self.at.as_millis());
        self.at = self.at.max(now);
        let full = self.limit.tokens * self.limit.period_ms;
        if self.level < full {
            self.level =
                elapsed.saturating_mul(self.limit.tokens).saturating_add(self.level).min(full);
        }
    }
}

/// Kinds of messages that share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Hello,
    Ping,
    Pong,
    Status,
    Goodbye,
    Engine,
    NewBlock,
    GetBlock,
    GetBlockTransactions,
    NewTransactions,
    GetTransactions,
    Transactions,
    GetHeaders,
    GetBodies,
    GetPeers,
    Peers,
    Answer,
}

impl Class {
    pub(super) const ALL: [Self; 17] = [
        Self::Hello,
        Self::Ping,
        Self::Pong,
        Self::Status,
        Self::Goodbye,
        Self::Engine,
        Self::NewBlock,
        Self::GetBlock,
        Self::GetBlockTransactions,
        Self::NewTransactions,
        Self::GetTransactions,
        Self::Transactions,
        Self::GetHeaders,
        Self::GetBodies,
        Self::GetPeers,
        Self::Peers,
        Self::Answer,
    ];

    /// Returns the class of a message and how many items it carries or asks for.
    pub(super) fn of(message: &Message) -> (Self, usize) {
        match message {
            Message::Hello(_) => (Self::Hello, 0),
            Message::Ping(_) => (Self::Ping, 0),
            Message::Pong(_) => (Self::Pong, 0),
            Message::Status(_) => (Self::Status, 0),
            Message::Goodbye(_) => (Self::Goodbye, 0),
            Message::Engine(bytes) => (Self::Engine, bytes.len()),
            Message::NewBlock(block) => (Self::NewBlock, block.short_ids.len()),
            Message::GetBlock(_) => (Self::GetBlock, 0),
            Message::GetBlockTransactions { indexes, .. } => {
                (Self::GetBlockTransactions, indexes.len())
            }
            Message::NewTransactions(hashes) => (Self::NewTransactions, hashes.len()),
            Message::GetTransactions(hashes) => (Self::GetTransactions, hashes.len()),
            Message::Transactions(transactions) => (Self::Transactions, transactions.len()),
            Message::GetHeaders { locator, .. } => (Self::GetHeaders, locator.len()),
            Message::GetBodies { hashes, .. } => (Self::GetBodies, hashes.len()),
            Message::GetPeers => (Self::GetPeers, 0),
            Message::Peers(addresses) => (Self::Peers, addresses.len()),
            Message::BlockTransactions { .. }
            | Message::Headers { .. }
            | Message::Bodies { .. } => (Self::Answer, 0),
        }
    }

    /// Messages a peer may send.
    const fn messages(self) -> Limit {
        match self {
            Self::Hello => HELLO_LIMIT,
            Self::Ping | Self::Pong => PING_LIMIT,
            Self::Status => STATUS_LIMIT,
            Self::Goodbye => GOODBYE_LIMIT,
            Self::Engine => ENGINE_LIMIT,
            Self::NewBlock => NEW_BLOCK_LIMIT,
            Self::GetBlock => GET_BLOCK_LIMIT,
            Self::GetBlockTransactions => GET_BLOCK_TRANSACTIONS_LIMIT,
            Self::NewTransactions | Self::GetTransactions | Self::Transactions => INVENTORY_LIMIT,
            Self::GetHeaders => GET_HEADERS_LIMIT,
            Self::GetBodies => GET_BODIES_LIMIT,
            Self::GetPeers => GET_PEERS_LIMIT,
            Self::Peers => PEERS_LIMIT,
            Self::Answer => ANSWER_LIMIT,
        }
    }

    /// Items a peer may send or ask for, where they are what costs.
    const fn items(self) -> Option<Limit> {
        match self {
            Self::Engine => Some(ENGINE_BYTES_LIMIT),
            Self::NewBlock => Some(SHORT_IDS_LIMIT),
            Self::GetBlockTransactions => Some(BLOCK_TRANSACTION_INDEXES_LIMIT),
            Self::NewTransactions | Self::GetTransactions => Some(INVENTORY_HASHES_LIMIT),
            Self::Transactions => Some(TRANSACTIONS_LIMIT),
            Self::GetHeaders => Some(LOCATOR_HASHES_LIMIT),
            Self::GetBodies => Some(BODY_HASHES_LIMIT),
            // Addresses have a bucket of their own whose excess is dropped without blame.
            _ => None,
        }
    }
}

/// All buckets of one peer.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    classes: [(Bucket, Option<Bucket>); Class::ALL.len()],
}

impl Buckets {
    pub(super) fn new(local: bool, now: Time) -> Self {
        let factor = factor(local);
        Self {
            classes: Class::ALL.map(|class| {
                let bucket = |limit: Limit| Bucket::full(limit.times(factor), now);
                (bucket(class.messages()), class.items().map(bucket))
            }),
        }
    }

    /// Takes what one message costs; `false` if the peer is over its share.
    pub(super) fn admit(&mut self, now: Time, message: &Message) -> bool {
        let (class, items) = Class::of(message);
        let (messages, per_item) = &mut self.classes[class as usize];
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        messages.take(now, 1) && per_item.as_mut().is_none_or(|b| b.take(now, items))
    }
}

/// Returns the bucket of addresses that a peer may tell us.
pub(super) fn address_bucket(local: bool, now: Time) -> Bucket {
    Bucket::full(ADDRESSES_LIMIT.times(factor(local)), now)
}

const fn factor(local: bool) -> u64 {
    if local { LOCAL_FACTOR as u64 } else { 1 }
}

const HELLO_LIMIT: Limit = Limit::new(4, 10_000);
const PING_LIMIT: Limit = Limit::new(2, 1_000);
/// A node tells its head at most twice a second while it catches up; twice that leaves room for jitter.
const STATUS_LIMIT: Limit = Limit::new(60, 15_000);
const GOODBYE_LIMIT: Limit = Limit::new(1, 1_000);
/// Two votes of each of 128 validators, in some rounds a second; engines look at a signature only once.
const ENGINE_LIMIT: Limit = Limit::new(2_000, 1_000);
const ENGINE_BYTES_LIMIT: Limit = Limit::new(4 * 1024 * 1024, 1_000);
/// Announced, and asked for: [`GET_BLOCK_LIMIT`] is part of it.
const NEW_BLOCK_LIMIT: Limit = Limit::new(256, 10_000);
const GET_BLOCK_LIMIT: Limit = Limit::new(64, 10_000);
const SHORT_IDS_LIMIT: Limit = Limit::new(262_144, 10_000);
const GET_BLOCK_TRANSACTIONS_LIMIT: Limit = Limit::new(64, 10_000);
const BLOCK_TRANSACTION_INDEXES_LIMIT: Limit = Limit::new(131_072, 10_000);
const INVENTORY_LIMIT: Limit = Limit::new(100, 1_000);
const INVENTORY_HASHES_LIMIT: Limit = Limit::new(10_000, 1_000);
const TRANSACTIONS_LIMIT: Limit = Limit::new(5_000, 1_000);
const GET_HEADERS_LIMIT: Limit = Limit::new(128, 10_000);
const LOCATOR_HASHES_LIMIT: Limit = Limit::new(8_192, 10_000);
/// Sync asks a peer as fast as it answers and blocks execute: about two thousand empty blocks a second.
const GET_BODIES_LIMIT: Limit = Limit::new(1_280, 10_000);
const BODY_HASHES_LIMIT: Limit = Limit::new(20_480, 10_000);
const GET_PEERS_LIMIT: Limit = Limit::new(4, 60_000);
const PEERS_LIMIT: Limit = Limit::new(8, 60_000);
/// More than all that we may ask for; whether we asked is for those to judge who did.
const ANSWER_LIMIT: Limit = Limit::new(4_096, 10_000);
/// 0.1 addresses per second on average (as Bitcoin Core's limit on `addr`).
const ADDRESSES_LIMIT: Limit = Limit::new(1, 10_000);
