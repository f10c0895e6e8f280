//! Every transaction, and every way in which it fails.

use super::*;

const BOND: Staking::bondCall = Staking::bondCall {};
const WITHDRAW: Staking::withdrawCall = Staking::withdrawCall {};
const UNJAIL: Staking::unjailCall = Staking::unjailCall {};

fn unbond(amount: u128) -> Staking::unbondCall {
    Staking::unbondCall { amount: wei(amount) }
}

#[test]
fn register() {
    let mut net = Net::new(&[100, 100]);
    let call = net.registration(who(2), 2);
    let logs = net.does(2, 50 * ETHER, &call);
    let stake = wei(50 * ETHER);
    let expected = Staking::Registered { owner: who(2), key: public(2), vrfKey: vrf(2), stake };
    assert_eq!(event::<Staking::Registered>(&logs), expected);
    assert_eq!(net.chain.balance(STAKING_ADDRESS), wei(250 * ETHER));
    let expected = Staking::Info {
        owner: who(2),
        key: public(2),
        vrfKey: vrf(2),
        weight: 50,
        stake,
        jailed: false,
        jailedUntil: 0,
        missed: 0,
    };
    assert_eq!(net.info(who(2)), expected);
    assert_eq!(net.infos().len(), 3);

    net.fails(2, 50 * ETHER, &call, &Staking::AlreadyRegistered {});
}

#[test]
fn register_refusals() {
    let mut net = Net::with(&[100, 100], &json!({ "weightMin": 10 }));
    let call = net.registration(who(2), 2);
    let least = wei(10 * ETHER);
    net.fails(2, 10 * ETHER - 1, &call, &Staking::BelowMinimum { least });
    // The proof is for one owner, one VRF key and one signer.
    let bad = Staking::BadProof {};
    net.fails(3, 10 * ETHER, &call, &bad);
    let other = Staking::registerCall { vrfKey: vrf(3), ..call.clone() };
    net.fails(2, 10 * ETHER, &other, &bad);
    let other = Staking::registerCall { key: public(3), ..call.clone() };
    net.fails(2, 10 * ETHER, &other, &bad);
    for length in [0, 63, 65] {
        let mut proof = call.proof.to_vec();
        proof.resize(length, 0);
        let other = Staking::registerCall { proof: proof.into(), ..call.clone() };
        net.fails(2, 10 * ETHER, &other, &bad);
    }
    let elsewhere = Net::with(&[100, 99], &json!({}));
    let other = elsewhere.registration(who(2), 2);
    net.fails(2, 10 * ETHER, &other, &bad);
    // Keys that nothing can be proven with.
    for key in [B256::ZERO, B256::repeat_byte(0xff)] {
        let other = Staking::registerCall { vrfKey: key, ..call.clone() };
        net.fails(2, 10 * ETHER, &other, &Staking::BadKey {});
        let other = Staking::registerCall { key, ..call.clone() };
        net.fails(2, 10 * ETHER, &other, &Staking::BadKey {});
    }
    // A key of somebody else, who would have to sign for us.
    let taken = net.registration(who(2), 1);
    net.fails(2, 10 * ETHER, &taken, &Staking::KeyTaken { owner: who(1) });
    net.does(2, 10 * ETHER, &call);
    assert_eq!(net.weights(net.number() + 2)[&who(2)], 10);
}

#[test]
fn bond() {
    let mut net = Net::new(&[100, 100]);
    let logs = net.does(0, 3 * ETHER / 2, &BOND);
    let (amount, stake) = (wei(3 * ETHER / 2), wei(203 * ETHER / 2));
    assert_eq!(event::<Staking::Bonded>(&logs), Staking::Bonded { owner: who(0), amount, stake });
    assert_eq!(net.weights(net.number() + 2)[&who(0)], 101);
    net.does(0, ETHER / 2, &BOND);
    assert_eq!(net.weights(net.number() + 2)[&who(0)], 102);
    net.fails(0, 0, &BOND, &Staking::BadAmount { stake: wei(102 * ETHER) });
    net.fails(2, 1, &BOND, &Staking::NotRegistered {});
}

