//! Tests of simulated calls.

use super::*;
use crate::testing::{
    Chain, ETHER, GWEI, LOOP, MINER, MORTAL, REVERT, TOKEN, WITNESS, create, dynamic, init_code,
    key, sign, wei, who, words,
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, bytes};
use alloy_rpc_types_eth::TransactionInput;
use revm::context::transaction::AccessListItem;
use serde_json::json;

const CAP: u64 = 50_000_000;

/// Returns slot 0.
const READ: &[u8] = &alloy_primitives::hex!("5f545f5260205ff3");
/// Needs far more gas than it uses: it reverts unless GAS is above 1,000,000.
const PICKY: &[u8] = &alloy_primitives::hex!("620f42405a11600c575f5ffd5b00");
/// BALANCE of the address given, then SLOAD(7).
const CURIOUS: &[u8] = &alloy_primitives::hex!("5f3531506007545000");

/// Contracts 0..: token, revert, loop, witness, mortal, read, picky, curious; by key 0.
fn chain() -> (Chain, impl Fn(u64) -> Address) {
    let mut chain = Chain::new();
    let codes = [TOKEN, REVERT, LOOP, WITNESS, MORTAL, READ, PICKY, CURIOUS];
    chain.mine((0..).zip(codes).map(|(nonce, code)| create(0, nonce, code)));
    (chain, |n| who(0).create(n))
}

fn to(address: Address) -> TransactionRequest {
    TransactionRequest { from: Some(who(1)), to: Some(address.into()), ..Default::default() }
}

fn with_input(address: Address, input: Bytes) -> TransactionRequest {
    TransactionRequest { input: TransactionInput::new(input), ..to(address) }
}

fn run(
    chain: &Chain,
    request: &TransactionRequest,
    overrides: &serde_json::Value,
) -> Result<CallOutcome, CallError> {
    chain.call(request, &overrides_from(overrides), CAP).run()
}

fn overrides_from(value: &serde_json::Value) -> EvmOverrides {
    EvmOverrides {
        state: value.get("state").map(|state| serde_json::from_value(state.clone()).unwrap()),
        block: value.get("block").map(|block| serde_json::from_value(block.clone()).unwrap()),
    }
}

fn estimate(chain: &Chain, request: &TransactionRequest) -> Result<u64, CallError> {
    chain.call(request, &EvmOverrides::default(), CAP).estimate_gas()
}

fn output(outcome: Result<CallOutcome, CallError>) -> U256 {
    match outcome.unwrap() {
        CallOutcome::Success { output, .. } => U256::from_be_slice(&output),
        other => panic!("{other:?}"),
    }
}

#[test]
fn outcomes() {
    let (chain, contract) = chain();
    let none = json!({});
    let input = words(who(2).into_word().into(), U256::from(5));
    let got = run(&chain, &with_input(contract(0), input), &none).unwrap();
    let CallOutcome::Success { logs, gas_used, .. } = got else { panic!("{got:?}") };
    assert_eq!(logs[0].address, contract(0));
    assert!((21_000..100_000).contains(&gas_used));
    // Nothing happened: it was only a call.
    assert_eq!(chain.account(contract(0)).storage_root, alloy_consensus::EMPTY_ROOT_HASH);

    let got = run(&chain, &to(contract(1)), &none).unwrap();
    let CallOutcome::Revert { output, .. } = got else { panic!("{got:?}") };
    assert_eq!(U256::from_be_slice(&output), U256::from(0xee));

    let request = TransactionRequest { gas: Some(100_000), ..to(contract(2)) };
    let reason = "out of gas".to_owned();
    assert_eq!(run(&chain, &request, &none), Ok(CallOutcome::Halt { reason, gas_used: 100_000 }));
}

#[test]
fn creation_returns_the_code() {
    let (chain, _) = chain();
    let request = TransactionRequest {
        from: Some(who(1)),
        input: TransactionInput::new(init_code(TOKEN)),
        ..Default::default()
    };
    let got = run(&chain, &request, &json!({})).unwrap();
    let CallOutcome::Success { output, .. } = got else { panic!("{got:?}") };
    assert_eq!(output, Bytes::from_static(TOKEN));
}

#[test]
fn checks_are_relaxed_as_in_geth() {
    let (chain, contract) = chain();
    let none = json!({});
    // A stranger without funds, a contract as sender, more gas than a block has, a wrong nonce.
    for from in [Address::repeat_byte(9), contract(0)] {
        let request = TransactionRequest {
            from: Some(from),
            gas: Some(40_000_000),
            nonce: Some(77),
            ..to(contract(5))
        };
        assert_eq!(output(run(&chain, &request, &none)), U256::ZERO);
    }
    // BASEFEE is zero without a fee, and the block's with one.
    let code = json!({ "state": { who(9).to_string(): { "code": "0x485f5260205ff3" } } });
    assert_eq!(output(run(&chain, &to(who(9)), &code)), U256::ZERO);
    let base_fee = U256::from(chain.head.base_fee_per_gas.unwrap());
    let request =
        TransactionRequest { max_fee_per_gas: Some(2 * GWEI), gas: Some(100_000), ..to(who(9)) };
    assert_eq!(output(run(&chain, &request, &code)), base_fee);
    let request =
        TransactionRequest { max_priority_fee_per_gas: Some(1), gas: Some(100_000), ..to(who(9)) };
    assert_eq!(output(run(&chain, &request, &code)), base_fee);
}

