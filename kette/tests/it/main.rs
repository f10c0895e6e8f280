//! Tests of the whole program and of the repository itself.

mod harness;

mod network;
mod restart;

mod tidy;
