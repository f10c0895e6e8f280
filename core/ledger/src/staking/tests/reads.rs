//! The registry as clients read it.

use super::*;
use crate::genesis::GenesisError;
use crate::{call::CallError, genesis, testing::spec};
use alloy_primitives::{keccak256, uint};

#[test]
fn genesis_has_it() {
    let net = Net::new(&[100, 7]);
    let account = net.chain.account(STAKING_ADDRESS);
    assert_eq!((account.nonce, account.balance), (1, wei(107 * ETHER)));
    assert_eq!(net.chain.state.code(account.code_hash).unwrap(), Bytes::from_static(MARKER));
    assert_eq!(net.chain.state.supply(), Ok(wei(4_107 * ETHER)));
    for height in 0..3 {
        assert_eq!(net.set(height), net.chain.rules.bft().unwrap().genesis_set().unwrap());
    }
    assert_eq!(validators(&Chain::new().state, 1), Ok(None));
    assert_eq!(validators_hash(&Chain::new().state, 1), Ok(None));
}

#[test]
fn genesis_refusals() {
    let engine = |validator: &serde_json::Value, more: &serde_json::Value| {
        let mut bft = json!({ "slotMs": 1, "validators": [validator] });
        for (key, value) in more.as_object().unwrap() {
            bft[key] = value.clone();
        }
        json!({ "engine": { "pow": null, "bft": bft } })
    };
    let validator = json!({ "address": who(0), "key": public(0), "vrfKey": vrf(0), "weight": 5 });
    let refuse = |kette: &serde_json::Value, extra: &serde_json::Value| {
        genesis(&spec(kette, extra)).unwrap_err()
    };
    let plain = engine(&validator, &json!({}));
    let named = json!({ "alloc": { STAKING_ADDRESS.to_string(): { "balance": "0x0" } } });
    assert_eq!(refuse(&plain, &named), GenesisError::Registry);
    let heavy = engine(&validator, &json!({ "weightMin": 6 }));
    assert_eq!(refuse(&heavy, &json!({})), GenesisError::ValidatorWeight(who(0)));
    let most = json!({ "balance": U256::MAX - wei(4_001 * ETHER) });
    let rich = json!({ "alloc": { who(9).to_string(): most } });
    assert_eq!(refuse(&plain, &rich), GenesisError::Supply);
    // Elsewhere the address is like any other.
    let (_, state) = genesis(&spec(&json!({}), &named)).unwrap();
    assert_eq!(validators(&state, 1), Ok(None));
}

#[test]
fn another_engine_has_an_ordinary_account() {
    let mut chain = Chain::new();
    let input = Staking::totalWeightCall {}.abi_encode();
    let transaction = sign(&key(0), dynamic(0, STAKING_ADDRESS.into(), 5, input));
    let built = chain.mine([transaction]);
    assert!(built.executed.receipts[0].success);
    assert_eq!(chain.balance(STAKING_ADDRESS), U256::from(5));
}

