//! The proof: hash vectors, the target map, the search.

use super::proof::*;
use super::{genesis, spec, template};
use crate::job::MineJob;
use alloy_primitives::{B64, U512, b256, keccak256};
use kette_types::{B256, Bytes, Header, SealedHeader, U256};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// The plain definition, with the streaming hasher.
fn reference(preimage: B256, nonce: u64) -> U256 {
    let first = Sha256::new().chain_update(preimage).chain_update(nonce.to_be_bytes()).finalize();
    U256::from_be_slice(&Sha256::digest(first))
}

#[test]
fn hash_is_the_double_sha256_of_forty_bytes() {
    // Computed with Python's hashlib.
    for (preimage, nonce, expected) in [
        (B256::ZERO, 0, b256!("752998506c34979b5cffb93e51c1e0c76ee35fcb420e1a66a032730b69108e32")),
        (
            B256::repeat_byte(0x11),
            0x0102_0304_0506_0708,
            b256!("8a684352e2b94cda5ec629035f061a09a1b59f462556de4526d628766164c0e6"),
        ),
    ] {
        assert_eq!(B256::from(pow_hash(preimage, nonce)), expected);
    }
}

#[test]
fn preimage_is_the_block_hash_with_nonce_zero() {
    let header = template(&spec(), &genesis(), 1);
    assert_eq!(seal_hash(&header), keccak256(alloy_rlp::encode(&header)));
    let sealed = Header { nonce: B64::repeat_byte(9), ..header.clone() };
    assert_eq!(seal_hash(&sealed), seal_hash(&header));
    assert_ne!(sealed.hash_slow(), header.hash_slow());
    assert_eq!(nonce(&sealed), 0x0909_0909_0909_0909);
    let expected = reference(seal_hash(&header), 0x0909_0909_0909_0909);
    assert_eq!(header_pow_hash(&SealedHeader::new(sealed, Bytes::new())), expected);
}

#[test]
fn preimage_commits_to_every_other_field_of_the_seal() {
    let header = template(&spec(), &genesis(), 1);
    let preimage = seal_hash(&header);
    for changed in [
        Header { difficulty: U256::from(77), ..header.clone() },
        Header { mix_hash: B256::repeat_byte(1), ..header.clone() },
        Header { extra_data: vec![1; 8].into(), ..header.clone() },
        Header { timestamp: 2, ..header },
    ] {
        assert_ne!(seal_hash(&changed), preimage);
    }
}

#[test]
fn target_and_work_at_the_ends() {
    for (difficulty, expected) in [
        (U256::ZERO, U256::MAX),
        (U256::ONE, U256::MAX),
        (U256::from(2), U256::MAX >> 1),
        (U256::from(3), U256::MAX / U256::from(3) - U256::ONE),
        (U256::from(1) << 255, U256::ONE),
        (U256::MAX, U256::ZERO),
    ] {
        assert_eq!(target(difficulty), expected, "difficulty {difficulty}");
    }
    for (target, expected) in [
        (U256::MAX, U256::ONE),
        (U256::MAX - U256::ONE, U256::ONE),
        (U256::MAX >> 1, U256::from(2)),
        (U256::ONE, U256::ONE << 255),
        (U256::ZERO, U256::MAX),
    ] {
        assert_eq!(work(target), expected, "target {target}");
    }
}

#[test]
fn search_finds_the_first_winner_and_wraps_around() {
    let target = U256::MAX >> 6;
    let job = |preimage| MineJob { preimage, target, nonce_start: 0, rate: None, threads: 1 };
    for byte in 0..8 {
        let job = job(B256::repeat_byte(byte));
        let from = u64::MAX - 3;
        let found = search(&job, from, 10_000).expect("one in 64 wins");
        let first = (0..10_000)
            .map(|step| from.wrapping_add(step))
            .find(|nonce| reference(job.preimage, *nonce) <= target);
        assert_eq!(Some(found), first);
        let before = found.wrapping_sub(from);
        assert_eq!(search(&job, from, before), None, "no winner before the first");
        assert_eq!(search(&job, found, 1), Some(found));
    }
}

#[test]
fn a_hash_equal_to_the_target_wins_and_one_above_does_not() {
    let preimage = b256!("00000000000000000000000000000000000000000000000000000000000000ff");
    let hash = reference(preimage, 5);
    let job = |target| MineJob { preimage, target, nonce_start: 0, rate: None, threads: 1 };
    assert_eq!(search(&job(hash), 5, 1), Some(5));
    assert_eq!(search(&job(hash - U256::ONE), 5, 1), None);
}

proptest! {
    #[test]
    fn fast_hash_equals_the_definition(preimage: [u8; 32], nonce: u64) {
        prop_assert_eq!(pow_hash(preimage.into(), nonce), reference(preimage.into(), nonce));
    }

    #[test]
    fn work_is_two_to_the_256_over_target_plus_one(limbs: [u64; 4], shift in 0usize..256) {
        let t = U256::from_limbs(limbs) >> shift;
        let exact: U512 = (U512::ONE << 256) / (U512::from(t) + U512::ONE);
        prop_assert_eq!(U512::from(work(t)), exact.min(U512::from(U256::MAX)));
    }

    #[test]
    fn target_is_the_inverse_of_work(difficulty in 1u128..) {
        prop_assert_eq!(work(target(U256::from(difficulty))), U256::from(difficulty));
    }

    #[test]
    fn target_falls_with_difficulty(a: [u64; 4], b: [u64; 4]) {
        let (a, b) = (U256::from_limbs(a), U256::from_limbs(b));
        prop_assert!(target(a.min(b)) >= target(a.max(b)));
    }
}
