//! Swarm seeds: each draws its whole configuration. The nightly command runs thousands, this is the gate's share.

use crate::support::{assert_ok, drawn, run};

/// Runs some seeds.
fn seeds(range: std::ops::Range<u64>) {
    for seed in range {
        assert_ok("swarm", &run(&drawn(seed), seed));
    }
}

macro_rules! swarm {
    ($($name:ident: $range:expr,)*) => {$(
        #[test]
        fn $name() {
            seeds($range);
        }
    )*};
}

// In parts, so that they share the cores.
swarm! {
    seeds_000_to_024: 0..25,
    seeds_025_to_049: 25..50,
    seeds_050_to_074: 50..75,
    seeds_075_to_099: 75..100,
    seeds_100_to_124: 100..125,
    seeds_125_to_149: 125..150,
    seeds_150_to_174: 150..175,
    seeds_175_to_199: 175..200,
}

/// Seeds above these that found a fault once, with what it was.
const FOUND: [(u64, &str); 5] = [
    (403, "all had banned an honest node whose frames were tampered with"),
    (569, "headers on a branch that was forgotten meanwhile were called a wrong answer"),
    (595, "one turn called a block final and replaced it, with an alarm"),
    (950, "the block below one that was whole at once was never fetched"),
    (954, "the same, at two nodes"),
];

#[test]
fn seeds_that_found_faults() {
    for (seed, what) in FOUND {
        assert_ok(what, &run(&drawn(seed), seed));
    }
}
