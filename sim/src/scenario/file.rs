//! What a network file may say, as data.

use super::{Check, Step, units};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A network file. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// Version of this format: 1.
    pub schema: u32,
    /// What holds for all nodes.
    pub network: Network,
    /// What links, disks and processors are like in virtual time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shape: Shape,
    /// Transactions of users while it runs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workload: Workload,
    /// Changes to the chain's genesis file, merged into it key by key.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub genesis: toml::Table,
    /// Groups of nodes, in the order in which they start.
    pub group: Vec<Group>,
    /// Links that differ from the shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link: Vec<Link>,
    /// What happens, when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step: Vec<Step>,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<Check>,
}

/// What holds for all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Name for people.
    pub name: String,
    /// A chain preset's name or a genesis file beside the network file.
    pub chain: String,
    /// P2P port of the first node; the others follow.
    #[serde(default = "default_base_port")]
    pub base_port: u16,
    /// RPC port of the first node; the others follow.
    #[serde(default = "default_rpc_base_port")]
    pub rpc_base_port: u16,
    /// Who dials whom at first.
    #[serde(default)]
    pub topology: Topology,
    /// With `topology = "custom"`: pairs of nodes with a link between them; the later one dials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<(String, String)>,
    /// Time between starts.
    #[serde(default, with = "units::duration")]
    pub stagger: Duration,
    /// Hashes per second of each miner.
    #[serde(default = "default_mine_rate")]
    pub mine_rate: u64,
    /// Offers and dials QUIC as well.
    #[serde(default)]
    pub quic: bool,
    /// Where all choices of a simulated run come from, unless the command line says otherwise.
    #[serde(default, with = "units::seed")]
    pub seed: u64,
    /// How long the run lasts before everything is healed and must converge.
    #[serde(default = "default_duration", with = "units::duration")]
    pub duration: Duration,
    /// How long the healed network may take to converge; derived from the engine's constants if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub settle: Option<Duration>,
}

const fn default_base_port() -> u16 {
    30_000
}

const fn default_rpc_base_port() -> u16 {
    31_000
}

const fn default_mine_rate() -> u64 {
    200
}

const fn default_duration() -> Duration {
    Duration::from_secs(600)
}

/// Who dials whom at first. Peer exchange adds sessions afterwards unless discovery is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// Each node dials one node of an earlier tier; the load is spread evenly.
    #[default]
    Tiers,
    /// Each node dials all earlier ones.
    Mesh,
    /// Each node dials the first one.
    Star,
    /// Each node dials the one before it; no peer exchange.
    Line,
    /// As a line, and the last dials the first; no peer exchange.
    Ring,
    /// The pairs of `edges`; no peer exchange.
    Custom,
}

impl Topology {
    /// Tells whether nodes keep to their first dials, so that the network stays as it was drawn.
    pub const fn is_fixed(self) -> bool {
        matches!(self, Self::Line | Self::Ring | Self::Custom)
    }
}

/// What links, disks and processors are like in virtual time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Where latency, jitter and bandwidth come from.
    #[serde(default)]
    pub profile: Profile,
    /// One-way latency of every link, instead of the profile's.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// Mean of the extra one-way delay (exponential), instead of the profile's.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// Share of packets lost, 0 to 1: on an ordered stream a delay for retransmission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Bits per second that a node sends, instead of the profile's.
    #[serde(default, with = "units::rate_option", skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// How long a durable write takes.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub fsync: Option<Duration>,
    /// Charges processor time for messages, blocks and signatures; 1 is this project's measured cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
}

/// Where latency, jitter and bandwidth come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// One machine: 50 microseconds, no jitter, no bound.
    Loopback,
    /// One room: 0.25 ms, 1 Gbit/s.
    #[default]
    Lan,
    /// Ten cloud regions, measured 2025; 1 Gbit/s, 0.01 % loss.
    #[serde(rename = "aws-2025")]
    Aws2025,
    /// Six regions of homes, as the SimBlock study assumed in 2019.
    #[serde(rename = "simblock-2019")]
    Simblock2019,
}

/// Transactions of users while it runs: transfers between the development accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Transfers per second in the whole network.
    #[serde(default)]
    pub rate: f64,
    /// How many funded accounts send, 1 to 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senders: Option<u32>,
    /// How many of the transfers are pairs: two with one nonce, handed to two nodes at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub conflicts: u32,
}

