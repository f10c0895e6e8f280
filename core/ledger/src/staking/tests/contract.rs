//! Calls from contracts.

use super::*;
use crate::testing::create;
use alloy_primitives::hex;

/// Calls the registry with its own call data by CALL, CALLCODE, DELEGATECALL or STATICCALL, notes 1 (failed) or
/// 2 in slot 0, and returns what came back.
fn proxy(opcode: u8) -> Vec<u8> {
    let takes_value = matches!(opcode, 0xf1 | 0xf2);
    let value: &[u8] = if takes_value { &hex!("34") } else { &[] };
    let copy = hex!("365f5f37" "5f5f365f");
    let target = hex!("644b45545445" "5a");
    let note = hex!("600101" "5f55" "3d5f5f3e" "3d5ff3");
    [&copy[..], value, &target, &[opcode], &note].concat()
}

/// Calls the registry and reverts.
fn regret() -> Vec<u8> {
    hex!("365f5f37" "5f5f365f" "34" "644b45545445" "5af1" "5f5ffd").to_vec()
}

/// Deploys this by key 3.
fn deploy(net: &mut Net, code: &[u8]) -> Address {
    let nonce = net.chain.account(who(3)).nonce;
    net.mine([create(3, nonce, code)]);
    who(3).create(nonce)
}

fn send(net: &Net, to: Address, value: u128, input: &impl SolCall) -> Transaction {
    let nonce = net.chain.account(who(2)).nonce;
    let base = dynamic(nonce, to.into(), value, input.abi_encode());
    sign(&key(2), TxEip1559 { gas_limit: 2_000_000, ..base })
}

/// Sends through a proxy; returns whether the inner call succeeded.
fn through(net: &mut Net, to: Address, value: u128, input: &impl SolCall) -> bool {
    let transaction = send(net, to, value, input);
    let built = net.mine([transaction]);
    assert!(built.executed.receipts[0].success);
    net.chain.slot(to, 0) == U256::from(2)
}

fn simulate(net: &Net, to: Address, input: &impl SolCall) -> Bytes {
    let request = TransactionRequest {
        to: Some(to.into()),
        input: TransactionInput::new(input.abi_encode().into()),
        ..Default::default()
    };
    net.simulate(&request).unwrap()
}

#[test]
fn a_contract_can_own_a_validator() {
    let mut net = Net::new(&[100]);
    let owner = deploy(&mut net, &proxy(0xf1));
    let call = net.registration(owner, 5);
    assert!(through(&mut net, owner, 30 * ETHER, &call));
    assert_eq!(net.info(owner).weight, 30);
    assert!(!through(&mut net, owner, 30 * ETHER, &call));
    assert_eq!(net.chain.balance(owner), wei(30 * ETHER), "the value stays with the proxy");
    assert!(through(&mut net, owner, 5 * ETHER, &Staking::bondCall {}));
    assert!(through(&mut net, owner, 0, &Staking::unbondCall { amount: wei(10 * ETHER) }));
    let release = net.read(Staking::unbondingCall { owner })[0].release;
    net.mine_until(release - 1);
    assert!(through(&mut net, owner, 0, &Staking::withdrawCall {}));
    assert_eq!(net.chain.balance(owner), wei(40 * ETHER));
    assert_eq!(net.info(owner).weight, 25);
    assert_eq!(net.weights(net.number() + 2)[&owner], 25);
}

#[test]
fn a_revert_of_the_caller_undoes_everything() {
    let mut net = Net::new(&[100]);
    let contract = deploy(&mut net, &regret());
    let before = net.chain.account(STAKING_ADDRESS);
    let call = net.registration(contract, 5);
    let transaction = send(&net, contract, 30 * ETHER, &call);
    let built = net.mine([transaction]);
    let receipt = &built.executed.receipts[0];
    assert!(!receipt.success && receipt.logs.is_empty());
    assert!(receipt.cumulative_gas_used > 150_000, "the registry did run");
    assert_eq!(net.chain.account(STAKING_ADDRESS), before);
    assert_eq!(net.info(contract).owner, Address::ZERO);
    // The key is still free.
    let call = net.registration(who(2), 5);
    net.does(2, ETHER, &call);
}

#[test]
fn nobody_else_runs_it() {
    let mut net = Net::new(&[100]);
    for opcode in [0xf2, 0xf4] {
        let contract = deploy(&mut net, &proxy(opcode));
        let call = net.registration(contract, 5);
        assert!(!through(&mut net, contract, ETHER, &call));
        assert!(!through(&mut net, contract, 0, &Staking::totalWeightCall {}));
        let error = simulate(&net, contract, &call);
        assert_eq!(error, Staking::NotDirect {}.abi_encode());
        assert_eq!(net.info(contract).owner, Address::ZERO);
    }
}

#[test]
fn static_calls_only_read() {
    let mut net = Net::new(&[100]);
    let contract = deploy(&mut net, &proxy(0xfa));
    assert!(through(&mut net, contract, 0, &Staking::totalWeightCall {}));
    assert_eq!(
        U256::from_be_slice(&simulate(&net, contract, &Staking::quorumCall {})),
        U256::from(67)
    );
    for call in [
        Staking::StakingCalls::bond(Staking::bondCall {}),
        Staking::StakingCalls::unjail(Staking::unjailCall {}),
        Staking::StakingCalls::register(net.registration(contract, 5)),
    ] {
        let input = alloy_sol_types::SolInterface::abi_encode(&call);
        let request = TransactionRequest {
            to: Some(contract.into()),
            input: TransactionInput::new(input.into()),
            ..Default::default()
        };
        assert_eq!(net.simulate(&request).unwrap(), Staking::StaticCall {}.abi_encode());
    }
}

/// Stake that was forced on the registry by a self-destruct belongs to nobody, and breaks nothing.
#[test]
fn a_forced_balance_is_nobodys() {
    let mut net = Net::new(&[100]);
    let nonce = net.chain.account(who(3)).nonce;
    let code = hex!("644b45545445ff");
    let base = dynamic(nonce, alloy_primitives::TxKind::Create, ETHER, code);
    let built = net.mine([sign(&key(3), base)]);
    assert!(built.executed.receipts[0].success);
    assert_eq!(net.chain.balance(STAKING_ADDRESS), wei(101 * ETHER));
    assert_eq!(net.held([who(0)]), wei(100 * ETHER));
}

#[test]
fn several_in_one_block() {
    let mut net = Net::new(&[100, 100]);
    let transactions =
        [net.act(0, ETHER, &Staking::bondCall {}), net.act(1, 2 * ETHER, &Staking::bondCall {}), {
            let call = net.registration(who(2), 2);
            net.act(2, 3 * ETHER, &call)
        }];
    let built = net.mine(transactions);
    assert!(built.executed.receipts.iter().all(|receipt| receipt.success));
    let weights: Vec<_> = [0, 1, 2].map(|n| net.weights(3)[&who(n)]).into();
    assert_eq!(weights, [101, 102, 3]);
}
