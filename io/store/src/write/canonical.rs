//! The canonical chain and what is indexed of it: transactions, activity of addresses, logs.

use super::{Batch, states};
use crate::{
    codec::{address, all, amount, blob, decode_addresses, hash, int, one, optional_address},
    codec::{position, rlp, run, uint},
    error::Failure,
    schema::{self, meta},
};
use alloy_consensus::Transaction as _;
use kette_types::{Address, B256, Body, Receipt, Transaction, U256};
use rusqlite::{Connection, params};
use std::borrow::Cow;

/// Forgets the numbers above `keep`, then appends.
pub(super) fn switch(
    conn: &Connection,
    keep: u64,
    added: &[B256],
    done: &Batch<'_>,
) -> Result<(), Failure> {
    forget(conn, keep)?;
    let sql = "SELECT b.hash, c.transactions, c.issued, c.burned
        FROM canonical c JOIN blocks b ON b.id = c.block WHERE c.number = ?1";
    let kept = one(conn, sql, [int(keep)], |row| {
        Ok((hash(row, 0)?, uint(row, 1)?, amount(row, 2)?, amount(row, 3)?))
    })?;
    let Some((mut parent, transactions, issued, burned)) = kept else {
        let hash = added.first().copied().unwrap_or_default();
        return Err(Failure::Unlinked { hash, number: keep.saturating_add(1) });
    };
    let mut totals = Totals { transactions, issued, burned };
    for (number, &hash) in (keep.saturating_add(1)..).zip(added) {
        let content = Content::of(conn, hash, done)?;
        if content.number != number || content.parent != parent {
            return Err(Failure::Unlinked { hash, number });
        }
        totals.transactions += content.transactions.len() as u64;
        totals.issued = totals.issued.saturating_add(content.issued);
        totals.burned = totals.burned.saturating_add(content.burned);
        run(
            conn,
            "INSERT INTO canonical VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                int(number),
                content.id,
                int(totals.transactions),
                totals.issued.to_string(),
                totals.burned.to_string(),
            ],
        )?;
        content.index(conn)?;
        parent = hash;
    }
    lower_finalized(conn, keep)
}

/// Records finality, and the proof of it if the engine has one.
pub(super) fn finalize(
    conn: &Connection,
    number: u64,
    hash: B256,
    justification: &[u8],
) -> Result<(), Failure> {
    schema::set_meta(conn, meta::FINALIZED_NUMBER, int(number))?;
    schema::set_meta(conn, meta::FINALIZED_HASH, hash.as_slice())?;
    if justification.is_empty() {
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO justifications VALUES (?1, ?2)";
    run(conn, sql, params![int(number), justification]).map(drop)
}

struct Totals {
    transactions: u64,
    issued: U256,
    burned: U256,
}

/// Forgets what is above a number: the chain, its indexes, and states of the branch that was left.
fn forget(conn: &Connection, keep: u64) -> Result<(), Failure> {
    let above = [int(keep)];
    let newest = one(conn, "SELECT max(number) FROM canonical", [], |row| uint(row, 0))?;
    if newest.is_none_or(|newest| newest <= keep) {
        return Ok(());
    }
    let sql =
        "SELECT number, position, sender, recipient, created FROM transactions WHERE number > ?1";
    let active = all(conn, sql, above, |row| {
        let place = (uint(row, 0)?, uint(row, 1)?);
        let parties =
            [Some(address(row, 2)?), optional_address(row, 3)?, optional_address(row, 4)?];
        Ok((place, parties))
    })?;
    for ((number, position), parties) in active {
        for party in parties.into_iter().flatten() {
            let sql = "DELETE FROM activity WHERE address = ?1 AND number = ?2 AND position = ?3";
            run(conn, sql, params![party.as_slice(), int(number), int(position)])?;
        }
    }
    run(conn, "DELETE FROM transactions WHERE number > ?1", above)?;
    run(conn, "DELETE FROM logs WHERE number > ?1", above)?;
    run(conn, "DELETE FROM justifications WHERE number > ?1", above)?;
    run(conn, "DELETE FROM canonical WHERE number > ?1", above)?;
    states::abandon(conn, int(keep))
}

/// A reorganization below the final block (pow, deep): what stays is final.
fn lower_finalized(conn: &Connection, keep: u64) -> Result<(), Failure> {
    let finalized = schema::meta_int(conn, meta::FINALIZED_NUMBER)?
        .ok_or_else(|| schema::missing(meta::FINALIZED_NUMBER))?;
    if finalized <= keep {
        return Ok(());
    }
    let sql = "SELECT b.hash FROM canonical c JOIN blocks b ON b.id = c.block WHERE c.number = ?1";
    let kept = one(conn, sql, [int(keep)], |row| hash(row, 0))?
        .ok_or_else(|| Failure::Damaged(format!("block {keep} is not canonical")))?;
    // Whatever proved it final was proven wrong.
    run(conn, "DELETE FROM justifications WHERE number = ?1", [int(keep)])?;
    schema::set_meta(conn, meta::FINALIZED_NUMBER, int(keep))?;
    schema::set_meta(conn, meta::FINALIZED_HASH, kept.as_slice())
}

/// What the indexes take from a block, from the batch or read back.
struct Content<'a> {
    id: i64,
    number: u64,
    parent: B256,
    issued: U256,
    burned: U256,
    transactions: Cow<'a, [Transaction]>,
    senders: Cow<'a, [Address]>,
    receipts: Cow<'a, [Receipt]>,
}

