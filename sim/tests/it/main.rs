//! The simulator as a whole: determinism, swarm seeds, planted bugs, and results that are known from the literature.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bft;
mod bft_floods;
mod bft_forks;
mod bft_scenarios;
mod determinism;
mod judges;
mod literature;
mod scenarios;
mod support;
mod swarm;
mod unhappened;
