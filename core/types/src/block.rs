//! Blocks: Ethereum's header and body, with an engine's seal beside the header.
//!
//! The block hash is keccak256(RLP(header)), as in Ethereum, so any Ethereum tool recomputes it.
//! pow keeps its proof in the header itself and has an empty seal. The other engines commit to their
//! seal through `extraData`; certificates sign the hash and stay outside of both.

use crate::limits::SEAL_BYTES_MAX;
use alloy_consensus::{BlockBody, EthereumTxEnvelope, TxEip4844, proofs};
use alloy_primitives::{B64, B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

pub use alloy_consensus::{EMPTY_ROOT_HASH as EMPTY_TRANSACTIONS_ROOT, Header};

/// A signed EIP-2718 transaction: legacy, 2930, 1559, 4844 (foreign chains only) or 7702.
pub type Transaction = EthereumTxEnvelope<TxEip4844>;
/// A block's transactions, ommers (foreign chains only) and withdrawals (always empty in Kette chains).
pub type Body = BlockBody<Transaction>;
/// A typed receipt with its bloom kept beside it.
pub type Receipt = alloy_consensus::EthereumReceipt;

/// A header, the engine's seal beside it and the hash, computed once. Cloning shares them.
///
/// Invariant: `hash == keccak256(rlp(header))`.
#[derive(Clone)]
pub struct SealedHeader {
    hash: B256,
    inner: Arc<Inner>,
}

struct Inner {
    header: Header,
    seal: Bytes,
    preimage: OnceLock<B256>,
}

impl SealedHeader {
    /// Seals a header: computes its hash and keeps the engine's proof beside it.
    pub fn new(header: Header, seal: Bytes) -> Self {
        let hash = header.hash_slow();
        Self { hash, inner: Arc::new(Inner { header, seal, preimage: OnceLock::new() }) }
    }

    /// Returns keccak256(RLP(header)).
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Returns the Ethereum header.
    pub fn header(&self) -> &Header {
        &self.inner.header
    }

    /// Returns the engine's seal; empty for pow.
    pub fn seal(&self) -> &Bytes {
        &self.inner.seal
    }

    /// Returns keccak256(RLP(header with nonce 0)), computed once: what proof of work is searched for.
    pub fn preimage(&self) -> B256 {
        *self.inner.preimage.get_or_init(|| preimage(&self.inner.header))
    }
}

/// Returns keccak256(RLP(header with nonce 0)).
pub fn preimage(header: &Header) -> B256 {
    Header { nonce: B64::ZERO, ..header.clone() }.hash_slow()
}

/// Equal if hash and seal are: the hash commits to the header.
impl PartialEq for SealedHeader {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.inner.seal == other.inner.seal
    }
}

impl Eq for SealedHeader {}

impl fmt::Debug for SealedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { header, seal, .. } = &*self.inner;
        f.debug_struct("SealedHeader")
            .field("hash", &self.hash)
            .field("header", header)
            .field("seal", seal)
            .finish()
    }
}

impl std::ops::Deref for SealedHeader {
    type Target = Header;
    fn deref(&self) -> &Header {
        &self.inner.header
    }
}

#[derive(RlpEncodable, RlpDecodable)]
struct WireHeader {
    header: Header,
    seal: Bytes,
}

impl Encodable for SealedHeader {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        let Inner { header, seal, .. } = &*self.inner;
        alloy_rlp::Header { list: true, payload_length: header.length() + seal.length() }
            .encode(out);
        header.encode(out);
        seal.encode(out);
    }
    fn length(&self) -> usize {
        let payload = self.inner.header.length() + self.inner.seal.length();
        payload + alloy_rlp::length_of_length(payload)
    }
}

impl Decodable for SealedHeader {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let wire = WireHeader::decode(buf)?;
        if wire.seal.len() > SEAL_BYTES_MAX {
            return Err(alloy_rlp::Error::Custom("a seal has at most 16 KiB"));
        }
        Ok(Self::new(wire.header, wire.seal))
    }
}

/// A sealed block. A body may still disagree with its header until [`Block::body_matches`] said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Block {
    /// Header, seal and hash.
    pub header: SealedHeader,
    /// Transactions, ommers, withdrawals.
    pub body: Body,
}

impl Block {
    /// Returns the block's hash.
    pub const fn hash(&self) -> B256 {
        self.header.hash()
    }

    /// Tells whether the body is the one the header commits to (transactions, ommers, withdrawals roots).
    pub fn body_matches(&self) -> bool {
        body_matches(&self.header, &self.body)
    }
}

/// Tells whether `body` is the one `header` commits to (transactions, ommers and withdrawals roots).
pub fn body_matches(header: &Header, body: &Body) -> bool {
    proofs::calculate_transaction_root(&body.transactions) == header.transactions_root
        && proofs::calculate_ommers_root(&body.ommers) == header.ommers_hash
        && body.withdrawals.as_ref().map(|w| proofs::calculate_withdrawals_root(w))
            == header.withdrawals_root
}
