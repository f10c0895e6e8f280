//! Entries of a recording.

use super::{
    Answer, Header, Question,
    answers::{put_answer, take_answer},
    digest::Digest,
    input::{put_input, take_input},
    settings::{Found, put_found, put_header, take_found, take_header},
    wire::{done, put, take},
};
use alloy_rlp::{Error, Result};
use kette_node::{Input, Node};
use kette_types::{B256, Bytes, Time};

/// One entry.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an entry is used at once and never stored in numbers"
)]
pub enum Entry {
    /// What the core was built from; comes first.
    Header(Header),
    /// What its store found at start; before the first input.
    Found(Found),
    /// The store answered a question: of the restore, or of the input before it.
    Answer(Question, Answer),
    /// The core took an input.
    Input(Time, Input),
    /// The core was asked for its last outputs.
    Stop,
    /// What the input or the stop before it led to.
    Outputs(Vec<Digest>),
    /// The node stopped cleanly; comes last.
    End {
        /// Inputs taken.
        inputs: u64,
        /// SHA-256 over the digests of all outputs.
        outputs: B256,
        /// Its head.
        head: Head,
    },
}

/// Where a core's chain ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the head.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Root of the state after it.
    pub state_root: B256,
}

impl Head {
    /// Returns a node's.
    pub fn of(node: &Node) -> Self {
        let head = node.tree().head();
        Self { number: head.number, hash: head.hash(), state_root: head.state_root }
    }
}

impl Entry {
    /// Encodes an entry.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Header(header) => {
                let mut out = kind(HEADER);
                put_header(&mut out, header);
                out
            }
            Self::Found(found) => {
                let mut out = kind(FOUND);
                put_found(&mut out, found);
                out
            }
            Self::Answer(question, answer) => encode_answer(question, answer),
            Self::Input(now, input) => encode_input(*now, input),
            Self::Stop => kind(STOP),
            Self::Outputs(digests) => encode_outputs(digests),
            Self::End { inputs, outputs, head } => {
                let mut out = kind(END);
                put(&mut out, inputs);
                put(&mut out, outputs);
                put(&mut out, &head.number);
                put(&mut out, &head.hash);
                put(&mut out, &head.state_root);
                out
            }
        }
    }

    /// Decodes an entry.
    ///
    /// # Errors
    /// Whatever is not exactly one entry.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (kind, mut rest) = bytes.split_first().ok_or(Error::InputTooShort)?;
        let buf = &mut rest;
        let entry = match *kind {
            HEADER => Self::Header(take_header(buf)?),
            FOUND => Self::Found(take_found(buf)?),
            ANSWER => {
                let (question, answer) = take_answer(buf)?;
                Self::Answer(question, answer)
            }
            INPUT => Self::Input(take(buf).map(Time::from_millis)?, take_input(buf)?),
            STOP => Self::Stop,
            OUTPUTS => {
                let bytes: Bytes = take(buf)?;
                let (digests, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(Error::Custom("a digest has eight bytes"));
                }
                Self::Outputs(digests.iter().copied().map(Digest).collect())
            }
            END => Self::End {
                inputs: take(buf)?,
                outputs: take(buf)?,
                head: Head { number: take(buf)?, hash: take(buf)?, state_root: take(buf)? },
            },
            _ => return Err(Error::Custom("unknown kind of entry")),
        };
        done(buf)?;
        Ok(entry)
    }
}

/// Encodes an answer of the store.
pub(super) fn encode_answer(question: &Question, answer: &Answer) -> Vec<u8> {
    let mut out = kind(ANSWER);
    put_answer(&mut out, question, answer);
    out
}

/// Encodes an input.
pub(super) fn encode_input(now: Time, input: &Input) -> Vec<u8> {
    let mut out = kind(INPUT);
    put(&mut out, &now.as_millis());
    put_input(&mut out, input);
    out
}

/// Encodes digests of outputs.
pub(super) fn encode_outputs(digests: &[Digest]) -> Vec<u8> {
    let mut out = kind(OUTPUTS);
    let bytes: Vec<u8> = digests.iter().flat_map(|digest| digest.0).collect();
    put(&mut out, &Bytes::from(bytes));
    out
}

fn kind(kind: u8) -> Vec<u8> {
    vec![kind]
}

const HEADER: u8 = 0;
const FOUND: u8 = 1;
const ANSWER: u8 = 2;
const INPUT: u8 = 3;
const STOP: u8 = 4;
const OUTPUTS: u8 = 5;
const END: u8 = 6;
