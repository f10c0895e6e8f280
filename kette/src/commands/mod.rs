//! One file per verb. Data goes to standard output, prose to standard error.

pub mod chain;
pub mod exit;
pub mod genesis;
pub mod genesis_bft;
pub mod import;
pub mod init;
pub mod keys;
pub mod miner;
pub mod net;
pub mod node;
pub mod node_tests;
mod node_validator;
pub mod output;
pub mod peers;
pub mod query;
pub mod sim;
pub mod status;
pub mod tx;
pub mod validator;
pub mod validator_keys;
pub mod verify_finality;

use crate::cli::{Cli, Command};

/// Carries out a command line.
///
/// # Errors
/// What went wrong, with what to do about it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let json = cli.json;
    match cli.command {
        Command::Net(args) => net::run(args, json),
        Command::Node(args) => node::run(*args),
        Command::Init(args) => init::run(&args, json),
        Command::Keys(args) => keys::run(args, json),
        Command::Genesis(args) => genesis::run(args, json),
        Command::Sim(args) => sim::run(args, json),
        Command::Tx(args) => tx::run(args, json),
        Command::Query(args) => query::run(args, json),
        Command::Status(args) => status::run(&args, json),
        Command::Peers(args) => peers::run(args, json),
        Command::Chain(args) => chain::run(args, json),
        Command::Import(args) => import::run(args, json),
        Command::Miner(args) => miner::run(args, json),
        Command::Validator(args) => validator::run(args, json),
        Command::VerifyFinality(args) => verify_finality::run(&args, json),
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            // Into memory first: it panics where nobody reads on.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "kette", &mut script);
            Ok(std::io::Write::write_all(&mut output::stdout(), &script)?)
        }
    }
}

/// Runs an asynchronous command on a small runtime.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
