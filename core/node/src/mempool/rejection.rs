//! Why the pool refuses a transaction: one variant per rule, in the words that Ethereum clients recognise.

use kette_ledger::ReadError;
use kette_types::{Address, B256, U256};

/// Why the pool refuses a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is in the pool.
    #[error("already known")]
    AlreadyKnown(B256),
    /// Blob transactions have no place in Kette blocks (EIP-4844).
    #[error("transaction type not supported: type {0}")]
    TypeNotSupported(u8),
    /// More bytes than one transaction may have.
    #[error("oversized data: transaction size {got}, limit {max}")]
    Oversized {
        /// Bytes of its EIP-2718 encoding.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {got} want {expected}")]
    WrongChainId {
        /// The signed chain id.
        got: u64,
        /// This chain's id.
        expected: u64,
    },
    /// The last nonce is never used (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// A tip that the fee cap cannot pay.
    #[error("max priority fee per gas higher than max fee per gas: tip {tip}, fee cap {fee_cap}")]
    TipAboveFeeCap {
        /// Its `maxPriorityFeePerGas`.
        tip: u128,
        /// Its `maxFeePerGas`.
        fee_cap: u128,
    },
    /// Contract creation code above the limit (EIP-3860).
    #[error("max initcode size exceeded: code size {got}, limit {max}")]
    InitCodeTooLarge {
        /// Its bytes.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A set-code transaction that sets nothing (EIP-7702).
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizationList,
    /// Its gas limit does not pay what it costs before the first instruction.
    #[error("intrinsic gas too low: gas {got}, minimum needed {needed}")]
    IntrinsicGas {
        /// Its gas limit.
        got: u64,
        /// The intrinsic cost.
        needed: u64,
    },
    /// Its gas limit does not pay the floor price of its data (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {got}, minimum needed {needed}")]
    FloorDataGas {
        /// Its gas limit.
        got: u64,
        /// The floor.
        needed: u64,
    },
    /// Its gas limit is larger than a block's.
    #[error("exceeds block gas limit: gas {got}, limit {max}")]
    ExceedsBlockGasLimit {
        /// Its gas limit.
        got: u64,
        /// The block's.
        max: u64,
    },
    /// Below the lowest price that this pool takes.
    #[error(
        "max fee per gas less than block base fee: transaction underpriced, \
         fee cap {fee_cap}, pool floor {floor}, base fee {base_fee}"
    )]
    Underpriced {
        /// Its fee cap.
        fee_cap: u128,
        /// The lowest that is taken.
        floor: u128,
        /// The next block's base fee.
        base_fee: u64,
    },
    /// The sender's account has code that is no delegation (EIP-3607).
    #[error("sender not an eoa: {0}")]
    SenderNotEoa(Address),
    /// Its nonce is used.
    #[error("nonce too low: next nonce {expected}, tx nonce {got}")]
    NonceTooLow {
        /// Its nonce.
        got: u64,
        /// The account's.
        expected: u64,
    },
    /// Too far ahead of what the sender can execute.
    #[error("nonce too high: next nonce {expected}, tx nonce {got}, at most {gap} ahead")]
    NonceGap {
        /// Its nonce.
        got: u64,
        /// The sender's first missing nonce.
        expected: u64,
        /// How far ahead it may be.
        gap: u64,
    },
    /// The sender cannot pay for everything it has in the pool and this one.
    #[error(
        "insufficient funds for gas * price + value: address {sender}, have {balance} want {needed}"
    )]
    InsufficientFunds {
        /// Who pays.
        sender: Address,
        /// Its balance.
        balance: U256,
        /// What its transactions in the pool and this one may cost at most.
        needed: U256,
    },
    /// Another one with its nonce is in the pool, and it does not pay enough more.
    #[error(
        "replacement transaction underpriced: fee cap {fee_cap} and tip {tip}, \
         needed {fee_cap_needed} and {tip_needed}"
    )]
    ReplacementUnderpriced {
        /// Its fee cap.
        fee_cap: u128,
        /// Its tip.
        tip: u128,
        /// Lowest fee cap that replaces.
        fee_cap_needed: u128,
        /// Lowest tip that replaces.
        tip_needed: u128,
    },
    /// The sender has its share.
    #[error("account limit exceeded: {max} transactions of this sender are in the pool")]
    SenderLimit {
        /// How many one sender may have.
        max: usize,
    },
    /// Nothing in the pool gives way to it.
    #[error("txpool is full: fee cap {fee_cap}, the lowest in the pool is {lowest}")]
    Full {
        /// Its fee cap.
        fee_cap: u128,
        /// The price of what would have to go first.
        lowest: u128,
    },
    /// The sender's account could not be read: our trouble, not the transaction's.
    #[error("state: {0}")]
    Read(#[from] ReadError),
}

impl Rejection {
    /// Tells whether the transaction is invalid in every state, so that whoever relayed it is to blame.
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::TypeNotSupported(_)
            | Self::Oversized { .. }
            | Self::WrongChainId { .. }
            | Self::NonceMax
            | Self::TipAboveFeeCap { .. }
            | Self::InitCodeTooLarge { .. }
            | Self::EmptyAuthorizationList
            | Self::IntrinsicGas { .. }
            | Self::FloorDataGas { .. } => true,
            Self::AlreadyKnown(_)
            | Self::ExceedsBlockGasLimit { .. }
            | Self::Underpriced { .. }
            | Self::SenderNotEoa(_)
            | Self::NonceTooLow { .. }
            | Self::NonceGap { .. }
            | Self::InsufficientFunds { .. }
            | Self::ReplacementUnderpriced { .. }
            | Self::SenderLimit { .. }
            | Self::Full { .. }
            | Self::Read(_) => false,
        }
    }

    /// Returns the read that failed, if that is why: the node's store is in trouble.
    pub const fn read_error(&self) -> Option<&ReadError> {
        match self {
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}