#[test]
fn unbond_and_withdraw() {
    let mut net = Net::with(&[100, 100], &json!({ "weightMin": 10 }));
    let start = net.chain.balance(who(0));
    let logs = net.does(0, 0, &unbond(40 * ETHER));
    // It votes in heights 1 and 2, and can be punished for another 10 blocks.
    let (amount, release) = (wei(40 * ETHER), 13);
    assert_eq!(
        event::<Staking::Unbonded>(&logs),
        Staking::Unbonded { owner: who(0), amount, release }
    );
    assert_eq!(net.weights(3)[&who(0)], 60);
    assert_eq!(net.chain.balance(STAKING_ADDRESS), wei(200 * ETHER));
    net.does(0, 0, &unbond(10 * ETHER));
    let queue = net.read(Staking::unbondingCall { owner: who(0) });
    let second = Staking::Unbonding { amount: wei(10 * ETHER), release: 14 };
    assert_eq!(queue, [Staking::Unbonding { amount, release }, second.clone()]);

    let stake = wei(50 * ETHER);
    net.fails(0, 0, &unbond(0), &Staking::BadAmount { stake });
    net.fails(0, 0, &unbond(50 * ETHER + 1), &Staking::BadAmount { stake });
    let least = wei(10 * ETHER);
    net.fails(0, 0, &unbond(40 * ETHER + 1), &Staking::BelowMinimum { least });
    net.fails(2, 0, &unbond(1), &Staking::NotRegistered {});

    net.mine_until(11);
    net.fails(0, 0, &WITHDRAW, &Staking::NothingToWithdraw {});
    assert_eq!(net.number(), 12);
    let logs = net.does(0, 0, &WITHDRAW);
    assert_eq!(event::<Staking::Withdrawn>(&logs), Staking::Withdrawn { owner: who(0), amount });
    assert_eq!(net.chain.balance(STAKING_ADDRESS), wei(160 * ETHER));
    assert_eq!(net.read(Staking::unbondingCall { owner: who(0) }), [second]);
    net.does(0, 0, &WITHDRAW);
    net.fails(0, 0, &WITHDRAW, &Staking::NothingToWithdraw {});
    let gained = net.chain.balance(who(0)) + wei(ETHER) - start;
    assert!(gained > wei(50 * ETHER) && gained < wei(51 * ETHER), "{gained}");
}

#[test]
fn the_queue_is_bounded_and_merges() {
    let mut net = Net::with(&[200, 100], &json!({ "unbondingBlocks": 50 }));
    for _ in 0..UNBONDING_MAX {
        net.does(0, 0, &unbond(ETHER));
    }
    net.fails(0, 0, &unbond(ETHER), &Staking::TooManyUnbondings {});
    // Two in one block are one.
    let nonce = net.chain.account(who(1)).nonce;
    let input = unbond(ETHER).abi_encode();
    let both = [0, 1]
        .map(|more| sign(&key(1), dynamic(nonce + more, STAKING_ADDRESS.into(), 0, input.clone())));
    net.mine(both);
    let queue = net.read(Staking::unbondingCall { owner: who(1) });
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].amount, wei(2 * ETHER));
    // Withdrawing what is due makes room.
    net.mine_until(53);
    net.does(0, 0, &WITHDRAW);
    net.does(0, 0, &unbond(ETHER));
    assert_eq!(net.held([who(0), who(1)]), net.chain.balance(STAKING_ADDRESS));
}

