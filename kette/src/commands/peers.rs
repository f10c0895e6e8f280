//! `kette peers`: who a node is connected to, and changing it at run time.

use crate::{
    cli::{HomeArgs, RpcArgs},
    client::Client,
    commands::output,
    run::home::Home,
};
use clap::{Args, Subcommand};
use kette_sim::scenario::units::parse_duration;
use serde_json::{Value, json};
use std::time::Duration;

/// Flags of `kette peers`.
#[derive(Args, Debug)]
pub struct PeersArgs {
    #[command(flatten)]
    rpc: RpcArgs,
    #[command(flatten)]
    home: HomeArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sessions (the default)
    List,
    /// Connect to an address and keep it connected
    Add {
        /// [PEER-ID@]IP:PORT[/quic]
        address: String,
    },
    /// Disconnect a peer and forget it
    Remove {
        /// 64 hexadecimal digits.
        peer: String,
    },
    /// Disconnect a peer and refuse it for a while
    Ban {
        /// 64 hexadecimal digits.
        peer: String,
        /// How long.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
        lasts: Duration,
    },
    /// Lift a ban
    Unban {
        /// 64 hexadecimal digits.
        peer: String,
    },
}

/// Carries out `kette peers`.
///
/// # Errors
/// If no node answers or it refuses.
pub fn run(args: PeersArgs, json: bool) -> anyhow::Result<()> {
    let client = Client::of_operator(&args.rpc.rpc, &Home::new(args.home.home))?;
    super::block_on(async {
        let done: Value = match args.action.unwrap_or(Action::List) {
            Action::List => return list(&client, json).await,
            Action::Add { address } => client.ask("kette_addPeer", [json!(address)]).await?,
            Action::Remove { peer } => client.ask("kette_removePeer", [json!(peer)]).await?,
            Action::Ban { peer, lasts } => {
                client.ask("kette_ban", [json!(peer), json!(lasts.as_secs().max(1))]).await?
            }
            Action::Unban { peer } => client.ask("kette_unban", [json!(peer)]).await?,
        };
        output::print(&done, json)
    })
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let peers: Vec<Value> = client.ask("kette_peers", []).await?;
    if json {
        return output::print(&Value::Array(peers), true);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let rows: Vec<Vec<String>> = peers
        .iter()
        .map(|peer| {
            let id = text(&peer["id"]);
            vec![
                id.get(..16).unwrap_or(&id).to_owned(),
                text(&peer["moniker"]),
                text(&peer["address"]).rsplit('@').next().unwrap_or_default().to_owned(),
                text(&peer["direction"]),
                text(&peer["region"]),
                text(&peer["height"]),
                text(&peer["score"]),
                text(&peer["rttMs"]),
            ]
        })
        .collect();
    output::table(
        &["PEER", "NAME", "ADDRESS", "DIRECTION", "REGION", "HEIGHT", "SCORE", "RTT ms"],
        &rows,
    )
}
