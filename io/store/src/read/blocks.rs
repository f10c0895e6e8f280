//! Questions about blocks, receipts and transactions.

use crate::{
    Reader,
    codec::{
        address, all, amount, blob, decode_addresses, hash, int, one, position, rlp, small, uint,
    },
    error::Failure,
};
use kette_chain::record::StoredBlock;
use kette_ledger::ReadError;
use kette_types::{Address, B256, Block, Body, Bytes, Header, Receipt, SealedHeader, U256};
use rusqlite::{Connection, Row};

/// Where a transaction of the canonical chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Hash of its block.
    pub block: B256,
    /// Number of its block.
    pub number: u64,
    /// Position in the block.
    pub index: u32,
}

/// A line of a list of blocks: all but the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Header and seal.
    pub header: SealedHeader,
    /// Weight of the branch up to this block.
    pub total_weight: U256,
    /// Wei created by the block.
    pub issued: U256,
    /// Wei destroyed by the block.
    pub burned: U256,
    /// How many transactions it has.
    pub transactions: u32,
    /// Bytes of header, seal and body.
    pub bytes: u64,
    /// Whether it is on the canonical chain.
    pub canonical: bool,
}

/// Sums over the canonical chain from block 1 up to a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transactions.
    pub transactions: u64,
    /// Wei created; genesis allocations are not in it.
    pub issued: U256,
    /// Wei destroyed.
    pub burned: U256,
}

/// Every method's error means that the file could not be read or is damaged; what is absent is `None`.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Reader {
    /// Returns a block by hash, on whatever branch.
    pub fn block(&self, hash: B256) -> Result<Option<StoredBlock>, ReadError> {
        self.ask(|conn| one(conn, BLOCK_BY_HASH, [hash.as_slice()], stored_block))
    }

    /// Returns the canonical block with this number.
    pub fn block_by_number(&self, number: u64) -> Result<Option<StoredBlock>, ReadError> {
        self.ask(|conn| by_number(conn, number))
    }

    /// Returns a block's receipts, on whatever branch.
    pub fn receipts(&self, block: B256) -> Result<Option<Vec<Receipt>>, ReadError> {
        let sql =
            "SELECT r.receipts FROM blocks b JOIN receipts r ON r.block = b.id WHERE b.hash = ?1";
        self.ask(|conn| one(conn, sql, [block.as_slice()], |row| rlp("receipts", blob(row, 0)?)))
    }

    /// Returns who signed a block's transactions.
    pub fn senders(&self, block: B256) -> Result<Option<Vec<Address>>, ReadError> {
        let sql =
            "SELECT o.senders FROM blocks b JOIN bodies o ON o.block = b.id WHERE b.hash = ?1";
        self.ask(|conn| one(conn, sql, [block.as_slice()], |row| decode_addresses(blob(row, 0)?)))
    }

    /// Returns where a transaction is on the canonical chain.
    pub fn transaction(&self, hash: B256) -> Result<Option<Place>, ReadError> {
        let sql = "SELECT b.hash, t.number, t.position FROM transactions t
            JOIN canonical c ON c.number = t.number JOIN blocks b ON b.id = c.block
            WHERE t.hash = ?1";
        self.ask(|conn| {
            one(conn, sql, [hash.as_slice()], |row| {
                let block = crate::codec::hash(row, 0)?;
                Ok(Place { block, number: uint(row, 1)?, index: small(row, 2)? })
            })
        })
    }

    /// Tells whether a block is on the canonical chain.
    pub fn is_canonical(&self, hash: B256) -> Result<bool, ReadError> {
        self.ask(
            |conn| Ok(one(conn, NUMBER_IF_CANONICAL, [hash.as_slice()], |_| Ok(()))?.is_some()),
        )
    }

    /// Returns the proof that made a canonical block final, if its engine gave one.
    pub fn justification(&self, number: u64) -> Result<Option<Bytes>, ReadError> {
        self.ask(|conn| justification(conn, number))
    }

    /// Returns one line of a block, on whatever branch.
    pub fn block_row(&self, hash: B256) -> Result<Option<BlockRow>, ReadError> {
        let sql = format!("{BLOCK_ROW} WHERE b.hash = ?1");
        self.ask(|conn| one(conn, &sql, [hash.as_slice()], block_row))
    }

    /// Returns a page of canonical blocks, newest first, from `newest` (or the head) downwards.
    pub fn recent(&self, newest: Option<u64>, limit: usize) -> Result<Vec<BlockRow>, ReadError> {
        let sql = "SELECT b.hash, b.header, b.seal, b.total_weight, b.issued, b.burned,
                b.transactions, b.bytes, c.number
            FROM canonical c JOIN blocks b ON b.id = c.block
            WHERE c.number <= ?1 ORDER BY c.number DESC LIMIT ?2";
        let newest = newest.map_or(i64::MAX, int);
        self.ask(|conn| all(conn, sql, [newest, position(limit)], block_row))
    }

    /// Returns all blocks with this number, the canonical one and those of side branches.
    pub fn at_number(&self, number: u64) -> Result<Vec<BlockRow>, ReadError> {
        let sql = format!("{BLOCK_ROW} WHERE b.number = ?1 ORDER BY b.id");
        self.ask(|conn| all(conn, &sql, [int(number)], block_row))
    }

    /// Returns sums over the canonical chain up to and with this number.
    pub fn totals(&self, number: u64) -> Result<Option<Totals>, ReadError> {
        let sql = "SELECT transactions, issued, burned FROM canonical WHERE number = ?1";
        self.ask(|conn| {
            one(conn, sql, [int(number)], |row| {
                let (issued, burned) = (amount(row, 1)?, amount(row, 2)?);
                Ok(Totals { transactions: uint(row, 0)?, issued, burned })
            })
        })
    }

    /// Counts blocks per miner on the canonical chain between two numbers, both included; most first.
    pub fn miners(&self, from: u64, to: u64) -> Result<Vec<(Address, u64)>, ReadError> {
        let sql = "SELECT b.miner, count(*) AS n FROM canonical c JOIN blocks b ON b.id = c.block
            WHERE c.number BETWEEN ?1 AND ?2 GROUP BY b.miner ORDER BY n DESC, b.miner";
        self.ask(|conn| {
            all(conn, sql, [int(from), int(to)], |row| Ok((address(row, 0)?, uint(row, 1)?)))
        })
    }
}