/// Tells whether a number may be left out of a file.
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Nodes that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// One name per node; or give `name` and `count`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Name of the group; its nodes are `name-0`, `name-1`, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many nodes, with `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Bootstrap tier, 1 is first.
    #[serde(default = "one")]
    pub tier: u32,
    /// Regions (see [`super::region`]): one for all, one per node, a shorter list that is gone through again and
    /// again, or `round-robin` alone for the ten of the project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// What the nodes do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Makes each a validator with this many votes (chains with the engine `bft`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stake: Option<u64>,
    /// Hashes per second of each, instead of the network's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mine_rate: Option<u64>,
    /// How they deviate from the protocol (simulator, and test builds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<Misbehaviour>,
    /// When they start, after the network did.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Duration>,
    /// How far their clocks are ahead (or, with `-`, behind), milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clock_offset_ms: i64,
    /// How much faster their clocks run, parts per million.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clock_drift_ppm: i64,
    /// How much slower their processors are than others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<f64>,
}

const fn one() -> u32 {
    1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a node does besides following the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing else.
    Full,
    /// Produces blocks by proof of work.
    Miner,
}

/// How a node deviates from the protocol. Each is described where it is implemented, in `byzantine/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Misbehaviour {
    /// Shows different blocks of one height to different peers.
    Equivocator,
    /// Announces blocks and never hands out their bodies.
    Withholder,
    /// Keeps blocks private to waste others' work (Eyal and Sirer 2014).
    SelfishMiner,
    /// Passes everything on late.
    Delayer,
    /// Seals blocks that break one rule.
    InvalidBlockMaker,
    /// Claims a chain that it cannot show.
    SyncLiar,
    /// Sends more than anybody asked for, and rubbish.
    Spammer,
    /// Surrounds peers with addresses of accomplices and tells them nothing.
    Eclipse,
    /// One identity at two places.
    Twin,
    /// Speaks a later version: unknown messages and features.
    FutureVersion,
    /// Validator: proposes two blocks in each of its rounds and votes for both, to a half of the others each.
    EquivocatingProposer,
    /// Validator: votes for the block to one half of the others, for nil to the other half.
    EquivocatingVoter,
    /// Validator: forgets what it is locked on.
    Amnesiac,
    /// Validator: precommits nil whatever it saw.
    NilPrecommitter,
    /// Validator: does not vote.
    VoteDropper,
    /// Validator: its proposals reach nobody, one, or half of the others.
    ProposalDropper,
    /// Validator: votes late.
    VoteDelayer,
    /// Validator: proposes in rounds that others lead.
    WrongLeader,
    /// Validator: withholds its block unless it leads the next height by it.
    VrfWithholder,
    /// Validator: its VRF proofs are wrong.
    BadVrfProver,
    /// Validator: its blocks name wrong validators of the next height.
    SetLiar,
    /// Validator: its blocks break any one rule.
    BadProposer,
    /// Validator: floods with votes for other rounds and heights, bad signatures, repetitions.
    VoteFlooder,
    /// Validator: says that blocks are final that are not.
    CertificateLiar,
}

impl Misbehaviour {
    /// All that only a validator of the engine `bft` can do.
    pub const OF_VALIDATORS: [Self; 14] = [
        Self::EquivocatingProposer,
        Self::EquivocatingVoter,
        Self::Amnesiac,
        Self::NilPrecommitter,
        Self::VoteDropper,
        Self::ProposalDropper,
        Self::VoteDelayer,
        Self::WrongLeader,
        Self::VrfWithholder,
        Self::BadVrfProver,
        Self::SetLiar,
        Self::BadProposer,
        Self::VoteFlooder,
        Self::CertificateLiar,
    ];

    /// Tells whether only a validator of the engine `bft` can do this.
    pub fn is_of_validators(self) -> bool {
        Self::OF_VALIDATORS.contains(&self)
    }
}

/// A link that differs from the shape; both ways unless `one_way`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Which nodes on one side (see [`super::select`]).
    pub from: Vec<String>,
    /// Which nodes on the other side.
    pub to: Vec<String>,
    /// One-way latency.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// Mean of the extra delay.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// Share of packets lost, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Bits per second on this link.
    #[serde(default, with = "units::rate_option", skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// Only from `from` to `to`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub one_way: bool,
}
