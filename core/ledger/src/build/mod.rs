//! Fills a block: transactions in the order given, until gas or bytes are used up.

use crate::{
    Rules, State,
    database::BlockHashes,
    execute::{BlockError, Executed, Run, run_block},
    fee::child_base_fee,
    header::next_gas_limit,
    staking,
};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Transaction as _, constants::EMPTY_WITHDRAWALS,
    proofs::calculate_transaction_root, transaction::Recovered,
};
use alloy_eips::{eip2718::Encodable2718 as _, eip4895::Withdrawals};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::B64;
use kette_types::{Address, B256, Body, Bytes, Header, Transaction, U256};
use std::{cell::OnceCell, collections::BTreeSet};

/// What the producer decides about its block.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Who gets reward and fees.
    pub beneficiary: Address,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// The engine's.
    pub difficulty: U256,
    /// The engine's; PREVRANDAO shows it.
    pub mix_hash: B256,
    /// Where the gas limit should go; the genesis file's if `None`.
    pub gas_limit: Option<u64>,
    /// The engine's.
    pub nonce: B64,
    /// The seal as far as execution reads it (`bft`: validators, certificate, evidence).
    pub seal: Bytes,
}

/// A block that lacks only its seal.
#[derive(Clone, Debug)]
pub struct Built {
    /// The header; the engine may still change `nonce`.
    pub header: Header,
    /// The transactions that fit.
    pub body: Body,
    /// Who signed each of them.
    pub senders: Vec<Address>,
    /// What their execution gave.
    pub executed: Executed,
    /// Transactions that are no longer valid, by hash: the caller drops them. One that is early (nonce, base
    /// fee) or did not fit is not among them.
    pub skipped: Vec<(B256, BlockError)>,
}

/// Fills a block on `parent` with transactions in the order given, at most `bytes_max` bytes of body.
///
/// # Errors
/// If the state cannot be read, a call of the protocol itself fails, or the engine's seal cannot be executed.
pub fn build(
    rules: &Rules,
    parent: &Header,
    state: &State,
    attributes: &Attributes,
    transactions: &mut dyn Iterator<Item = Recovered<Transaction>>,
    hashes: &dyn BlockHashes,
    bytes_max: usize,
) -> Result<Built, BlockError> {
    let mut header = start(rules, parent, attributes);
    let shanghai = rules.is_shanghai_active_at_timestamp(header.timestamp);
    let mut body = Body { withdrawals: shanghai.then(Withdrawals::default), ..Body::default() };
    let mut filler =
        Filler { bytes_left: bytes_max.saturating_sub(BODY_OVERHEAD_BYTES), ..Filler::default() };

    let ending = staking::read_seal(rules, &attributes.seal, false)?;
    let fault = OnceCell::new();
    let result = run_block(rules, state, &header, &body, ending.as_ref(), hashes, &fault, |run| {
        filler.fill(run, transactions, &fault);
        Ok(())
    });
    if let Some(error) = fault.into_inner() {
        return Err(BlockError::Read(error));
    }
    let outcome = result?;

    (header.receipts_root, header.logs_bloom) = outcome.receipts_root();
    header.gas_used = outcome.result.gas_used;
    if header.requests_hash.is_some() {
        header.requests_hash = Some(outcome.result.requests.requests_hash());
    }
    let executed = outcome.into_executed(rules, &header, state)?;
    header.state_root = executed.state.root();
    header.transactions_root = calculate_transaction_root(&filler.transactions);
    body.transactions = filler.transactions;
    Ok(Built { header, body, senders: filler.senders, executed, skipped: filler.skipped })
}

