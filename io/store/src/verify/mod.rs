//! Checks a whole database for `kette chain verify`: pages, chain, indexes, states.
//!
//! Nothing is believed: headers and trie nodes are hashed, bodies and receipts compared with the roots that
//! their header commits to, and every state that should be readable is walked.

mod trie;

use crate::{
    Reader,
    codec::{all, blob, hash, int, one, position, rlp},
    error::Failure,
    read::{blocks, status},
    schema::{self, meta},
    write::states,
};
use alloy_consensus::{ReceiptWithBloom, proofs};
use kette_chain::record::StoredBlock;
use kette_ledger::ReadError;
use kette_types::{B256, Receipt, U256, block::body_matches};
use rusqlite::Connection;

/// What a check of the whole database found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Canonical blocks that were checked.
    pub blocks: u64,
    /// Their transactions.
    pub transactions: u64,
    /// States that were walked.
    pub states: u64,
    /// Trie nodes of the newest of them.
    pub state_nodes: u64,
    /// Accounts in the newest state.
    pub accounts: u64,
    /// Sum of all balances of the newest state, wei.
    pub supply: U256,
    /// What is wrong, at most [`PROBLEMS_MAX`] lines; empty if all is well.
    pub problems: Vec<String>,
}

/// Problems listed at most.
pub const PROBLEMS_MAX: usize = 100;

impl Reader {
    /// Checks everything. Takes long on a large database; the node may run meanwhile.
    ///
    /// # Errors
    /// If the file is so damaged that the check cannot go on.
    pub fn verify_integrity(&self) -> Result<Verified, ReadError> {
        self.ask(|conn| {
            // One transaction: the whole check sees one moment.
            let tx = conn.unchecked_transaction()?;
            let mut check = Check { conn: &tx, found: Verified::default() };
            check.pages()?;
            check.chain()?;
            check.indexes()?;
            check.states()?;
            check.found.problems.truncate(PROBLEMS_MAX);
            Ok(check.found)
        })
    }
}

struct Check<'a> {
    conn: &'a Connection,
    found: Verified,
}

