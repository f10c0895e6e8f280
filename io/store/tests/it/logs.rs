//! Log queries against a plain filter over everything that was logged.

use crate::fixture::*;
use alloy_primitives::{Log, LogData};
use kette_store::{LogFilter, LogRow};
use kette_types::{B256, Bytes};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

fn topic(n: u64) -> B256 {
    B256::repeat_byte(u8::try_from(n).unwrap() + 1)
}

fn random_log(rng: &mut StdRng) -> Log {
    let topics = (0..rng.random_range(0..5)).map(|_| topic(rng.random_range(0..4))).collect();
    let data = Bytes::from(vec![7; rng.random_range(0..40)]);
    Log {
        address: account(100 + rng.random_range(0..4)),
        data: LogData::new_unchecked(topics, data),
    }
}

fn matches(filter: &LogFilter, number: u64, log: &Log) -> bool {
    (filter.from..=filter.to).contains(&number)
        && (filter.addresses.is_empty() || filter.addresses.contains(&log.address))
        && filter.topics.iter().enumerate().all(|(index, wanted)| {
            wanted.is_empty() || log.topics().get(index).is_some_and(|t| wanted.contains(t))
        })
}

#[test]
fn queries_find_what_a_plain_filter_finds() {
    let mut rng = StdRng::seed_from_u64(11);
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let mut expected: Vec<LogRow> = Vec::new();
    let mut blocks = Vec::new();
    let mut parent = home.genesis.clone();
    for nonce in 0..60 {
        let mut sent = Vec::new();
        for from in 0..rng.random_range(0..4) {
            let logs = (0..rng.random_range(0..4)).map(|_| random_log(&mut rng)).collect();
            sent.push(Sent { logs, ..Sent::new(from, 9, nonce) });
        }
        let block = child(&parent, 1, &sent);
        let mut log_index = 0;
        for (transaction_index, sent) in (0..).zip(&sent) {
            for log in &sent.logs {
                expected.push(LogRow {
                    log: log.clone(),
                    number: block.number(),
                    block: block.hash(),
                    timestamp: block.block.header.timestamp,
                    transaction: sent.hash(),
                    transaction_index,
                    log_index,
                });
                log_index += 1;
            }
        }
        blocks.push(block.clone());
        parent = block;
    }
    assert!(expected.len() > 60, "the test has something to find");
    store.write(&extend(&blocks)).unwrap();

    let mut nothing = 0;
    for _ in 0..300 {
        let from = rng.random_range(0..60);
        let mut filter = LogFilter { from, to: rng.random_range(from..62), ..LogFilter::default() };
        // More than are looked up in an index, at times.
        let many = if rng.random_bool(0.1) { 30 } else { 3 };
        for _ in 0..rng.random_range(0..many) {
            filter.addresses.push(account(100 + rng.random_range(0..5)));
        }
        for (index, wanted) in filter.topics.iter_mut().enumerate() {
            if rng.random_bool(0.5 / (1.0 + index as f64)) {
                wanted.extend((0..rng.random_range(1..3)).map(|_| topic(rng.random_range(0..4))));
            }
        }
        let limit = if rng.random_bool(0.3) { 3 } else { 1_000 };
        let plain: Vec<_> = expected
            .iter()
            .filter(|row| matches(&filter, row.number, &row.log))
            .take(limit)
            .cloned()
            .collect();
        nothing += usize::from(plain.is_empty());
        assert_eq!(reader.logs(&filter, limit).unwrap(), plain, "{filter:?}");
    }
    assert!(nothing < 250, "most queries find something");
}

#[test]
fn many_addresses_are_filtered_instead_of_looked_up() {
    let home = Home::new();
    let (mut store, reader, _) = home.open();
    let log = |n| Log { address: account(n), data: LogData::default() };
    let sent = [Sent { logs: (0..40).map(log).collect(), ..Sent::new(1, 2, 0) }];
    store.write(&extend(&[child(&home.genesis, 1, &sent)])).unwrap();
    let addresses = (10..35).map(account).collect();
    let filter = LogFilter { from: 1, to: 1, addresses, ..LogFilter::default() };
    let indexes: Vec<_> = reader.logs(&filter, 99).unwrap().iter().map(|r| r.log_index).collect();
    assert_eq!(indexes, (10..35).collect::<Vec<_>>());
}
