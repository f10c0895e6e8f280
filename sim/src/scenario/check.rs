//! Checks: what a network file demands of its run. Both hosts judge them on [`Facts`], with [`Checks`].

pub use super::judge::{Checks, Measured, Reach};

use super::units;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One demand. In a file: exactly one of its kinds per `[[check]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// All running honest nodes have one head, at some moment.
    Agreement(Agreement),
    /// All running honest nodes reach a height.
    Height(Height),
    /// No honest node replaced more blocks than this at once.
    Reorg(Reorg),
    /// All running honest nodes have at least this many sessions, at some moment.
    Connected(Connected),
    /// At least so many honest nodes run, or all of them, at some moment.
    Running(Running),
    /// Running honest nodes fall into so many groups without a session between them, at some moment.
    Components(Components),
    /// So many first dials of the plan are sessions, at some moment.
    Bootstrap(Bootstrap),
    /// Greetings since the nodes began, at the end.
    Handshakes(Handshakes),
    /// Sessions that ended and dials that reached nobody, from some moment to the end.
    Steady(Steady),
    /// Faults of peers, and lines of level ERROR in the logs of processes, at the end.
    Errors(Errors),
    /// All running honest nodes get so many more blocks than the highest had at some moment.
    Growth(Growth),
    /// What became of users' transactions, at the end.
    Transactions(Transactions),
    /// When users' transactions were in the pools of all nodes, at the end.
    Pools(Pools),
    /// What became of transactions with one nonce, at the end.
    Conflicts(Conflicts),
    /// Share of produced blocks that did not become canonical, at the end.
    StaleRate(StaleRate),
    /// Time until a share of nodes had a block, over all blocks, by the receivers' clocks.
    Propagation(Propagation),
}

impl Check {
    /// Returns the check's key in a network file.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Agreement(_) => "agreement",
            Self::Height(_) => "height",
            Self::Reorg(_) => "reorg",
            Self::Connected(_) => "connected",
            Self::Running(_) => "running",
            Self::Components(_) => "components",
            Self::Bootstrap(_) => "bootstrap",
            Self::Handshakes(_) => "handshakes",
            Self::Steady(_) => "steady",
            Self::Errors(_) => "errors",
            Self::Growth(_) => "growth",
            Self::Transactions(_) => "transactions",
            Self::Pools(_) => "pools",
            Self::Conflicts(_) => "conflicts",
            Self::StaleRate(_) => "stale_rate",
            Self::Propagation(_) => "propagation",
        }
    }
}

/// See [`Check::Agreement`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// From when on: `"heal"` for the end of the last fault, or a time after the start. The end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How long it may take from then on.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Height`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Height {
    /// The height.
    pub min: u64,
    /// Until when after the start; the end if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Reorg`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorg {
    /// Blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u64>,
    /// At least one node must have replaced this many: the test would show nothing otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_depth: Option<u64>,
}

/// See [`Check::Connected`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connected {
    /// Sessions.
    pub min_peers: usize,
    /// Until when after the start; the end if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Running`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Running {
    /// Nodes; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<usize>,
    /// Until when after the start; the end if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Components`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Components {
    /// How many groups.
    pub is: usize,
    /// From when on: `"heal"` for the end of the last fault, or a time after the start. The end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How long it may take from then on.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Bootstrap`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// First dials; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<usize>,
    /// Until when after the start; the end if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Handshakes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshakes {
    /// Completed ones; a session counts at both of its ends.
    #[serde(default)]
    pub min: u64,
    /// Completed of begun, 0 to 1.
    #[serde(default)]
    pub min_success: f64,
}

/// See [`Check::Steady`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steady {
    /// From when on, after the start.
    #[serde(with = "units::duration")]
    pub after: Duration,
    /// Ends of sessions that may go.
    #[serde(default)]
    pub max_lost: u64,
    /// Dials that may reach nobody.
    #[serde(default)]
    pub max_failed_dials: u64,
}

/// See [`Check::Errors`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// In the whole network.
    pub max: u64,
}

/// See [`Check::Growth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// From when on, after the start.
    #[serde(with = "units::duration")]
    pub after: Duration,
    /// Blocks.
    pub blocks: u64,
    /// How long it may take from then on; the end if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// See [`Check::Transactions`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transactions {
    /// Taken from users.
    #[serde(default)]
    pub min: u64,
    /// Of those in the chain, 0 to 1.
    #[serde(default)]
    pub min_included: f64,
    /// Committed per second, from blocks: from the first to the last block that has any.
    #[serde(default)]
    pub min_per_second: f64,
    /// They need to be that many in some part of the run that is at least this long, not over all of it.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub over: Option<Duration>,
}

/// See [`Check::Pools`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// Of the transactions that were taken from users: the share that every honest node had, 0 to 1.
    #[serde(default = "all")]
    pub min_share: f64,
    /// From the first pool to the last node that had one, at most; of all that every node had.
    #[serde(with = "units::duration")]
    pub max: Duration,
}

const fn all() -> f64 {
    1.0
}

/// See [`Check::Conflicts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflicts {
    /// Pairs handed in at least; of each pair one is in the chain, and no pool had both.
    pub min: u64,
}

/// See [`Check::StaleRate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleRate {
    /// 0 to 1.
    pub max: f64,
}

/// See [`Check::Propagation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Propagation {
    /// Share of nodes, percent.
    pub percent: f64,
    /// Of the times until that share had a block: the median over blocks, or this percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_blocks: Option<f64>,
    /// Only blocks made after this time count: who had not started could not have the earlier ones.
    #[serde(default, with = "units::duration", skip_serializing_if = "Duration::is_zero")]
    pub after: Duration,
    /// That time at most.
    #[serde(with = "units::duration")]
    pub max: Duration,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The check, in words.
    pub check: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen: measured value, node, time.
    pub seen: String,
    /// The nodes to look at, if it does not hold and is about some of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}
