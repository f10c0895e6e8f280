//! The funded accounts of development chains, and signed transfers between them.

use super::Rpc;
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, TxKind, U256, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use serde_json::json;

/// The signer of development account `index`.
pub(crate) fn signer(index: u32) -> PrivateKeySigner {
    let phrase = "test test test test test test test test test test test junk";
    let builder = MnemonicBuilder::<English>::default().phrase(phrase);
    builder.index(index).expect("an index").build().expect("a key")
}

/// The address of development account `index`.
pub(crate) fn address(index: u32) -> Address {
    signer(index).address()
}

/// A signed transfer of `wei` at two gwei per gas and one gwei of tip.
pub(crate) fn transfer(
    from: &PrivateKeySigner,
    to: Address,
    wei: u128,
    nonce: u64,
    chain_id: u64,
) -> TxEnvelope {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(to),
        value: U256::from(wei),
        ..TxEip1559::default()
    };
    let signature = from.sign_hash_sync(&transaction.signature_hash()).expect("it signs");
    TxEnvelope::from(transaction.into_signed(signature))
}

/// Sends a transfer; returns its hash, or what the node said.
pub(crate) fn send(
    rpc: Rpc,
    from: &PrivateKeySigner,
    to: Address,
    wei: u128,
    nonce: u64,
    chain_id: u64,
) -> Result<String, String> {
    let raw = hex::encode_prefixed(transfer(from, to, wei, nonce, chain_id).encoded_2718());
    let hash = rpc.call("eth_sendRawTransaction", json!([raw]))?;
    Ok(hash.as_str().expect("a hash").to_owned())
}
