//! Shares of leadership against weights, turns, extreme sets, and values computed by another program.

use super::*;
use crate::bft::vrf::{SecretKey, prove, verify};
use alloy_primitives::{Address, FixedBytes, b256};
use kette_types::bft::{PublicKey, VALIDATORS_MAX, Validator};
use std::collections::BTreeMap;

/// Chi-square with this many degrees of freedom exceeds this once in a thousand fair samples
/// (NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.4).
const CRITICAL_3: f64 = 16.266;
const CRITICAL_9: f64 = 27.877;
const CRITICAL_23: f64 = 49.728;

const HEIGHTS: u32 = 10_000;

fn set(weights: impl IntoIterator<Item = u64>) -> ValidatorSet {
    let validator = |(number, weight): (u64, u64)| Validator {
        address: Address::ZERO,
        key: PublicKey(U256::from(number).into()),
        vrf_key: B256::ZERO,
        weight,
    };
    ValidatorSet::new((1..).zip(weights).map(validator).collect()).unwrap()
}

/// A chain of seeds as it would be with outputs that are hashes.
fn seeds() -> impl Iterator<Item = B256> {
    let output = |seed: &B256| {
        let half = keccak256(seed);
        Output(FixedBytes::from_slice(&[half, keccak256(half)].concat()))
    };
    std::iter::successors(Some(first_seed(B256::repeat_byte(7))), move |seed| {
        Some(next_seed(*seed, &output(seed)))
    })
}

fn chi_square<K: Ord>(seen: &BTreeMap<K, u32>, expected: &BTreeMap<K, f64>) -> f64 {
    let term = |(key, expected): (&K, &f64)| {
        let seen = f64::from(seen.get(key).copied().unwrap_or(0));
        (seen - expected) * (seen - expected) / expected
    };
    expected.iter().map(term).sum()
}

/// How often each validator should lead.
fn by_weight(weights: &[u32]) -> BTreeMap<usize, f64> {
    let total = f64::from(weights.iter().sum::<u32>());
    let share = |weight: &u32| f64::from(HEIGHTS) * f64::from(*weight) / total;
    weights.iter().map(share).enumerate().collect()
}

fn count<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, u32> {
    let mut seen = BTreeMap::new();
    for key in keys {
        *seen.entry(key).or_insert(0) += 1;
    }
    seen
}

/// The whole beacon: each height's leader proves, everybody verifies, the output makes the next seed.
#[test]
fn leaders_of_ten_thousand_proven_heights_follow_the_weights() {
    let weights = [40, 30, 20, 10];
    let set = set(weights.map(u64::from));
    let keys: Vec<SecretKey> = (0..4).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    let mut seed = first_seed(B256::repeat_byte(9));
    let mut leaders = Vec::new();
    for height in 1..=HEIGHTS {
        let leader = leader(&set, seed, 0);
        let alpha = alpha(seed, u64::from(height), 0);
        let proof = prove(&keys[leader], alpha.as_slice());
        let output = verify(&keys[leader].public(), alpha.as_slice(), &proof).unwrap();
        seed = next_seed(seed, &output);
        leaders.push(leader);
    }
    let chi = chi_square(&count(leaders), &by_weight(&weights));
    assert!(chi < CRITICAL_3, "chi-square {chi}");
}

#[test]
fn the_first_round_of_every_turn_follows_the_weights() {
    for (weights, critical) in [
        ([40, 30, 20, 10].as_slice(), CRITICAL_3),
        (&[1, 1, 1, 1], CRITICAL_3),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], CRITICAL_9),
        (&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1], CRITICAL_9),
    ] {
        let set = set(weights.iter().copied().map(u64::from));
        for turn in [0, 1, 7] {
            let round = turn * u32::try_from(weights.len()).unwrap();
            let leaders = seeds().take(10_000).map(|seed| leader(&set, seed, round));
            let chi = chi_square(&count(leaders), &by_weight(weights));
            assert!(chi < critical, "{weights:?}, turn {turn}: chi-square {chi}");
        }
    }
}

/// All orders of four validators, with the probability of successive draws without replacement.
#[test]
fn each_turn_is_a_weighted_permutation() {
    let weights: [u32; 4] = [40, 30, 20, 10];
    let mut expected = BTreeMap::new();
    for order in permutations(&[0, 1, 2, 3]) {
        let mut left: u32 = weights.iter().sum();
        let mut probability = 1.0;
        for place in &order {
            probability *= f64::from(weights[*place]) / f64::from(left);
            left -= weights[*place];
        }
        expected.insert(order, probability * f64::from(HEIGHTS));
    }
    let set = set(weights.map(u64::from));
    for turn in 0..2 {
        let order = |seed| leaders(&set, seed).skip(4 * turn).take(4).collect::<Vec<_>>();
        let chi = chi_square(&count(seeds().take(10_000).map(order)), &expected);
        assert!(chi < CRITICAL_23, "turn {turn}: chi-square {chi}");
    }
}

