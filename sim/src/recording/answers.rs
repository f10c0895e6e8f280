//! What a core asks its store, and what the store says: overheard while recording, repeated while replaying.

use super::wire::{put, put_option, take, take_option};
use alloy_primitives::keccak256;
use alloy_rlp::{Decodable, Encodable, Error, Result};
use kette_chain::ChainReader;
use kette_ledger::{NodeKey, NodeReader, ReadError};
use kette_node::Reader;
use kette_types::{B256, Body, Bytes, SealedHeader, U256};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

/// A question of the core to its store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// [`ChainReader::header`].
    Header(B256),
    /// [`ChainReader::body`].
    Body(B256),
    /// [`ChainReader::canonical`].
    Canonical(u64),
    /// [`ChainReader::total_weight`].
    TotalWeight(B256),
    /// [`NodeReader::node`], by [`NodeKey::to_bytes`].
    Node(Bytes),
    /// [`NodeReader::code`].
    Code(B256),
}

/// What the store said: RLP of what it found, nothing, or its failure.
pub type Answer = Found<Bytes>;

impl Question {
    /// Asks for a trie node.
    pub fn node(key: &NodeKey) -> Self {
        Self::Node(key.to_bytes().into())
    }
}

/// A store whose answers are overheard. Clients read states through it as well, from other threads: what they load
/// the core need not ask for, so it is part of the recording.
pub struct Overheard<R, F> {
    store: R,
    tell: F,
}

impl<R: Reader, F: Fn(Question, Answer) + Send + Sync> Overheard<R, F> {
    /// Has `tell` told every answer before it is given.
    pub const fn new(store: R, tell: F) -> Self {
        Self { store, tell }
    }

    fn hear<T: Encodable>(&self, question: Question, found: Found<T>) -> Found<T> {
        let answer = match &found {
            Ok(found) => Ok(found.as_ref().map(|found| alloy_rlp::encode(found).into())),
            Err(error) => Err(error.clone()),
        };
        (self.tell)(question, answer);
        found
    }
}

type Found<T> = std::result::Result<Option<T>, ReadError>;

impl<R: Reader, F: Fn(Question, Answer) + Send + Sync> ChainReader for Overheard<R, F> {
    fn header(&self, hash: B256) -> Found<SealedHeader> {
        self.hear(Question::Header(hash), self.store.header(hash))
    }
    fn body(&self, hash: B256) -> Found<Body> {
        self.hear(Question::Body(hash), self.store.body(hash))
    }
    fn canonical(&self, number: u64) -> Found<B256> {
        self.hear(Question::Canonical(number), self.store.canonical(number))
    }
    fn total_weight(&self, hash: B256) -> Found<U256> {
        self.hear(Question::TotalWeight(hash), self.store.total_weight(hash))
    }
}

impl<R: Reader, F: Fn(Question, Answer) + Send + Sync> NodeReader for Overheard<R, F> {
    fn node(&self, key: &NodeKey) -> Found<Bytes> {
        self.hear(Question::node(key), self.store.node(key))
    }
    fn code(&self, hash: B256) -> Found<Bytes> {
        self.hear(Question::Code(hash), self.store.code(hash))
    }
}

/// Writes a question with its answer.
pub(super) fn put_answer(out: &mut Vec<u8>, question: &Question, answer: &Answer) {
    match question {
        Question::Header(hash) => {
            put(out, &0u8);
            put(out, hash);
        }
        Question::Body(hash) => {
            put(out, &1u8);
            put(out, hash);
        }
        Question::Canonical(number) => {
            put(out, &2u8);
            put(out, number);
        }
        Question::TotalWeight(hash) => {
            put(out, &3u8);
            put(out, hash);
        }
        Question::Node(key) => {
            put(out, &4u8);
            put(out, key);
        }
        Question::Code(hash) => {
            put(out, &5u8);
            put(out, hash);
        }
    }
    let error = match answer {
        Ok(found) => {
            put(out, &0u8);
            return put_option(out, found.clone());
        }
        Err(error) => error,
    };
    let (kind, hash) = match error {
        ReadError::MissingNode(hash) => (1u8, hash),
        ReadError::MissingCode(hash) => (2, hash),
        ReadError::Damaged(hash) => (3, hash),
        ReadError::Store(text) => {
            put(out, &4u8);
            return put(out, text);
        }
    };
    put(out, &kind);
    put(out, hash);
}

/// Reads a question with its answer.
pub(super) fn take_answer(buf: &mut &[u8]) -> Result<(Question, Answer)> {
    let question = match take::<u8>(buf)? {
        0 => Question::Header(take(buf)?),
        1 => Question::Body(take(buf)?),
        2 => Question::Canonical(take(buf)?),
        3 => Question::TotalWeight(take(buf)?),
        4 => Question::Node(take(buf)?),
        5 => Question::Code(take(buf)?),
        _ => return Err(Error::Custom("unknown kind of question")),
    };
    let answer = match take::<u8>(buf)? {
        0 => Ok(take_option(buf)?),
        1 => Err(ReadError::MissingNode(take(buf)?)),
        2 => Err(ReadError::MissingCode(take(buf)?)),
        3 => Err(ReadError::Damaged(take(buf)?)),
        4 => Err(ReadError::Store(take(buf)?)),
        _ => return Err(Error::Custom("unknown kind of answer")),
    };
    Ok((question, answer))
}

/// A store that says what the recorded one said: of each question, the newest answer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    answers: BTreeMap<Question, Answer>,
    /// The first question that the recorded core did not ask.
    unknown: Option<Question>,
}

impl Answers {
    pub(super) fn learn(&self, question: Question, answer: Answer) {
        self.lock().answers.insert(question, answer);
    }

    /// Returns the first question without an answer since the last call.
    pub(super) fn take_unknown(&self) -> Option<Question> {
        self.lock().unknown.take()
    }

    fn ask<T: Decodable>(&self, question: Question) -> Found<T> {
        let mut inner = self.lock();
        let Some(answer) = inner.answers.get(&question).cloned() else {
            inner.unknown.get_or_insert(question);
            return Err(ReadError::Store("the recorded core did not ask this".to_owned()));
        };
        let decode = |bytes: Bytes| {
            alloy_rlp::decode_exact(&bytes).map_err(|_| ReadError::Damaged(keccak256(&bytes)))
        };
        answer?.map(decode).transpose()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }
}

impl ChainReader for Answers {
    fn header(&self, hash: B256) -> Found<SealedHeader> {
        self.ask(Question::Header(hash))
    }
    fn body(&self, hash: B256) -> Found<Body> {
        self.ask(Question::Body(hash))
    }
    fn canonical(&self, number: u64) -> Found<B256> {
        self.ask(Question::Canonical(number))
    }
    fn total_weight(&self, hash: B256) -> Found<U256> {
        self.ask(Question::TotalWeight(hash))
    }
}

impl NodeReader for Answers {
    fn node(&self, key: &NodeKey) -> Found<Bytes> {
        self.ask(Question::node(key))
    }
    fn code(&self, hash: B256) -> Found<Bytes> {
        self.ask(Question::Code(hash))
    }
}
