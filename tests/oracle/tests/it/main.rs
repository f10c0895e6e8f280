//! Kette's rules of voting against those of Malachite 0.8.2 (arc-malachitebft-core-driver, Apache-2.0), an
//! independent implementation of the same algorithm: one schedule, two machines, the same votes, locks, waits,
//! rounds and decisions after every step.
//!
//! The driver is the right level: it is pure and holds the round state machine and the vote keeper. The layer
//! above it (core-consensus) adds signatures, queues and certificates, which Kette has elsewhere.
//!
//! **What the two do differently on purpose**, and how schedules keep away from it:
//! - Malachite needs the proposal of the very round for L36 and L49, Kette a block that is known and valid from
//!   whatever round. So a block that is proposed again is proposed after its first round's proposal came, and
//!   votes for it in the later round come after that round's proposal. A block is voted for only in rounds that
//!   propose it.
//! - Malachite counts the first vote of a validator, Kette a second one as well. No validator contradicts itself.
//! - Malachite learns a verdict with the proposal. So Kette does here, in the same step.
//! - Malachite ends one proposer wait more or less: a wait counts here while its step lasts and its round.
//! - `honest` (L55) is strictly more than a third there and at least a third here: no set of voters of the
//!   weights used here has exactly a third, or the parameter is (K-1)/3K, which is "at least" for totals
//!   below K.
//! - A proposal that names its own round as the one of its quorum: when that quorum comes, Malachite takes it for
//!   one of a round before and does nothing. The paper's L36 asks for any valid round ("*"), and Kette locks. Only
//!   a lying leader proposes so; schedules do not.
//! - Malachite keeps all rounds, Kette ten ahead: no schedule goes further.

mod context;
mod pair;
mod schedule;

use schedule::Schedule;

/// Seeds of one run.
const SEEDS: u64 = 10_000;

#[test]
fn ten_thousand_schedules_give_the_same_votes_locks_and_decisions() {
    let mut seen = pair::Seen::default();
    for seed in 0..SEEDS {
        if let Err(difference) = Schedule::draw(seed).run(&mut seen) {
            panic!("seed {seed}: {difference}");
        }
    }
    // The schedules reach what they are for.
    println!("{seen:?}");
    for (what, count) in seen.counts() {
        assert!(count > SEEDS / 200, "{what}: only {count} times");
    }
}
