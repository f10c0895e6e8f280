//! JSON-RPC 2.0 over HTTP and WebSocket, health pages and metrics on one port: a node seen from outside.
//!
//! Reads answer from the node's snapshot and the store; only transactions, blocks and commands pass through
//! the node. Never part of consensus.

pub mod config;
pub mod handle;
pub mod server;

mod args;
mod arrivals;
mod chain;
mod context;
mod convert;
mod execute;
mod failure;
mod filters;
mod health;
mod http;
mod link;
mod methods;
mod metrics;
mod middleware;
pub mod openrpc;
mod process;
mod recent;
mod submit;
mod subscribe;
mod table;
mod votes;

pub use self::http::host_allowed;
pub use config::{Config, KindTraffic, NetworkControl, RpcError, Sources, Traffic};
pub use handle::{Ask, NodeHandle, Question};
pub use link::{DELAY_MAX_MS, Link, Links};
pub use recent::ErrorLog;
pub use server::{ServerHandle, serve};
