//! What the simulator knows of a chain's engine: the one place that tells engines apart.

use kette_types::{ChainSpec, EngineSpec, spec::PowSpec};
use std::time::Duration;

/// Returns the constants of `pow`, if that is the chain's engine.
pub(crate) fn pow(spec: &ChainSpec) -> Option<&PowSpec> {
    spec.kette.as_ref().map(|kette| {
        let EngineSpec::Pow(pow) = &kette.engine;
        pow
    })
}

/// Returns the mean time between blocks that the chain asks for; zero without an engine, when nothing runs anyway.
pub fn block_time(spec: &ChainSpec) -> Duration {
    Duration::from_secs(pow(spec).map_or(0, |pow| pow.block_time))
}