#[test]
fn refusals() {
    let (chain, contract) = chain();
    let refuse = |request: &TransactionRequest| run(&chain, request, &json!({})).unwrap_err();
    let base = || to(contract(5));

    let both = TransactionRequest { gas_price: Some(1), max_fee_per_gas: Some(1), ..base() };
    assert!(matches!(refuse(&both), CallError::Request(_)));
    let blobs = TransactionRequest { blob_versioned_hashes: Some(vec![]), ..base() };
    assert!(matches!(refuse(&blobs), CallError::Request(_)));
    let input = TransactionInput { input: Some(bytes!("01")), data: Some(bytes!("02")) };
    assert!(matches!(refuse(&TransactionRequest { input, ..base() }), CallError::Request(_)));
    let chain_id = TransactionRequest { chain_id: Some(1), ..base() };
    assert_eq!(refuse(&chain_id), CallError::WrongChainId { got: 1, expected: 1_337 });
    let value = TransactionRequest { value: Some(U256::from(1)), from: Some(who(9)), ..base() };
    let error = CallError::InsufficientFunds { got: U256::ZERO, expected: U256::from(1) };
    assert_eq!(refuse(&value), error);
    let cheap = TransactionRequest { gas_price: Some(1), gas: Some(30_000), ..base() };
    let base_fee = chain.head.base_fee_per_gas.unwrap();
    assert_eq!(refuse(&cheap), CallError::BaseFee { got: 1, base_fee });
    let tight = TransactionRequest { gas: Some(20_000), ..base() };
    assert_eq!(refuse(&tight), CallError::IntrinsicGas { got: 20_000, expected: 21_000 });

    let nothing = std::sync::Arc::new(crate::MemoryNodes::default());
    let broken = Chain { state: State::open(nothing, chain.state.root()), ..chain };
    let error = run(&broken, &to(who(3)), &json!({})).unwrap_err();
    assert!(matches!(error, CallError::Read(_)), "{error}");
}

#[test]
fn overrides_of_state() {
    let (chain, contract) = chain();
    let slot = |n: u8| B256::with_last_byte(n).to_string();
    let read = contract(5).to_string();
    let with = |account: serde_json::Value| json!({ "state": { read.clone(): account } });
    let got = |overrides: &serde_json::Value| output(run(&chain, &to(contract(5)), overrides));
    assert_eq!(got(&with(json!({ "stateDiff": { slot(0): slot(9) } }))), U256::from(9));
    assert_eq!(got(&with(json!({ "state": { slot(0): slot(8) } }))), U256::from(8));
    assert_eq!(got(&with(json!({ "state": { slot(1): slot(8) } }))), U256::ZERO);
    // SELFBALANCE and CREATE's address, which shows the nonce.
    let code = json!({ "code": "0x475f5260205ff3", "balance": "0x7b" });
    assert_eq!(got(&with(code)), U256::from(123));
    let code = json!({ "code": "0x5f5f5ff05f5260205ff3", "nonce": "0x20" });
    let created = contract(5).create(32);
    assert_eq!(B256::from(got(&with(code))), created.into_word());
    // A sender made rich may send.
    let poor = Address::repeat_byte(9);
    let request = TransactionRequest { from: Some(poor), value: Some(U256::from(5)), ..to(who(3)) };
    let rich = json!({ "state": { poor.to_string(): { "balance": "0x5" } } });
    assert!(run(&chain, &request, &json!({})).is_err());
    assert!(matches!(run(&chain, &request, &rich), Ok(CallOutcome::Success { .. })));
    // The identity precompile elsewhere.
    let identity = Address::with_last_byte(4);
    let moved = json!({ "state": { identity.to_string(): { "movePrecompileToAddress": who(9) } } });
    let request = with_input(who(9), bytes!("0102"));
    assert_eq!(output(run(&chain, &request, &moved)), U256::from(0x0102));
}

#[test]
fn overrides_of_the_block() {
    let (chain, _) = chain();
    let hash = B256::repeat_byte(3);
    for (code, key, value, expected) in [
        ("43", "number", json!("0x99"), U256::from(0x99)),
        ("42", "time", json!("0x99"), U256::from(0x99)),
        ("45", "gasLimit", json!("0x99"), U256::from(0x99)),
        ("41", "feeRecipient", json!(who(3)), who(3).into_word().into()),
        ("44", "prevRandao", json!(hash), hash.into()),
        ("4a", "blobBaseFee", json!("0x99"), U256::from(0x99)),
        ("5f40", "blockHash", json!({ "0": hash }), hash.into()),
    ] {
        let code = format!("0x{code}5f5260205ff3");
        let overrides = json!({
            "state": { who(9).to_string(): { "code": code } },
            "block": { key: value },
        });
        assert_eq!(output(run(&chain, &to(who(9)), &overrides)), expected, "{key}");
    }
    // Without an override the environment is the block's.
    let code = json!({ "state": { who(9).to_string(): { "code": "0x415f5260205ff3" } } });
    assert_eq!(B256::from(output(run(&chain, &to(who(9)), &code))), MINER.into_word());
}

