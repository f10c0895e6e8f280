//! kill -9 at random moments: what was acknowledged is there, what was not is there whole or not at all.

use crate::fixture::*;
use kette_chain::{ChainReader as _, ExecutedBlock, Record};
use kette_ledger::StateChanges;
use kette_types::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::Arc,
};

/// The home of this process, or of the parent that started it.
const HOME: &str = "KETTE_STORE_CRASH_HOME";

/// Block `number` and all that is written with it in one batch.
fn batch(parent: &Arc<ExecutedBlock>) -> (Arc<ExecutedBlock>, Vec<Record>) {
    let number = parent.number() + 1;
    let mut changes = StateChanges::default();
    changes.accounts.insert(account(number % 7), Some(balance_of(number)));
    let sent: Vec<_> = (0..5).map(|from| Sent::new(from, 9, number)).collect();
    let block = child_with(parent, 1, &sent, &changes);
    let mut records = extend(std::slice::from_ref(&block));
    records.push(Record::Engine(Bytes::from(number.to_be_bytes().to_vec())));
    records.push(checkpoint(&block, parent, &mut block.changed.iter().copied()));
    records.push(Record::PruneStates { below: number.saturating_sub(3) });
    (block, records)
}

/// Writes up to `count` blocks and says each number after it was acknowledged.
fn write_blocks(home: &Home, count: u64, mut acknowledged: impl FnMut(u64)) {
    let (mut store, reader, restored) = home.open();
    // The chain is the same every time, so it is made again up to what the store has.
    let mut parent = home.genesis.clone();
    while parent.number() < reader.head().unwrap().0 {
        parent = batch(&parent).0;
    }
    assert_eq!(restored.checkpoint, (parent.number(), parent.hash()));
    for _ in 0..count {
        let (block, records) = batch(&parent);
        store.write(&records).unwrap();
        acknowledged(block.number());
        parent = block;
    }
}

/// Run by itself it writes a few blocks; started by the test below it writes until it is killed.
#[test]
fn writes_blocks_and_says_so() {
    if let Some(folder) = std::env::var_os(HOME) {
        write_blocks(&Home::at(folder.into()), u64::MAX, |number| {
            // One write per line, so that a line is there whole or not at all.
            std::io::stderr().write_all(format!("{SAID}{number}\n").as_bytes()).unwrap();
        });
    }
    let home = Home::new();
    let mut said = Vec::new();
    write_blocks(&home, 3, |number| said.push(number));
    assert_eq!(said, vec![1, 2, 3]);
    assert_whole(&home.open().1);
}

#[test]
fn a_killed_writer_loses_nothing_it_acknowledged() {
    let mut rng = StdRng::seed_from_u64(3);
    let home = Home::new();
    home.open().0.close().unwrap();
    let mut last = 0;
    for round in 0..24 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::writes_blocks_and_says_so", "--exact", "--nocapture"])
            .env(HOME, &home.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = lines.by_ref().map_while(|line| number(&line.unwrap()));
        for _ in 0..rng.random_range(1..8) {
            last = said.next().expect("the writer writes until it is killed");
        }
        // Somewhere within the writes that follow.
        for _ in 0..rng.random_range(0..3_000_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died and was not read yet.
        last = said.last().unwrap_or(last);

        let (store, reader, restored) = home.open();
        let (head, hash) = reader.head().unwrap();
        assert!(head == last || head == last + 1, "round {round}: said {last}, stored {head}");
        assert_eq!(restored.checkpoint, (head, hash), "round {round}");
        assert_eq!(restored.engine.len() as u64, head, "round {round}");
        assert_eq!(reader.counts().unwrap().transactions, 5 * head, "round {round}");
        assert_eq!(reader.canonical(head).unwrap(), Some(hash));
        assert_whole(&reader);
        drop(store);
    }
    assert!(last >= 24, "{last}: every round wrote");
}

/// Reads a line of the child; `None` when it died.
fn number(line: &str) -> Option<u64> {
    line.strip_prefix(SAID)?.parse().ok()
}

const SAID: &str = "wrote ";
