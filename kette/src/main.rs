//! `kette`: a real multi-node blockchain network in one binary.

#![allow(
    unreachable_pub,
    reason = "a binary exports nothing: `pub` says what a module offers to others"
)]

mod caught;
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
mod unix_time;
mod validator_key;
mod whole_file;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if error.use_stderr() && cli::asks_for_json(std::env::args_os()) {
                commands::exit::report_usage(&error);
            }
            error.exit()
        }
    };
    let json = cli.json;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::exit::report(&error, json);
            commands::exit::code(&error)
        }
    }
}
