//! The command line: what there is to say, with the defaults said aloud.

use crate::commands;
use clap::{Args, Parser, Subcommand};
use std::{ffi::OsString, path::PathBuf};

/// A real multi-node blockchain network in one binary.
#[derive(Debug, Parser)]
#[command(name = "kette", version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("KETTE_COMMIT"), ")"), about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Output for programs instead of people.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// Tells whether a command line that cannot be read asks for `--json`; what is for another command does not count.
pub fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Networks of many nodes on this machine: up, run, ps, status, down
    #[command(subcommand)]
    Net(commands::net::Net),
    /// Run one node
    Node(Box<commands::node::NodeArgs>),
    /// Make a node's directory: genesis file and identity
    Init(commands::init::InitArgs),
    /// Keys: of accounts, as Web3 keystore files, and of validators
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Genesis files: make, check, hash
    #[command(subcommand)]
    Genesis(commands::genesis::Genesis),
    /// Simulate networks in virtual time: run, replay, minimize, compare
    #[command(subcommand)]
    Sim(commands::sim::Sim),
    /// Send transactions
    #[command(subcommand)]
    Tx(commands::tx::Tx),
    /// Ask a node about blocks, transactions, accounts
    #[command(subcommand)]
    Query(commands::query::Query),
    /// Show what a node is doing
    Status(RpcArgs),
    /// List, add and remove a node's peers
    Peers(commands::peers::PeersArgs),
    /// Stored chains: verify
    #[command(subcommand)]
    Chain(commands::chain::Chain),
    /// Import blocks from an RLP chain file, as geth exports them
    Import(commands::import::ImportArgs),
    /// Mine for a node from another process
    Miner(commands::miner::MinerArgs),
    /// Become a validator, change its stake or keys, leave (chains with the engine bft)
    #[command(subcommand)]
    Validator(commands::validator::Validator),
    /// Check offline that a block is final, from a bundle or a node's answers
    VerifyFinality(commands::verify_finality::VerifyArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Which node to ask.
#[derive(Args, Clone, Debug)]
pub struct RpcArgs {
    /// The node's JSON-RPC address.
    #[arg(long, env = "KETTE_RPC_URL", default_value = "http://127.0.0.1:8545")]
    pub rpc: String,
}

/// Which directory a node lives in.
#[derive(Args, Clone, Debug)]
pub struct HomeArgs {
    /// The node's directory: keys, genesis file, database.
    #[arg(long, env = "KETTE_HOME", default_value_os_t = default_home())]
    pub home: PathBuf,
}

/// `$HOME/.kette`, or `.kette` here if there is no home.
pub fn default_home() -> PathBuf {
    std::env::var_os("HOME")
        .map_or_else(|| PathBuf::from(".kette"), |home| PathBuf::from(home).join(".kette"))
}
