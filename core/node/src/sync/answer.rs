//! What sync is told of our own chain, and what it makes of an answer.

use kette_types::{B256, Body, Fault, PeerId, SealedHeader, U256};

/// What the node must do with an answer of headers.
#[derive(Debug, PartialEq, Eq)]
pub enum HeadersAnswer {
    /// Check these and hand each to [`Sync::header_accepted`]; then call [`Sync::tick`].
    Check(Vec<SealedHeader>),
    /// Nothing to do.
    Nothing,
    /// The peer is at fault.
    Fault(Fault),
}

/// A body that arrived for a block we asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The header it was asked for.
    pub header: SealedHeader,
    /// The body; not compared with the header yet.
    pub body: Body,
    /// Who sent it.
    pub peer: PeerId,
}

/// What the node tells about its own chain with each call.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// Number of our head.
    pub number: u64,
    /// Weight of our head.
    pub weight: U256,
    /// Hash of our head: of two equal weights the smaller hash wins.
    pub hash: B256,
}