/// Selectors are what the signatures in docs/validators.md hash to.
#[test]
fn the_interface_is_the_documented_one() {
    let text = include_str!("../../../../../docs/validators.md");
    let mut documented = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let signature = line.split('`').nth(1).unwrap();
        documented.push(signature.to_owned());
    }
    let functions = [
        (Staking::validatorsCall::SIGNATURE, Staking::validatorsCall::SELECTOR),
        (Staking::validatorCall::SIGNATURE, Staking::validatorCall::SELECTOR),
        (Staking::validatorsAtCall::SIGNATURE, Staking::validatorsAtCall::SELECTOR),
        (Staking::totalWeightCall::SIGNATURE, Staking::totalWeightCall::SELECTOR),
        (Staking::quorumCall::SIGNATURE, Staking::quorumCall::SELECTOR),
        (Staking::unbondingCall::SIGNATURE, Staking::unbondingCall::SELECTOR),
        (Staking::registerCall::SIGNATURE, Staking::registerCall::SELECTOR),
        (Staking::bondCall::SIGNATURE, Staking::bondCall::SELECTOR),
        (Staking::unbondCall::SIGNATURE, Staking::unbondCall::SELECTOR),
        (Staking::withdrawCall::SIGNATURE, Staking::withdrawCall::SELECTOR),
        (Staking::unjailCall::SIGNATURE, Staking::unjailCall::SELECTOR),
        (Staking::rotateCall::SIGNATURE, Staking::rotateCall::SELECTOR),
    ];
    for (signature, selector) in functions {
        assert_eq!(keccak256(signature)[..4], selector);
        assert!(documented.iter().any(|it| it == signature), "{signature} is not documented");
    }
    for signature in [
        Staking::Registered::SIGNATURE,
        Staking::Bonded::SIGNATURE,
        Staking::Unbonded::SIGNATURE,
        Staking::Withdrawn::SIGNATURE,
        Staking::Rotated::SIGNATURE,
        Staking::Unjailed::SIGNATURE,
        Staking::Jailed::SIGNATURE,
        Staking::Slashed::SIGNATURE,
    ] {
        assert!(documented.iter().any(|it| it == signature), "{signature} is not documented");
    }
    // Known from the ABI specification: a call of a function without arguments is its selector.
    assert_eq!(Staking::quorumCall {}.abi_encode(), keccak256("quorum()")[..4]);
}

#[test]
fn views() {
    let mut net = Net::new(&[100, 100, 100]);
    assert_eq!(net.read(Staking::totalWeightCall {}), U256::from(300));
    assert_eq!(net.read(Staking::quorumCall {}), U256::from(201));
    let infos = net.infos();
    assert_eq!(infos.len(), 3);
    assert_eq!(net.info(infos[1].owner), infos[1]);
    // Nobody has weight 0, never 1 (requirement T79).
    let nobody = net.info(who(3));
    assert_eq!((nobody.owner, nobody.weight, nobody.stake), (Address::ZERO, 0, U256::ZERO));
    assert_eq!(net.read(Staking::unbondingCall { owner: who(3) }), []);

    net.does(0, 50 * ETHER, &Staking::bondCall {});
    net.mine([]);
    let weight = |height| -> u64 {
        let members = net.read(Staking::validatorsAtCall { height });
        assert!(members.windows(2).all(|pair| pair[0].key < pair[1].key));
        members.iter().map(|member| member.weight).sum()
    };
    assert_eq!([weight(0), weight(1), weight(2), weight(3), weight(4)], [300, 300, 300, 350, 350]);
    let error = net.try_read(&Staking::validatorsAtCall { height: 5 }.abi_encode()).unwrap_err();
    let unknown = Staking::UnknownHeight { first: 0, last: 4 };
    assert_eq!(Staking::UnknownHeight::abi_decode_validate(&error), Ok(unknown));
    assert_eq!(net.read(Staking::totalWeightCall {}), U256::from(350));
    assert_eq!(net.read(Staking::quorumCall {}), U256::from(234));
}

#[test]
fn heights_that_are_forgotten() {
    let mut net = Net::new(&[100, 100]);
    for _ in 0..5 {
        net.does(0, ETHER, &Staking::bondCall {});
    }
    // After block 5 the sets of heights 5, 6 and 7 are there.
    let error = net.try_read(&Staking::validatorsAtCall { height: 4 }.abi_encode()).unwrap_err();
    let unknown = Staking::UnknownHeight { first: 5, last: 7 };
    assert_eq!(Staking::UnknownHeight::abi_decode_validate(&error), Ok(unknown));
    assert_eq!(validators(&net.chain.state, 4), Ok(None));
    let weights = [5, 6, 7].map(|height| net.weights(height)[&who(0)]);
    assert_eq!(weights, [103, 104, 105]);
}

