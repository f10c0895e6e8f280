//! `kette sim`: networks in virtual time. Runs, replays, shrinks and compares; the simulator itself is `kette-sim`.

mod diff;
mod interrupt;
mod minimize;
mod plant;
mod pool;
mod progress;
mod recording;
mod replay;
pub mod run;
mod seeds;
pub mod source;
mod state;
pub mod tally;
mod trace;
pub mod words;

use clap::Subcommand;

/// What to do with simulated networks.
#[derive(Debug, Subcommand)]
pub enum Sim {
    /// Run a network in virtual time, from one seed or many, and judge it
    Run(Box<run::RunArgs>),
    /// Show what led to an event of a run, and all nodes there; or replay a real node's recording
    Replay(Box<replay::ReplayArgs>),
    /// Make a failing run smaller and write it down as a network file
    Minimize(Box<minimize::MinimizeArgs>),
    /// List the embedded networks and scenarios
    Scenarios,
    /// Print an embedded network file, or the one that swarm mode draws from a seed
    Show(source::ShowArgs),
    /// Find where two results of `kette sim run --json` first differ
    Diff(diff::DiffArgs),
}

/// Carries out `kette sim`.
///
/// # Errors
/// If a file cannot be used, a check failed or a checker objected.
pub fn run(args: Sim, json: bool) -> anyhow::Result<()> {
    plant::from_env()?;
    match args {
        Sim::Run(args) => run::run(&args, json),
        Sim::Replay(args) => replay::run(&args, json),
        Sim::Minimize(args) => minimize::run(&args, json),
        Sim::Scenarios => source::list(json),
        Sim::Show(args) => source::show(&args, json),
        Sim::Diff(args) => diff::run(&args, json),
    }
}
