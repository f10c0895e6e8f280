//! The network file: who takes part, what links are like, what goes wrong when, and what must hold.
//!
//! One parser and one step engine for both hosts: `kette sim` runs a file in virtual time, `kette net` with
//! processes. Nothing here knows which.

pub mod check;
pub mod edges;
pub mod fact;
pub mod file;
mod hint;
mod judge;
pub(crate) mod limits;
mod links;
mod missed;
mod parse;
pub mod plan;
pub mod region;
mod rules;
pub mod select;
pub mod step;
pub mod timeline;
pub mod units;
pub mod users;
pub mod validators;
mod words;

#[cfg(test)]
mod tests;

pub use check::{Check, Checks, Measured, Verdict};
pub use fact::{Facts, NodeFacts};
pub use file::{
    Group, Link, Misbehaviour, Network, NetworkFile, Profile, Role, Shape, Topology, Workload,
};
pub use hint::nearest;
pub use limits::LINK_LATENCY_MAX;
pub use missed::Missed;
pub use parse::{ParseError, SCHEMA};
pub use plan::{Plan, PlannedNode};
pub use step::{Action, At, Step};
pub use timeline::{Order, Timeline};
