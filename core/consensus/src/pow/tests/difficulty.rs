//! ASERT: published vectors, a big-integer reference, the error bound; the excess in the header.

use super::schedule::*;
use super::{EPOCH, excess_bytes, first_difficulty, genesis, mine, proof, spec, template};
use crate::pow::asert;
use alloy_primitives::{U512, aliases::U1024};
use kette_types::spec::{PowSpec, Retarget};
use kette_types::{Header, U256};
use proptest::prelude::*;

const T: u64 = 10;
const HALF_LIFE: u64 = 300;

fn two_to(exponent: usize) -> U256 {
    U256::ONE << exponent
}

fn limit() -> U256 {
    two_to(248) - U256::ONE
}

#[test]
fn vectors_at_ten_second_blocks() {
    for (time_diff, height_diff, expected) in [
        (10, 0, two_to(240)),
        (0, 0, U256::from(0xfa2b) << 224),
        (310, 0, two_to(241)),
        (700, 99, two_to(239)),
        (1_600, 99, two_to(242)),
        (4_000, 0, limit()),
    ] {
        let next = asert(two_to(240), time_diff, height_diff, T, HALF_LIFE, limit());
        assert_eq!(next, expected, "time {time_diff}, height {height_diff}");
    }
}

#[test]
fn steady_blocks_keep_the_target() {
    // Ten-minute blocks and a two-day half-life, the constants of Bitcoin Cash.
    let anchor = U256::from(0xffff) << 208;
    for height in [0_i64, 1, 2, 143, 144, 10_000, 1_000_000] {
        let next = asert(anchor, 600 * (height + 1), height, 600, 172_800, limit());
        assert_eq!(next, anchor, "height {height}");
        let late = asert(anchor, 600 * (height + 1) + 172_800, height, 600, 172_800, limit());
        assert_eq!(late, anchor << 1, "one half-life late at height {height}");
        let early = asert(anchor, 600 * (height + 1) - 172_800, height, 600, 172_800, limit());
        assert_eq!(early, anchor >> 1, "one half-life early at height {height}");
    }
}

#[test]
fn extremes_end_at_the_clamps() {
    for (time_diff, height_diff, expected) in [
        (i64::MAX, 0, U256::MAX),
        (i64::MAX, i64::MIN, U256::MAX),
        (i64::MIN, 0, U256::ONE),
        (i64::MIN, i64::MAX, U256::ONE),
        (0, i64::MAX, U256::ONE),
    ] {
        for anchor in [U256::ONE, two_to(128), U256::MAX] {
            assert_eq!(asert(anchor, time_diff, height_diff, T, 1, U256::MAX), expected);
        }
    }
    assert_eq!(asert(U256::MAX, i64::MAX, i64::MIN, u64::MAX, u64::MAX, U256::MAX), U256::MAX);
}

/// 2^(fraction / 2^16) in units of 2^-128, by integer square roots: independent of the cubic.
fn exact_power(fraction: u64) -> U512 {
    let one = U512::ONE << 128;
    let mut root: U512 = one << 1;
    let mut product = one;
    for bit in (0..16).rev() {
        root = root.wrapping_shl(128).root(2);
        if fraction >> bit & 1 == 1 {
            product = (product * root) >> 128;
        }
    }
    product
}

/// Asserts that `got` differs from `exact` by at most 0.013 %, and one for rounding down.
fn assert_close(got: U1024, exact: U1024) {
    let error = got.abs_diff(exact).saturating_sub(U1024::ONE);
    assert!(
        error * U1024::from(100_000) <= exact * U1024::from(13),
        "{got} differs from {exact} by more than 0.013 %"
    );
}

#[test]
fn cubic_is_within_its_bound_and_rises_for_every_fraction() {
    // With a half-life of 2^16 seconds the excess is the fraction; an anchor of 2^16 shows the factor itself.
    let factor = |fraction: i64| asert(two_to(16), fraction, 0, 0, 1 << 16, U256::MAX);
    let step = exact_power(1);
    let mut exact = U512::ONE << 128;
    let mut last = U256::ZERO;
    for fraction in 0..1 << 16 {
        let got = factor(fraction);
        assert!(got >= last, "falls at {fraction}");
        let scaled: U1024 = U1024::from(got) << 112;
        let error = scaled.abs_diff(U1024::from(exact));
        assert!(
            error * U1024::from(100_000) <= U1024::from(exact) * U1024::from(13),
            "fraction {fraction} is off by more than 0.013 %"
        );
        exact = (exact * step) >> 128;
        last = got;
    }
    assert!(factor(1 << 16) >= last);
    assert_eq!(factor(1 << 16), two_to(17));
}

