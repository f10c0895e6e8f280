//! How values lie in columns, and short ways to ask for rows.

use crate::error::Failure;
use alloy_rlp::Decodable;
use kette_types::{Address, B256, U256};
use rusqlite::{Connection, Params, Row};

/// Numbers of blocks, times and gas as SQLite's signed integer; what exceeds it saturates.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A position or count.
pub(crate) fn position(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn uint(row: &Row<'_>, column: usize) -> Result<u64, Failure> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| Failure::Damaged(format!("negative number {value}")))
}

pub(crate) fn small(row: &Row<'_>, column: usize) -> Result<u32, Failure> {
    let value: i64 = row.get(column)?;
    u32::try_from(value).map_err(|_| Failure::Damaged(format!("{value} is out of range")))
}

pub(crate) fn blob<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row [u8], Failure> {
    let value = row.get_ref(column)?;
    value.as_blob().map_err(|_| Failure::Damaged(format!("column {column} is not a blob")))
}

pub(crate) fn hash(row: &Row<'_>, column: usize) -> Result<B256, Failure> {
    B256::try_from(blob(row, column)?).map_err(|_| Failure::Damaged("a hash has 32 bytes".into()))
}

pub(crate) fn address(row: &Row<'_>, column: usize) -> Result<Address, Failure> {
    Address::try_from(blob(row, column)?)
        .map_err(|_| Failure::Damaged("an address has 20 bytes".into()))
}

pub(crate) fn optional_address(row: &Row<'_>, column: usize) -> Result<Option<Address>, Failure> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => address(row, column).map(Some),
    }
}

/// Amounts and weights are decimal text, so that people read them.
pub(crate) fn amount(row: &Row<'_>, column: usize) -> Result<U256, Failure> {
    let value = row.get_ref(column)?;
    let text = value.as_str().map_err(|_| Failure::Damaged("an amount is text".into()))?;
    U256::from_str_radix(text, 10).map_err(|_| Failure::Damaged(format!("`{text}` is no amount")))
}

pub(crate) fn rlp<T: Decodable>(what: &str, bytes: &[u8]) -> Result<T, Failure> {
    alloy_rlp::decode_exact(bytes).map_err(|error| Failure::Damaged(format!("{what}: {error}")))
}

/// Senders are 20 bytes each, in block order.
pub(crate) fn encode_addresses(addresses: &[Address]) -> Vec<u8> {
    addresses.iter().flat_map(|address| address.0.0).collect()
}

pub(crate) fn decode_addresses(bytes: &[u8]) -> Result<Vec<Address>, Failure> {
    let (whole, rest) = bytes.as_chunks::<20>();
    if !rest.is_empty() {
        return Err(Failure::Damaged("senders have 20 bytes each".into()));
    }
    Ok(whole.iter().map(|bytes| Address::from(*bytes)).collect())
}

/// Asks for at most one row.
pub(crate) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Asks for all rows.
pub(crate) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_and_then(params, read)?.collect()
}

/// Performs one statement; returns how many rows it changed.
pub(crate) fn run(conn: &Connection, sql: &str, params: impl Params) -> Result<usize, Failure> {
    Ok(conn.prepare_cached(sql)?.execute(params)?)
}
