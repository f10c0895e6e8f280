//! A tiny engine that proposes blocks before it chooses them, and does what it is told by messages.

use kette_chain::{BlockTree, Headers};
use kette_consensus::{Engine, Input, Output, SealError, Status};
use kette_types::{
    B256, Bytes, PeerId, SealedHeader, Time, U256,
    bft::{PublicKey, SignState},
};

/// What it was told shows in alarms.
#[derive(Debug, Default)]
pub(super) struct Proposer {
    found: Vec<String>,
}

/// Says that a block is chosen.
pub(super) fn commit(hash: B256) -> Bytes {
    said(b'c', hash)
}

/// Shows a block, and says in the same breath that another one is chosen.
pub(super) fn show_and_commit(shown: B256, chosen: B256) -> Bytes {
    [said(b'w', shown), commit(chosen)].concat().into()
}

/// Says that a block exists.
pub(super) fn wanted(hash: B256) -> Bytes {
    said(b'f', hash)
}

fn said(what: u8, hash: B256) -> Bytes {
    [&[what], hash.as_slice()].concat().into()
}

/// Headers with this in `extraData` are not wanted.
pub(super) const UNWANTED: &[u8] = b"unwanted";

impl Engine for Proposer {
    fn check(&self, _: Time, header: &SealedHeader, _: &dyn Headers) -> Result<U256, SealError> {
        if *header.extra_data == *UNWANTED {
            return Err(SealError::Unwanted("for a test"));
        }
        Ok(U256::ONE)
    }

    fn handle(&mut self, _: Time, input: Input, tree: &BlockTree) -> Vec<Output> {
        match input {
            Input::Restored(entry) => self.found.push(format!("entry {entry}")),
            Input::Justification { hash, bytes } => {
                self.found.push(format!("proof {hash} {bytes}"))
            }
            Input::Start => return vec![Output::Alarm(format!("start {:?}", self.found))],
            Input::PeerUp(peer) => return vec![Output::Alarm(format!("up {peer}"))],
            Input::Invalid(hash) => return vec![Output::Alarm(format!("invalid {hash}"))],
            Input::Block(hash) => return vec![Output::Announce(hash)],
            Input::Message(peer, bytes) => return message(peer, bytes, tree),
            _ => {}
        }
        Vec::new()
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn status(&self) -> Status {
        Status::Bft(Box::default())
    }
}

fn message(peer: PeerId, bytes: Bytes, tree: &BlockTree) -> Vec<Output> {
    let Some((what, rest)) = bytes.split_first() else { return Vec::new() };
    match what {
        b'g' => vec![Output::Gossip(bytes)],
        b'r' => vec![Output::Resend(bytes)],
        b's' => vec![
            Output::Sign(sign_state(u64::from(rest[0]))),
            Output::Send(peer, Bytes::from_static(b"signed")),
        ],
        // What a session's end makes of the outputs behind it.
        b'x' => vec![
            Output::Fault(peer, "for a test".to_owned()),
            Output::Send(peer, Bytes::from_static(b"too late")),
            Output::Resend(bytes),
        ],
        b'f' => vec![Output::Fetch(B256::from_slice(rest), peer)],
        b'w' => {
            let (shown, then) = rest.split_at(32);
            let mut out = vec![Output::Announce(B256::from_slice(shown))];
            out.extend(message(peer, Bytes::copy_from_slice(then), tree));
            out
        }
        b'c' => {
            let hash = B256::from_slice(rest);
            if !tree.contains(hash) || tree.is_canonical(hash) {
                return Vec::new();
            }
            vec![
                Output::Persist(Bytes::from_static(b"vote")),
                Output::Head(hash),
                Output::Finalize(hash, bytes.clone()),
                Output::Truncate,
                Output::Persist(Bytes::from_static(b"next")),
                Output::Gossip(bytes),
            ]
        }
        _ => Vec::new(),
    }
}

/// What is signed at a height.
pub(super) fn sign_state(height: u64) -> SignState {
    SignState {
        chain: B256::repeat_byte(1),
        key: PublicKey(B256::repeat_byte(2)),
        height,
        round: 0,
        step: 2,
        block: B256::ZERO,
        digest: B256::with_last_byte(height as u8),
        signature: Default::default(),
    }
}