proptest! {
    #[test]
    fn asert_equals_the_exact_exponential(
        limbs: [u64; 4],
        shift in 0usize..200,
        excess in -20_000i64..20_000,
        half_life in 100u64..5_000,
    ) {
        let anchor = U256::from_limbs(limbs) >> shift | U256::ONE;
        let got = asert(anchor, excess, 0, 0, half_life, U256::MAX);
        let exponent = i128::from(excess) * 65_536 / i128::from(half_life);
        let fraction = u64::try_from(exponent.rem_euclid(65_536)).expect("16 bits");
        let whole = exponent.div_euclid(65_536);
        let product = U1024::from(anchor) * U1024::from(exact_power(fraction));
        // 2^-128 of the power, and at most 200 half-lives each way.
        let exact: U1024 = (product << usize::try_from(whole + 250).expect("positive")) >> 378;
        if exact > U1024::from(U256::MAX) {
            // Within the error bound of the limit both answers are right.
            assert_close(U1024::from(got), exact.min(U1024::from(U256::MAX)));
        } else {
            assert_close(U1024::from(got), exact.max(U1024::ONE));
        }
    }

    #[test]
    fn target_rises_with_time_and_falls_with_height(
        anchor in 1u128..,
        time: i32,
        later in 0i64..100_000,
        height in 0i64..100_000,
        higher in 0i64..1_000,
    ) {
        let anchor = U256::from(anchor) << 100;
        let at = |time, height| asert(anchor, time, height, T, HALF_LIFE, limit());
        let time = i64::from(time);
        prop_assert!(at(time, height) <= at(time + later, height));
        prop_assert!(at(time, height) >= at(time, height + higher));
    }

    /// Without pauses the excess in the header is the reference's two differences in one number.
    #[test]
    fn header_schedule_equals_asert(steps in prop::collection::vec(-20i64..120, 1..60)) {
        let spec = PowSpec {
            anchor_difficulty: U256::from(100_000),
            difficulty_min: U256::from(16),
            ..spec()
        };
        let first = EPOCH + 500;
        let mut parent = template(&spec, &genesis(), first);
        for (height, step) in (1i64..).zip(steps) {
            let timestamp = parent.timestamp.checked_add_signed(step).expect("far from zero");
            let excess = next_excess(&spec, &parent, timestamp);
            parent = Header {
                number: parent.number + 1,
                timestamp,
                extra_data: excess_bytes(excess),
                ..Header::default()
            };
            let since = i64::try_from(i128::from(timestamp) - i128::from(first)).expect("small");
            let target = asert(
                proof::target(spec.anchor_difficulty),
                since + 10,
                height,
                spec.block_time,
                spec.half_life,
                proof::target(spec.difficulty_min),
            );
            prop_assert_eq!(
                next_difficulty(&spec, first_difficulty(), &parent),
                proof::work(target).max(spec.difficulty_min)
            );
        }
    }
}

#[test]
fn excess_is_read_from_the_first_eight_bytes() {
    let header = |bytes: &[u8]| Header { extra_data: bytes.to_vec().into(), ..Header::default() };
    assert_eq!(excess(&header(&[])), None);
    assert_eq!(excess(&header(&[0; 7])), None);
    assert_eq!(excess(&header(&[0xff; 8])), Some(-1));
    assert_eq!(excess(&header(b"\0\0\0\0\0\0\x01\x02the miner's text")), Some(258));
}

#[test]
fn excess_counts_pauses_only_up_to_the_limit() {
    let spec = spec();
    let parent =
        Header { number: 5, timestamp: EPOCH, extra_data: excess_bytes(7), ..Header::default() };
    for (timestamp, expected) in [
        (EPOCH + 10, 7),
        (EPOCH, -3),
        (EPOCH - 25, -28),
        (EPOCH + 300, 297),
        (EPOCH + 301, 297),
        (EPOCH + 28_800, 297),
        (u64::MAX, 297),
        (0, 7 - 10 - i64::try_from(EPOCH).expect("small")),
    ] {
        assert_eq!(next_excess(&spec, &parent, timestamp), expected, "timestamp {timestamp}");
    }
    assert_eq!(next_excess(&spec, &genesis(), EPOCH + 28_800), 0, "block 1 is the anchor");
    let lowest = Header { extra_data: excess_bytes(i64::MIN), ..parent.clone() };
    assert_eq!(next_excess(&spec, &lowest, EPOCH), i64::MIN);
    let highest = Header { extra_data: excess_bytes(i64::MAX), ..parent };
    assert_eq!(next_excess(&spec, &highest, EPOCH + 300), i64::MAX);
}

#[test]
fn first_blocks_have_the_difficulties_of_genesis() {
    let spec = spec();
    let one = mine(&spec, &genesis(), EPOCH + 50_000);
    assert_eq!(one.difficulty, first_difficulty());
    let two = mine(&spec, &one, EPOCH + 50_010);
    assert_eq!(two.difficulty, spec.anchor_difficulty);
    let three = mine(&spec, &two, EPOCH + 50_010);
    assert_eq!(three.difficulty, spec.anchor_difficulty, "block 2 was on time");
    assert_eq!(next_difficulty(&spec, first_difficulty(), &three), U256::from(8));
    let late = mine(&spec, &two, EPOCH + 50_010 + 310);
    assert_eq!(next_difficulty(&spec, first_difficulty(), &late), U256::from(4));
}

#[test]
fn fixed_difficulty_stays_whatever_the_excess() {
    let spec = PowSpec { retarget: Retarget::Fixed, ..spec() };
    let one = mine(&spec, &genesis(), EPOCH + 1);
    let two = mine(&spec, &one, EPOCH + 5_000);
    assert_eq!(one.difficulty, first_difficulty());
    assert_eq!(two.difficulty, spec.anchor_difficulty);
    assert_eq!(mine(&spec, &two, EPOCH + 9_000).difficulty, spec.anchor_difficulty);
}

#[test]
fn difficulty_never_falls_below_the_lowest() {
    let spec = spec();
    let slow = Header { number: 9, extra_data: excess_bytes(i64::MAX), ..Header::default() };
    assert_eq!(next_difficulty(&spec, first_difficulty(), &slow), spec.difficulty_min);
    let fast = Header { number: 9, extra_data: excess_bytes(i64::MIN), ..Header::default() };
    assert_eq!(next_difficulty(&spec, first_difficulty(), &fast), two_to(255));
}
