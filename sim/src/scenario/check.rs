//! Checks: what a network file demands of its run. Both hosts judge them on [`Facts`], with [`Checks`].

pub use super::judge::{Checks, Measured};

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
    /// Share of produced blocks that did not become canonical, at the end.
    StaleRate(StaleRate),
    /// Time until a share of nodes had a block, over all blocks (simulator, and `net` from the receivers' clocks).
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
    /// Median over blocks of the time until that share had it.
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