/// Returns the header as far as it is known before execution.
fn start(rules: &Rules, parent: &Header, attributes: &Attributes) -> Header {
    let time = attributes.timestamp;
    let target = attributes.gas_limit.unwrap_or(rules.spec().genesis.gas_limit);
    let base_fee = child_base_fee(rules, parent);
    let begins = base_fee.is_some() && parent.base_fee_per_gas.is_none();
    let parent_limit = if begins { parent.gas_limit.saturating_mul(2) } else { parent.gas_limit };
    let blobs = rules.blob_params(time);
    Header {
        parent_hash: parent.hash_slow(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: attributes.beneficiary,
        difficulty: attributes.difficulty,
        number: parent.number.saturating_add(1),
        gas_limit: next_gas_limit(parent_limit, target),
        timestamp: time,
        extra_data: attributes.extra_data.clone(),
        mix_hash: attributes.mix_hash,
        nonce: attributes.nonce,
        base_fee_per_gas: base_fee,
        withdrawals_root: rules.is_shanghai_active_at_timestamp(time).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: blobs.map(|_| 0),
        excess_blob_gas: blobs.map(|blobs| parent.next_block_excess_blob_gas(blobs).unwrap_or(0)),
        parent_beacon_block_root: blobs.map(|_| B256::ZERO),
        requests_hash: rules.is_prague_active_at_timestamp(time).then_some(B256::ZERO),
        ..Header::default()
    }
}

#[derive(Default)]
struct Filler {
    transactions: Vec<Transaction>,
    senders: Vec<Address>,
    skipped: Vec<(B256, BlockError)>,
    /// Whose later transactions cannot be valid because an earlier one is not in the block.
    blocked: BTreeSet<Address>,
    bytes_left: usize,
}

impl Filler {
    fn fill(
        &mut self,
        run: &mut Run<'_, '_>,
        transactions: &mut dyn Iterator<Item = Recovered<Transaction>>,
        fault: &OnceCell<crate::ReadError>,
    ) {
        while run.gas_left() >= TRANSACTION_GAS_MIN && fault.get().is_none() {
            let Some(recovered) = transactions.next() else { break };
            let (transaction, sender) = recovered.into_parts();
            if self.blocked.contains(&sender) {
                continue;
            }
            let bytes = transaction.encode_2718_len() + TRANSACTION_OVERHEAD_BYTES;
            if bytes > self.bytes_left
                || transaction.is_eip4844()
                || transaction.gas_limit() > run.gas_left()
            {
                self.set_aside(run, &transaction, sender);
                continue;
            }
            match run.transaction(&transaction, sender) {
                Ok(()) => {
                    self.bytes_left -= bytes;
                    self.transactions.push(transaction);
                    self.senders.push(sender);
                }
                // The same sender's next one may still be the one that is due.
                Err(error @ BlockError::NonceTooLow { .. }) => {
                    self.skipped.push((*transaction.tx_hash(), error));
                }
                Err(error) => {
                    self.blocked.insert(sender);
                    if is_final(&error) {
                        self.skipped.push((*transaction.tx_hash(), error));
                    }
                }
            }
        }
    }

    /// Leaves out a transaction that does not fit this block; drops it if it fits none.
    fn set_aside(&mut self, run: &Run<'_, '_>, transaction: &Transaction, sender: Address) {
        self.blocked.insert(sender);
        let (index, got) = (run.count(), transaction.gas_limit());
        if transaction.is_eip4844() {
            self.skipped.push((*transaction.tx_hash(), BlockError::BlobTransaction { index }));
        } else if got > run.gas_limit() {
            let available = run.gas_limit();
            self.skipped
                .push((*transaction.tx_hash(), BlockError::GasLimit { index, got, available }));
        }
    }
}

/// Tells whether waiting does not help.
const fn is_final(error: &BlockError) -> bool {
    !matches!(
        error,
        BlockError::NonceTooHigh { .. }
            | BlockError::BaseFee { .. }
            | BlockError::GasLimit { .. }
            | BlockError::Read(_)
            | BlockError::SystemCall(_)
    )
}

/// Gas of the cheapest transaction (Yellow Paper, appendix G).
const TRANSACTION_GAS_MIN: u64 = 21_000;
/// RLP around a transaction in a body: a string header of a length below 2^24.
const TRANSACTION_OVERHEAD_BYTES: usize = 4;
/// RLP around the lists of a body, generously.
const BODY_OVERHEAD_BYTES: usize = 32;

#[cfg(test)]
mod tests;
