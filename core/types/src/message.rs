//! What nodes say to each other: one kind byte, then canonical RLP. Decoding is strict and bounded.
//!
//! A [`Message`] knows its [`Lane`]: each lane is a stream of its own, so a bulk transfer never delays a vote.

use crate::{
    block::{Body, SealedHeader, Transaction},
    limits::*,
    peer::{DisconnectReason, PeerAddress},
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

/// Lanes by urgency. Each is its own ordered stream with its own bounded queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Hello, ping, status, goodbye.
    Control,
    /// The engine's own messages: votes, proofs, certificates.
    Consensus,
    /// New blocks, and the few missing transactions of a compact block.
    Announce,
    /// Transaction inventory and transactions.
    Inventory,
    /// Sync: headers, bodies, peer lists.
    Bulk,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 5] =
        [Self::Control, Self::Consensus, Self::Announce, Self::Inventory, Self::Bulk];

    /// Returns the lane's short name, for protocol ids and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Consensus => "consensus",
            Self::Announce => "announce",
            Self::Inventory => "inventory",
            Self::Bulk => "bulk",
        }
    }

    /// Returns the largest frame on this lane, bytes.
    pub const fn frame_bytes_max(self) -> usize {
        match self {
            Self::Control => HELLO_BYTES_MAX,
            Self::Consensus => ENGINE_MESSAGE_BYTES_MAX + 16,
            Self::Announce | Self::Inventory | Self::Bulk => FRAME_BYTES_MAX,
        }
    }
}

/// First message of both sides of a session.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Hello {
    /// Wire protocol version; see [`PROTOCOL_VERSION`].
    pub version: u32,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0. The genesis file's protocol constants are part of it through [`crate::ChainSpec::rules_hash`].
    pub genesis: B256,
    /// Hash of the protocol constants, so that equal allocations under different rules do not connect.
    pub rules: B256,
    /// Drawn at start; two sessions with equal nonces are one node talking to itself.
    pub nonce: u64,
    /// The sender's clock, milliseconds since the Unix epoch; only for skew warnings.
    pub clock_ms: u64,
    /// Where the sender can be dialled; port 0 if it does not listen. The IP is a hint: receivers use what they saw.
    pub listen: PeerAddress,
    /// Program name and version, at most [`NAME_BYTES_MAX`] bytes.
    pub agent: String,
    /// Name given by the operator, at most [`NAME_BYTES_MAX`] bytes.
    pub moniker: String,
    /// Region label, at most [`NAME_BYTES_MAX`] bytes; empty if unknown.
    pub region: String,
    /// What the sender's chain looks like.
    pub status: ChainStatus,
}

/// A claim about a chain. Never trusted: it only decides whom to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ChainStatus {
    /// Hash of the head.
    pub head: B256,
    /// Number of the head.
    pub number: u64,
    /// Cumulative weight of the head.
    pub weight: U256,
    /// Number of the newest final block.
    pub finalized: u64,
}

/// A block without the transactions that the receiver probably has (after BIP 152).
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct CompactBlock {
    /// Header and seal.
    pub header: SealedHeader,
    /// One short id per transaction, in block order: the low 48 bits of SipHash-2-4 of the transaction hash,
    /// keyed with the first 16 bytes of the block hash.
    pub short_ids: Vec<u64>,
}

