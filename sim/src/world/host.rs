//! One simulated host: a machine with its disk, clock, processor and sessions.

use super::{Clock, FrameFaults};
use crate::{
    Machine, Moment,
    disk::Disk,
    scenario::{Misbehaviour, step::Side},
};
use kette_consensus::{JobId, job::MineJob};
use kette_node::{Input, Node};
use kette_types::{Direction, Message, PeerAddress, PeerId};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// One simulated host.
pub struct Host {
    /// Its place in [`super::World::hosts`].
    pub index: usize,
    /// Its name in the network file.
    pub name: String,
    /// Its identity.
    pub id: PeerId,
    /// Where it listens.
    pub address: PeerAddress,
    /// Its row in the region table, if it has a region.
    pub region: Option<usize>,
    /// How it deviates from the protocol; `None` if it is honest.
    pub byzantine: Option<Misbehaviour>,
    /// What it runs; `None` while it is down.
    pub machine: Option<Box<dyn Machine>>,
    /// Its disk.
    pub disk: Arc<Disk>,
    /// Its node's settings.
    pub config: kette_node::Config,
    /// Its clock.
    pub clock: Clock,
    /// Hashes per second, if it mines.
    pub mine_rate: u64,
    /// Whether it stands still.
    pub paused: bool,
    /// How many times slower than others its processor is.
    pub slow: f64,
    /// Its sessions.
    pub sessions: BTreeMap<PeerId, Session>,
    /// Goes up with every start and every end, so that what belongs to an earlier life is recognized.
    pub life: u32,
    /// Why it stopped by itself, if it did.
    pub failed: Option<String>,
    /// Counts inputs that the node took.
    pub(crate) turns: u64,
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) busy_until: Moment,
    /// A turn is in the heap.
    pub(crate) turn_due: bool,
    /// A write is under way.
    pub(crate) writing: bool,
    pub(crate) tick_at: Option<Moment>,
    /// Jobs under way, and how often their duration was drawn.
    pub(crate) jobs: BTreeMap<JobId, (u32, Option<Box<MineJob>>)>,
    /// Ticks at one moment: a node that asks for more and more of them spins.
    pub(crate) ticks: (Moment, u32),
    pub(crate) crash_at_write: Option<Side>,
    pub(crate) frames: FrameFaults,
    /// Recent frames, for replays; kept only while replays are on.
    pub(crate) old_frames: VecDeque<Arc<Message>>,
    /// Until when its uplink is taken, by frames of fast lanes and by all.
    pub(crate) uplink: [Moment; 2],
}

/// A session as one side sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// The other host.
    pub remote: usize,
    /// Names the session; both sides have the same.
    pub link: u64,
    /// Who dialled.
    pub direction: Direction,
    /// When this side learned of it.
    pub(crate) since: Moment,
    /// When the last frame per lane arrives at the other side.
    pub(crate) arrives: [Moment; 5],
    /// When the last frame of all arrives at the other side.
    pub(crate) last: Moment,
    /// Answers that wait for the uplink.
    pub(crate) backlog: super::backlog::Backlog,
    /// The turn in which the node was told of it: what it decided before is not meant for this session.
    pub(crate) told: Option<u64>,
}

impl Host {
    /// Tells whether it follows the protocol.
    pub const fn is_honest(&self) -> bool {
        self.byzantine.is_none()
    }

    /// Tells whether it runs.
    pub const fn is_up(&self) -> bool {
        self.machine.is_some()
    }

    /// Returns its node's settings for a start: a validator's with what its disk says that it signed last.
    pub(crate) fn settings(&self) -> kette_node::Config {
        let mut config = self.config.clone();
        if let Some(validator) = &mut config.local.validator {
            validator.signed = self.disk.signed();
        }
        config
    }

    /// Returns its node, while it runs.
    pub fn node(&self) -> Option<&Node> {
        self.machine.as_deref().map(Machine::node)
    }
}
