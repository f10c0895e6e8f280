//! Tests of the store through its public interface, on real files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod fixture;
mod logs;
mod open;
mod records;
mod reorg;
mod states;