/// Everything a node can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens a session.
    Hello(Box<Hello>),
    /// Asks for a pong with the same number.
    Ping(u64),
    /// Answers a ping.
    Pong(u64),
    /// The sender's chain changed.
    Status(ChainStatus),
    /// The sender ends the session; nothing follows.
    Goodbye(DisconnectReason),
    /// Bytes for the engine.
    Engine(Bytes),
    /// A block, validated by the sender: a new one, or the answer to [`Self::GetBlock`].
    NewBlock(Box<CompactBlock>),
    /// Asks for transactions of a compact block, by index.
    GetBlockTransactions {
        /// The block.
        block: B256,
        /// Positions in the block, ascending.
        indexes: Vec<u32>,
    },
    /// Answers [`Self::GetBlockTransactions`]; empty if the sender does not have the block.
    BlockTransactions {
        /// The block.
        block: B256,
        /// In the order asked for.
        transactions: Vec<Transaction>,
    },
    /// Asks for a block of the receiver's tree; it answers with [`Self::NewBlock`], or not at all.
    GetBlock(B256),
    /// The sender has these transactions.
    NewTransactions(Vec<B256>),
    /// Asks for transactions.
    GetTransactions(Vec<B256>),
    /// Answers [`Self::GetTransactions`] with those that the sender has.
    Transactions(Vec<Transaction>),
    /// Asks for headers that follow the first known hash of the locator.
    GetHeaders {
        /// Repeated in the answer.
        id: u64,
        /// Hashes on the asker's chain, newest first (as Bitcoin's block locator).
        locator: Vec<B256>,
        /// Headers wanted at most.
        limit: u32,
    },
    /// Answers [`Self::GetHeaders`], ascending; empty if there is nothing newer.
    Headers {
        /// Of the request.
        id: u64,
        /// Ascending and linked.
        headers: Vec<SealedHeader>,
    },
    /// Asks for bodies by block hash.
    GetBodies {
        /// Repeated in the answer.
        id: u64,
        /// Block hashes.
        hashes: Vec<B256>,
    },
    /// Answers [`Self::GetBodies`]: bodies of a prefix of the hashes asked for. Fewer than asked means
    /// that the answer was full or that the next one is unknown.
    Bodies {
        /// Of the request.
        id: u64,
        /// In the order asked for.
        bodies: Vec<Body>,
    },
    /// Asks for addresses of other nodes.
    GetPeers,
    /// Answers [`Self::GetPeers`].
    Peers(Vec<PeerAddress>),
}

/// Bytes that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("empty frame")]
    Empty,
    /// A kind that this version does not know; newer peers may send it, so it is counted and not punished.
    #[error("unknown message kind {0}")]
    UnknownKind(u8),
    /// Not canonical RLP of this kind.
    #[error("kind {kind}: {error}")]
    Rlp {
        /// The kind byte.
        kind: u8,
        /// What the decoder said.
        error: alloy_rlp::Error,
    },
    /// There is another, canonical encoding of the same content.
    #[error("kind {0}: not the canonical encoding")]
    NotCanonical(u8),
    /// Bytes after the end.
    #[error("kind {0}: bytes after the end")]
    Trailing(u8),
    /// More items than allowed.
    #[error("{what}: {got} items, at most {max}")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many came.
        got: usize,
        /// How many are allowed.
        max: usize,
    },
    /// Came on another lane than its own.
    #[error("kind {kind} on lane {lane}")]
    WrongLane {
        /// The kind byte.
        kind: u8,
        /// The lane it came on.
        lane: &'static str,
    },
    /// Larger than its lane allows.
    #[error("frame of {got} bytes, at most {max}")]
    TooLarge {
        /// Bytes announced.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
}

#[derive(RlpEncodable, RlpDecodable)]
struct ById<T: Encodable + Decodable> {
    id: u64,
    items: Vec<T>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct ByBlock<T: Encodable + Decodable> {
    block: B256,
    items: Vec<T>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct HeaderRequest {
    id: u64,
    locator: Vec<B256>,
    limit: u32,
}

impl Message {
    /// Returns the kind byte.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 0,
            Self::Ping(_) => 1,
            Self::Pong(_) => 2,
            Self::Status(_) => 3,
            Self::Goodbye(_) => 4,
            Self::Engine(_) => 16,
            Self::NewBlock(_) => 32,
            Self::GetBlockTransactions { .. } => 33,
            Self::BlockTransactions { .. } => 34,
            Self::GetBlock(_) => 35,
            Self::NewTransactions(_) => 48,
            Self::GetTransactions(_) => 49,
            Self::Transactions(_) => 50,
            Self::GetHeaders { .. } => 64,
            Self::Headers { .. } => 65,
            Self::GetBodies { .. } => 66,
            Self::Bodies { .. } => 67,
            Self::GetPeers => 68,
            Self::Peers(_) => 69,
        }
    }

