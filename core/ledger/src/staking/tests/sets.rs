//! Who votes when.

use super::*;
use kette_types::bft::VALIDATORS_MAX;

/// Accounts beyond the four funded ones.
fn rich(count: u8) -> serde_json::Value {
    let account = json!({ "balance": wei(10_000 * ETHER) });
    let alloc: serde_json::Map<_, _> =
        (4..count).map(|n| (who(n).to_string(), account.clone())).collect();
    json!({ "alloc": alloc })
}

fn wide(weights: &[u64], owners: u8) -> Net {
    let reward = json!({ "policy": "constant", "amount": "0x0" });
    Net::with_reward(weights, &json!({}), &reward, &rich(owners))
}

#[test]
fn changes_count_two_heights_later() {
    let mut net = Net::new(&[100, 100]);
    net.mine([]);
    net.does(0, 10 * ETHER, &Staking::bondCall {});
    assert_eq!(net.number(), 2);
    let weights = [2, 3, 4].map(|height| net.weights(height)[&who(0)]);
    assert_eq!(weights, [100, 100, 110]);
    // Three different sets are known at once.
    net.does(0, 10 * ETHER, &Staking::bondCall {});
    net.does(0, 10 * ETHER, &Staking::bondCall {});
    let weights = [4, 5, 6].map(|height| net.weights(height)[&who(0)]);
    assert_eq!(weights, [110, 120, 130]);
    let seal = net.seal();
    assert_eq!(seal.next_hash, net.set(6).hash());
    assert_eq!(seal.next, net.set(6).validators());
    net.mine_until(20);
    assert_eq!(net.weights(22)[&who(0)], 130);
    assert_eq!(net.seal().next, []);
}

#[test]
fn a_fraction_of_the_unit_has_no_weight() {
    let mut net = Net::with(&[100, 100], &json!({ "weightMin": 2 }));
    let call = net.registration(who(2), 2);
    net.does(2, 2 * ETHER, &call);
    net.does(0, 1, &Staking::bondCall {});
    let before = net.set(net.number() + 2).hash();
    net.does(0, ETHER - 2, &Staking::bondCall {});
    assert_eq!(net.set(net.number() + 2).hash(), before);
    net.does(0, 1, &Staking::bondCall {});
    assert_eq!(net.weights(net.number() + 2)[&who(0)], 101);
}

#[test]
fn a_set_is_never_empty() {
    let mut net = Net::new(&[100]);
    net.does(0, 0, &Staking::unbondCall { amount: wei(100 * ETHER) });
    net.mine_until(6);
    assert_eq!(net.weights(8)[&who(0)], 100);
    assert_eq!(net.infos(), []);
    // It goes as soon as somebody comes.
    let call = net.registration(who(1), 1);
    net.does(1, ETHER, &call);
    assert_eq!(net.weights(8)[&who(0)], 100);
    assert_eq!(net.weights(9), BTreeMap::from([(who(1), 1)]));
}

#[test]
fn the_heaviest_are_in() {
    // A full set of validators with weights 2.., and a newcomer.
    let weights: Vec<u64> = (0..VALIDATORS_MAX as u64).map(|n| 2 + n).collect();
    let mut net = wide(&weights, 132);
    let lightest = who(0);
    let call = net.registration(who(130), 130);
    net.does(130, 2 * ETHER, &call);
    // Equal weights: the smaller key is in.
    let weights = net.weights(net.number() + 2);
    assert_eq!(weights.len(), VALIDATORS_MAX);
    let newcomer_wins = public(130) < public(0);
    assert_eq!(weights.contains_key(&who(130)), newcomer_wins);
    assert_eq!(weights.contains_key(&lightest), !newcomer_wins);
    net.does(130, ETHER, &Staking::bondCall {});
    let weights = net.weights(net.number() + 2);
    assert!(weights.contains_key(&who(130)) && !weights.contains_key(&lightest));
    assert_eq!(net.infos().len(), VALIDATORS_MAX + 1);
    // Who was pushed out comes back when another one leaves.
    net.does(130, 0, &Staking::unbondCall { amount: wei(3 * ETHER) });
    assert!(net.weights(net.number() + 2).contains_key(&lightest));
}