pub(crate) fn by_number(conn: &Connection, number: u64) -> Result<Option<StoredBlock>, Failure> {
    one(conn, BLOCK_BY_NUMBER, [int(number)], stored_block)
}

pub(crate) fn header(conn: &Connection, hash: B256) -> Result<Option<SealedHeader>, Failure> {
    let sql = "SELECT hash, header, seal FROM blocks WHERE hash = ?1";
    one(conn, sql, [hash.as_slice()], sealed)
}

pub(crate) fn body(conn: &Connection, hash: B256) -> Result<Option<Body>, Failure> {
    let sql = "SELECT o.body FROM blocks b JOIN bodies o ON o.block = b.id WHERE b.hash = ?1";
    one(conn, sql, [hash.as_slice()], |row| rlp("body", blob(row, 0)?))
}

pub(crate) fn canonical(conn: &Connection, number: u64) -> Result<Option<B256>, Failure> {
    let sql = "SELECT b.hash FROM canonical c JOIN blocks b ON b.id = c.block WHERE c.number = ?1";
    one(conn, sql, [int(number)], |row| hash(row, 0))
}

pub(crate) fn justification(conn: &Connection, number: u64) -> Result<Option<Bytes>, Failure> {
    let sql = "SELECT justification FROM justifications WHERE number = ?1";
    one(conn, sql, [int(number)], |row| Ok(blob(row, 0)?.to_vec().into()))
}

pub(crate) fn total_weight(conn: &Connection, hash: B256) -> Result<Option<U256>, Failure> {
    let sql = "SELECT total_weight FROM blocks WHERE hash = ?1";
    one(conn, sql, [hash.as_slice()], |row| amount(row, 0))
}

/// Reads hash, header, seal, weight, body, senders.
pub(crate) fn stored_block(row: &Row<'_>) -> Result<StoredBlock, Failure> {
    Ok(StoredBlock {
        block: Block { header: sealed(row)?, body: rlp("body", blob(row, 4)?)? },
        senders: decode_addresses(blob(row, 5)?)?,
        total_weight: amount(row, 3)?,
    })
}

/// Reads hash, header, seal. Hashing the header again proves it undamaged.
fn sealed(row: &Row<'_>) -> Result<SealedHeader, Failure> {
    let expected = hash(row, 0)?;
    let header: Header = rlp("header", blob(row, 1)?)?;
    let sealed = SealedHeader::new(header, blob(row, 2)?.to_vec().into());
    if sealed.hash() == expected {
        return Ok(sealed);
    }
    Err(Failure::Damaged(format!("the header of block {expected} has hash {}", sealed.hash())))
}

fn block_row(row: &Row<'_>) -> Result<BlockRow, Failure> {
    Ok(BlockRow {
        header: sealed(row)?,
        total_weight: amount(row, 3)?,
        issued: amount(row, 4)?,
        burned: amount(row, 5)?,
        transactions: small(row, 6)?,
        bytes: uint(row, 7)?,
        canonical: row.get::<_, Option<i64>>(8)?.is_some(),
    })
}

const BLOCK_BY_HASH: &str = "SELECT b.hash, b.header, b.seal, b.total_weight, o.body, o.senders
    FROM blocks b JOIN bodies o ON o.block = b.id WHERE b.hash = ?1";
const BLOCK_BY_NUMBER: &str = "SELECT b.hash, b.header, b.seal, b.total_weight, o.body, o.senders
    FROM canonical c JOIN blocks b ON b.id = c.block JOIN bodies o ON o.block = b.id
    WHERE c.number = ?1";
const NUMBER_IF_CANONICAL: &str = "SELECT c.number FROM blocks b
    JOIN canonical c ON c.number = b.number AND c.block = b.id WHERE b.hash = ?1";
const BLOCK_ROW: &str = "SELECT b.hash, b.header, b.seal, b.total_weight, b.issued, b.burned,
        b.transactions, b.bytes, c.number
    FROM blocks b LEFT JOIN canonical c ON c.number = b.number AND c.block = b.id";
