//! Who is paid for a block.

use super::*;
use crate::{reward::Voters, testing::MINER};
use proptest::prelude::*;

/// Subsidies only: fees go to the producer too.
fn constant(share: u32) -> Net {
    Net::with(&[100, 200, 300], &json!({ "producerShare": share }))
}

#[test]
fn the_preset_pays_the_published_sum() {
    // Requirement T27: "5.60 TIME distributed" in block 1, with a stake of 100 each.
    let unit = wei(10_000_000_000);
    let policy = json!({ "policy": "log", "argument": "meanStake", "unit": unit });
    let mut net = Net::with_reward(&[100, 100, 100], &json!({}), &policy, &json!({}));
    let built = net.mine([]);
    assert_eq!(built.executed.issued, U256::from(560_517_018) * unit);
    assert_eq!(net.chain.balance(MINER), U256::from(560_517_018) * unit);
    // The mean follows the set of the height.
    net.does(0, 600 * ETHER, &Staking::bondCall {});
    assert_eq!(net.mine([]).executed.issued, U256::from(560_517_018) * unit);
    assert_eq!(net.mine([]).executed.issued, U256::from(670_378_247) * unit);

    let policy = json!({ "policy": "log", "argument": "validators", "unit": unit });
    let mut net = Net::with_reward(&[100, 100, 100], &json!({}), &policy, &json!({}));
    assert_eq!(net.mine([]).executed.issued, U256::from(209_861_228) * unit);
}

#[test]
fn the_producer_has_it_all_by_default() {
    let mut net = Net::new(&[100, 200, 300]);
    let before = net.chain.balance(who(0));
    net.mine_until(4);
    assert_eq!(net.chain.balance(MINER), wei(4 * ETHER));
    assert_eq!(net.chain.balance(who(0)), before);
}

#[test]
fn voters_share_by_weight() {
    let mut net = constant(100_000);
    let start = wei(1_000 * ETHER);
    net.mine([]);
    assert_eq!(net.chain.balance(MINER), wei(ETHER), "block 1 carries no votes");
    net.mine([]);
    // 10 % to the producer; 90 % as 100 : 200 : 300, all of it divides.
    assert_eq!(net.chain.balance(MINER), wei(11 * ETHER / 10));
    let gains = [0, 1, 2].map(|n| net.chain.balance(who(n)) - start);
    assert_eq!(gains, [wei(ETHER * 15 / 100), wei(ETHER * 30 / 100), wei(ETHER * 45 / 100)]);
    // Who did not sign has no part: 100 : 300, in a block after that.
    net.absent = vec![who(1)];
    net.mine([]);
    let gains = [0, 1, 2].map(|n| net.chain.balance(who(n)) - start);
    let quarter = ETHER * 9 / 40;
    let expected = [ETHER * 15 / 100 + quarter, ETHER * 30 / 100, ETHER * 45 / 100 + 3 * quarter];
    assert_eq!(gains, expected.map(wei));
    assert_eq!(net.chain.balance(MINER), wei(12 * ETHER / 10));
    assert_eq!(net.chain.issued, wei(3 * ETHER));
}

#[test]
fn the_signers_are_those_of_the_parents_set() {
    let mut net = constant(0);
    net.does(0, 0, &Staking::unbondCall { amount: wei(100 * ETHER) });
    assert!(!net.weights(3).contains_key(&who(0)));
    net.mine_until(2);
    // Block 3 still pays for the certificate of height 2.
    let before = net.chain.balance(who(0));
    net.mine([]);
    assert_eq!(net.chain.balance(who(0)) - before, wei(ETHER) / U256::from(6));
    let before = net.chain.balance(who(0));
    net.mine([]);
    assert_eq!(net.chain.balance(who(0)), before);
}

#[test]
fn what_does_not_divide_is_the_producers() {
    let (producer, a, b) = (who(0), who(1), who(2));
    let seven = U256::from(7);
    assert_eq!(split(seven, producer, 0, &[(a, 1), (b, 1)])[0], (producer, U256::from(1)));
    assert_eq!(split(seven, producer, 1_000_000, &[(a, 1)]), [(producer, seven)]);
    assert_eq!(split(seven, producer, 0, &[]), [(producer, seven)]);
    let whole = split(U256::MAX, producer, 0, &[(a, u64::MAX)]);
    assert_eq!(whole, [(producer, U256::ZERO), (a, U256::MAX)]);
}

proptest! {
    #[test]
    fn parts_add_up(
        subsidy in any::<[u64; 4]>(),
        share in 0..=1_000_000_u32,
        weights in prop::collection::vec(1..u64::MAX, 0..20),
    ) {
        let subsidy = U256::from_limbs(subsidy);
        let signers: Vec<_> = (0..).zip(&weights).map(|(n, weight)| (who(n), *weight)).collect();
        let credits = split(subsidy, who(99), share, &signers);
        prop_assert_eq!(credits.iter().map(|(_, amount)| *amount).sum::<U256>(), subsidy);
        for pair in credits.windows(2).skip(1) {
            let of = |owner| signers.iter().find(|it| it.0 == owner).unwrap().1;
            prop_assert_eq!(pair[0].1.cmp(&pair[1].1).is_le() || of(pair[0].0) >= of(pair[1].0), true);
        }
    }

    #[test]
    fn the_mean_is_between(weights in prop::collection::vec(1..u64::MAX, 1..20)) {
        let voters = Voters {
            count: weights.len() as u64,
            weight: weights.iter().map(|weight| u128::from(*weight)).sum(),
        };
        let policy = kette_types::spec::RewardPolicy::Log {
            argument: kette_types::spec::LogArgument::MeanStake,
            unit: U256::from(1),
        };
        let of = |value| {
            let argument = kette_types::spec::LogArgument::Value(value);
            let policy =
                kette_types::spec::RewardPolicy::Log { argument, unit: U256::from(1) };
            crate::reward(&policy, 1, Voters::default())
        };
        let got = crate::reward(&policy, 1, voters);
        prop_assert!(of(*weights.iter().min().unwrap()) <= got);
        prop_assert!(got <= of(*weights.iter().max().unwrap()));
    }
}
