//! Steps: what happens, when.

use super::{
    Link,
    units::{self, duration_option as lasts},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One thing that happens. In a file: `at` and exactly one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "super::parse::RawStep", into = "super::parse::RawStep")]
pub struct Step {
    /// When it begins.
    pub at: At,
    /// What happens.
    pub action: Action,
    /// It need not happen; otherwise a run that ends before it has failed.
    pub optional: bool,
}

impl Step {
    /// Returns a step that must happen.
    pub const fn new(at: At, action: Action) -> Self {
        Self { at, action, optional: false }
    }
}

/// When a step begins: `"30s"` after the start, or `"height:20"`, when some honest node's head has that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// After the start.
    Time(Duration),
    /// When some honest node's head has this number.
    Height(u64),
}

/// What happens. Everything with a duration (`for`) ends by itself; everything else stays until `heal`.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Groups of nodes no longer reach each other. Nodes in no group stay with the first.
    Partition(Partition),
    /// Some nodes' frames no longer reach others, one way or both.
    Cut(Cut),
    /// All cuts, partitions, link changes, frame faults, pauses, slowness and disk faults end.
    Heal(Heal),
    /// Sessions between nodes end; they may be opened again.
    Reset(Nodes),
    /// Nodes end without a word; what was not written is lost.
    Crash(Crash),
    /// Nodes end cleanly.
    Stop(Stop),
    /// Nodes start (again).
    Start(Nodes),
    /// Nodes lose their databases (they are crashed first) and start with empty ones.
    Wipe(Stop),
    /// Nodes stand still; their sessions stay open.
    Pause(Span),
    /// Nodes' processors become slower.
    Slow(Slow),
    /// Nodes crash and return, again and again.
    Churn(Churn),
    /// Nodes' clocks jump or drift.
    Clock(Clock),
    /// Nodes' disks misbehave.
    Disk(Disk),
    /// Links change.
    Link(LinkChange),
    /// Frames are duplicated, replayed, reordered or damaged.
    Frames(Frames),
    /// Nodes start or stop mining, or mine at another rate.
    Mine(Mine),
    /// Users send more transactions.
    Load(Load),
}

impl Action {
    /// Names it in a few words, for reports.
    pub fn describe(&self) -> String {
        let names = |nodes: &[String]| nodes.join(", ");
        match self {
            Self::Partition(a) => match a.kind {
                Some(kind) => format!("partition ({kind:?})").to_lowercase(),
                None => {
                    let groups: Vec<String> = a.groups.iter().map(|group| names(group)).collect();
                    format!("partition {}", groups.join(" / "))
                }
            },
            Self::Cut(a) => format!("cut {} from {}", names(&a.from), names(&a.to)),
            Self::Heal(_) => "heal".to_owned(),
            Self::Reset(a) => format!("sessions of {} reset", names(&a.nodes)),
            Self::Crash(a) => format!("crash of {}", names(&a.nodes)),
            Self::Stop(a) if a.upgrade => format!("upgrade of {}", names(&a.nodes)),
            Self::Stop(a) => format!("stop of {}", names(&a.nodes)),
            Self::Start(a) => format!("start of {}", names(&a.nodes)),
            Self::Wipe(a) => format!("wipe of {}", names(&a.nodes)),
            Self::Pause(a) => format!("pause of {}", names(&a.nodes)),
            Self::Slow(a) => format!("{} slower by {}", names(&a.nodes), a.factor),
            Self::Churn(a) => format!("churn of {}", names(&a.nodes)),
            Self::Clock(a) => format!("clock of {}", names(&a.nodes)),
            Self::Disk(a) => format!("disk of {}: {:?}", names(&a.nodes), a.fault),
            Self::Link(a) => format!("link {} to {}", names(&a.link.from), names(&a.link.to)),
            Self::Frames(a) => format!("frames of {} tampered", names(&a.nodes)),
            Self::Mine(a) => format!("mining of {}", names(&a.nodes)),
            Self::Load(a) => format!("load {} per second", a.rate),
        }
    }

