//! What an operator decides about peers, with defaults per kind of network.

use kette_types::{B256, PeerAddress, PeerId, limits::HELLO_TIMEOUT_SECS, spec::NetworkKind};
use std::{collections::BTreeSet, time::Duration};

/// Settings of [`super::Peers`]. [`Config::new`] fills in what the kind of network suggests.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's identity.
    pub me: PeerId,
    /// Where this node listens; port 0 if it does not.
    pub listen: PeerAddress,
    /// Program name and version.
    pub agent: String,
    /// Name given by the operator.
    pub moniker: String,
    /// Region label; empty if unknown.
    pub region: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis: B256,
    /// Hash of the protocol constants.
    pub rules: B256,
    /// How strangers are treated.
    pub kind: NetworkKind,
    /// Dialled first, in this order, and kept for ever.
    pub configured: Vec<PeerAddress>,
    /// Whether other peers than the configured ones are dialled and addresses are exchanged.
    pub discovery: bool,
    /// Sessions that this node opens itself.
    pub outbound_target: usize,
    /// Sessions in all, except those of configured peers.
    pub sessions_max: usize,
    /// Sessions that others opened, except those of configured peers.
    pub inbound_max: usize,
    /// If set, nobody else is let in.
    pub allow: Option<BTreeSet<PeerId>>,
    /// Seeds jitter, choices, table layout and the hello nonce.
    pub seed: u64,
    /// Until a session without hello ends.
    pub hello_timeout: Duration,
    /// Silence after which a ping is sent.
    pub ping_interval: Duration,
    /// Silence after which the session ends.
    pub ping_timeout: Duration,
    /// Until a dial that the host never reported on counts as failed.
    pub dial_timeout: Duration,
    /// Longest wait between two dials of one address.
    pub backoff_max: Duration,
    /// Wait before dialling an address again that had no slot for us.
    pub refused_retry: Duration,
    /// Wait between dials beyond [`OUTBOUND_MIN`], so that all nodes get their first few.
    pub settle: Duration,
    /// How long one answer to `GetPeers` is given to everybody.
    pub answer_ttl: Duration,
    /// Wait between two questions for addresses while outbound slots are free.
    pub ask_interval: Duration,
    /// How long a ban lasts.
    pub ban: Duration,
}

impl Config {
    /// Builds settings with the defaults for a kind of network.
    pub fn new(
        kind: NetworkKind,
        me: PeerId,
        listen: PeerAddress,
        chain_id: u64,
        genesis: B256,
        rules: B256,
        seed: u64,
    ) -> Self {
        let local = kind == NetworkKind::Local;
        let secs =
            |if_local, if_public| Duration::from_secs(if local { if_local } else { if_public });
        Self {
            me,
            listen,
            agent: concat!("kette/", env!("CARGO_PKG_VERSION")).to_owned(),
            moniker: String::new(),
            region: String::new(),
            chain_id,
            genesis,
            rules,
            kind,
            configured: Vec::new(),
            discovery: true,
            outbound_target: OUTBOUND_TARGET,
            sessions_max: SESSIONS_MAX,
            inbound_max: INBOUND_MAX,
            allow: None,
            seed,
            hello_timeout: Duration::from_secs(HELLO_TIMEOUT_SECS),
            ping_interval: secs(5, 15),
            ping_timeout: secs(15, 45),
            dial_timeout: secs(4, 20),
            backoff_max: secs(4, 15 * 60),
            refused_retry: secs(10, 5 * 60),
            settle: secs(2, 10),
            answer_ttl: secs(5, 10 * 60),
            ask_interval: secs(5, 10 * 60),
            ban: Duration::from_secs(BAN_SECS),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        self.kind == NetworkKind::Local
    }

    /// Sessions from others that may wait for their hello at the same time.
    pub(super) fn pending_inbound_max(&self) -> usize {
        if self.is_local() { PENDING_INBOUND_MAX * LOCAL_FACTOR } else { PENDING_INBOUND_MAX }
    }
}

/// Outbound sessions that every node gets before anybody gets more.
pub const OUTBOUND_MIN: usize = 4;
/// Default of [`Config::outbound_target`] (as Bitcoin Core's full-relay outbound slots).
pub const OUTBOUND_TARGET: usize = 8;
/// Default of [`Config::sessions_max`].
pub const SESSIONS_MAX: usize = 128;
/// Default of [`Config::inbound_max`]: three quarters, so that inbound never takes the outbound slots.
pub const INBOUND_MAX: usize = 96;
/// How much wider bounds are in local networks, where a test may do in a second what takes a minute.
pub(super) const LOCAL_FACTOR: usize = 10;

const PENDING_INBOUND_MAX: usize = 16;
const BAN_SECS: u64 = 3_600;
