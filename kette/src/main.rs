//! `kette`: a real multi-node blockchain network in one binary.

#![allow(
    unreachable_pub,
    reason = "a binary exports nothing: `pub` says what a module offers to others"
)]

mod cli;
mod client;
mod commands;
mod input;
mod interrupt;
mod presets;
mod replay;
mod report;
mod run;
mod telemetry;
mod testnet;
mod validator_key;
mod whole_file;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::exit::report(&error);
            commands::exit::code(&error)
        }
    }
}