    /// Tells whether something goes wrong by it, for some time.
    pub const fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Heal(_) | Self::Reset(_) | Self::Start(_) | Self::Mine(_) | Self::Load(_)
        )
    }

    /// Returns how long it lasts, or until those that it takes away return, if the file says so.
    pub fn lasts(&self) -> Option<Duration> {
        self.clone().lasts_mut().copied()
    }

    /// Returns the same, to change it.
    pub fn lasts_mut(&mut self) -> Option<&mut Duration> {
        match self {
            Self::Crash(a) => a.restart_after.as_mut(),
            Self::Stop(a) | Self::Wipe(a) => a.restart_after.as_mut(),
            other => other.span_mut()?.as_mut(),
        }
    }

    /// Returns the `for` of an action that goes on until something ends it: `None` for what happens at once,
    /// `Some(None)` for what only a `heal` or the end of the run ends.
    pub(super) fn span(&self) -> Option<Option<Duration>> {
        self.clone().span_mut().copied()
    }

    const fn span_mut(&mut self) -> Option<&mut Option<Duration>> {
        match self {
            Self::Partition(a) => Some(&mut a.lasts),
            Self::Cut(a) => Some(&mut a.lasts),
            Self::Pause(a) => Some(&mut a.lasts),
            Self::Slow(a) => Some(&mut a.lasts),
            Self::Churn(a) => Some(&mut a.lasts),
            Self::Disk(a) => Some(&mut a.lasts),
            Self::Link(a) => Some(&mut a.lasts),
            Self::Frames(a) => Some(&mut a.lasts),
            Self::Load(a) => Some(&mut a.lasts),
            Self::Heal(_)
            | Self::Reset(_)
            | Self::Crash(_)
            | Self::Stop(_)
            | Self::Start(_)
            | Self::Wipe(_)
            | Self::Clock(_)
            | Self::Mine(_) => None,
        }
    }
}

/// See [`Action::Partition`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Who stays together; empty if `kind` decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<String>>,
    /// How to draw the groups from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PartitionKind>,
    /// Only frames from the first group to the others are lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// Flapping: cut and healed by turns, each for this long.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub flap: Option<Duration>,
}

/// How the groups of a partition are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKind {
    /// Two groups of equal size.
    Halves,
    /// A group of more than half, and the rest.
    Majority,
    /// Every node sees a majority, no two the same one (Jepsen's majorities ring).
    Ring,
    /// One node alone.
    Isolate,
}

/// See [`Action::Cut`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Whose frames are lost.
    pub from: Vec<String>,
    /// On the way to whom.
    pub to: Vec<String>,
    /// The other direction works.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// See [`Action::Heal`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heal {}

/// Some nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// Which (see [`super::select`]).
    pub nodes: Vec<String>,
}

/// See [`Action::Crash`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// Waits for a node's next write: crashes just before it is durable, or just after, before anything that
    /// waits for it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_write: Option<Side>,
    /// They start again after this time; never if absent (until the end of the safety phase).
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub restart_after: Option<Duration>,
}

/// Before or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Before.
    Before,
    /// After.
    After,
}

/// See [`Action::Stop`] and [`Action::Wipe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// They start again after this time; for `stop` never if absent.
    #[serde(default, with = "units::duration_option", skip_serializing_if = "Option::is_none")]
    pub restart_after: Option<Duration>,
    /// Of `stop`: they start again with another copy of the program. The simulator has one program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upgrade: bool,
}

/// Some nodes for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// See [`Action::Slow`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// How many times slower.
    pub factor: f64,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// See [`Action::Churn`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Which nodes take part.
    pub nodes: Vec<String>,
    /// Mean time between two crashes.
    #[serde(with = "units::duration")]
    pub every: Duration,
    /// Mean time that a node is down.
    #[serde(with = "units::duration")]
    pub down: Duration,
    /// How long it goes on; until the end of the safety phase if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// See [`Action::Clock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// Milliseconds added once; a clock that goes back stands still for the node until it has caught up.
    #[serde(default)]
    pub jump_ms: i64,
    /// Parts per million by which it runs faster from now on.
    #[serde(default)]
    pub drift_ppm: i64,
}

/// See [`Action::Disk`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// What is wrong.
    pub fault: DiskFault,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// What can be wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// It says that a write is durable when it is not: a crash loses it.
    LostFsync,
    /// What is read back is now and then not what was written (noticed by checksum: reads fail).
    BitRot,
    /// Writes fail: the node stops.
    Full,
    /// Writes take a hundred times longer.
    Slow,
}

/// See [`Action::Link`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkChange {
    /// What changes.
    #[serde(rename = "set")]
    pub link: Link,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// See [`Action::Frames`]. Probabilities per frame, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Whose outgoing frames.
    pub nodes: Vec<String>,
    /// Arrives twice.
    #[serde(default)]
    pub duplicate: f64,
    /// An old frame arrives again.
    #[serde(default)]
    pub replay: f64,
    /// Overtakes earlier ones.
    #[serde(default)]
    pub reorder: f64,
    /// Some bits arrive changed: the transport authenticates frames, so the session breaks.
    #[serde(default)]
    pub corrupt: f64,
    /// How long; until `heal` if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// See [`Action::Mine`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mine {
    /// Which nodes.
    pub nodes: Vec<String>,
    /// On or off.
    #[serde(default = "yes")]
    pub on: bool,
    /// Hashes per second from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
}

const fn yes() -> bool {
    true
}

/// See [`Action::Load`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Transfers per second, in addition to the workload's.
    pub rate: f64,
    /// How long; until the end of the safety phase if absent.
    #[serde(default, rename = "for", with = "lasts", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}
