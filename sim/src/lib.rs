//! Kette's second host: many core nodes in virtual time, on one thread, from one seed.
//!
//! A [`scenario`] says who takes part and what goes wrong; a [`world`] runs it; [`checkers`] judge it while it
//! runs and at its end. The nodes are the ones that the binary runs: only bytes, encryption, discovery, disks,
//! processors and clocks are modelled. The same scenario and seed give the same trace hash on any machine.

pub mod byzantine;
pub mod checkers;
pub mod disk;
pub mod engine;
pub mod faults;
pub mod machine;
pub mod memo;
pub mod minimize;
pub mod moment;
pub mod recording;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod swarm;
pub mod workload;
pub mod world;

pub use machine::Machine;
pub use moment::Moment;
pub use world::World;
