//! The driver on loopback: real sockets, real tasks, nodes of one process.

mod faults;
mod harness;
mod limits;
mod links;
mod load;
mod quiet;
mod restart;
mod rogue;
mod sessions;
mod shape;
mod wire;
