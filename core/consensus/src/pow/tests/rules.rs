//! Header rules: each violation, the order of the checks, time.

use super::*;
use crate::{SealError, pow::Violation};
use kette_chain::Headers as _;
use kette_ledger::ReadError;

/// A chain of mined headers in a tree, at these seconds after genesis.
fn chain(times: &[u64]) -> (BlockTree, SealedHeader) {
    let mut tree = tree();
    let mut parent = genesis();
    for after in times {
        parent = mine(&spec(), &parent, EPOCH + after);
        attach(&mut tree, parent.clone());
    }
    (tree, parent)
}

fn check(header: &SealedHeader, tree: &BlockTree) -> Result<U256, SealError> {
    check_at(Time::from_secs(EPOCH + 1_000), header, tree)
}

fn check_at(now: Time, header: &SealedHeader, tree: &BlockTree) -> Result<U256, SealError> {
    Pow::new(spec(), first_difficulty(), local()).check(now, header, tree)
}

#[test]
fn accepts_a_chain_and_weighs_blocks_by_difficulty() {
    let (mut tree, mut parent) = chain(&[]);
    for after in [5, 400, 410, 405, 1_000] {
        let header = mine(&spec(), &parent, EPOCH + after);
        assert_eq!(check(&header, &tree), Ok(header.difficulty));
        attach(&mut tree, header.clone());
        parent = header;
    }
}

#[test]
fn accepts_up_to_24_bytes_of_the_miner() {
    let (tree, parent) = chain(&[10]);
    let mut header = template(&spec(), &parent, EPOCH + 20);
    header.extra_data = [header.extra_data.as_ref(), &[0x77; 24]].concat().into();
    assert!(check(&seal_header(header), &tree).is_ok());
}

/// Breaks a good child of a two-block chain, seals it again, and returns the verdict.
fn broken(change: impl FnOnce(&mut Header)) -> Result<U256, SealError> {
    let (tree, parent) = chain(&[10, 20]);
    let mut header = template(&spec(), &parent, EPOCH + 30);
    change(&mut header);
    check(&seal_header(header), &tree)
}

#[test]
fn refuses_each_violation() {
    let (tree, parent) = chain(&[10, 20]);
    let good = mine(&spec(), &parent, EPOCH + 30);
    assert_eq!(check(&good, &tree), Ok(U256::from(8)));

    let beside = SealedHeader::new(good.header().clone(), Bytes::from_static(&[1, 2]));
    assert_eq!(check(&beside, &tree), Err(Violation::SealNotEmpty { got: 2 }.into()));

    for got in [0, 7, 33] {
        let verdict = broken(|header| header.extra_data = vec![0; got].into());
        assert_eq!(verdict, Err(Violation::ExtraDataLength { got }.into()));
    }

    assert_eq!(
        broken(|header| header.difficulty = U256::ONE),
        Err(Violation::DifficultyBelowMin { got: U256::ONE, expected: U256::from(2) }.into())
    );

    let losing = (0..).map(|nonce: u64| {
        let nonce = B64::from(nonce.to_be_bytes());
        SealedHeader::new(Header { nonce, ..good.header().clone() }, Bytes::new())
    });
    let target = proof::target(good.difficulty);
    let loser = losing.into_iter().find(|h| proof::header_pow_hash(h) > target);
    let loser = loser.expect("seven of eight nonces lose");
    let got = proof::header_pow_hash(&loser);
    assert_eq!(check(&loser, &tree), Err(Violation::ProofOfWork { got, expected: target }.into()));

    assert_eq!(
        broken(|header| header.number = 4),
        Err(Violation::Number { got: 4, expected: 3 }.into())
    );
    for got in [4, 16].map(U256::from) {
        assert_eq!(
            broken(|header| header.difficulty = got),
            Err(Violation::Difficulty { got, expected: U256::from(8) }.into())
        );
    }
    assert_eq!(
        broken(|header| header.mix_hash = B256::repeat_byte(3)),
        Err(Violation::MixHash {
            got: B256::repeat_byte(3),
            expected: B256::from(proof::header_pow_hash(&parent)),
        }
        .into())
    );
    assert_eq!(
        broken(|header| header.extra_data = excess_bytes(5)),
        Err(Violation::Excess { got: 5, expected: 0 }.into())
    );
}

