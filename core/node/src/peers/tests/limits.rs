//! Token buckets: exact refill, burst, and the share of each kind of message.

use super::*;
use crate::peers::limits::{Bucket, Buckets, Limit};
use kette_types::{Bytes, limits::INVENTORY_MAX, message::CompactBlock};
use proptest::prelude::*;

#[test]
fn refills_evenly_and_never_beyond_full() {
    let mut bucket = Bucket::full(Limit::new(5, 15_000), T0);
    assert!((0..5).all(|_| bucket.take(T0, 1)));
    assert!(!bucket.take(T0, 1), "the burst is five");
    assert!(
        !bucket.take(T0 + Duration::from_millis(2_999), 1),
        "one comes back every three seconds"
    );
    assert!(bucket.take(T0 + Duration::from_millis(3_000), 1));
    let later = T0 + Duration::from_secs(3_600);
    assert_eq!(bucket.take_up_to(later, 100), 5, "an hour refills no more than the burst");
}

#[test]
fn a_grant_adds_once_and_is_bounded() {
    let mut bucket = Bucket::full(Limit::new(1, 10_000), T0);
    for _ in 0..50 {
        bucket.grant(100);
    }
    assert_eq!(bucket.take_up_to(T0, 1_000), 101);
    assert_eq!(bucket.take_up_to(T0, 1_000), 0);
}

proptest! {
    /// However calls are spaced, a bucket gives at most its burst plus what refilled.
    #[test]
    fn never_gives_more_than_its_rate(
        tokens in 1u64..50, period in 1u64..20_000, gaps in prop::collection::vec(0u64..3_000, 1..200),
    ) {
        let mut bucket = Bucket::full(Limit::new(tokens, period), T0);
        let (mut now, mut given) = (T0, 0);
        for gap in gaps {
            now = now + Duration::from_millis(gap);
            given += u64::from(bucket.take(now, 1));
        }
        let elapsed = now.since(T0).as_millis() as u64;
        prop_assert!(given <= tokens + elapsed * tokens / period);
    }
}

/// Sends `message` in one instant until it is refused; returns how often it was admitted.
fn burst(local: bool, message: &Message) -> usize {
    let mut buckets = Buckets::new(local, T0);
    (0..1_000_000).take_while(|_| buckets.admit(T0, message)).count()
}

#[test]
fn every_kind_of_message_has_its_share() {
    let hashes = |n| vec![B256::ZERO; n];
    let block = CompactBlock {
        header: kette_types::SealedHeader::new(Default::default(), Bytes::new()),
        short_ids: vec![],
    };
    let table = [
        (Message::Status(ChainStatus::default()), 60),
        (Message::Ping(1), 2),
        (Message::GetHeaders { id: 1, locator: hashes(32), limit: 1 }, 128),
        (Message::GetBodies { id: 1, hashes: hashes(1) }, 1_280),
        (Message::GetBodies { id: 1, hashes: hashes(128) }, 160),
        (Message::GetBlockTransactions { block: B256::ZERO, indexes: vec![1] }, 64),
        (Message::NewBlock(Box::new(block)), 256),
        (Message::GetBlock(B256::ZERO), 64),
        (Message::NewTransactions(hashes(1)), 100),
        (Message::NewTransactions(hashes(INVENTORY_MAX)), 10),
        (Message::GetTransactions(hashes(INVENTORY_MAX)), 10),
        (Message::Engine(Bytes::from_static(b"vote")), 2_000),
        (Message::GetPeers, 4),
        (Message::Peers(vec![]), 8),
        (Message::Headers { id: 1, headers: vec![] }, 4_096),
    ];
    for (message, expected) in table {
        assert_eq!(burst(false, &message), expected, "{} in public", message.name());
        assert_eq!(burst(true, &message), expected * 10, "{} in local", message.name());
    }
}

/// A validator forwards all votes of a round at once, and those of the next one soon after.
#[test]
fn the_largest_validator_set_may_vote_four_times_a_second() {
    let mut buckets = Buckets::new(false, T0);
    let votes = 2 * kette_types::bft::VALIDATORS_MAX;
    for round in 0..100u64 {
        let now = T0 + Duration::from_millis(round * 250);
        for _ in 0..votes {
            assert!(buckets.admit(now, &Message::Engine(Bytes::from_static(&[7; 200]))));
        }
    }
}

#[test]
fn a_chain_of_one_second_blocks_with_forks_stays_within_the_limits() {
    let mut buckets = Buckets::new(true, T0);
    let header = kette_types::SealedHeader::new(Default::default(), Bytes::new());
    let block = Message::NewBlock(Box::new(CompactBlock { header, short_ids: vec![0; 500] }));
    let status = Message::Status(ChainStatus::default());
    for tick in 0..6_000u64 {
        let now = T0 + Duration::from_millis(tick * 100);
        assert!(buckets.admit(now, &block), "ten blocks a second, of all branches");
        if tick % 5 == 0 {
            assert!(buckets.admit(now, &status), "two statuses a second");
        }
    }
}
