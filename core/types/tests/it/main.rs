//! Tests of the vocabulary: what is said is what is understood, and nothing else is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking")]

mod messages;
mod peers;
mod spec;
