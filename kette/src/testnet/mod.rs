//! Networks of many nodes on this machine: a network file becomes a plan, a plan becomes processes.

pub mod directory;
pub mod file;
pub mod launch;
pub mod links;
pub mod live_links;
pub mod load;
pub mod plan;
pub mod process;
pub mod scenario;
pub mod score;
pub mod status;
