//! Measures the state: 10,000 changed accounts among 100,000, in memory and opened from rows.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures time and prints it"
)]

use alloy_primitives::{Address, U256, keccak256};
use kette_ledger::{AccountChange, MemoryNodes, State, StateChanges};
use std::{sync::Arc, time::Instant};

const ACCOUNTS: u64 = 100_000;
const CHANGED: u64 = 10_000;
const ROUNDS: u64 = 30;

fn main() {
    let nodes = Arc::new(MemoryNodes::default());
    let empty = State::open(nodes.clone(), State::empty().root());
    let all = changes(0..ACCOUNTS, 1);
    let base = timed("build 100,000 accounts with root", || applied(&empty, &all));
    let commit = timed("commit all", || {
        base.commit(&empty, &mut all.accounts.keys().copied()).expect("memory does not fail")
    });
    nodes.apply(&commit);
    println!(
        "{} rows; about {} bytes per account",
        commit.nodes.len(),
        base.loaded_bytes() / 100_000
    );

    let mut state = base.clone();
    let mut best = f64::MAX;
    for round in 1..=ROUNDS {
        let some = changes((0..CHANGED).map(|n| (n * 7919 + round * 31) % ACCOUNTS), round + 1);
        let start = Instant::now();
        let next = applied(&state, &some);
        best = best.min(start.elapsed().as_secs_f64() * 1000.0);
        state = next;
    }
    println!("apply 10,000 changes with root, best of {ROUNDS}: {best:.1} ms");
    let some = changes((0..CHANGED).map(|n| n * 10), 99);
    let next =
        timed("apply 10,000 changes with root, nothing loaded", || applied(&base.unload(), &some));
    timed("commit 10,000 changes", || {
        next.commit(&base, &mut some.accounts.keys().copied()).expect("memory does not fail")
    });
    println!("about {} bytes loaded by 10,000 changes", next.loaded_bytes());
    timed("supply, nothing loaded", || base.unload().supply().expect("memory does not fail"));
}

fn applied(state: &State, changes: &StateChanges) -> State {
    let next = state.apply(changes).expect("memory does not fail");
    next.root();
    next
}

fn changes(numbers: impl Iterator<Item = u64>, balance: u64) -> StateChanges {
    let accounts = numbers.map(|number| {
        let address = Address::from_word(keccak256(number.to_be_bytes()));
        let change =
            AccountChange { balance: U256::from(balance) << 60, nonce: 7, ..Default::default() };
        (address, Some(change))
    });
    StateChanges { accounts: accounts.collect(), ..Default::default() }
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    println!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    result
}
