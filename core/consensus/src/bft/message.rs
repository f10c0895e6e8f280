//! The engine's own messages: one kind byte and RLP.

use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use kette_types::{
    Bytes,
    bft::{Certificate, Evidence, Proposal, Vote},
};

/// What validators and those who follow them say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A leader proposes a block.
    Proposal(Proposal),
    /// A vote.
    Vote(Vote),
    /// A block is final.
    Commit(Certificate),
    /// Somebody signed twice.
    Evidence(Box<Evidence>),
    /// Where a node is: who is ahead helps it, who is behind learns it.
    Position(Position),
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Position {
    /// The height that it decides on.
    pub height: u64,
    /// Its round.
    pub round: u32,
    /// The block it saw proposed in that round and has; zero if none.
    pub block: B256,
}

impl Message {
    /// Encodes.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Proposal(proposal) => {
                out.push(1);
                proposal.encode(&mut out);
            }
            Self::Vote(vote) => {
                out.push(2);
                vote.encode(&mut out);
            }
            Self::Commit(certificate) => {
                out.push(3);
                certificate.encode(&mut out);
            }
            Self::Evidence(evidence) => {
                out.push(4);
                evidence.encode(&mut out);
            }
            Self::Position(position) => {
                out.push(5);
                position.encode(&mut out);
            }
        }
        out.into()
    }

    /// Decodes exactly one message.
    ///
    /// # Errors
    /// What is not exactly one message.
    pub fn decode(bytes: &[u8]) -> alloy_rlp::Result<Self> {
        let (kind, mut rest) = bytes.split_first().ok_or(alloy_rlp::Error::InputTooShort)?;
        let message = match kind {
            1 => Self::Proposal(Proposal::decode(&mut rest)?),
            2 => Self::Vote(Vote::decode(&mut rest)?),
            3 => Self::Commit(Certificate::decode(&mut rest)?),
            4 => Self::Evidence(Box::new(Evidence::decode(&mut rest)?)),
            5 => Self::Position(Position::decode(&mut rest)?),
            _ => return Err(alloy_rlp::Error::Custom("no such kind of bft message")),
        };
        if rest.is_empty() { Ok(message) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}