#[test]
fn a_full_registry_takes_who_brings_more() {
    // Half of the seats belong to strangers.
    let strangers = (0..VALIDATORS_MAX as u64).map(|n| {
        let key = SecretKey::from_seed(&B256::from(U256::from(0x1_0000 + n))).public();
        let address = Address::left_padding_from(&(0x1_0000 + n).to_be_bytes());
        Validator { address, key, vrf_key: key.0, weight: 5 }
    });
    let reward = json!({ "policy": "constant", "amount": "0x0" });
    let strangers = strangers.collect::<Vec<_>>();
    let mut net = Net::of(&strangers, &json!({}), &reward, &rich(200));
    let joins = |net: &Net, n: u8, ether: u128| {
        let call = net.registration(who(n), n);
        net.act(n, ether * ETHER, &call)
    };
    for first in (0..128).step_by(5) {
        let group = first..(first + 5).min(128);
        let transactions: Vec<_> =
            group.map(|n| joins(&net, n, if n == 77 { 2 } else { 3 })).collect();
        net.mine(transactions);
    }
    assert_eq!(net.infos().len(), SEATS_MAX);
    let call = net.registration(who(150), 150);
    net.fails(150, 2 * ETHER, &call, &Staking::RegistryFull { stake: wei(2 * ETHER) });
    let logs = net.does(150, 2 * ETHER + 1, &call);
    let (amount, release) = (wei(2 * ETHER), net.number() + 12);
    let sent = Staking::Unbonded { owner: who(77), amount, release };
    assert_eq!(Staking::Unbonded::decode_log_data(&logs[0].data), Ok(sent));
    assert_eq!(net.infos().len(), SEATS_MAX);
    assert_eq!(net.info(who(77)).stake, U256::ZERO);
    assert_eq!(net.held([who(77)]), wei(2 * ETHER));
    // Its stake comes back to it.
    net.mine_until(release - 1);
    net.does(77, 0, &Staking::withdrawCall {});
    assert_eq!(net.held([who(77)]), U256::ZERO);
}

#[test]
fn key_changes_count_two_heights_later() {
    let mut net = Net::new(&[100, 100]);
    let call = net.rotation(who(0), 9);
    net.does(0, 0, &call);
    let keys = |height| -> Vec<B256> {
        let mut keys: Vec<_> = net.set(height).validators().iter().map(|it| it.key.0).collect();
        keys.sort_unstable();
        keys
    };
    let sorted = |mut keys: [B256; 2]| {
        keys.sort_unstable();
        keys.to_vec()
    };
    assert_eq!(keys(2), sorted([public(0), public(1)]));
    assert_eq!(keys(3), sorted([public(9), public(1)]));
}

#[test]
fn the_seal_must_say_what_the_state_says() {
    let mut net = Net::new(&[100, 100]);
    let expected = net.set(2).hash();
    let zero = B256::ZERO;
    let error = net.refused(|seal| seal.next_hash = zero);
    assert_eq!(error, BlockError::NextValidators { got: zero, expected });
    // A set that does not change is not listed.
    let list = net.set(2).validators().to_vec();
    let got = expected;
    let error = net.refused(|seal| seal.next = list);
    assert_eq!(error, BlockError::NextValidatorsList { got, expected: zero });

    net.does(0, ETHER, &Staking::bondCall {});
    net.mine([]);
    let (old, new) = (net.set(3).hash(), net.set(3).validators().to_vec());
    assert_eq!(net.seal().next, []);
    assert_eq!(net.set(2).hash(), expected);
    let mut net = Net::new(&[100, 100]);
    net.does(0, ETHER, &Staking::bondCall {});
    assert_eq!(net.seal().next, new);
    let error = net.refused(|seal| seal.next.clear());
    assert_eq!(error, BlockError::NextValidatorsList { got: zero, expected: old });
    let error = net.refused(|seal| seal.next[0].weight += 1);
    assert!(matches!(error, BlockError::NextValidatorsList { .. }), "{error}");
    net.mine([]);
}

#[test]
fn the_seal_must_be_one() {
    let net = Net::new(&[100]);
    let mut chain = net.copy();
    assert!(matches!(chain.try_build([]), Err(BlockError::Seal(_))));
    chain.seal = net.seal().encoded();
    let built = chain.build([]);
    for bytes in [Bytes::new(), [&chain.seal[..], &[0]].concat().into()] {
        let header = SealedHeader::new(built.header.clone(), bytes);
        let block = Block { header, body: built.body.clone() };
        let error = chain.execute(&block).unwrap_err();
        assert!(matches!(error, BlockError::Seal(_)), "{error}");
    }
}

#[test]
fn the_certificate_must_be_the_parents() {
    let mut net = Net::new(&[100, 100]);
    let some = Certificate { signers: vec![0], ..Certificate::default() };
    let error = net.refused(|seal| seal.last_commit = some);
    assert!(matches!(error, BlockError::ParentCertificate(_)), "{error}");
    net.mine([]);
    let changes: [fn(&mut Certificate); 5] = [
        |certificate| certificate.height = 2,
        |certificate| certificate.block = B256::ZERO,
        |certificate| certificate.signers = vec![1, 0],
        |certificate| certificate.signers = vec![0, 2],
        |certificate| certificate.signers = vec![],
    ];
    for change in changes {
        let error = net.refused(|seal| change(&mut seal.last_commit));
        assert!(matches!(error, BlockError::ParentCertificate(_)), "{error}");
    }
}