#[test]
fn the_measure_finds_a_wrong_share() {
    let wrong = set([42, 30, 20, 8]);
    let leaders = seeds().take(10_000).map(|seed| leader(&wrong, seed, 0));
    assert!(chi_square(&count(leaders), &by_weight(&[40, 30, 20, 10])) > CRITICAL_3);
}

#[test]
fn everybody_leads_once_in_every_turn() {
    for size in [1, 2, 3, 4, 7, 100, VALIDATORS_MAX] {
        let set = set((1..).map(|n| n * n).take(size));
        let everybody: Vec<usize> = (0..size).collect();
        let order: Vec<usize> = leaders(&set, seeds().nth(3).unwrap()).take(3 * size).collect();
        for turn in order.chunks(size) {
            let mut sorted = turn.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, everybody);
        }
        if size > 4 {
            let turns: Vec<_> = order.chunks(size).collect();
            assert!(turns[0] != turns[1] && turns[1] != turns[2], "turns are drawn anew");
        }
    }
}

#[test]
fn a_round_has_the_leader_of_the_order() {
    let set = set([5, 1, 8, 3, 2]);
    for seed in seeds().take(20) {
        for (expected, round) in leaders(&set, seed).zip(0..23) {
            assert_eq!(leader(&set, seed, round), expected);
        }
        // As a peer may claim.
        for round in [u32::MAX, u32::MAX - 1, u32::MAX / 2] {
            assert!(leader(&set, seed, round) < 5);
        }
    }
}

#[test]
fn a_lone_validator_leads_always() {
    assert!(leaders(&set([1]), B256::ZERO).take(5).eq([0; 5]));
}

#[test]
fn a_whale_leads_first_but_once_in_a_turn() {
    let set = set([1, 10_u64.pow(18), 1, 1]);
    for seed in seeds().take(1_000) {
        let order: Vec<usize> = leaders(&set, seed).take(8).collect();
        assert_eq!((order[0], order[4]), (1, 1));
        assert_eq!(order.iter().filter(|leader| **leader == 1).count(), 2);
    }
}

#[test]
fn huge_weights_do_not_overflow() {
    let half = 1 << 63;
    let near = set([half - 1, half, half + 1, u64::MAX]);
    assert_eq!(near.total(), 5 * u128::from(half) - 1);
    let leads = seeds().take(10_000).map(|seed| leader(&near, seed, 0));
    let expected = [0.2, 0.2, 0.2, 0.4].map(|share| share * f64::from(HEIGHTS));
    let chi = chi_square(&count(leads), &expected.into_iter().enumerate().collect());
    assert!(chi < CRITICAL_3, "chi-square {chi}");

    let greatest = set([u64::MAX; VALIDATORS_MAX]);
    assert_eq!(greatest.total(), u128::from(u64::MAX) << 7);
    assert_eq!(count(leaders(&greatest, B256::ZERO).take(VALIDATORS_MAX)).len(), VALIDATORS_MAX);
}

/// Computed by a separate program, with its own keccak256.
#[test]
fn the_same_on_every_machine() {
    let first = first_seed(B256::repeat_byte(7));
    assert_eq!(first, b256!("b07a3313cddca39ffd067042688b99a57ab82d30a6076c268e58cbfef258d455"));
    let output = Output(FixedBytes(std::array::from_fn(|at| u8::try_from(at).unwrap())));
    let next = next_seed(first, &output);
    assert_eq!(next, b256!("6778ec7da9e4ec9ab4ad9510a7642ead7f63cb177c872de80a274829ea9df4c4"));
    let input = alpha(next, 2, 5);
    assert_eq!(input, b256!("5cbac95d26eec9f9b81ff7b5c7858fecacd4e6699d7017ebd2f4d82a3260c9f7"));

    let small = set([40, 30, 20, 10]);
    assert!(leaders(&small, first).take(12).eq([1, 0, 3, 2, 2, 0, 1, 3, 0, 1, 2, 3]));
    assert!(leaders(&small, next).take(12).eq([2, 1, 0, 3, 1, 3, 0, 2, 3, 0, 1, 2]));
    let half = 1 << 63;
    let great = set([half - 1, half, half + 1, u64::MAX, 1]);
    assert!(leaders(&great, next).take(10).eq([2, 3, 1, 0, 4, 3, 1, 2, 0, 4]));
}

#[test]
fn an_input_of_the_vrf_belongs_to_one_height_and_round() {
    let seed = first_seed(B256::ZERO);
    let inputs = [
        alpha(seed, 1, 0),
        alpha(seed, 0, 1),
        alpha(seed, 1, 1),
        alpha(seed, 256, 0),
        alpha(first_seed(B256::repeat_byte(1)), 1, 0),
    ];
    assert_eq!(count(inputs).len(), inputs.len());
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for first in of {
        let rest: Vec<usize> = of.iter().copied().filter(|other| other != first).collect();
        all.extend(permutations(&rest).into_iter().map(|rest| [vec![*first], rest].concat()));
    }
    all
}
