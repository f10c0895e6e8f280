//! Tests of the whole program and of the repository itself.

mod harness;

mod crash;
mod damage;
mod join;
mod network;
mod pages;
mod partition;
mod restart;

mod tidy;
