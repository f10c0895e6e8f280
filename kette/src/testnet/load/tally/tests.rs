//! Accounts of small loads, by hand.

use super::*;
use crate::testnet::load::accounts::Signed;

const fn hash(number: u8) -> B256 {
    B256::repeat_byte(number)
}

fn entry(number: u8, sender: u32, nonce: u64, endpoint: usize) -> Entry {
    let signed = Signed { hash: hash(number), raw: "0x".to_owned() };
    Entry { sender, nonce, endpoint, signed, pair: None }
}

fn pair(number: u8, nonce: u64, endpoint: usize) -> Entry {
    Entry { pair: Some(0), ..entry(number, 9, nonce, endpoint) }
}

const fn accepted(handed_in: u64) -> Outcome {
    Outcome { handed_in, behind: 0, answer: Answer::Accepted }
}

fn refused(handed_in: u64, text: &str) -> Outcome {
    Outcome { handed_in, behind: 5_000, answer: Answer::Refused(text.to_owned()) }
}

fn block(number: u64, transactions: &[u8]) -> Block {
    Block {
        number,
        hash: hash(100 + number as u8),
        transactions: transactions.iter().map(|number| hash(*number)).collect(),
        gas_used: 500,
        gas_limit: 1_000,
        size: 600 + number,
    }
}

/// A network of two nodes; all of it may be changed before the accounts are made.
struct Case {
    entries: Vec<Entry>,
    outcomes: Vec<Outcome>,
    chain: Vec<Block>,
    seen: Vec<Seen>,
    nonces: Vec<u64>,
    failed: BTreeSet<B256>,
}

impl Case {
    /// Three transactions of two senders in two blocks; times in microseconds.
    fn good() -> Self {
        let seen = |pool: [u64; 3], heads: [u64; 2], finals: [u64; 2]| Seen {
            pool: pool.to_vec(),
            heads: [(hash(101), heads[0]), (hash(102), heads[1])].into(),
            finals: vec![(1, finals[0]), (2, finals[1])],
            own_clock: true,
            ..Seen::default()
        };
        Self {
            entries: vec![entry(1, 0, 7, 0), entry(2, 1, 0, 1), entry(3, 0, 8, 0)],
            outcomes: vec![accepted(1_000), accepted(2_000), accepted(501_000)],
            chain: vec![block(1, &[1, 2]), block(2, &[50, 3])],
            seen: vec![
                seen([1_100, 3_000, 501_100], [101_000, 1_001_000], [103_000, 1_003_000]),
                seen([4_100, 2_050, 0], [102_000, 1_002_000], [104_000, 1_004_000]),
            ],
            nonces: vec![9, 1],
            failed: BTreeSet::new(),
        }
    }

    fn tally(&self) -> Tally {
        let names = ["a".to_owned(), "b".to_owned()];
        Facts {
            entries: &self.entries,
            outcomes: &self.outcomes,
            chain: &self.chain,
            seen: &self.seen,
            names: &names,
            nonces: &self.nonces,
            failed: &self.failed,
        }
        .tally()
    }
}

#[test]
fn quantiles_are_times_that_occurred() {
    assert_eq!(Quantiles::of(Vec::new()), None);
    let one = Quantiles { p50: 7.0, p95: 7.0, p99: 7.0, max: 7.0, count: 1 };
    assert_eq!(Quantiles::of(vec![7_000]), Some(one));
    let times = (1..=200).rev().map(|ms| ms * 1_000).collect();
    let many = Quantiles { p50: 100.0, p95: 190.0, p99: 198.0, max: 200.0, count: 200 };
    assert_eq!(Quantiles::of(times), Some(many));
}

#[test]
fn rates_need_a_time_to_be_rates() {
    assert_eq!(Rate::new(9, Some(1_000_000), Some(4_000_000)).per_second, 3.0);
    for (from, to) in [(None, Some(1)), (Some(1), None), (Some(5), Some(5)), (Some(9), Some(5))] {
        assert_eq!(Rate::new(9, from, to).per_second, 0.0, "{from:?} {to:?}");
    }
}

#[test]
fn a_good_load_is_summed_up_from_blocks_and_receivers() {
    let tally = Case::good().tally();
    assert_eq!((tally.offered.rate.count, tally.offered.unsent), (3, 0));
    assert_eq!((tally.accepted.rate.count, tally.accepted.refused), (3, 0));
    assert_eq!((tally.lost.count, tally.conflicting.displaced.count), (0, 0));
    // From 1 ms to the first arrival of block 2 at 1001 ms.
    assert_eq!((tally.committed.rate.count, tally.committed.rate.seconds), (3, 1.0));
    // One transaction between the arrivals of the two blocks, 900 ms.
    assert!((tally.committed.per_second_between_blocks - 1.0 / 0.9).abs() < 1e-9);
    assert_eq!((tally.blocks.count, tally.blocks.transactions_max), (2, 2));
    assert_eq!((tally.blocks.bytes_max, tally.blocks.gas_share_max), (602, 0.5));
    // By the clock of the node that each was handed to: 100, 100 and 500 ms; final 2 ms after that.
    let inclusion = tally.inclusion_ms.unwrap();
    assert_eq!((inclusion.p50, inclusion.max, inclusion.count), (100.0, 500.0, 3));
    assert_eq!(tally.finality_ms.unwrap().p50, 102.0);
    let reach = tally.propagation.unwrap();
    assert_eq!((reach.nodes, reach.reached_all, reach.not_reached_all), (2, 3, 0));
    // The third came to node b with block 2 only.
    assert_eq!(reach.by_block, 1);
    let all = reach.all_nodes_ms.unwrap();
    assert_eq!((all.p50, all.max), (3.0, 500.9));
    assert_eq!(reach.each_node_ms.unwrap().count, 3);
    assert_eq!(tally.mining, None, "nobody told of blocks it made");
}

