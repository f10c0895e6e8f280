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
