//! Whole nodes in memory: what one node does with others, with bad peers and after a crash.

mod attacks;
mod clients;
mod compact;
mod disk;
mod forge;
mod forks;
mod invalid;
mod network;
mod proposals;
mod proposer;
mod puppet;
mod restart;
mod syncing;
mod world;
