//! What the server is given: where to listen, what to allow, and its ways to node, store and network.

use crate::{handle::NodeHandle, link::Links, recent::ErrorLog};
use kette_ledger::Rules;
use kette_types::{ChainSpec, PeerId};
use serde::Serialize;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// Where to listen and what to allow.
#[derive(Clone)]
pub struct Config {
    /// Address of the one port for HTTP, WebSocket and the health pages; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether methods that steer the node are served: peers, bans, mining, link cuts.
    pub control: bool,
    /// What `Authorization: Bearer` must say for those methods; without it they need nothing.
    pub control_token: Option<String>,
    /// Web origins that may call besides local ones and browser extensions; `*` allows all.
    pub origins: Vec<String>,
    /// Host names under which the port may be called besides `localhost` and IP addresses; `*` allows all.
    pub hosts: Vec<String>,
    /// Version of the program, for `web3_clientVersion` and `kette_build_info`.
    pub version: String,
    /// Commit that the program was built from.
    pub commit: String,
    /// Sessions that the node is told to reach; with none configured, a node alone is ready.
    pub peers_expected: bool,
    /// Connections at the same time.
    pub connections_max: u32,
    /// Bytes of one request.
    pub request_bytes_max: u32,
    /// Bytes of one response.
    pub response_bytes_max: u32,
    /// Calls in one batch.
    pub batch_max: u32,
    /// Gas of one `eth_call` or estimate.
    pub call_gas_max: u64,
}

impl Config {
    /// Returns the usual limits on this address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            control: true,
            control_token: None,
            origins: Vec::new(),
            hosts: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: "unknown".to_owned(),
            peers_expected: false,
            connections_max: 500,
            request_bytes_max: 5 * 1024 * 1024,
            response_bytes_max: 64 * 1024 * 1024,
            batch_max: 1_000,
            call_gas_max: 50_000_000,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the token.
        f.debug_struct("Config").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// The ways to node, store and network.
#[derive(Clone)]
pub struct Sources {
    /// The running node.
    pub node: NodeHandle,
    /// Stored blocks, receipts, indexes and states.
    pub reader: kette_store::Reader,
    /// The chain's rules.
    pub rules: Rules,
    /// The genesis file.
    pub spec: Arc<ChainSpec>,
    /// The host's network.
    pub network: Arc<dyn NetworkControl>,
    /// Where errors are counted, those of the log included.
    pub errors: ErrorLog,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What RPC asks of the host's network. Implemented by the binary.
pub trait NetworkControl: Send + Sync {
    /// Describes the transport for `kette_network`.
    fn stats_json(&self) -> serde_json::Value;
    /// Counts what went over the links since start.
    fn traffic(&self) -> Traffic;
    /// Replaces the set of peers whose links are cut; after some time, if said, none is.
    fn set_cut(&self, peers: Vec<PeerId>, lasts: Option<Duration>);
    /// Returns the peers whose links are cut.
    fn cut(&self) -> Vec<PeerId>;
    /// Replaces what the ways to peers are like.
    fn set_links(&self, links: Links);
    /// Returns what the ways to peers are like.
    fn links(&self) -> Links;
}

/// What went over the links since start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Per kind of message.
    pub kinds: BTreeMap<String, KindTraffic>,
    /// Mean round trip of the sessions, milliseconds.
    pub rtt_ms: Option<f64>,
}

/// What one kind of message made of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindTraffic {
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// A server that could not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The port is taken.
    #[error(
        "RPC port {} is in use on {}: another node runs there; stop it or choose another with --rpc-listen (port 0 takes a free one)",
        .0.port(), .0.ip()
    )]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("RPC cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The method table is broken.
    #[error("RPC method table: {0}")]
    Table(#[from] jsonrpsee::server::RegisterMethodError),
}