#[test]
fn what_was_taken_and_is_in_no_block_is_lost() {
    let mut case = Case::good();
    case.chain[1].transactions.pop();
    case.nonces[0] = 8;
    let tally = case.tally();
    assert_eq!((tally.lost.count, tally.lost.first.as_slice()), (1, [hash(3)].as_slice()));
    assert_eq!(tally.conflicting.displaced.count, 0, "its nonce is still free");
    assert_eq!(tally.committed.rate.count, 2);
    assert_eq!(tally.inclusion_ms.unwrap().count, 2);
}

#[test]
fn a_nonce_that_went_to_another_transaction_is_a_conflict() {
    let mut case = Case::good();
    case.chain[1].transactions = vec![hash(60)];
    let tally = case.tally();
    assert_eq!((tally.lost.count, tally.conflicting.displaced.count), (1, 1));
    assert_eq!(tally.conflicting.displaced.first, [hash(3)]);
}

#[test]
fn refused_is_neither_lost_nor_committed_and_a_belief_is_no_commit() {
    let mut case = Case::good();
    case.outcomes[1] = refused(2_000, "nonce too low: next nonce 5, tx nonce 0");
    case.outcomes[2] = refused(3_000, "nonce too low: next nonce 6, tx nonce 0");
    case.chain[1].transactions.pop();
    let tally = case.tally();
    assert_eq!((tally.accepted.rate.count, tally.accepted.refused), (1, 2));
    assert_eq!(tally.accepted.reasons, [("nonce too low".to_owned(), 2)].into());
    assert_eq!(tally.offered.behind_ms_max, 5.0);
    assert_eq!(tally.lost.count, 0);
    // Refused by one node, and in a block nevertheless: the block decides.
    assert_eq!((tally.committed.rate.count, tally.committed.not_accepted), (2, 1));
}

#[test]
fn in_two_blocks_or_failed_is_told() {
    let mut case = Case::good();
    case.chain[1].transactions.push(hash(1));
    case.failed.insert(hash(2));
    let tally = case.tally();
    assert_eq!(tally.conflicting.committed_twice.first, [hash(1)]);
    assert_eq!(tally.committed.reverted, 1);
}

#[test]
fn of_a_pair_exactly_one_may_be_in_the_chain() {
    for (chain, pools, expected) in [
        (vec![10], [[1, 0], [0, 1]], (1, 0, 0, 0)),
        (vec![], [[1, 0], [0, 1]], (0, 1, 0, 0)),
        (vec![10, 11], [[1, 1], [0, 1]], (0, 0, 1, 1)),
    ] {
        let mut case = Case::good();
        case.entries.extend([pair(10, 0, 0), pair(11, 0, 1)]);
        case.outcomes.extend([accepted(1_000), accepted(1_000)]);
        case.chain.push(block(3, &chain));
        for (seen, pool) in case.seen.iter_mut().zip(pools) {
            seen.pool.extend(pool);
        }
        let tally = case.tally();
        let pairs = tally.conflicting.pairs.unwrap();
        let (one, none, both) = (pairs.one_committed, pairs.none_committed, pairs.both_committed);
        assert_eq!((one, none, both, pairs.pools_with_both), expected);
        assert_eq!(pairs.offered, 1);
        assert_eq!((tally.lost.count, tally.offered.rate.count), (0, 3), "a pair is counted apart");
    }
}

#[test]
fn stale_blocks_are_those_made_and_not_canonical() {
    let mut case = Case::good();
    case.seen[0].produced = vec![(hash(101), 1), (hash(90), 1)];
    // Above what is judged: nobody knows yet.
    case.seen[1].produced = vec![(hash(102), 2), (hash(91), 3)];
    let mining = case.tally().mining.unwrap();
    assert_eq!((mining.produced, mining.stale), (3, 1));
    assert_eq!((mining.nodes[0].stale, mining.nodes[1].produced), (1, 1));
}

#[test]
fn a_block_is_final_as_soon_as_one_above_it_is() {
    let seen = Seen { finals: vec![(5, 50), (2, 40), (3, 60)], ..Seen::default() };
    let finals = Finals::new(&seen);
    let at: Vec<Option<u64>> = (1..=6).map(|number| finals.at(number)).collect();
    assert_eq!(at, [Some(40), Some(40), Some(50), Some(50), Some(50), None]);
}