impl<'a> Content<'a> {
    fn of(conn: &Connection, hash: B256, done: &Batch<'a>) -> Result<Self, Failure> {
        let row = one(conn, ROW, [hash.as_slice()], |row| {
            let parent = crate::codec::hash(row, 2)?;
            Ok((row.get(0)?, uint(row, 1)?, parent, amount(row, 3)?, amount(row, 4)?))
        })?;
        let (id, number, parent, issued, burned) = row.ok_or(Failure::UnknownBlock(hash))?;
        let (transactions, senders, receipts) = match done.blocks.get(&hash) {
            Some(&block) => (
                Cow::Borrowed(&*block.block.body.transactions),
                Cow::Borrowed(&*block.senders),
                Cow::Borrowed(&*block.receipts),
            ),
            None => read_back(conn, id)?,
        };
        if transactions.len() != senders.len() || transactions.len() != receipts.len() {
            return Err(Failure::Damaged(format!(
                "block {hash} has {} transactions, {} senders, {} receipts",
                transactions.len(),
                senders.len(),
                receipts.len()
            )));
        }
        Ok(Self { id, number, parent, issued, burned, transactions, senders, receipts })
    }

    fn index(&self, conn: &Connection) -> Result<(), Failure> {
        let mut gas_before = 0;
        let mut log_index = 0;
        let all = self.transactions.iter().zip(&*self.senders).zip(&*self.receipts);
        for (index, ((transaction, sender), receipt)) in all.enumerate() {
            let gas_used = receipt.cumulative_gas_used.saturating_sub(gas_before);
            gas_before = receipt.cumulative_gas_used;
            self.index_transaction(conn, index, transaction, *sender, gas_used, receipt.success)?;
            for log in &receipt.logs {
                let topics = log.topics();
                let topic = |i: usize| topics.get(i).map(B256::as_slice);
                run(
                    conn,
                    INSERT_LOG,
                    params![
                        int(self.number),
                        position(log_index),
                        position(index),
                        log.address.as_slice(),
                        topic(0),
                        topic(1),
                        topic(2),
                        topic(3),
                        log.data.data.as_ref(),
                    ],
                )?;
                log_index += 1;
            }
        }
        Ok(())
    }

    fn index_transaction(
        &self,
        conn: &Connection,
        index: usize,
        transaction: &Transaction,
        sender: Address,
        gas_used: u64,
        success: bool,
    ) -> Result<(), Failure> {
        let recipient = transaction.to();
        let created = recipient.is_none().then(|| sender.create(transaction.nonce()));
        run(
            conn,
            INSERT_TRANSACTION,
            params![
                int(self.number),
                position(index),
                transaction.tx_hash().as_slice(),
                sender.as_slice(),
                recipient.as_ref().map(|a| a.as_slice()),
                created.as_ref().map(|a| a.as_slice()),
                int(transaction.nonce()),
                transaction.value().to_string(),
                int(gas_used),
                success,
            ],
        )?;
        for party in [Some(sender), recipient, created].into_iter().flatten() {
            let row = params![party.as_slice(), int(self.number), position(index)];
            run(conn, "INSERT OR IGNORE INTO activity VALUES (?1, ?2, ?3)", row)?;
        }
        Ok(())
    }
}

type Parts<'a> = (Cow<'a, [Transaction]>, Cow<'a, [Address]>, Cow<'a, [Receipt]>);

fn read_back<'a>(conn: &Connection, id: i64) -> Result<Parts<'a>, Failure> {
    let sql = "SELECT o.body, o.senders, r.receipts
        FROM bodies o JOIN receipts r ON r.block = o.block WHERE o.block = ?1";
    let parts = one(conn, sql, [id], |row| {
        let body: Body = rlp("body", blob(row, 0)?)?;
        let senders = decode_addresses(blob(row, 1)?)?;
        let receipts: Vec<Receipt> = rlp("receipts", blob(row, 2)?)?;
        Ok((Cow::Owned(body.transactions), Cow::Owned(senders), Cow::Owned(receipts)))
    })?;
    parts.ok_or_else(|| Failure::Damaged(format!("block row {id} has no body or no receipts")))
}

const ROW: &str = "SELECT id, number, parent, issued, burned FROM blocks WHERE hash = ?1";
const INSERT_TRANSACTION: &str =
    "INSERT INTO transactions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const INSERT_LOG: &str = "INSERT INTO logs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
