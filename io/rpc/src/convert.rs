//! From our blocks, transactions and receipts to the shapes that Ethereum clients read.

use crate::chain::Whole;
use alloy_consensus::{ReceiptEnvelope, ReceiptWithBloom, Transaction as _, proofs};
use alloy_eips::Encodable2718;
use alloy_network::primitives::BlockTransactions;
use alloy_primitives::{B256, Bloom, TxKind, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Log, TransactionReceipt};
use kette_types::{Address, Body, Header, Receipt, Recovered, SealedHeader, Transaction};

/// A transaction as clients read it.
pub(crate) type RpcTransaction = alloy_rpc_types_eth::Transaction<Transaction>;
/// A block as clients read it.
pub(crate) type RpcBlock = alloy_rpc_types_eth::Block<RpcTransaction>;
/// A header as clients read it.
pub(crate) type RpcHeader = alloy_rpc_types_eth::Header;

/// Shows a header; the total difficulty is the engine's weight.
pub(crate) fn header(
    header: &SealedHeader,
    weight: Option<U256>,
    size: Option<usize>,
) -> RpcHeader {
    RpcHeader {
        hash: header.hash(),
        inner: header.header().clone(),
        total_difficulty: weight,
        size: size.map(U256::from),
    }
}

/// Shows a block with hashes or whole transactions.
pub(crate) fn block(block: &Whole, full: bool) -> RpcBlock {
    let body = block.body();
    let transactions = if full {
        let shown = (0..body.transactions.len()).filter_map(|index| transaction(block, index));
        BlockTransactions::Full(shown.collect())
    } else {
        BlockTransactions::Hashes(body.transactions.iter().map(|tx| *tx.tx_hash()).collect())
    };
    let size = size(block.header(), body);
    RpcBlock {
        header: header(block.header(), Some(block.total_weight()), Some(size)),
        uncles: body.ommers.iter().map(Header::hash_slow).collect(),
        transactions,
        withdrawals: body.withdrawals.clone(),
    }
}

/// Returns the length of Ethereum's RLP of a block.
pub(crate) fn size(header: &Header, body: &Body) -> usize {
    let payload = header.length()
        + body.transactions.length()
        + body.ommers.length()
        + body.withdrawals.as_ref().map_or(0, Encodable::length);
    payload + alloy_rlp::length_of_length(payload)
}

/// Returns Ethereum's RLP of a block.
pub(crate) fn raw_block(header: &Header, body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(size(header, body));
    let payload_length = header.length()
        + body.transactions.length()
        + body.ommers.length()
        + body.withdrawals.as_ref().map_or(0, Encodable::length);
    alloy_rlp::Header { list: true, payload_length }.encode(&mut out);
    header.encode(&mut out);
    body.transactions.encode(&mut out);
    body.ommers.encode(&mut out);
    if let Some(withdrawals) = &body.withdrawals {
        withdrawals.encode(&mut out);
    }
    out
}

/// Shows a transaction of a block.
pub(crate) fn transaction(block: &Whole, index: usize) -> Option<RpcTransaction> {
    let transaction = block.body().transactions.get(index)?;
    let sender = *block.senders().get(index)?;
    let header = block.header();
    Some(RpcTransaction {
        inner: Recovered::new_unchecked(transaction.clone(), sender),
        block_hash: Some(header.hash()),
        block_number: Some(header.number),
        transaction_index: Some(wide(index)),
        effective_gas_price: Some(transaction.effective_gas_price(header.base_fee_per_gas)),
        block_timestamp: Some(header.timestamp),
    })
}

/// Shows a transaction that waits for a block.
pub(crate) fn pending(transaction: &Recovered<Transaction>) -> RpcTransaction {
    RpcTransaction {
        inner: transaction.clone(),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: None,
        block_timestamp: None,
    }
}

/// Shows the receipts of a block.
pub(crate) fn receipts(block: &Whole) -> Vec<TransactionReceipt> {
    (0..block.body().transactions.len()).filter_map(|index| receipt(block, index)).collect()
}

