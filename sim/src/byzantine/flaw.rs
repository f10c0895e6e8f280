//! Rules that a block may break, one at a time.

use alloy_consensus::{SignableTransaction, TxEip1559, proofs};
use alloy_primitives::{Signature, TxKind, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use kette_types::{Address, B256, Body, Bytes, Header, Transaction, U256};

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// The state root is another one.
    StateRoot,
    /// The receipts root is another one.
    ReceiptsRoot,
    /// The transactions root is another one.
    TransactionsRoot,
    /// The bloom filter has a bit too many.
    Bloom,
    /// More gas used than was.
    GasUsed,
    /// The producer takes its reward twice, and the state root says so.
    DoubleReward,
    /// Somebody else than the state root says is paid.
    Beneficiary,
    /// The last transaction is left out of body and root, and its effects are kept.
    TransactionLeftOut,
    /// A transaction comes twice.
    TransactionTwice,
    /// A transaction has a signature of zeros.
    BadSignature,
    /// A transaction of an account without coins has a nonce that is not its next.
    NonceGap,
    /// The timestamp is not later than the median of the last eleven.
    BeforeMedian,
    /// The timestamp is an hour later than is acceptable now; the block is good otherwise.
    FarFuture,
    /// The difficulty is one more than the schedule demands.
    Difficulty,
    /// The excess in the extra data is not the schedule's.
    Excess,
    /// The extra data is too short for an excess.
    ShortExtraData,
    /// The extra data is longer than Ethereum allows.
    LongExtraData,
    /// The mix hash is not the parent's proof-of-work hash.
    MixHash,
    /// The base fee is one more than it must be.
    BaseFee,
    /// The gas limit doubles.
    GasLimit,
    /// The number skips one.
    Number,
    /// The header is its own ommer.
    Ommers,
    /// A withdrawal in a chain that has none.
    Withdrawals,
    /// The nonce does not meet the target.
    NoWork,
    /// There are bytes beside the header.
    SealBeside,
}

impl Flaw {
    /// All of them.
    pub(super) const ALL: [Self; 25] = [
        Self::StateRoot,
        Self::ReceiptsRoot,
        Self::TransactionsRoot,
        Self::Bloom,
        Self::GasUsed,
        Self::DoubleReward,
        Self::Beneficiary,
        Self::TransactionLeftOut,
        Self::TransactionTwice,
        Self::BadSignature,
        Self::NonceGap,
        Self::BeforeMedian,
        Self::FarFuture,
        Self::Difficulty,
        Self::Excess,
        Self::ShortExtraData,
        Self::LongExtraData,
        Self::MixHash,
        Self::BaseFee,
        Self::GasLimit,
        Self::Number,
        Self::Ommers,
        Self::Withdrawals,
        Self::NoWork,
        Self::SealBeside,
    ];
}

/// Breaks what can be broken before the block is sealed; `None` if this block has nothing to break there.
pub(super) fn spoil(flaw: Flaw, chain_id: u64, header: &mut Header, body: &mut Body) -> Option<()> {
    let false_root = B256::repeat_byte(1);
    match flaw {
        Flaw::StateRoot => header.state_root = false_root,
        Flaw::ReceiptsRoot => header.receipts_root = false_root,
        Flaw::TransactionsRoot => header.transactions_root = false_root,
        Flaw::Bloom => header.logs_bloom.0[7] ^= 1,
        Flaw::GasUsed => header.gas_used += 1,
        Flaw::Beneficiary => header.beneficiary = Address::repeat_byte(1),
        Flaw::TransactionLeftOut => {
            body.transactions.pop()?;
            recommit(header, body);
        }
        Flaw::TransactionTwice => {
            body.transactions.push(body.transactions.first()?.clone());
            recommit(header, body);
        }
        Flaw::BadSignature => {
            body.transactions.push(forged_transaction(chain_id, 0));
            recommit(header, body);
        }
        Flaw::NonceGap => {
            body.transactions.push(penniless_transaction(chain_id, 7)?);
            recommit(header, body);
        }
        Flaw::Difficulty => header.difficulty += U256::ONE,
        Flaw::Excess => {
            let false_excess = i64::MIN.to_be_bytes();
            header.extra_data = Bytes::copy_from_slice(&false_excess);
        }
        Flaw::ShortExtraData => header.extra_data = Bytes::copy_from_slice(&[0; 7]),
        Flaw::LongExtraData => {
            let long = [&header.extra_data[..], &[0; 25]].concat();
            header.extra_data = long.into();
        }
        Flaw::MixHash => header.mix_hash = false_root,
        Flaw::BaseFee => header.base_fee_per_gas = Some(header.base_fee_per_gas? + 1),
        Flaw::GasLimit => header.gas_limit *= 2,
        Flaw::Number => header.number += 1,
        Flaw::Ommers => {
            body.ommers = vec![header.clone()];
            header.ommers_hash = proofs::calculate_ommers_root(&body.ommers);
        }
        Flaw::Withdrawals => {
            let withdrawals = body.withdrawals.as_mut()?;
            withdrawals.push(alloy_eips::eip4895::Withdrawal::default());
            header.withdrawals_root = Some(proofs::calculate_withdrawals_root(withdrawals));
        }
        // Broken while the block is filled or sealed.
        Flaw::DoubleReward
        | Flaw::BeforeMedian
        | Flaw::FarFuture
        | Flaw::NoWork
        | Flaw::SealBeside => {}
    }
    Some(())
}

/// Makes a transaction that breaks a rule of every state: its signature is of zeros.
pub(super) fn forged_transaction(chain_id: u64, nonce: u64) -> Transaction {
    let signature = Signature::new(U256::ZERO, U256::ZERO, false);
    transfer(chain_id, nonce).into_signed(signature).into()
}

/// Makes a well-formed transaction of an account that has nothing.
pub(super) fn penniless_transaction(chain_id: u64, nonce: u64) -> Option<Transaction> {
    signed(transfer(chain_id, nonce))
}

/// Commits the header to the body's transactions.
fn recommit(header: &mut Header, body: &Body) {
    header.transactions_root = proofs::calculate_transaction_root(&body.transactions);
}

fn transfer(chain_id: u64, nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0x99)),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

fn signed(transaction: TxEip1559) -> Option<Transaction> {
    let key = PrivateKeySigner::from_bytes(&keccak256("nobody funded this key")).ok()?;
    let signature = key.sign_hash_sync(&transaction.signature_hash()).ok()?;
    Some(transaction.into_signed(signature).into())
}