#[test]
fn what_is_no_call_of_the_interface() {
    let net = Net::new(&[100]);
    let unknown = Err(Bytes::from(Staking::UnknownFunction {}.abi_encode()));
    assert_eq!(net.try_read(&[]), unknown);
    assert_eq!(net.try_read(&[1, 2, 3]), unknown);
    assert_eq!(net.try_read(&[1, 2, 3, 4]), unknown);
    let bad = Err(Bytes::from(Staking::BadArguments {}.abi_encode()));
    let mut input = Staking::validatorCall { owner: who(0) }.abi_encode();
    input.pop();
    assert_eq!(net.try_read(&input), bad);
    let mut input = Staking::validatorCall { owner: who(0) }.abi_encode();
    input[4] = 1;
    assert_eq!(net.try_read(&input), bad);
    // A plain transfer is refused, it would be lost.
    let request = TransactionRequest {
        from: Some(who(0)),
        to: Some(STAKING_ADDRESS.into()),
        value: Some(U256::from(1)),
        ..Default::default()
    };
    assert_eq!(net.simulate(&request), unknown);
}

#[test]
fn estimates_and_access_lists() {
    let mut net = Net::new(&[100, 100]);
    let request = TransactionRequest {
        from: Some(who(2)),
        to: Some(STAKING_ADDRESS.into()),
        value: Some(wei(ETHER)),
        input: TransactionInput::new(net.registration(who(2), 2).abi_encode().into()),
        ..Default::default()
    };
    let none = EvmOverrides::default();
    let gas_limit = net.chain.call(&request, &none, 30_000_000).estimate_gas().unwrap();
    let list = net.chain.call(&request, &none, 30_000_000).access_list().unwrap();
    assert_eq!(list.access_list.0, []);
    let input = request.input.input.clone().unwrap();
    let base = dynamic(0, STAKING_ADDRESS.into(), ETHER, input);
    let built = net.mine([sign(&key(2), TxEip1559 { gas_limit, ..base })]);
    assert!(built.executed.receipts[0].success);
    let used = built.executed.receipts[0].cumulative_gas_used;
    assert!(used <= gas_limit && gas_limit < used + used / 10, "{used} {gas_limit}");

    let again = net.chain.call(&request, &none, 30_000_000).estimate_gas();
    let reason = Bytes::from(Staking::AlreadyRegistered {}.abi_encode());
    assert_eq!(again, Err(CallError::Reverted(reason)));
}

/// The price is that of the same accesses in a contract: 2,100 for each slot, 42 for each hash (EIP-2929).
#[test]
fn a_read_costs_what_its_slots_do() {
    let net = Net::new(&[100]);
    let input = Staking::validatorCall { owner: who(0) }.abi_encode();
    let zeros = u64::try_from(input.iter().filter(|byte| **byte == 0).count()).unwrap();
    let intrinsic = 21_000 + 4 * zeros + 16 * (36 - zeros);
    let request = TransactionRequest {
        to: Some(STAKING_ADDRESS.into()),
        input: TransactionInput::new(input.into()),
        ..Default::default()
    };
    let none = EvmOverrides::default();
    let outcome = net.chain.call(&request, &none, 1_000_000).run().unwrap();
    let CallOutcome::Success { gas_used, output, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(output.len(), 8 * 32);
    assert_eq!(gas_used, intrinsic + 200 + 3 * 2 + 42 + 4 * 2_100 + 3 * 8);
}

/// EXTCODESIZE of the registry.
#[test]
fn clients_see_a_contract() {
    let net = Net::new(&[100]);
    let code = json!({ who(9).to_string(): { "code": "0x644b455454453b5f5260205ff3" } });
    let overrides =
        EvmOverrides { state: Some(serde_json::from_value(code).unwrap()), block: None };
    let request = TransactionRequest { to: Some(who(9).into()), ..Default::default() };
    let outcome = net.chain.call(&request, &overrides, 100_000).run().unwrap();
    let CallOutcome::Success { output, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(U256::from_be_slice(&output), uint!(1_U256));
}
