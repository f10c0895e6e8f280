//! Executes a block on its parent's state and compares the outcome with what the header promises.

mod error;
mod run;

pub use error::{BlockError, senders};

use crate::{
    ReadError, Rules, State, check_header,
    database::{BlockHashes, state_changes},
    staking,
};
use alloy_consensus::{
    ReceiptWithBloom, Transaction as _, TxReceipt, proofs::calculate_receipt_root,
};
use alloy_evm::block::BlockExecutionResult;
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{B256, Bloom, Log};
use kette_types::{Address, Block, Header, Receipt, U256};
use revm::database::BundleState;
pub(crate) use run::{Run, with as run_block};

/// What a block's execution gave.
#[derive(Clone, Debug)]
pub struct Executed {
    /// One per transaction.
    pub receipts: Vec<Receipt>,
    /// All accounts after the block.
    pub state: State,
    /// Addresses that the block changed, ascending.
    pub changed: Vec<Address>,
    /// Wei created by the block: its reward (on Ethereum also withdrawals).
    pub issued: U256,
    /// Wei destroyed by the block: burned base fees, blob fees and what self-destructs took along.
    pub burned: U256,
    /// Events of the validator registry that belong to no transaction (jailed, slashed), and to no receipt.
    pub logs: Vec<Log>,
}

/// Executes a block. The caller recovered `senders`, one per transaction, and checked that the body belongs to
/// the header ([`Block::body_matches`]) and that the seal holds.
///
/// # Errors
/// The first rule that is broken, or [`BlockError::Read`] if the state could not be read.
pub fn execute(
    rules: &Rules,
    parent: &Header,
    state: &State,
    block: &Block,
    senders: &[Address],
    hashes: &dyn BlockHashes,
) -> Result<Executed, BlockError> {
    let header = block.header.header();
    check_header(rules, header, parent)?;
    if senders.len() != block.body.transactions.len() {
        let (got, expected) = (senders.len(), block.body.transactions.len());
        return Err(BlockError::Senders { got, expected });
    }
    let ending = staking::read_seal(rules, block.header.seal(), true)?;
    let fault = std::cell::OnceCell::new();
    let result =
        run_block(rules, state, header, &block.body, ending.as_ref(), hashes, &fault, |run| {
            for (transaction, sender) in block.body.transactions.iter().zip(senders) {
                run.transaction(transaction, *sender)?;
            }
            Ok(())
        });
    // A failed read makes the execution stop with whatever error; the read is the cause.
    if let Some(error) = fault.into_inner() {
        return Err(BlockError::Read(error));
    }
    let outcome = result?;
    compare(rules, header, &outcome)?;
    let executed = outcome.into_executed(rules, header, state)?;
    if executed.state.root() != header.state_root {
        let (got, expected) = (header.state_root, executed.state.root());
        return Err(BlockError::StateRoot { got, expected });
    }
    Ok(executed)
}

/// What running a block's transactions gave, before it is compared with a header or written into one.
pub(crate) struct Outcome {
    pub(crate) result: BlockExecutionResult<Receipt>,
    pub(crate) bundle: BundleState,
    pub(crate) issued: U256,
    pub(crate) burned: U256,
    pub(crate) logs: Vec<Log>,
}

impl Outcome {
    pub(crate) fn into_executed(
        self,
        rules: &Rules,
        header: &Header,
        state: &State,
    ) -> Result<Executed, ReadError> {
        let state_clear = rules.is_spurious_dragon_active_at_block(header.number);
        let changes = state_changes(self.bundle, state_clear);
        Ok(Executed {
            receipts: self.result.receipts,
            state: state.apply(&changes)?,
            changed: changes.accounts.into_keys().collect(),
            issued: self.issued,
            burned: self.burned,
            logs: self.logs,
        })
    }

    /// Returns the receipts root and the bloom over all logs.
    pub(crate) fn receipts_root(&self) -> (B256, Bloom) {
        let receipts: Vec<ReceiptWithBloom<&Receipt>> =
            self.result.receipts.iter().map(TxReceipt::with_bloom_ref).collect();
        let bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.logs_bloom);
        (calculate_receipt_root(&receipts), bloom)
    }
}

fn compare(rules: &Rules, header: &Header, outcome: &Outcome) -> Result<(), BlockError> {
    let result = &outcome.result;
    if result.gas_used != header.gas_used {
        let (got, expected) = (header.gas_used, result.gas_used);
        return Err(BlockError::GasUsed { got, expected });
    }
    if header.blob_gas_used.is_some_and(|got| got != result.blob_gas_used) {
        let got = header.blob_gas_used.unwrap_or_default();
        return Err(BlockError::BlobGasUsed { got, expected: result.blob_gas_used });
    }
    let (receipts_root, bloom) = outcome.receipts_root();
    // Earlier receipts hold a state root each (EIP-658), which is not kept; their root cannot be compared.
    if rules.is_byzantium_active_at_block(header.number) && receipts_root != header.receipts_root {
        let (got, expected) = (header.receipts_root, receipts_root);
        return Err(BlockError::ReceiptsRoot { got, expected });
    }
    if bloom != header.logs_bloom {
        return Err(BlockError::LogsBloom);
    }
    if let Some(got) = header.requests_hash {
        let expected = result.requests.requests_hash();
        if got != expected {
            return Err(BlockError::RequestsHash { got, expected });
        }
    }
    Ok(())
}

/// Returns the largest amount of wei that a transaction can cost its sender, as Ethereum checks it before
/// execution: `gas limit * highest fee + value (+ blob gas * highest blob fee)`.
pub fn cost_max(transaction: &kette_types::Transaction) -> U256 {
    let gas = U256::from(transaction.gas_limit()) * U256::from(transaction.max_fee_per_gas());
    let blobs = U256::from(transaction.blob_gas_used().unwrap_or(0))
        * U256::from(transaction.max_fee_per_blob_gas().unwrap_or(0));
    gas.saturating_add(blobs).saturating_add(transaction.value())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
