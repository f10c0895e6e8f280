//! Tests of the vocabulary: what is said is what is understood, and nothing else is.

mod messages;
mod peers;
mod spec;
