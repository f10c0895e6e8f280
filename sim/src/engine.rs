//! What the simulator knows of a chain's engine, whichever it is.

use kette_types::{ChainSpec, spec::PowSpec};
use std::time::Duration;

/// Returns the constants of `pow`, if that is the chain's engine.
pub(crate) fn pow(spec: &ChainSpec) -> Option<&PowSpec> {
    spec.pow()
}

/// Returns the mean time between blocks that the chain asks for; zero without an engine, when nothing runs anyway.
pub fn block_time(spec: &ChainSpec) -> Duration {
    let engine = spec.kette.as_ref().map(|kette| &kette.engine);
    engine.map_or(Duration::ZERO, |engine| Duration::from_millis(engine.block_time_ms()))
}