#[test]
fn violations_are_faults_and_everything_else_is_not() {
    assert!(SealError::from(Violation::SealNotEmpty { got: 1 }).is_fault());
    assert!(!SealError::Future(Time::ZERO).is_fault());
    assert!(!SealError::UnknownAncestor(B256::ZERO).is_fault());
}

#[test]
fn mix_hash_of_block_one_is_the_hash_of_genesis() {
    let one = mine(&spec(), &genesis(), EPOCH + 1);
    assert_eq!(one.mix_hash, B256::from(proof::header_pow_hash(&genesis())));
    assert!(check(&one, &tree()).is_ok());
}

#[test]
fn timestamp_is_later_than_the_median_of_eleven() {
    for (times, median) in [
        (&[][..], 0),
        (&[40], 40),
        (&[40, 30], 30),
        (&[10, 20, 30], 20),
        // Twelve blocks: genesis and the first one no longer count.
        (&[1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110][..], 60),
        (&[1, 10, 20, 30, 40, 50, 60, 61, 62, 55, 58, 56][..], 55),
    ] {
        let (tree, parent) = chain(times);
        let verdict = check(&mine(&spec(), &parent, EPOCH + median), &tree);
        let (got, expected) = (EPOCH + median, EPOCH + median);
        assert_eq!(
            verdict,
            Err(Violation::MedianTimePast { got, expected }.into()),
            "times {times:?}"
        );
        let next = mine(&spec(), &parent, EPOCH + median + 1);
        assert_eq!(check(&next, &tree), Ok(next.difficulty), "times {times:?}");
    }
}

#[test]
fn future_headers_are_held_until_they_are_acceptable() {
    let (tree, parent) = chain(&[10]);
    let header = mine(&spec(), &parent, EPOCH + 500);
    let acceptable = Time::from_secs(EPOCH + 440);
    for now in [EPOCH * 1_000, (EPOCH + 440) * 1_000 - 1].map(Time::from_millis) {
        assert_eq!(check_at(now, &header, &tree), Err(SealError::Future(acceptable)));
    }
    assert_eq!(check_at(acceptable, &header, &tree), Ok(header.difficulty));
}

#[test]
fn a_bad_header_from_the_future_is_a_fault_at_once() {
    let (tree, parent) = chain(&[10]);
    let mut header = template(&spec(), &parent, u64::MAX);
    header.mix_hash = B256::ZERO;
    let verdict = check(&seal_header(header), &tree).expect_err("two rules are broken");
    assert!(verdict.is_fault(), "{verdict}");
}

#[test]
fn unknown_ancestors_give_no_verdict() {
    let (_, parent) = chain(&[10]);
    let header = mine(&spec(), &parent, EPOCH + 20);
    assert_eq!(check(&header, &tree()), Err(SealError::UnknownAncestor(parent.hash())));

    /// Knows one header and nothing older.
    struct One(SealedHeader);
    impl kette_chain::Headers for One {
        fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
            Ok((hash == self.0.hash()).then(|| self.0.clone()))
        }
    }
    let engine = Pow::new(spec(), first_difficulty(), local());
    let now = Time::from_secs(EPOCH + 1_000);
    assert_eq!(
        engine.check(now, &header, &One(parent)),
        Err(SealError::UnknownAncestor(genesis().hash()))
    );
}

#[test]
fn the_proof_is_checked_before_any_ancestor_is_read() {
    /// A store that fails.
    struct Broken;
    impl kette_chain::Headers for Broken {
        fn header(&self, _: B256) -> Result<Option<SealedHeader>, ReadError> {
            Err(ReadError::Store("read".to_owned()))
        }
    }
    let engine = Pow::new(spec(), first_difficulty(), local());
    let mut header = template(&spec(), &genesis(), EPOCH + 1);
    header.difficulty = U256::MAX;
    let header = SealedHeader::new(header, Bytes::new());
    let verdict = engine.check(Time::from_secs(EPOCH), &header, &Broken);
    assert!(matches!(verdict, Err(SealError::Pow(Violation::ProofOfWork { .. }))));
    let good = mine(&spec(), &genesis(), EPOCH + 1);
    let verdict = engine.check(Time::from_secs(EPOCH), &good, &Broken);
    assert_eq!(verdict, Err(SealError::Read(ReadError::Store("read".to_owned()))));
    assert!(tree().header(good.hash()).expect("memory").is_none());
}
