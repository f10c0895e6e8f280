//! What a core was built from: the chain, its own settings, and what its store found at start.

use super::wire::{
    put, put_duration, put_option, put_size, take, take_duration, take_option, take_size,
};
use alloy_rlp::{Error, Result};
use kette_chain::record::{Restored, StoredBlock};
use kette_consensus::Local;
use kette_node::{Config, mempool, peers};
use kette_types::{B256, Bytes, PeerAddress, PeerId, Time, U256, spec::NetworkKind};

/// What a recording says of its node.
#[derive(Clone, Debug)]
pub struct Header {
    /// Version of the program.
    pub version: String,
    /// Commit that it was built from.
    pub commit: String,
    /// When the node was restored.
    pub began: Time,
    /// The chain, as in a genesis file.
    pub genesis: String,
    /// The node's settings; a memo is not part of a recording.
    pub config: Config,
}

/// Writes a header.
pub(super) fn put_header(out: &mut Vec<u8>, header: &Header) {
    put(out, &header.version);
    put(out, &header.commit);
    put(out, &header.began.as_millis());
    put(out, &header.genesis);
    put_peers(out, &header.config.peers);
    put_local(out, &header.config.local);
    put_pool(out, &header.config.pool);
    put(out, &header.config.archive);
}

/// Reads a header.
pub(super) fn take_header(buf: &mut &[u8]) -> Result<Header> {
    Ok(Header {
        version: take(buf)?,
        commit: take(buf)?,
        began: take_time(buf)?,
        genesis: take(buf)?,
        config: Config {
            peers: take_peers(buf)?,
            local: take_local(buf)?,
            pool: take_pool(buf)?,
            archive: take(buf)?,
            memo: None,
        },
    })
}

fn take_time(buf: &mut &[u8]) -> Result<Time> {
    take(buf).map(Time::from_millis)
}

fn put_peers(out: &mut Vec<u8>, config: &peers::Config) {
    put(out, &config.me);
    put(out, &config.listen);
    put(out, &config.agent);
    put(out, &config.moniker);
    put(out, &config.region);
    put(out, &config.chain_id);
    put(out, &config.genesis);
    put(out, &config.rules);
    put(out, &(config.kind == NetworkKind::Public));
    put(out, &config.configured);
    put(out, &config.discovery);
    put_size(out, config.outbound_target);
    put_size(out, config.sessions_max);
    put_size(out, config.inbound_max);
    put_option(out, config.allow.as_ref().map(|allow| allow.iter().copied().collect::<Vec<_>>()));
    put(out, &config.seed);
    for duration in [
        config.hello_timeout,
        config.ping_interval,
        config.ping_timeout,
        config.dial_timeout,
        config.backoff_max,
        config.refused_retry,
        config.settle,
        config.answer_ttl,
        config.ask_interval,
        config.ban,
    ] {
        put_duration(out, duration);
    }
}

fn take_peers(buf: &mut &[u8]) -> Result<peers::Config> {
    Ok(peers::Config {
        me: take(buf)?,
        listen: take(buf)?,
        agent: take(buf)?,
        moniker: take(buf)?,
        region: take(buf)?,
        chain_id: take(buf)?,
        genesis: take(buf)?,
        rules: take(buf)?,
        kind: if take(buf)? { NetworkKind::Public } else { NetworkKind::Local },
        configured: take(buf)?,
        discovery: take(buf)?,
        outbound_target: take_size(buf)?,
        sessions_max: take_size(buf)?,
        inbound_max: take_size(buf)?,
        allow: take_option::<Vec<PeerId>>(buf)?.map(|allow| allow.into_iter().collect()),
        seed: take(buf)?,
        hello_timeout: take_duration(buf)?,
        ping_interval: take_duration(buf)?,
        ping_timeout: take_duration(buf)?,
        dial_timeout: take_duration(buf)?,
        backoff_max: take_duration(buf)?,
        refused_retry: take_duration(buf)?,
        settle: take_duration(buf)?,
        answer_ttl: take_duration(buf)?,
        ask_interval: take_duration(buf)?,
        ban: take_duration(buf)?,
    })
}

fn put_local(out: &mut Vec<u8>, local: &Local) {
    put(out, &local.beneficiary);
    put(out, &local.mining);
    put(out, &local.on_demand);
    put(out, &local.threads);
    put_option(out, local.mine_rate);
    put(out, &local.seed);
}

fn take_local(buf: &mut &[u8]) -> Result<Local> {
    Ok(Local {
        beneficiary: take(buf)?,
        mining: take(buf)?,
        on_demand: take(buf)?,
        threads: take(buf)?,
        mine_rate: take_option(buf)?,
        seed: take(buf)?,
        // A recording holds no keys.
        ..Local::default()
    })
}

fn put_pool(out: &mut Vec<u8>, pool: &mempool::Limits) {
    put_size(out, pool.count);
    put_size(out, pool.bytes);
    put_size(out, pool.per_sender);
    put(out, &pool.nonce_gap);
    put(out, &pool.bump_percent);
    put_duration(out, pool.expiry);
    put(out, &pool.price_floor);
}

