//! Why a block is invalid, one variant per rule, or why it could not be told.

use crate::{HeaderError, ReadError, staking::EvidenceRefusal};
use alloy_evm::block::{BlockExecutionError, BlockValidationError};
use kette_types::{Address, B256, U256};
use revm::context::result::InvalidTransaction;

/// A block that breaks a rule, or a state that could not be read ([`Self::is_host_failure`] tells them apart).
/// `index` is the transaction's position in its block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The host failed; nothing is said about the block.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The header breaks a rule by itself.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The caller gave more or fewer senders than there are transactions.
    #[error("{got} senders for {expected} transactions")]
    Senders {
        /// Senders given.
        got: usize,
        /// Transactions in the block.
        expected: usize,
    },
    /// No key signed the transaction, or its signature has a high `s`.
    #[error("transaction {0}: bad signature")]
    BadSignature(usize),
    /// Signed for another chain.
    #[error("transaction {index}: chain id {got:?}, expected {expected}")]
    WrongChainId {
        /// Position in the block.
        index: usize,
        /// Signed for.
        got: Option<u64>,
        /// The chain's.
        expected: u64,
    },
    /// A blob transaction (EIP-4844): Kette chains have no blobs.
    #[error("transaction {index}: blob transactions (EIP-4844) are not part of this chain")]
    BlobTransaction {
        /// Position in the block.
        index: usize,
    },
    /// A transaction type that is not active yet.
    #[error("transaction {index}: type {got} is not active")]
    TypeNotActive {
        /// Position in the block.
        index: usize,
        /// EIP-2718 type.
        got: u8,
    },
    /// Used already.
    #[error("transaction {index}: nonce {got} is too low, the sender's is {expected}")]
    NonceTooLow {
        /// Position in the block.
        index: usize,
        /// The transaction's.
        got: u64,
        /// The sender's.
        expected: u64,
    },
    /// An earlier one is missing.
    #[error("transaction {index}: nonce {got} is too high, the sender's is {expected}")]
    NonceTooHigh {
        /// Position in the block.
        index: usize,
        /// The transaction's.
        got: u64,
        /// The sender's.
        expected: u64,
    },
    /// The nonce is the largest one (EIP-2681).
    #[error("transaction {index}: nonce 2^64 - 1 can never be used")]
    NonceOverflow {
        /// Position in the block.
        index: usize,
    },
    /// The balance does not cover value and highest fee.
    #[error("transaction {index}: balance {got} wei, needs {expected}")]
    InsufficientFunds {
        /// Position in the block.
        index: usize,
        /// The sender's balance.
        got: U256,
        /// Gas limit times highest fee, plus value.
        expected: U256,
    },
    /// Gas limit times fee plus value does not fit 256 bits.
    #[error("transaction {index}: its cost does not fit 256 bits")]
    CostOverflow {
        /// Position in the block.
        index: usize,
    },
    /// The gas limit is below what the transaction costs before it runs (EIP-2028, EIP-2930, EIP-7623).
    #[error("transaction {index}: gas limit {got}, needs at least {expected}")]
    IntrinsicGas {
        /// Position in the block.
        index: usize,
        /// The transaction's gas limit.
        got: u64,
        /// The least.
        expected: u64,
    },
    /// The gas limit is above what one transaction may have (EIP-7825).
    #[error("transaction {index}: gas limit {got}, at most {max}")]
    GasLimitCap {
        /// Position in the block.
        index: usize,
        /// The transaction's gas limit.
        got: u64,
        /// The most.
        max: u64,
    },
    /// The gas limit is above what is left in the block.
    #[error("transaction {index}: gas limit {got}, {available} are left in the block")]
    GasLimit {
        /// Position in the block.
        index: usize,
        /// The transaction's gas limit.
        got: u64,
        /// Left in the block.
        available: u64,
    },
    /// The highest fee is below the block's base fee.
    #[error("transaction {index}: highest fee {got}, the base fee is {base_fee}")]
    BaseFee {
        /// Position in the block.
        index: usize,
        /// The transaction's highest fee per gas.
        got: u128,
        /// The block's.
        base_fee: u64,
    },
    /// The tip is above the highest fee.
    #[error("transaction {index}: the highest tip exceeds the highest fee")]
    TipAboveFee {
        /// Position in the block.
        index: usize,
    },
    /// The sender is a contract (EIP-3607).
    #[error("transaction {index}: the sender is a contract")]
    SenderIsContract {
        /// Position in the block.
        index: usize,
    },
    /// The creation code is too large (EIP-3860).
    #[error("transaction {index}: the creation code is too large")]
    InitCodeSize {
        /// Position in the block.
        index: usize,
    },
    /// A delegation without authorizations, or one that creates a contract (EIP-7702).
    #[error("transaction {index}: a delegation needs a target and at least one authorization")]
    Authorizations {
        /// Position in the block.
        index: usize,
    },
    /// A blob transaction that breaks a rule of EIP-4844.
    #[error("transaction {index}: {problem}")]
    Blobs {
        /// Position in the block.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Any other rule about transactions.
    #[error("transaction {index}: {problem}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A call that the protocol itself makes (EIP-4788, EIP-2935, EIP-7002, EIP-7251, EIP-6110) failed.
    #[error("system call: {0}")]
    SystemCall(String),
    /// A balance does not fit 256 bits.
    #[error("the balance of {0} does not fit 256 bits")]
    BalanceOverflow(Address),
    /// Not the gas that the transactions used.
    #[error("gas used {got}, expected {expected}")]
    GasUsed {
        /// In the header.
        got: u64,
        /// Of the execution.
        expected: u64,
    },
    /// Not the blob gas that the transactions used.
    #[error("blob gas used {got}, expected {expected}")]
    BlobGasUsed {
        /// In the header.
        got: u64,
        /// Of the execution.
        expected: u64,
    },
    /// Not the root of the receipts.
    #[error("receipts root {got}, expected {expected}")]
    ReceiptsRoot {
        /// In the header.
        got: B256,
        /// Of the execution.
        expected: B256,
    },
    /// Not the bloom of the logs.
    #[error("logs bloom is not that of the logs")]
    LogsBloom,
    /// Not the root of the state after the block.
    #[error("state root {got}, expected {expected}")]
    StateRoot {
        /// In the header.
        got: B256,
        /// Of the execution.
        expected: B256,
    },
    /// The seal is not RLP of a seal (engine `bft`).
    #[error("the seal cannot be read: {0}")]
    Seal(alloy_rlp::Error),
    /// The seal names another set of the next height than the state has.
    #[error("next validators {got}, expected {expected}")]
    NextValidators {
        /// In the seal.
        got: B256,
        /// Hash of the set in the state.
        expected: B256,
    },
    /// The seal lists a set that does not change, or not the one that it names.
    #[error("next validators are listed as {got}, expected {expected}")]
    NextValidatorsList {
        /// Hash of the list in the seal; zero if there is none.
        got: B256,
        /// Hash of the next set if it is another one than this height's, else zero.
        expected: B256,
    },
    /// The certificate of the parent cannot be one.
    #[error("the parent's certificate: {0}")]
    ParentCertificate(&'static str),
    /// Evidence that proves nothing, or may not be punished.
    #[error("evidence {index}: {refusal}")]
    Evidence {
        /// Position in the seal.
        index: usize,
        /// Why.
        refusal: EvidenceRefusal,
    },
    /// Not the hash of the requests.
    #[error("requests hash {got}, expected {expected}")]
    RequestsHash {
        /// In the header.
        got: B256,
        /// Of the execution.
        expected: B256,
    },
}

impl BlockError {
    /// Tells whether the host failed. Then nothing is known about the block, and no peer is to blame.
    pub const fn is_host_failure(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Senders { .. })
    }

    /// Translates what alloy and revm say about the transaction at `index`.
    pub(super) fn from_transaction(
        error: BlockExecutionError,
        index: usize,
        transaction: &kette_types::Transaction,
        base_fee: u64,
    ) -> Self {
        match error {
            BlockExecutionError::Validation(BlockValidationError::InvalidTx { error, .. }) => {
                match error.as_invalid_tx_err() {
                    Some(error) => Self::from_invalid(error, index, transaction, base_fee),
                    None => Self::Transaction { index, problem: error.to_string() },
                }
            }
            BlockExecutionError::Validation(
                BlockValidationError::TransactionGasLimitMoreThanAvailableBlockGas {
                    transaction_gas_limit: got,
                    block_available_gas: available,
                },
            ) => Self::GasLimit { index, got, available },
            error => Self::Transaction { index, problem: error.to_string() },
        }
    }

    fn from_invalid(
        error: &InvalidTransaction,
        index: usize,
        transaction: &kette_types::Transaction,
        base_fee: u64,
    ) -> Self {
        use InvalidTransaction as Invalid;
        use alloy_consensus::{Transaction as _, Typed2718 as _};
        match error {
            Invalid::NonceTooLow { tx, state } => {
                Self::NonceTooLow { index, got: *tx, expected: *state }
            }
            Invalid::NonceTooHigh { tx, state } => {
                Self::NonceTooHigh { index, got: *tx, expected: *state }
            }
            Invalid::NonceOverflowInTransaction => Self::NonceOverflow { index },
            Invalid::LackOfFundForMaxFee { fee, balance } => {
                Self::InsufficientFunds { index, got: **balance, expected: **fee }
            }
            Invalid::OverflowPaymentInTransaction => Self::CostOverflow { index },
            Invalid::CallGasCostMoreThanGasLimit { initial_gas: least, gas_limit }
            | Invalid::GasFloorMoreThanGasLimit { gas_floor: least, gas_limit } => {
                Self::IntrinsicGas { index, got: *gas_limit, expected: *least }
            }
            Invalid::TxGasLimitGreaterThanCap { gas_limit, cap } => {
                Self::GasLimitCap { index, got: *gas_limit, max: *cap }
            }
            Invalid::GasPriceLessThanBasefee => {
                Self::BaseFee { index, got: transaction.max_fee_per_gas(), base_fee }
            }
            Invalid::PriorityFeeGreaterThanMaxFee => Self::TipAboveFee { index },
            Invalid::RejectCallerWithCode => Self::SenderIsContract { index },
            Invalid::CreateInitCodeSizeLimit => Self::InitCodeSize { index },
            Invalid::EmptyAuthorizationList | Invalid::AuthorizationListInvalidFields => {
                Self::Authorizations { index }
            }
            Invalid::Eip2930NotSupported
            | Invalid::Eip1559NotSupported
            | Invalid::Eip4844NotSupported
            | Invalid::Eip7702NotSupported
            | Invalid::AccessListNotSupported
            | Invalid::MaxFeePerBlobGasNotSupported
            | Invalid::BlobVersionedHashesNotSupported
            | Invalid::AuthorizationListNotSupported => {
                Self::TypeNotActive { index, got: transaction.ty() }
            }
            Invalid::BlobGasPriceGreaterThanMax { .. }
            | Invalid::EmptyBlobs
            | Invalid::BlobCreateTransaction
            | Invalid::TooManyBlobs { .. }
            | Invalid::BlobVersionNotSupported => Self::Blobs { index, problem: error.to_string() },
            other => Self::Transaction { index, problem: other.to_string() },
        }
    }
}

/// Takes what [`crate::recover()`] gave for a block's transactions.
///
/// # Errors
/// [`BlockError::BadSignature`] with the first position where no key signed.
pub fn senders(recovered: Vec<Option<Address>>) -> Result<Vec<Address>, BlockError> {
    recovered
        .into_iter()
        .enumerate()
        .map(|(index, sender)| sender.ok_or(BlockError::BadSignature(index)))
        .collect()
}
