//! Compares engines with what others published. There is no code here, only tests: what they need is heavy and no
//! crate of ours may come to depend on it.
