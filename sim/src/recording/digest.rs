//! Short digests of outputs: equal outputs have equal ones, and the first byte says what kind of output it was.
//!
//! They cover what an output does. Texts for people count only where nothing else tells two outputs apart.

use super::wire::{put, put_option};
use alloy_primitives::B256;
use kette_chain::Record;
use kette_consensus::Job;
use kette_ledger::StateCommit;
use kette_node::{Event, Output, Reply};
use kette_types::{Bytes, Direction, Message};
use sha2::{Digest as _, Sha256};

/// Kind and seven bytes of SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 8]);

impl Digest {
    /// Digests an output.
    pub fn of(output: &Output) -> Self {
        let mut out = Vec::new();
        let kind = put_output(&mut out, output);
        let hash = Sha256::digest(&out);
        let mut digest = [kind; 8];
        digest[1..].copy_from_slice(&hash[..7]);
        Self(digest)
    }

    /// Names the kind of output.
    pub fn kind(self) -> &'static str {
        KINDS.get(usize::from(self.0[0])).copied().unwrap_or("unknown")
    }
}

/// The running hash over all digests.
#[derive(Clone, Debug, Default)]
pub(super) struct Running(Sha256);

impl Running {
    pub(super) fn add(&mut self, digests: &[Digest]) {
        self.0.update((digests.len() as u64).to_be_bytes());
        for digest in digests {
            self.0.update(digest.0);
        }
    }

    pub(super) fn hash(&self) -> B256 {
        B256::from_slice(&self.0.clone().finalize())
    }
}

const KINDS: [&str; 9] =
    ["persist", "send", "serve", "dial", "disconnect", "start", "cancel", "reply", "event"];

fn put_output(out: &mut Vec<u8>, output: &Output) -> u8 {
    match output {
        Output::Persist(records) => {
            for record in records {
                put_record(out, record);
            }
            0
        }
        Output::Send(peers, message) => {
            put(out, peers);
            put_message(out, message);
            1
        }
        Output::Serve(peer, message) => {
            put(out, peer);
            put_message(out, message);
            2
        }
        Output::Dial(address) => {
            put(out, address);
            3
        }
        Output::Disconnect(peer, reason) => {
            put(out, peer);
            put(out, &(*reason as u8));
            4
        }
        Output::Start(id, job) => {
            put(out, &id.0);
            put_job(out, job);
            5
        }
        Output::Cancel(id) => {
            put(out, &id.0);
            6
        }
        Output::Reply(ticket, result) => {
            put(out, ticket);
            match result {
                Ok(Reply::Done) => put(out, &0u8),
                Ok(Reply::Transaction(hash)) => {
                    put(out, &1u8);
                    put(out, hash);
                }
                Ok(Reply::Block(hash)) => {
                    put(out, &2u8);
                    put(out, hash);
                }
                Err(error) => {
                    put(out, &3u8);
                    put(out, &error.to_string());
                }
            }
            7
        }
        Output::Event(event) => {
            put_event(out, event);
            8
        }
    }
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    put(out, &Bytes::from(message.encode()));
}

