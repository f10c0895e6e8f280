//! Watching a network: what its nodes say, and what follows from that. [`said`] asks, the rest is pure.

pub mod finality;
pub mod links;
pub mod quorum;
pub mod said;
pub mod tips;
pub mod usage;
