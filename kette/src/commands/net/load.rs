//! `kette net load`: transactions on a network, and what became of them.

use super::{Where, absolute};
use crate::{
    commands::{block_on, exit::Exit, output},
    testnet::{
        directory::Directory,
        load::{self, Endpoint, Mix, PER_SENDER_MAX, Wait, Wish},
    },
};
use anyhow::ensure;
use clap::Args;
use kette_sim::scenario::units::parse_duration;
use std::{io::Write as _, time::Duration};

/// Flags of `kette net load`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LoadArgs {
    #[command(flatten)]
    place: Where,
    /// Any Ethereum JSON-RPC endpoints instead of a network's nodes; WebSocket must be on the same port.
    #[arg(long, num_args = 1.., value_name = "URL")]
    url: Vec<String>,
    /// Transactions per second, or "max" for as fast as the chain takes them up.
    #[arg(long, default_value = "100", value_parser = parse_rate)]
    rate: Rate,
    /// How long they are handed in.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    duration: Duration,
    /// Transactions in all [default: rate times duration; 50000 with --rate max].
    #[arg(long)]
    transactions: Option<u64>,
    /// Accounts that send at the same time.
    #[arg(long, default_value_t = 50)]
    senders: usize,
    /// What is sent: kinds of transfers, erc20 and deploy with shares, e.g. transfers=80,erc20=15,deploy=5.
    #[arg(long, default_value = "transfers")]
    mix: Mix,
    /// Pairs of transactions with the same nonce, handed to two nodes at once; one of each may be in the chain.
    #[arg(long, default_value_t = 0)]
    conflicts: usize,
    /// Where senders' keys and all draws come from; two loads at the same time need two seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Transactions of one request at most.
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Requests under way at each endpoint at most.
    #[arg(long, default_value_t = 4)]
    lanes: usize,
    /// Transactions that are in no block at most; with more, senders wait.
    #[arg(long, default_value_t = 20_000)]
    open: usize,
    /// How long to wait when no block takes anything up any more.
    #[arg(long, default_value = "120s", value_parser = parse_duration)]
    patience: Duration,
    /// What to wait for when all is handed in: that it is in blocks, or that the last of them is final, which takes long
    /// where finality is a number of blocks.
    #[arg(long, value_enum, default_value = "final")]
    wait: Wait,
    /// Do not watch pools: no propagation in the report, less work for nodes and client.
    #[arg(long)]
    no_propagation: bool,
}

/// A rate as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rate {
    PerSecond(f64),
    Max,
}

const EXAMPLES: &str = "\
Examples:
  kette net load                                     100 transfers per second for 30 s on the running network
  kette net load --rate 50 --duration 60s --mix transfers=70,erc20=25,deploy=5 --conflicts 20
  kette net load --rate max --transactions 100000 --senders 200 --no-propagation
  kette net load --url http://127.0.0.1:8545 --rate max       anvil, geth, or anything with JSON-RPC

Senders are derived from the seed and paid by the accounts of the development mnemonic: for test chains only.
Exit codes: 0 all that was taken is in the chain, 1 something was lost, in conflict, or nodes differ, 2 usage or input,
3 a node does not answer, 4 the chain took nothing up in time.";

/// Transactions of `--rate max` if nothing is said.
const TRANSACTIONS: u64 = 50_000;
/// Bounds of what is asked for: all of it is signed before the first is due, and held.
const TRANSACTIONS_MAX: u64 = 5_000_000;
const SENDERS_MAX: usize = 10_000;
const BATCH_MAX: usize = 200;
const LANES_MAX: usize = 64;
const RATE_MAX: f64 = 1e6;

/// Carries out `kette net load`.
///
/// # Errors
/// If the network is not up, cannot take the load, or lost something of it.
pub fn run(args: LoadArgs, json: bool) -> anyhow::Result<()> {
    let endpoints = args.endpoints()?;
    let wish = args.wish(endpoints.len())?;
    let report = block_on(load::run(&wish, endpoints, |line| {
        // Nobody may be reading.
        let _ = writeln!(std::io::stderr(), "{line}");
    }))?;
    if json {
        output::print(&serde_json::to_value(&report)?, true)?;
    } else {
        write!(output::stdout(), "{}", report.text())?;
    }
    let objections = report.objections();
    if objections.is_empty() { Ok(()) } else { Err(Exit::Failed(objections.join("\n")).into()) }
}

impl LoadArgs {
    fn endpoints(&self) -> anyhow::Result<Vec<Endpoint>> {
        if !self.url.is_empty() {
            return self.url.iter().map(|url| Endpoint::new(url.clone(), url)).collect();
        }
        let manifest = Directory::new(absolute(self.place.home.clone())?).require()?;
        manifest
            .nodes
            .iter()
            .filter(|node| node.is_alive())
            .map(|node| Endpoint::new(node.plan.name.clone(), &node.rpc_url()))
            .collect::<anyhow::Result<Vec<_>>>()
            .and_then(|nodes| {
                let text = format!("no node of `{}` runs: `kette net up` starts it", manifest.name);
                ensure!(!nodes.is_empty(), Exit::NotUp(text));
                Ok(nodes)
            })
    }

    fn wish(&self, endpoints: usize) -> anyhow::Result<Wish> {
        let bounds = [
            ("--senders", self.senders, SENDERS_MAX),
            ("--batch", self.batch, BATCH_MAX),
            ("--lanes", self.lanes, LANES_MAX),
        ];
        for (flag, value, max) in bounds {
            ensure!((1..=max).contains(&value), "{flag} {value}: expected 1 to {max}");
        }
        ensure!(self.conflicts <= SENDERS_MAX, "--conflicts: at most {SENDERS_MAX}");
        ensure!(
            self.conflicts == 0 || endpoints > 1,
            "--conflicts needs two nodes: the transactions of a pair go to two of them at once"
        );
        let rate = match self.rate {
            Rate::PerSecond(rate) => Some(rate),
            Rate::Max => None,
        };
        let planned = rate.map_or(TRANSACTIONS as f64, |rate| rate * self.duration.as_secs_f64());
        let transactions = self.transactions.unwrap_or(planned.ceil() as u64);
        ensure!(
            (1..=TRANSACTIONS_MAX).contains(&transactions),
            "{transactions} transactions: expected 1 to {TRANSACTIONS_MAX}; change --transactions, --rate or --duration"
        );
        ensure!(
            self.open >= self.batch,
            "--open {} is less than --batch {}",
            self.open,
            self.batch
        );
        Ok(Wish {
            rate,
            transactions,
            duration: self.duration,
            senders: self.senders,
            conflicts: self.conflicts,
            mix: self.mix.clone(),
            seed: self.seed,
            batch: self.batch,
            lanes: self.lanes,
            open_max: self.open.min(self.senders * PER_SENDER_MAX),
            patience: self.patience,
            with_pools: !self.no_propagation,
            wait: self.wait,
        })
    }
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= RATE_MAX => Ok(Rate::PerSecond(rate)),
        _ => Err(format!("expected a number above 0 and up to {RATE_MAX}, or \"max\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, parse_rate};

    #[test]
    fn rates_are_numbers_or_max() {
        assert_eq!(parse_rate("max"), Ok(Rate::Max));
        assert_eq!(parse_rate("0.5"), Ok(Rate::PerSecond(0.5)));
        for bad in ["0", "-1", "NaN", "inf", "fast", "1e9"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
