//! Networks of many nodes on this machine: a network file becomes a plan, a plan becomes processes.

pub mod control;
pub mod directory;
pub mod file;
pub mod generate;
pub mod host;
pub mod insight;
pub mod launch;
pub mod links;
pub mod listener;
pub mod live_links;
pub mod load;
pub mod lock;
pub mod logs;
pub mod members;
pub mod monitor;
pub mod observe;
pub mod plan;
pub mod process;
pub mod scenario;
pub mod score;
pub mod snapshot;
pub mod start;
pub mod status;
pub mod suite;
pub mod topology;
pub mod watch;