fn take_pool(buf: &mut &[u8]) -> Result<mempool::Limits> {
    Ok(mempool::Limits {
        count: take_size(buf)?,
        bytes: take_size(buf)?,
        per_sender: take_size(buf)?,
        nonce_gap: take(buf)?,
        bump_percent: take(buf)?,
        expiry: take_duration(buf)?,
        price_floor: take(buf)?,
    })
}

/// One thing that a store found at start. A large tail of the chain is many entries and not one huge one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The last checkpoint, its weight, and the newest final block; comes first and once.
    Points {
        /// Number and hash of the last checkpoint.
        checkpoint: (u64, B256),
        /// Total weight of its block.
        weight: U256,
        /// Number and hash of the newest final block.
        finalized: (u64, B256),
    },
    /// What was written with the newest final block.
    Justification(Bytes),
    /// The next canonical block above the checkpoint.
    Canonical(StoredBlock),
    /// The next block of a side branch.
    Side(StoredBlock),
    /// The next entry of the engine's log.
    Engine(Bytes),
    /// The next pending transaction of a client.
    Pending(Bytes),
    /// An address of the address book: address, last success, failures.
    Address(PeerAddress, Time, u32),
    /// A ban that was still running.
    Ban(PeerId, Time),
}

/// Takes apart what a store found.
pub(super) fn found(restored: Restored) -> impl Iterator<Item = Found> {
    let points = Found::Points {
        checkpoint: restored.checkpoint,
        weight: restored.checkpoint_weight,
        finalized: restored.finalized,
    };
    std::iter::once(points)
        .chain(restored.justification.into_iter().map(Found::Justification))
        .chain(restored.canonical.into_iter().map(Found::Canonical))
        .chain(restored.side.into_iter().map(Found::Side))
        .chain(restored.engine.into_iter().map(Found::Engine))
        .chain(restored.pending.into_iter().map(Found::Pending))
        .chain(restored.addresses.into_iter().map(|(a, at, failed)| Found::Address(a, at, failed)))
        .chain(restored.bans.into_iter().map(|(peer, until)| Found::Ban(peer, until)))
}

/// Puts together again what a store found.
pub(super) fn restore(restored: &mut Restored, found: Found) {
    match found {
        Found::Points { checkpoint, weight, finalized } => {
            restored.checkpoint = checkpoint;
            restored.checkpoint_weight = weight;
            restored.finalized = finalized;
        }
        Found::Justification(bytes) => restored.justification = Some(bytes),
        Found::Canonical(block) => restored.canonical.push(block),
        Found::Side(block) => restored.side.push(block),
        Found::Engine(entry) => restored.engine.push(entry),
        Found::Pending(bytes) => restored.pending.push(bytes),
        Found::Address(address, at, failures) => restored.addresses.push((address, at, failures)),
        Found::Ban(peer, until) => restored.bans.push((peer, until)),
    }
}

/// Writes one thing that a store found.
pub(super) fn put_found(out: &mut Vec<u8>, found: &Found) {
    match found {
        Found::Points { checkpoint, weight, finalized } => {
            put(out, &0u8);
            put(out, &checkpoint.0);
            put(out, &checkpoint.1);
            put(out, weight);
            put(out, &finalized.0);
            put(out, &finalized.1);
        }
        Found::Canonical(block) => {
            put(out, &1u8);
            put_block(out, block);
        }
        Found::Side(block) => {
            put(out, &2u8);
            put_block(out, block);
        }
        Found::Engine(entry) => {
            put(out, &3u8);
            put(out, entry);
        }
        Found::Pending(bytes) => {
            put(out, &4u8);
            put(out, bytes);
        }
        Found::Address(address, at, failures) => {
            put(out, &5u8);
            put(out, address);
            put(out, &at.as_millis());
            put(out, failures);
        }
        Found::Ban(peer, until) => {
            put(out, &6u8);
            put(out, peer);
            put(out, &until.as_millis());
        }
        Found::Justification(bytes) => {
            put(out, &7u8);
            put(out, bytes);
        }
    }
}

/// Reads one thing that a store found.
pub(super) fn take_found(buf: &mut &[u8]) -> Result<Found> {
    Ok(match take::<u8>(buf)? {
        0 => Found::Points {
            checkpoint: (take(buf)?, take(buf)?),
            weight: take(buf)?,
            finalized: (take(buf)?, take(buf)?),
        },
        1 => Found::Canonical(take_block(buf)?),
        2 => Found::Side(take_block(buf)?),
        3 => Found::Engine(take(buf)?),
        4 => Found::Pending(take(buf)?),
        5 => Found::Address(take(buf)?, take_time(buf)?, take(buf)?),
        6 => Found::Ban(take(buf)?, take_time(buf)?),
        7 => Found::Justification(take(buf)?),
        _ => return Err(Error::Custom("unknown kind of what was found")),
    })
}

fn put_block(out: &mut Vec<u8>, stored: &StoredBlock) {
    put(out, &stored.block);
    put(out, &stored.senders);
    put(out, &stored.total_weight);
}

fn take_block(buf: &mut &[u8]) -> Result<StoredBlock> {
    Ok(StoredBlock { block: take(buf)?, senders: take(buf)?, total_weight: take(buf)? })
}
