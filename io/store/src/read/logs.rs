//! Logs of the canonical chain by range, address and topics (`eth_getLogs`).
//!
//! Few addresses, or few first topics, are looked up in their index; everything else filters the range.

use crate::{
    Reader,
    codec::{address, blob, hash, int, one, small, uint},
    error::Failure,
};
use alloy_primitives::{Log, LogData};
use kette_ledger::ReadError;
use kette_types::{Address, B256};
use rusqlite::{Connection, Params, Row, params};
use std::collections::BTreeSet;

/// Which logs are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Lowest block number.
    pub from: u64,
    /// Highest block number.
    pub to: u64,
    /// Any of these contracts; empty for all.
    pub addresses: Vec<Address>,
    /// Per position any of these topics; empty for whatever is or is not there.
    pub topics: [Vec<B256>; 4],
}

/// A log of the canonical chain and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Contract, topics, data.
    pub log: Log,
    /// Number of its block.
    pub number: u64,
    /// Hash of its block.
    pub block: B256,
    /// The block's timestamp, seconds since the Unix epoch.
    pub timestamp: u64,
    /// Hash of its transaction.
    pub transaction: B256,
    /// Position of the transaction in the block.
    pub transaction_index: u32,
    /// Position of the log in the block.
    pub log_index: u32,
}

impl Reader {
    /// Returns the first logs that match, in chain order, at most `limit`.
    ///
    /// # Errors
    /// If the file could not be read or is damaged.
    pub fn logs(&self, filter: &LogFilter, limit: usize) -> Result<Vec<LogRow>, ReadError> {
        self.ask(|conn| {
            // One transaction: a reorganization between the statements must not show.
            let tx = conn.unchecked_transaction()?;
            let found = find(&tx, filter, limit)?;
            let mut place = BlockPlace::default();
            found.into_iter().map(|found| place.complete(&tx, found)).collect()
        })
    }
}

/// A log before its block and transaction are looked up.
struct Found {
    number: u64,
    log_index: u32,
    position: u32,
    log: Log,
}

fn find(conn: &Connection, filter: &LogFilter, limit: usize) -> Result<Vec<Found>, Failure> {
    let matcher = Matcher::new(filter);
    let (from, to) = (int(filter.from), int(filter.to));
    let mut found = Vec::new();
    let mut one_key = |sql: &str, key: &[u8]| -> Result<(), Failure> {
        found.extend(matcher.first(conn, sql, params![from, to, key], limit)?);
        Ok(())
    };
    if (1..=INDEXED_MAX).contains(&matcher.addresses.len()) {
        for address in &matcher.addresses {
            one_key(BY_ADDRESS, address.as_slice())?;
        }
    } else if (1..=INDEXED_MAX).contains(&matcher.topics[0].len()) {
        for topic in &matcher.topics[0] {
            one_key(BY_TOPIC, topic.as_slice())?;
        }
    } else {
        return matcher.first(conn, BY_NUMBER, [from, to], limit);
    }
    found.sort_unstable_by_key(|found| (found.number, found.log_index));
    found.truncate(limit);
    Ok(found)
}

struct Matcher {
    addresses: BTreeSet<Address>,
    topics: [BTreeSet<B256>; 4],
}

impl Matcher {
    fn new(filter: &LogFilter) -> Self {
        Self {
            addresses: filter.addresses.iter().copied().collect(),
            topics: filter.topics.each_ref().map(|topics| topics.iter().copied().collect()),
        }
    }

    /// Returns the first rows that match.
    fn first(
        &self,
        conn: &Connection,
        sql: &str,
        params: impl Params,
        limit: usize,
    ) -> Result<Vec<Found>, Failure> {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            found.extend(self.read(row)?);
        }
        Ok(found)
    }

    fn read(&self, row: &Row<'_>) -> Result<Option<Found>, Failure> {
        let address = address(row, 3)?;
        if !self.addresses.is_empty() && !self.addresses.contains(&address) {
            return Ok(None);
        }
        let mut topics = Vec::new();
        for (index, wanted) in self.topics.iter().enumerate() {
            let column = 4 + index;
            let topic = match row.get_ref(column)? {
                rusqlite::types::ValueRef::Null => None,
                _ => Some(hash(row, column)?),
            };
            if !wanted.is_empty() && topic.is_none_or(|topic| !wanted.contains(&topic)) {
                return Ok(None);
            }
            topics.extend(topic);
        }
        let data = LogData::new_unchecked(topics, blob(row, 8)?.to_vec().into());
        Ok(Some(Found {
            number: uint(row, 0)?,
            log_index: small(row, 1)?,
            position: small(row, 2)?,
            log: Log { address, data },
        }))
    }
}

/// The block looked up last: logs come in chain order, many from one block.
#[derive(Default)]
struct BlockPlace {
    last: Option<(u64, B256, u64)>,
}

impl BlockPlace {
    fn complete(&mut self, conn: &Connection, found: Found) -> Result<LogRow, Failure> {
        let Found { number, log_index, position, log } = found;
        let missing = || Failure::Damaged(format!("block {number} of a log is missing"));
        let (block, timestamp) = match self.last {
            Some((last, block, timestamp)) if last == number => (block, timestamp),
            _ => {
                let sql = "SELECT b.hash, b.timestamp FROM canonical c
                    JOIN blocks b ON b.id = c.block WHERE c.number = ?1";
                let row = one(conn, sql, [int(number)], |row| Ok((hash(row, 0)?, uint(row, 1)?)))?;
                let (block, timestamp) = row.ok_or_else(missing)?;
                self.last = Some((number, block, timestamp));
                (block, timestamp)
            }
        };
        let sql = "SELECT hash FROM transactions WHERE number = ?1 AND position = ?2";
        let transaction = one(conn, sql, [int(number), i64::from(position)], |row| hash(row, 0))?;
        Ok(LogRow {
            log,
            number,
            block,
            timestamp,
            transaction: transaction.ok_or_else(missing)?,
            transaction_index: position,
            log_index,
        })
    }
}

/// More keys than this are cheaper to filter than to look up.
const INDEXED_MAX: usize = 16;

const BY_ADDRESS: &str = "
    SELECT number, log_index, position, address, topic0, topic1, topic2, topic3, data
    FROM logs INDEXED BY logs_address
    WHERE address = ?3 AND number BETWEEN ?1 AND ?2 ORDER BY number, log_index";
const BY_TOPIC: &str = "
    SELECT number, log_index, position, address, topic0, topic1, topic2, topic3, data
    FROM logs INDEXED BY logs_topic0
    WHERE topic0 = ?3 AND number BETWEEN ?1 AND ?2 ORDER BY number, log_index";
const BY_NUMBER: &str = "
    SELECT number, log_index, position, address, topic0, topic1, topic2, topic3, data
    FROM logs WHERE number BETWEEN ?1 AND ?2 ORDER BY number, log_index";
