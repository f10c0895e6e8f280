//! Whole nodes in memory: what one node does with others, with bad peers and after a crash.

mod disk;
mod forge;
mod network;
mod world;
