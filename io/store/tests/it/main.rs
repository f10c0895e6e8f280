//! Tests of the store through its public interface, on real files.

mod crash;
mod fixture;
mod logs;
mod open;
mod records;
mod reorg;
mod states;