impl Check<'_> {
    fn problem(&mut self, text: String) {
        if self.found.problems.len() < PROBLEMS_MAX {
            self.found.problems.push(text);
        }
    }

    fn pages(&mut self) -> Result<(), Failure> {
        let sql = format!("PRAGMA integrity_check({PROBLEMS_MAX})");
        let lines = all(self.conn, &sql, [], |row| Ok(row.get::<_, String>(0)?))?;
        for line in lines.into_iter().filter(|line| line != "ok") {
            self.problem(format!("pages: {line}"));
        }
        Ok(())
    }

    fn chain(&mut self) -> Result<(), Failure> {
        let head = one(self.conn, "SELECT max(number) FROM canonical", [], |row| {
            crate::codec::uint(row, 0)
        })?;
        let head = head.ok_or_else(|| schema::missing("head"))?;
        let mut parent = None;
        for number in 0..=head {
            match blocks::by_number(self.conn, number) {
                Ok(Some(stored)) => {
                    let hash = stored.block.hash();
                    self.link(number, &stored, parent)?;
                    if let Err(failure) = self.content(number, &stored) {
                        self.problem(format!("block {number}: {}", detail(failure)?));
                    }
                    self.found.blocks += 1;
                    self.found.transactions += stored.block.body.transactions.len() as u64;
                    parent = Some(hash);
                }
                Ok(None) => {
                    self.problem(format!("block {number} is missing"));
                    parent = None;
                }
                Err(failure) => {
                    self.problem(format!("block {number}: {}", detail(failure)?));
                    parent = None;
                }
            }
        }
        Ok(())
    }

    /// The place of a block: number, parent, genesis.
    fn link(
        &mut self,
        number: u64,
        stored: &StoredBlock,
        parent: Option<B256>,
    ) -> Result<(), Failure> {
        let header = &stored.block.header;
        if header.number != number {
            self.problem(format!("block {number} says that it is block {}", header.number));
        }
        if parent.is_some_and(|parent| parent != header.parent_hash) {
            self.problem(format!("block {number} does not continue block {}", number - 1));
        }
        let genesis = schema::meta_hash(self.conn, meta::GENESIS)?;
        if number == 0 && genesis != Some(header.hash()) {
            self.problem("block 0 is not the genesis block".into());
        }
        Ok(())
    }

    /// The content of a block against the roots in its header, and its lines in the indexes.
    fn content(&mut self, number: u64, stored: &StoredBlock) -> Result<(), Failure> {
        let (header, body) = (&stored.block.header, &stored.block.body);
        if !body_matches(header, body) {
            self.problem(format!("block {number}: the body is not the one of its header"));
        }
        if stored.senders.len() != body.transactions.len() {
            self.problem(format!("block {number}: not one sender per transaction"));
        }
        let sql = "SELECT r.receipts FROM blocks b JOIN receipts r ON r.block = b.id
            WHERE b.hash = ?1";
        let receipts: Option<Vec<Receipt>> =
            one(self.conn, sql, [header.hash().as_slice()], |row| rlp("receipts", blob(row, 0)?))?;
        let Some(receipts) = receipts else {
            self.problem(format!("block {number}: the receipts are missing"));
            return Ok(());
        };
        let logs: usize = receipts.iter().map(|receipt| receipt.logs.len()).sum();
        let receipts: Vec<_> = receipts.into_iter().map(ReceiptWithBloom::from).collect();
        if proofs::calculate_receipt_root(&receipts) != header.receipts_root {
            self.problem(format!("block {number}: the receipts are not those of its header"));
        }
        let sql = "SELECT hash FROM transactions WHERE number = ?1 ORDER BY position";
        let indexed = all(self.conn, sql, [int(number)], |row| hash(row, 0))?;
        if !indexed.iter().eq(body.transactions.iter().map(|transaction| transaction.tx_hash())) {
            self.problem(format!("block {number}: the transaction index differs from the body"));
        }
        let sql = "SELECT count(*) FROM logs WHERE number = ?1";
        let indexed = one(self.conn, sql, [int(number)], |row| Ok(row.get::<_, i64>(0)?))?;
        if indexed != Some(position(logs)) {
            self.problem(format!("block {number}: the log index differs from the receipts"));
        }
        Ok(())
    }

    /// Nothing is indexed above the head, and the last totals are right.
    fn indexes(&mut self) -> Result<(), Failure> {
        for table in ["transactions", "logs"] {
            let sql = format!(
                "SELECT count(*) FROM {table} WHERE number > (SELECT max(number) FROM canonical)"
            );
            let above = one(self.conn, &sql, [], |row| Ok(row.get::<_, i64>(0)?))?;
            if above != Some(0) {
                self.problem(format!("table {table} has rows above the head"));
            }
        }
        let sql = "SELECT transactions FROM canonical ORDER BY number DESC LIMIT 1";
        let total = one(self.conn, sql, [], |row| crate::codec::uint(row, 0))?;
        if total != Some(self.found.transactions) {
            self.problem(format!("the chain's transaction count is wrong: {total:?}"));
        }
        Ok(())
    }

    fn states(&mut self) -> Result<(), Failure> {
        if states::newest(self.conn)?.is_none() {
            self.problem("no state belongs to the canonical chain".into());
        }
        for point in status::states(self.conn)? {
            let header = blocks::header(self.conn, point.block)?;
            if header.is_none_or(|header| header.state_root != point.state_root) {
                self.problem(format!("state {}: not the state of its block", point.number));
            }
            match trie::walk(self.conn, point.state_root) {
                Ok(walked) => {
                    self.found.states += 1;
                    self.found.state_nodes = walked.nodes;
                    self.found.accounts = walked.accounts;
                    self.found.supply = walked.supply;
                }
                Err(failure) => {
                    self.problem(format!("state {}: {}", point.number, detail(failure)?));
                }
            }
        }
        Ok(())
    }
}

/// Damage is a finding; everything else ends the check.
fn detail(failure: Failure) -> Result<String, Failure> {
    match failure {
        Failure::Damaged(detail) => Ok(detail),
        other => Err(other),
    }
}