fn put_job(out: &mut Vec<u8>, job: &Job) {
    match job {
        Job::Recover(transactions) => {
            put(out, &0u8);
            put(out, &transactions.iter().map(|t| *t.tx_hash()).collect::<Vec<_>>());
        }
        Job::Mine(job) => {
            put(out, &1u8);
            put(out, &job.preimage);
            put(out, &job.target);
            put(out, &job.nonce_start);
            put_option(out, job.rate);
            put(out, &job.threads);
        }
    }
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    match record {
        Record::Block(block) => {
            put(out, &0u8);
            put(out, &block.hash());
            put(out, block.block.header.seal());
            put(out, &block.senders);
            put(out, &block.total_weight);
            put(out, &block.issued);
            put(out, &block.burned);
        }
        Record::Canonical { keep, added } => {
            put(out, &1u8);
            put(out, keep);
            put(out, added);
        }
        Record::Final { number, hash, justification } => {
            put(out, &2u8);
            put(out, number);
            put(out, hash);
            put(out, justification);
        }
        Record::Prune(hashes) => {
            put(out, &3u8);
            put(out, hashes);
        }
        Record::Checkpoint { number, hash, commit } => {
            put(out, &4u8);
            put(out, number);
            put(out, hash);
            put_commit(out, commit);
        }
        Record::PruneStates { below } => {
            put(out, &5u8);
            put(out, below);
        }
        Record::Engine(entry) => {
            put(out, &6u8);
            put(out, entry);
        }
        Record::EngineTruncate => put(out, &7u8),
        Record::Pending(bytes) => {
            put(out, &8u8);
            put(out, bytes);
        }
        Record::PendingDone(hashes) => {
            put(out, &9u8);
            put(out, hashes);
        }
        Record::Address { address, last_success, failures } => {
            put(out, &10u8);
            put(out, address);
            put(out, &last_success.as_millis());
            put(out, failures);
        }
        Record::AddressGone(address) => {
            put(out, &11u8);
            put(out, address);
        }
        Record::Ban(peer, until) => {
            put(out, &12u8);
            put(out, peer);
            put(out, &until.as_millis());
        }
        Record::Unban(peer) => {
            put(out, &13u8);
            put(out, peer);
        }
        Record::Sign(state) => {
            put(out, &14u8);
            put(out, &**state);
        }
    }
}

fn put_commit(out: &mut Vec<u8>, commit: &StateCommit) {
    put(out, &commit.root);
    // As sets: the order of a commit's parts means nothing.
    let mut nodes: Vec<Bytes> = commit.nodes.iter().map(|(key, _)| key.to_bytes().into()).collect();
    nodes.sort_unstable();
    let mut stale: Vec<Bytes> = commit.stale.iter().map(|key| key.to_bytes().into()).collect();
    stale.sort_unstable();
    let mut codes: Vec<B256> = commit.codes.iter().map(|(hash, _)| *hash).collect();
    codes.sort_unstable();
    put(out, &nodes);
    put(out, &stale);
    put(out, &codes);
}

fn put_event(out: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Head { removed, added, depth } => {
            put(out, &0u8);
            put(out, &removed.iter().map(|block| block.hash()).collect::<Vec<_>>());
            put(out, &added.iter().map(|block| block.hash()).collect::<Vec<_>>());
            put(out, depth);
        }
        Event::Finalized { number, hash } => {
            put(out, &1u8);
            put(out, number);
            put(out, hash);
        }
        Event::SideBlock { number, hash } => {
            put(out, &2u8);
            put(out, number);
            put(out, hash);
        }
        Event::Produced { number, hash } => {
            put(out, &3u8);
            put(out, number);
            put(out, hash);
        }
        Event::InvalidBlock { hash, reason: _, peer } => {
            put(out, &4u8);
            put(out, hash);
            put_option(out, *peer);
        }
        Event::Pending(transaction) => {
            put(out, &5u8);
            put(out, transaction.inner().tx_hash());
        }
        Event::Dropped { hash, reason } => {
            put(out, &6u8);
            put(out, hash);
            put(out, &(*reason).to_owned());
        }
        Event::PeerUp { peer, address, direction, moniker, handshake_ms } => {
            put(out, &7u8);
            put(out, peer);
            put(out, address);
            put(out, &(*direction == Direction::Outbound));
            put(out, moniker);
            put(out, handshake_ms);
        }
        Event::PeerDown { peer, reason } => {
            put(out, &8u8);
            put(out, peer);
            put(out, &(*reason as u8));
        }
        Event::PeerFault { peer, fault, score } => {
            put(out, &9u8);
            put(out, peer);
            put(out, &fault.kind().to_owned());
            put(out, &score.to_be_bytes());
        }
        Event::SyncProgress { number, target } => {
            put(out, &10u8);
            put(out, number);
            put(out, target);
        }
        Event::Synced { number } => {
            put(out, &11u8);
            put(out, number);
        }
        Event::Alarm(text) => {
            put(out, &12u8);
            put(out, text);
        }
        Event::Engine(event) => {
            put(out, &13u8);
            put(out, &format!("{event:?}"));
        }
    }
}
