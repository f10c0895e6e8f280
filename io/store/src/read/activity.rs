//! What an address did: its transactions on the canonical chain.

use crate::{
    Reader,
    codec::{address, all, amount, hash, int, optional_address, position, small, uint},
    error::Failure,
};
use kette_ledger::ReadError;
use kette_types::{Address, B256, U256};
use rusqlite::{Row, params};

/// A transaction as a line in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Hash of the transaction.
    pub hash: B256,
    /// Number of its block.
    pub number: u64,
    /// Position in the block.
    pub index: u32,
    /// The block's timestamp, seconds since the Unix epoch.
    pub timestamp: u64,
    /// Who signed it.
    pub from: Address,
    /// Whom it calls or pays; `None` if it creates a contract.
    pub to: Option<Address>,
    /// The address that a creation gives to its contract.
    pub created: Option<Address>,
    /// Wei sent.
    pub value: U256,
    /// Gas paid.
    pub gas_used: u64,
    /// Whether it did what it was to do.
    pub success: bool,
}

impl Reader {
    /// Returns transactions from, to or creating an address, newest first. `before` is number and index of
    /// the last line of the page before; `None` begins with the newest.
    ///
    /// # Errors
    /// If the file could not be read or is damaged.
    pub fn activity(
        &self,
        of: Address,
        before: Option<(u64, u32)>,
        limit: usize,
    ) -> Result<Vec<Activity>, ReadError> {
        let sql =
            "SELECT t.hash, t.number, t.position, b.timestamp, t.sender, t.recipient, t.created,
                t.value, t.gas_used, t.success
            FROM activity a
            JOIN transactions t ON t.number = a.number AND t.position = a.position
            JOIN canonical c ON c.number = a.number JOIN blocks b ON b.id = c.block
            WHERE a.address = ?1 AND (a.number, a.position) < (?2, ?3)
            ORDER BY a.number DESC, a.position DESC LIMIT ?4";
        let (number, index) = before.map_or((i64::MAX, 0), |(n, i)| (int(n), i));
        let params = params![of.as_slice(), number, index, position(limit)];
        self.ask(|conn| all(conn, sql, params, line))
    }

    /// Returns the newest transactions of the canonical chain; pages as [`Self::activity`].
    ///
    /// # Errors
    /// If the file could not be read or is damaged.
    pub fn recent_transactions(
        &self,
        before: Option<(u64, u32)>,
        limit: usize,
    ) -> Result<Vec<Activity>, ReadError> {
        let sql =
            "SELECT t.hash, t.number, t.position, b.timestamp, t.sender, t.recipient, t.created,
                t.value, t.gas_used, t.success
            FROM transactions t
            JOIN canonical c ON c.number = t.number JOIN blocks b ON b.id = c.block
            WHERE (t.number, t.position) < (?1, ?2)
            ORDER BY t.number DESC, t.position DESC LIMIT ?3";
        let (number, index) = before.map_or((i64::MAX, 0), |(n, i)| (int(n), i));
        self.ask(|conn| all(conn, sql, params![number, index, position(limit)], line))
    }
}

fn line(row: &Row<'_>) -> Result<Activity, Failure> {
    Ok(Activity {
        hash: hash(row, 0)?,
        number: uint(row, 1)?,
        index: small(row, 2)?,
        timestamp: uint(row, 3)?,
        from: address(row, 4)?,
        to: optional_address(row, 5)?,
        created: optional_address(row, 6)?,
        value: amount(row, 7)?,
        gas_used: uint(row, 8)?,
        success: row.get(9)?,
    })
}
