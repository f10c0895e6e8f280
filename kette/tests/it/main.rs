//! Tests of the whole program and of the repository itself.

mod tidy;
