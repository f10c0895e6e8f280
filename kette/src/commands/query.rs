//! `kette query`: blocks, transactions, accounts, supply, as a node knows them.

use crate::{
    cli::RpcArgs,
    client::Client,
    commands::{exit::Exit, output, verify_finality},
};
use alloy_primitives::{Address, B256, U256, utils::format_ether};
use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to ask.
#[derive(Debug, Subcommand)]
pub enum Query {
    /// A block with seal, weight and senders
    Block {
        /// Number, hash, or latest, finalized, earliest.
        #[arg(default_value = "latest")]
        block: String,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// A transaction, its receipt and its finality
    Tx {
        /// The hash.
        hash: B256,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// An account's balance, nonce and code size
    Account {
        /// The address.
        address: Address,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// An account's balance in coins
    Balance {
        /// The address.
        address: Address,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// All coins that exist, checked against genesis and rewards
    Supply {
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// What waits in the pool
    Pool {
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// The engine's own state
    Engine {
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// Who votes in a height (engine bft)
    Validators {
        /// The height; the next one if not said.
        #[arg(long)]
        height: Option<u64>,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// Who leads the rounds of a height, and the VRF proof of a decided one (engine bft)
    Leader {
        /// The height; the next one if not said.
        #[arg(long)]
        height: Option<u64>,
        /// How many rounds; as many as there are validators if not said.
        #[arg(long)]
        rounds: Option<u64>,
        #[command(flatten)]
        rpc: RpcArgs,
    },
    /// What made a block final (engine bft)
    Certificate {
        /// Number, hash, or latest.
        #[arg(default_value = "latest")]
        block: String,
        /// With all headers from genesis, for `kette verify-finality`; takes a number.
        #[arg(long)]
        bundle: bool,
        /// Write to this file.
        #[arg(short, long)]
        output: Option<PathBuf>,
        #[command(flatten)]
        rpc: RpcArgs,
    },
}

/// Asks and prints.
///
/// # Errors
/// If no node answers or there is no such thing.
pub fn run(args: Query, json: bool) -> anyhow::Result<()> {
    super::block_on(async {
        let value: Value = match args {
            Query::Block { block, rpc } => {
                let id = block
                    .parse::<u64>()
                    .map_or_else(|_| json!(block), |n| json!(format!("0x{n:x}")));
                found(Client::new(&rpc.rpc)?.ask("kette_block", [id]).await?, "block", &block)?
            }
            Query::Tx { hash, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let tx: Value = client.ask("eth_getTransactionByHash", [json!(hash)]).await?;
                let tx = found(tx, "transaction", &hash.to_string())?;
                let receipt: Value = client.ask("eth_getTransactionReceipt", [json!(hash)]).await?;
                let finality: Value = client.ask("kette_finality", [json!(hash)]).await?;
                json!({ "transaction": tx, "receipt": receipt, "finality": finality })
            }
            Query::Account { address, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let latest = json!("latest");
                let balance: U256 =
                    client.ask("eth_getBalance", [json!(address), latest.clone()]).await?;
                let nonce: U256 =
                    client.ask("eth_getTransactionCount", [json!(address), latest.clone()]).await?;
                let code: alloy_primitives::Bytes =
                    client.ask("eth_getCode", [json!(address), latest]).await?;
                json!({ "address": address, "balance": format_ether(balance), "wei": balance.to_string(), "nonce": nonce.to_string(), "codeBytes": code.len() })
            }
            Query::Balance { address, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let balance: U256 =
                    client.ask("eth_getBalance", [json!(address), json!("latest")]).await?;
                json!({ "address": address, "balance": format_ether(balance), "wei": balance.to_string() })
            }
            Query::Supply { rpc } => Client::new(&rpc.rpc)?.ask("kette_supply", []).await?,
            Query::Pool { rpc } => Client::new(&rpc.rpc)?.ask("txpool_inspect", []).await?,
            Query::Engine { rpc } => Client::new(&rpc.rpc)?.ask("kette_engine", []).await?,
            Query::Validators { height, rpc } => {
                let answer: Value =
                    Client::new(&rpc.rpc)?.ask("kette_validators", [json!(height)]).await?;
                if !json {
                    return validators(&answer);
                }
                answer
            }
            Query::Leader { height, rounds, rpc } => {
                let params = [json!(height), json!(rounds)];
                let answer: Value = Client::new(&rpc.rpc)?.ask("kette_leader", params).await?;
                if !json {
                    return leaders(&answer);
                }
                answer
            }
            Query::Certificate { block, bundle, output, rpc } => {
                let client = Client::new(&rpc.rpc)?;
                let answer = if bundle {
                    let height = match block.parse() {
                        Ok(height) => height,
                        Err(_) => client.ask::<U256>("eth_blockNumber", []).await?.to(),
                    };
                    serde_json::to_value(verify_finality::fetch(&client, height).await?)?
                } else {
                    let id = block.parse::<u64>().map_or_else(|_| json!(block), |n| json!(n));
                    let answer = client.ask("kette_getCertificate", [id]).await?;
                    found(answer, "certificate of", &block)?
                };
                if let Some(path) = output {
                    std::fs::write(&path, serde_json::to_string_pretty(&answer)?)
                        .with_context(|| format!("cannot write {}", path.display()))?;
                    json!({ "file": path })
                } else {
                    answer
                }
            }
        };
        output::print(&value, json)
    })
}

fn cell(line: &Value, key: &str) -> String {
    match &line[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn validators(answer: &Value) -> anyhow::Result<()> {
    let columns = ["name", "address", "weight", "key"];
    let lines = answer["validators"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> =
        lines.map(|line| columns.map(|key| cell(line, key)).to_vec()).collect();
    output::table(&["NAME", "OWNER", "WEIGHT", "KEY"], &rows)?;
    eprintln!(
        "\nheight {}: {} of {} decide ({}); {} may lie, {} may be silent",
        answer["height"],
        answer["quorum"],
        answer["weight"],
        cell(answer, "quorumRule"),
        answer["safeWeight"],
        answer["liveWeight"],
    );
    Ok(())
}

fn leaders(answer: &Value) -> anyhow::Result<()> {
    let columns = ["round", "name", "address", "weight"];
    let lines = answer["ranking"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> =
        lines.map(|line| columns.map(|key| cell(line, key)).to_vec()).collect();
    output::table(&["ROUND", "NAME", "LEADER", "WEIGHT"], &rows)?;
    eprintln!("\nheight {}, seed {}", answer["height"], cell(answer, "seed"));
    let decided = &answer["decided"];
    if !decided.is_null() {
        eprintln!(
            "made in round {} by {}\nVRF proof {}\n  over {} with key {}: {}\noutput {}",
            decided["round"],
            cell(decided, "address"),
            cell(decided, "proof"),
            cell(decided, "alpha"),
            cell(decided, "vrfKey"),
            if decided["proofValid"] == true { "valid" } else { "NOT VALID" },
            cell(decided, "output"),
        );
    }
    Ok(())
}

fn found(value: Value, what: &str, name: &str) -> anyhow::Result<Value> {
    if value.is_null() {
        return Err(Exit::Failed(format!("no {what} {name}")).into());
    }
    Ok(value)
}
