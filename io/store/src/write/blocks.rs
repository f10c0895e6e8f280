//! Blocks on whatever branch: header, seal, body, senders, receipts.

use crate::{
    codec::{encode_addresses, int, one, position, run},
    error::Failure,
};
use kette_chain::ExecutedBlock;
use kette_types::{B256, Body, SealedHeader, U256};
use rusqlite::{Connection, params};

/// Writes a block that is not there yet.
pub(crate) fn insert(conn: &Connection, block: &ExecutedBlock) -> Result<(), Failure> {
    let (header, body) = (&block.block.header, &block.block.body);
    let body_bytes = alloy_rlp::encode(body);
    let row = Row {
        header,
        total_weight: block.total_weight,
        issued: block.issued,
        burned: block.burned,
        transactions: body.transactions.len(),
        body_bytes: body_bytes.len(),
    };
    let Some(id) = row.insert(conn)? else { return Ok(()) };
    let senders = encode_addresses(&block.senders);
    run(
        conn,
        "INSERT OR REPLACE INTO bodies VALUES (?1, ?2, ?3)",
        params![id, body_bytes, senders],
    )?;
    let receipts = alloy_rlp::encode(&block.receipts);
    run(conn, "INSERT OR REPLACE INTO receipts VALUES (?1, ?2)", params![id, receipts]).map(drop)
}

/// Writes block 0 and makes it the canonical chain. Its weight is its difficulty, as in Ethereum.
pub(crate) fn insert_genesis(conn: &Connection, header: &SealedHeader) -> Result<(), Failure> {
    let body = Body {
        withdrawals: header.withdrawals_root.map(|_| Default::default()),
        ..Body::default()
    };
    let body_bytes = alloy_rlp::encode(&body);
    let row = Row {
        header,
        total_weight: header.difficulty,
        issued: U256::ZERO,
        burned: U256::ZERO,
        transactions: 0,
        body_bytes: body_bytes.len(),
    };
    let Some(id) = row.insert(conn)? else { return Ok(()) };
    run(conn, "INSERT INTO bodies VALUES (?1, ?2, x'')", params![id, body_bytes])?;
    run(conn, "INSERT INTO receipts VALUES (?1, ?2)", params![id, EMPTY_LIST])?;
    let sql = "INSERT INTO canonical VALUES (?1, ?2, 0, '0', '0')";
    run(conn, sql, params![int(header.number), id]).map(drop)
}

/// Removes a side-branch block. A canonical one stays, whatever the caller says.
pub(crate) fn remove(conn: &Connection, hash: B256) -> Result<(), Failure> {
    let found = "SELECT b.id, c.number FROM blocks b
        LEFT JOIN canonical c ON c.number = b.number AND c.block = b.id WHERE b.hash = ?1";
    let row = one(conn, found, [hash.as_slice()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let Some((id, canonical)) = row else { return Ok(()) };
    if let Some(number) = canonical {
        tracing::error!(%hash, number, "a canonical block is not pruned");
        return Ok(());
    }
    run(conn, "DELETE FROM blocks WHERE id = ?1", [id])?;
    run(conn, "DELETE FROM bodies WHERE block = ?1", [id])?;
    run(conn, "DELETE FROM receipts WHERE block = ?1", [id]).map(drop)
}

struct Row<'a> {
    header: &'a SealedHeader,
    total_weight: U256,
    issued: U256,
    burned: U256,
    transactions: usize,
    body_bytes: usize,
}

impl Row<'_> {
    /// Returns the new row's id, or `None` if the block is there.
    fn insert(&self, conn: &Connection) -> Result<Option<i64>, Failure> {
        let header = self.header;
        let header_bytes = alloy_rlp::encode(header.header());
        let bytes = header_bytes.len() + header.seal().len() + self.body_bytes;
        let added = run(
            conn,
            INSERT,
            params![
                header.hash().as_slice(),
                int(header.number),
                header.parent_hash.as_slice(),
                int(header.timestamp),
                header.beneficiary.as_slice(),
                int(header.gas_used),
                header.difficulty.to_string(),
                self.total_weight.to_string(),
                self.issued.to_string(),
                self.burned.to_string(),
                position(self.transactions),
                position(bytes),
                header_bytes,
                header.seal().as_ref(),
            ],
        )?;
        Ok((added == 1).then(|| conn.last_insert_rowid()))
    }
}

const INSERT: &str = "
    INSERT INTO blocks (hash, number, parent, timestamp, miner, gas_used, difficulty, total_weight,
        issued, burned, transactions, bytes, header, seal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT (hash) DO NOTHING";
/// RLP of a list without items.
const EMPTY_LIST: &[u8] = &[alloy_rlp::EMPTY_LIST_CODE];