#[test]
fn leaving_and_coming_back() {
    let mut net = Net::new(&[100, 100]);
    net.does(0, 0, &unbond(100 * ETHER));
    assert_eq!(net.infos().len(), 1);
    assert_eq!(net.weights(3).len(), 1);
    let gone = net.info(who(0));
    assert_eq!((gone.owner, gone.stake, gone.weight), (who(0), U256::ZERO, 0));
    net.fails(0, 1, &BOND, &Staking::NotRegistered {});
    net.fails(0, 0, &UNJAIL, &Staking::NotRegistered {});
    let rotation = net.rotation(who(0), 7);
    net.fails(0, 0, &rotation, &Staking::NotRegistered {});
    // Others do not get its key, it does.
    let theft = net.registration(who(2), 0);
    net.fails(2, ETHER, &theft, &Staking::KeyTaken { owner: who(0) });
    let call = net.registration(who(0), 0);
    net.does(0, 7 * ETHER, &call);
    assert_eq!(net.weights(net.number() + 2)[&who(0)], 7);
    assert_eq!(net.held([who(0), who(1)]), net.chain.balance(STAKING_ADDRESS));
}

#[test]
fn rotate() {
    let mut net = Net::new(&[100, 100]);
    let call = net.rotation(who(0), 9);
    let logs = net.does(0, 0, &call);
    let expected = Staking::Rotated { owner: who(0), key: public(9), vrfKey: vrf(9) };
    assert_eq!(event::<Staking::Rotated>(&logs), expected);
    let position = |height| net.set(height).position(&PublicKey(public(9)));
    assert_eq!((position(2), position(3).is_some()), (None, true));
    // The old key stays its own, and it can go back to it.
    let theft = net.rotation(who(1), 0);
    net.fails(1, 0, &theft, &Staking::KeyTaken { owner: who(0) });
    let back = net.rotation(who(0), 0);
    net.does(0, 0, &back);
    assert_eq!(net.info(who(0)).key, public(0));
    // Only the VRF key.
    let message = proof_message(net.chain.rules.domain(), who(0), vrf(5));
    let proof = Bytes::copy_from_slice(secret(0).sign(&message).as_slice());
    let vrf_only = Staking::rotateCall { key: public(0), vrfKey: vrf(5), proof };
    net.does(0, 0, &vrf_only);
    assert_eq!(net.info(who(0)).vrfKey, vrf(5));
    let bad = Staking::rotateCall { vrfKey: vrf(6), ..vrf_only };
    net.fails(0, 0, &bad, &Staking::BadProof {});
}

#[test]
fn only_payable_functions_take_value() {
    let mut net = Net::new(&[100, 100]);
    let refused = Staking::NotPayable {};
    net.fails(0, 1, &unbond(1), &refused);
    net.fails(0, 1, &WITHDRAW, &refused);
    net.fails(0, 1, &UNJAIL, &refused);
    let rotation = net.rotation(who(0), 9);
    net.fails(0, 1, &rotation, &refused);
    net.fails(0, 1, &Staking::quorumCall {}, &refused);
    net.fails(0, 0, &UNJAIL, &Staking::NotJailed {});
}

/// A transaction that is out of gas in the middle leaves nothing behind.
#[test]
fn gas_runs_out_anywhere() {
    let mut net = Net::new(&[100, 100]);
    let input = net.registration(who(2), 2).abi_encode();
    let mut gas_limit = 30_000;
    loop {
        let before = net.chain.account(STAKING_ADDRESS);
        let nonce = net.chain.account(who(2)).nonce;
        let base = dynamic(nonce, STAKING_ADDRESS.into(), ETHER, input.clone());
        let built = net.mine([sign(&key(2), TxEip1559 { gas_limit, ..base })]);
        let receipt = &built.executed.receipts[0];
        if receipt.success {
            assert!(receipt.cumulative_gas_used > gas_limit - 9_000);
            break;
        }
        assert_eq!(receipt.cumulative_gas_used, gas_limit);
        assert_eq!(net.chain.account(STAKING_ADDRESS), before);
        gas_limit += 9_000;
    }
    assert!((150_000..300_000).contains(&gas_limit), "{gas_limit}");
}