#[test]
fn estimates_are_enough_and_not_much_more() {
    let (mut chain, contract) = chain();
    let transfer = TransactionRequest { value: Some(wei(ETHER)), ..to(who(2)) };
    assert_eq!(estimate(&chain, &transfer), Ok(21_000));
    let token = with_input(contract(0), words(who(2).into_word().into(), U256::from(5)));
    // With a fee, because without one it sees no base fee and stores one word less.
    let witness = TransactionRequest { max_fee_per_gas: Some(100 * GWEI), ..to(contract(3)) };
    let picky = to(contract(6));
    for (nonce, request) in (0..).zip([token, witness, picky]) {
        let limit = estimate(&chain, &request).unwrap();
        let with = |gas| {
            let request = TransactionRequest { gas: Some(gas), ..request.clone() };
            matches!(run(&chain, &request, &json!({})), Ok(CallOutcome::Success { .. }))
        };
        assert!(with(limit), "{limit}");
        assert!(!with(limit - limit / 50), "{limit}");
        // And in a block.
        let Some(TxKind::Call(target)) = request.to else { panic!("a call") };
        let input = request.input.input.clone().unwrap_or_default();
        let transaction = TxEip1559 { gas_limit: limit, ..dynamic(nonce, target.into(), 0, input) };
        let built = chain.build([sign(&key(1), transaction.clone())]);
        assert!(built.executed.receipts[0].success, "{limit}");
        chain.mine([sign(&key(1), transaction)]);
    }
}

#[test]
fn estimates_that_cannot_be() {
    let (chain, contract) = chain();
    let CallError::Reverted(data) = estimate(&chain, &to(contract(1))).unwrap_err() else {
        panic!("it reverts")
    };
    assert_eq!(U256::from_be_slice(&data), U256::from(0xee));
    let limit = chain.head.gas_limit;
    assert_eq!(estimate(&chain, &to(contract(2))), Err(CallError::GasAllowance(limit)));
    let capped = TransactionRequest { gas: Some(21_100), ..to(contract(3)) };
    assert_eq!(estimate(&chain, &capped), Err(CallError::GasAllowance(21_100)));
    // Who names a fee can buy only so much gas.
    let price = 10 * GWEI;
    let buys = |n: u128| TransactionRequest {
        gas_price: Some(price),
        value: Some(wei(1_000 * ETHER - n * price)),
        ..to(contract(5))
    };
    assert_eq!(estimate(&chain, &buys(21_050)), Err(CallError::GasAllowance(21_050)));
    assert!(estimate(&chain, &buys(30_000)).is_ok());
    let request = TransactionRequest { value: Some(wei(1_001 * ETHER)), ..buys(0) };
    assert!(matches!(estimate(&chain, &request), Err(CallError::InsufficientFunds { .. })));
    let invalid = TransactionRequest {
        from: Some(who(1)),
        input: TransactionInput::new(bytes!("fe")),
        ..Default::default()
    };
    let halted = CallError::Halted("invalid opcode: INVALID".to_owned());
    assert_eq!(estimate(&chain, &invalid), Err(halted));
}

#[test]
fn access_list_names_what_is_touched() {
    let (chain, contract) = chain();
    let none = EvmOverrides::default();
    let list =
        |request: &TransactionRequest| chain.call(request, &none, CAP).access_list().unwrap();
    let other = Address::repeat_byte(0x55);
    let request = with_input(contract(7), words(other.into_word().into(), U256::ZERO));
    let got = list(&request);
    let expected = vec![
        AccessListItem { address: contract(7), storage_keys: vec![B256::with_last_byte(7)] },
        AccessListItem { address: other, storage_keys: vec![] },
    ];
    let mut expected = expected;
    expected.sort_by_key(|item| item.address);
    assert_eq!(got.access_list.0, expected);
    // Declared, the cold accesses (2,600 + 2,100) cost 100 each, and the list 2 * 2,400 + 1,900 (EIP-2930).
    let plain = run(&chain, &request, &json!({})).unwrap();
    let CallOutcome::Success { gas_used: plain, .. } = plain else { panic!("{plain:?}") };
    let CallOutcome::Success { gas_used, .. } = got.outcome else { panic!("{:?}", got.outcome) };
    assert_eq!(gas_used, plain - 2_500 - 2_000 + 2 * 2_400 + 1_900);
    // Sender, recipient and precompiles are warm anyway.
    let own = with_input(contract(7), words(who(1).into_word().into(), U256::ZERO));
    assert_eq!(list(&own).access_list.0.len(), 1);
    assert!(list(&to(contract(1))).access_list.0.is_empty());
    assert!(matches!(list(&to(contract(1))).outcome, CallOutcome::Revert { .. }));
}
