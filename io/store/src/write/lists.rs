//! What the node itself remembers: the engine's log, pending transactions, addresses, bans.

use crate::{
    codec::{int, run},
    error::Failure,
};
use alloy_primitives::keccak256;
use kette_types::{B256, PeerAddress, PeerId, Time};
use rusqlite::{Connection, params};

pub(super) fn engine(conn: &Connection, entry: &[u8]) -> Result<(), Failure> {
    run(conn, "INSERT INTO engine_log (entry) VALUES (?1)", [entry]).map(drop)
}

pub(super) fn engine_truncate(conn: &Connection) -> Result<(), Failure> {
    run(conn, "DELETE FROM engine_log", []).map(drop)
}

/// The hash of a transaction is the keccak256 of its EIP-2718 bytes.
pub(super) fn pending(conn: &Connection, bytes: &[u8]) -> Result<(), Failure> {
    let sql = "INSERT INTO pending (hash, bytes) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING";
    run(conn, sql, params![keccak256(bytes).as_slice(), bytes]).map(drop)
}

pub(super) fn pending_done(conn: &Connection, hashes: &[B256]) -> Result<(), Failure> {
    for hash in hashes {
        run(conn, "DELETE FROM pending WHERE hash = ?1", [hash.as_slice()])?;
    }
    Ok(())
}

pub(super) fn address(
    conn: &Connection,
    address: &PeerAddress,
    last_success: Time,
    failures: u32,
) -> Result<(), Failure> {
    let sql = "INSERT OR REPLACE INTO addresses VALUES (?1, ?2, ?3)";
    run(conn, sql, params![address.to_string(), int(last_success.as_millis()), failures]).map(drop)
}

pub(super) fn address_gone(conn: &Connection, address: &PeerAddress) -> Result<(), Failure> {
    run(conn, "DELETE FROM addresses WHERE address = ?1", [address.to_string()]).map(drop)
}

pub(super) fn ban(conn: &Connection, peer: PeerId, until: Time) -> Result<(), Failure> {
    let sql = "INSERT OR REPLACE INTO bans VALUES (?1, ?2)";
    run(conn, sql, params![peer.0.as_slice(), int(until.as_millis())]).map(drop)
}

pub(super) fn unban(conn: &Connection, peer: PeerId) -> Result<(), Failure> {
    run(conn, "DELETE FROM bans WHERE peer = ?1", [peer.0.as_slice()]).map(drop)
}
