//! `eth_`: accounts of a state, proofs of them, and calls on it.

use crate::{
    args::Args,
    context::Context,
    execute,
    failure::Failure,
    table::{Answer, Method, Param, optional, reply, required},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256};
use alloy_rpc_types_eth::{AccountInfo, EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use alloy_trie::EMPTY_ROOT_HASH;
use kette_ledger::{Account, State};

const ADDRESS: Param = required("address", "Address");
const BLOCK: Param = optional("block", "BlockId");
const CALL: Param = required("transaction", "Call");
const OVERRIDES: Param = optional("stateOverrides", "StateOverrides");
const BLOCK_OVERRIDES: Param = optional("blockOverrides", "BlockOverrides");

pub(super) const METHODS: &[Method] = &[
    Method::inline(
        "eth_getBalance",
        "Returns an account's wei.",
        &[ADDRESS, BLOCK],
        "Quantity",
        balance,
    ),
    Method::inline(
        "eth_getTransactionCount",
        "Returns an account's next nonce; with `pending`, after what waits in the pool.",
        &[ADDRESS, BLOCK],
        "Quantity",
        transaction_count,
    ),
    Method::inline("eth_getCode", "Returns a contract's code.", &[ADDRESS, BLOCK], "Data", code),
    Method::inline(
        "eth_getStorageAt",
        "Returns a slot of a contract.",
        &[ADDRESS, required("slot", "Quantity"), BLOCK],
        "Hash",
        storage,
    ),
    Method::inline(
        "eth_getAccount",
        "Returns an account's leaf in the state trie.",
        &[ADDRESS, BLOCK],
        "Object",
        account,
    ),
    Method::inline(
        "eth_getAccountInfo",
        "Returns balance, nonce and code.",
        &[ADDRESS, BLOCK],
        "Object",
        account_info,
    ),
    Method::blocking(
        "eth_getProof",
        "Proves an account and some of its slots (EIP-1186).",
        &[ADDRESS, required("slots", "[Quantity]"), BLOCK],
        "AccountProof",
        proof,
    ),
    Method::blocking(
        "eth_call",
        "Runs a call without a transaction.",
        &[CALL, BLOCK, OVERRIDES, BLOCK_OVERRIDES],
        "Data",
        execute::eth_call,
    ),
    Method::blocking(
        "eth_estimateGas",
        "Returns a gas limit with which a transaction succeeds.",
        &[CALL, BLOCK, OVERRIDES, BLOCK_OVERRIDES],
        "Quantity",
        execute::estimate_gas,
    ),
    Method::blocking(
        "eth_createAccessList",
        "Returns the access list that a transaction should declare (EIP-2930).",
        &[CALL, BLOCK, OVERRIDES],
        "AccessListResult",
        execute::create_access_list,
    ),
];

fn take(cx: &Context, args: &mut Args) -> Result<(Address, State, Account), Failure> {
    let address: Address = args.required()?;
    let block: Option<BlockId> = args.optional()?;
    let (_, state) = cx.state(&cx.view(), block)?;
    let account = state.account(address)?.unwrap_or_default();
    Ok((address, state, account))
}

fn balance(cx: &Context, args: &mut Args) -> Answer {
    reply(&take(cx, args)?.2.balance)
}

fn transaction_count(cx: &Context, args: &mut Args) -> Answer {
    let address: Address = args.required()?;
    let block: Option<BlockId> = args.optional()?;
    let view = cx.view();
    let (_, state) = cx.state(&view, block)?;
    let nonce = state.account(address)?.map_or(0, |account| account.nonce);
    let pending = block.is_some_and(|block| block.is_pending());
    let nonce = if pending { view.pool.next_nonce(address, nonce) } else { nonce };
    reply(&U64::from(nonce))
}

fn code_of(state: &State, account: &Account) -> Result<Bytes, Failure> {
    match account.code_hash {
        B256::ZERO | KECCAK256_EMPTY => Ok(Bytes::new()),
        hash => Ok(state.code(hash)?),
    }
}

fn code(cx: &Context, args: &mut Args) -> Answer {
    let (_, state, account) = take(cx, args)?;
    reply(&code_of(&state, &account)?)
}

fn storage(cx: &Context, args: &mut Args) -> Answer {
    let address: Address = args.required()?;
    let slot: JsonStorageKey = args.required()?;
    let block: Option<BlockId> = args.optional()?;
    let (_, state) = cx.state(&cx.view(), block)?;
    let value = state.storage(address, U256::from_be_bytes(slot.as_b256().0))?;
    reply(&B256::from(value))
}

fn account(cx: &Context, args: &mut Args) -> Answer {
    reply(&take(cx, args)?.2)
}

fn account_info(cx: &Context, args: &mut Args) -> Answer {
    let (_, state, account) = take(cx, args)?;
    let code = code_of(&state, &account)?;
    reply(&AccountInfo { balance: account.balance, nonce: account.nonce, code })
}

fn proof(cx: &Context, args: &mut Args) -> Answer {
    let address: Address = args.required()?;
    let slots: Vec<JsonStorageKey> = args.optional()?.unwrap_or_default();
    let block: Option<BlockId> = args.optional()?;
    if slots.len() > PROOF_SLOTS_MAX {
        return Err(Failure::Limit(format!(
            "too many slots: {}, at most {PROOF_SLOTS_MAX} in one proof",
            slots.len()
        )));
    }
    let (_, state) = cx.state(&cx.view(), block)?;
    let keys: Vec<U256> = slots.iter().map(|slot| U256::from_be_bytes(slot.as_b256().0)).collect();
    let proven = state.prove(address, &keys)?;
    let absent = |hash: B256, nothing: B256| if hash.is_zero() { nothing } else { hash };
    let storage = slots.into_iter().zip(proven.storage);
    reply(&EIP1186AccountProofResponse {
        address,
        balance: proven.account.balance,
        code_hash: absent(proven.account.code_hash, KECCAK256_EMPTY),
        nonce: proven.account.nonce,
        storage_hash: absent(proven.account.storage_root, EMPTY_ROOT_HASH),
        account_proof: proven.proof,
        storage_proof: storage
            .map(|(key, slot)| EIP1186StorageProof { key, value: slot.value, proof: slot.proof })
            .collect(),
    })
}

/// Slots in one proof (as geth).
const PROOF_SLOTS_MAX: usize = 1_024;