    /// Returns the message's name, for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Status(_) => "status",
            Self::Goodbye(_) => "goodbye",
            Self::Engine(_) => "engine",
            Self::NewBlock(_) => "new_block",
            Self::GetBlockTransactions { .. } => "get_block_transactions",
            Self::BlockTransactions { .. } => "block_transactions",
            Self::GetBlock(_) => "get_block",
            Self::NewTransactions(_) => "new_transactions",
            Self::GetTransactions(_) => "get_transactions",
            Self::Transactions(_) => "transactions",
            Self::GetHeaders { .. } => "get_headers",
            Self::Headers { .. } => "headers",
            Self::GetBodies { .. } => "get_bodies",
            Self::Bodies { .. } => "bodies",
            Self::GetPeers => "get_peers",
            Self::Peers(_) => "peers",
        }
    }

    /// Returns the lane this message travels on.
    pub const fn lane(&self) -> Lane {
        Self::lane_of(self.kind())
    }

    const fn lane_of(kind: u8) -> Lane {
        match kind {
            0..16 => Lane::Control,
            16..32 => Lane::Consensus,
            32..48 => Lane::Announce,
            48..64 => Lane::Inventory,
            _ => Lane::Bulk,
        }
    }

    /// Encodes to kind byte and RLP.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind()];
        match self {
            Self::Hello(hello) => hello.encode(&mut out),
            Self::Ping(n) | Self::Pong(n) => n.encode(&mut out),
            Self::Status(status) => status.encode(&mut out),
            Self::Goodbye(reason) => (*reason as u8).encode(&mut out),
            Self::Engine(bytes) => out.extend_from_slice(bytes),
            Self::NewBlock(block) => block.encode(&mut out),
            Self::GetBlockTransactions { block, indexes } => {
                ByBlock { block: *block, items: indexes.clone() }.encode(&mut out);
            }
            Self::BlockTransactions { block, transactions } => {
                ByBlock { block: *block, items: transactions.clone() }.encode(&mut out);
            }
            Self::GetBlock(hash) => hash.encode(&mut out),
            Self::NewTransactions(hashes) | Self::GetTransactions(hashes) => {
                hashes.encode(&mut out);
            }
            Self::Transactions(transactions) => transactions.encode(&mut out),
            Self::GetHeaders { id, locator, limit } => {
                HeaderRequest { id: *id, locator: locator.clone(), limit: *limit }.encode(&mut out);
            }
            Self::Headers { id, headers } => {
                ById { id: *id, items: headers.clone() }.encode(&mut out);
            }
            Self::GetBodies { id, hashes } => {
                ById { id: *id, items: hashes.clone() }.encode(&mut out);
            }
            Self::Bodies { id, bodies } => {
                ById { id: *id, items: bodies.clone() }.encode(&mut out);
            }
            Self::GetPeers => {}
            Self::Peers(peers) => peers.encode(&mut out),
        }
        out
    }

    /// Decodes one frame that came on `lane`.
    ///
    /// # Errors
    /// Whatever is not exactly one message of that lane within its bounds.
    pub fn decode(lane: Lane, frame: &[u8]) -> Result<Self, DecodeError> {
        let (&kind, mut rest) = frame.split_first().ok_or(DecodeError::Empty)?;
        if frame.len() > lane.frame_bytes_max() {
            return Err(DecodeError::TooLarge { got: frame.len(), max: lane.frame_bytes_max() });
        }
        if Self::lane_of(kind) != lane {
            return Err(DecodeError::WrongLane { kind, lane: lane.name() });
        }
        let buf = &mut rest;
        let message = match kind {
            0 => Self::Hello(Box::new(read(kind, buf)?)),
            1 => Self::Ping(read(kind, buf)?),
            2 => Self::Pong(read(kind, buf)?),
            3 => Self::Status(read(kind, buf)?),
            4 => Self::Goodbye(
                DisconnectReason::from_code(read(kind, buf)?)
                    .unwrap_or(DisconnectReason::ConnectionLost),
            ),
            16 => Self::Engine(Bytes::copy_from_slice(std::mem::take(buf))),
            32 => Self::NewBlock(Box::new(read(kind, buf)?)),
            33 => {
                let ByBlock { block, items } = read(kind, buf)?;
                Self::GetBlockTransactions { block, indexes: items }
            }
            34 => {
                let ByBlock { block, items } = read(kind, buf)?;
                Self::BlockTransactions { block, transactions: items }
            }
            35 => Self::GetBlock(read(kind, buf)?),
            48 => Self::NewTransactions(read(kind, buf)?),
            49 => Self::GetTransactions(read(kind, buf)?),
            50 => Self::Transactions(read(kind, buf)?),
            64 => {
                let HeaderRequest { id, locator, limit } = read(kind, buf)?;
                Self::GetHeaders { id, locator, limit }
            }
            65 => {
                let ById { id, items } = read(kind, buf)?;
                Self::Headers { id, headers: items }
            }
            66 => {
                let ById { id, items } = read(kind, buf)?;
                Self::GetBodies { id, hashes: items }
            }
            67 => {
                let ById { id, items } = read(kind, buf)?;
                Self::Bodies { id, bodies: items }
            }
            68 => Self::GetPeers,
            69 => Self::Peers(read(kind, buf)?),
            other => return Err(DecodeError::UnknownKind(other)),
        };
        if !buf.is_empty() {
            return Err(DecodeError::Trailing(kind));
        }
        message.check_counts()?;
        // The decoder of transactions tolerates a wrong length around a typed one: only bytes that come
        // out as they went in are a message.
        let lenient = matches!(
            message,
            Self::BlockTransactions { .. } | Self::Transactions(_) | Self::Bodies { .. }
        );
        if lenient && message.encode() != frame {
            return Err(DecodeError::NotCanonical(kind));
        }
        Ok(message)
    }

    fn check_counts(&self) -> Result<(), DecodeError> {
        let (what, got, max) = match self {
            Self::Hello(hello) => {
                let longest = [&hello.agent, &hello.moniker, &hello.region]
                    .into_iter()
                    .map(String::len)
                    .max()
                    .unwrap_or(0);
                ("bytes of a name", longest, NAME_BYTES_MAX)
            }
            Self::NewBlock(block) => ("short ids", block.short_ids.len(), COMPACT_TRANSACTIONS_MAX),
            Self::GetBlockTransactions { indexes, .. } => {
                ("indexes", indexes.len(), COMPACT_TRANSACTIONS_MAX)
            }
            Self::BlockTransactions { transactions, .. } => {
                ("transactions", transactions.len(), COMPACT_TRANSACTIONS_MAX)
            }
            Self::NewTransactions(hashes) | Self::GetTransactions(hashes) => {
                ("hashes", hashes.len(), INVENTORY_MAX)
            }
            Self::Transactions(transactions) => {
                ("transactions", transactions.len(), TRANSACTIONS_MAX)
            }
            Self::GetHeaders { locator, .. } => ("locator hashes", locator.len(), LOCATOR_MAX),
            Self::Headers { headers, .. } => ("headers", headers.len(), HEADERS_MAX),
            Self::GetBodies { hashes, .. } => ("hashes", hashes.len(), BODIES_MAX),
            Self::Bodies { bodies, .. } => ("bodies", bodies.len(), BODIES_MAX),
            Self::Peers(peers) => ("peers", peers.len(), PEERS_MAX),
            Self::Engine(bytes) => ("bytes", bytes.len(), ENGINE_MESSAGE_BYTES_MAX),
            Self::Ping(_)
            | Self::Pong(_)
            | Self::Status(_)
            | Self::Goodbye(_)
            | Self::GetBlock(_)
            | Self::GetPeers => return Ok(()),
        };
        if got > max { Err(DecodeError::TooMany { what, got, max }) } else { Ok(()) }
    }
}

fn read<T: Decodable>(kind: u8, buf: &mut &[u8]) -> Result<T, DecodeError> {
    T::decode(buf).map_err(|error| DecodeError::Rlp { kind, error })
}
