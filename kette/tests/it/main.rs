//! Tests of the whole program and of the repository itself.

mod harness;

mod cli;
mod clients;
mod crash;
mod damage;
mod import;
mod join;
mod network;
mod pages;
mod partition;
mod restart;
mod rogue;
mod wire;

mod tidy;