/// Shows one receipt of a block.
pub(crate) fn receipt(block: &Whole, index: usize) -> Option<TransactionReceipt> {
    let transaction = block.body().transactions.get(index)?;
    let receipt = block.receipts().get(index)?;
    let from = *block.senders().get(index)?;
    let before = index.checked_sub(1).and_then(|previous| block.receipts().get(previous));
    let gas_before = before.map_or(0, |previous| previous.cumulative_gas_used);
    let first_log = block.receipts()[..index].iter().map(|r| r.logs.len()).sum();
    let at = Place::of(block.header(), *transaction.tx_hash(), index);
    let contract_address = match transaction.kind() {
        TxKind::Create => Some(from.create(transaction.nonce())),
        TxKind::Call(_) => None,
    };
    let envelope = ReceiptWithBloom {
        receipt: alloy_consensus::Receipt {
            status: receipt.success.into(),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: logs(receipt, &at, first_log, false).collect(),
        },
        logs_bloom: bloom(receipt),
    };
    Some(TransactionReceipt {
        inner: ReceiptEnvelope::from_typed(receipt.tx_type, envelope),
        transaction_hash: at.transaction,
        transaction_index: Some(wide(index)),
        block_hash: Some(at.block),
        block_number: Some(at.number),
        gas_used: receipt.cumulative_gas_used.saturating_sub(gas_before),
        effective_gas_price: transaction.effective_gas_price(block.header().base_fee_per_gas),
        blob_gas_used: None,
        blob_gas_price: None,
        from,
        to: transaction.to(),
        contract_address,
    })
}

/// Shows all logs of a block, in order.
pub(crate) fn block_logs(
    header: &SealedHeader,
    transactions: &[Transaction],
    receipts: &[Receipt],
    removed: bool,
) -> Vec<Log> {
    let mut shown = Vec::new();
    for (index, (transaction, receipt)) in transactions.iter().zip(receipts).enumerate() {
        let at = Place::of(header, *transaction.tx_hash(), index);
        let first = shown.len();
        shown.extend(logs(receipt, &at, first, removed));
    }
    shown
}

/// Where a log lies.
struct Place {
    block: B256,
    number: u64,
    timestamp: u64,
    transaction: B256,
    index: u64,
}

impl Place {
    fn of(header: &SealedHeader, transaction: B256, index: usize) -> Self {
        Self {
            block: header.hash(),
            number: header.number,
            timestamp: header.timestamp,
            transaction,
            index: wide(index),
        }
    }
}

fn logs<'a>(
    receipt: &'a Receipt,
    at: &'a Place,
    first: usize,
    removed: bool,
) -> impl Iterator<Item = Log> + 'a {
    receipt.logs.iter().enumerate().map(move |(offset, log)| Log {
        inner: log.clone(),
        block_hash: Some(at.block),
        block_number: Some(at.number),
        block_timestamp: Some(at.timestamp),
        transaction_hash: Some(at.transaction),
        transaction_index: Some(at.index),
        log_index: Some(wide(first + offset)),
        removed,
    })
}

fn bloom(receipt: &Receipt) -> Bloom {
    alloy_primitives::logs_bloom(receipt.logs.iter())
}

/// Returns a receipt as it stands in the receipts trie.
pub(crate) fn raw_receipt(receipt: &Receipt) -> Vec<u8> {
    ReceiptWithBloom { receipt: receipt.clone(), logs_bloom: bloom(receipt) }.encoded_2718()
}

/// Builds the header under which waiting transactions are shown.
pub(crate) fn pending_header(
    parent: &SealedHeader,
    base_fee: u64,
    timestamp: u64,
    transactions: &[Transaction],
) -> Header {
    Header {
        parent_hash: parent.hash(),
        number: parent.number + 1,
        timestamp: timestamp.max(parent.timestamp + 1),
        gas_limit: parent.gas_limit,
        base_fee_per_gas: Some(base_fee),
        difficulty: parent.difficulty,
        transactions_root: proofs::calculate_transaction_root(transactions),
        state_root: parent.state_root,
        beneficiary: Address::ZERO,
        withdrawals_root: parent.withdrawals_root,
        blob_gas_used: parent.blob_gas_used,
        excess_blob_gas: parent.excess_blob_gas,
        parent_beacon_block_root: parent.parent_beacon_block_root,
        requests_hash: parent.requests_hash,
        ..Header::default()
    }
}

/// Widens a count for the wire.
pub(crate) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
