//! Whether miners worked steadily until the network was told to converge: what statistics of a run need.

use super::Observation;
use crate::{Moment, World};
use kette_consensus::Status;
use std::collections::BTreeMap;

/// Follows who mines at which rate since when.
#[derive(Debug, Default)]
pub(super) struct Steady {
    rates: BTreeMap<usize, f64>,
    since: Moment,
    disturbed: bool,
    until: Option<Moment>,
}

/// A time in which nothing changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    /// Hashes per second of each miner.
    pub(super) rates: &'a BTreeMap<usize, f64>,
    /// When the last of them started.
    pub(super) since: Moment,
    /// When it ended.
    pub(super) until: Moment,
}

impl Steady {
    pub(super) fn observe(&mut self, world: &World, seen: &Observation<'_>) {
        if self.until.is_some() {
            return;
        }
        match seen {
            Observation::Up { host } if world.hosts[*host].config.local.mining => {
                self.rates.insert(*host, rate(world, *host));
                self.since = world.now();
            }
            Observation::Down { .. } => self.disturbed = true,
            Observation::Healed => {
                self.until = Some(world.now());
                let honest = world.hosts.iter().all(|host| host.is_honest());
                let same = self
                    .rates
                    .iter()
                    .all(|(host, before)| mines(world, *host) && rate(world, *host) == *before);
                self.disturbed |= world.faulty || !honest || !same || self.rates.is_empty();
            }
            _ => {}
        }
    }

    /// Returns the time in which all miners worked steadily; `None` if anything disturbed them.
    pub(super) fn window(&self) -> Option<Window<'_>> {
        let until = self.until.filter(|_| !self.disturbed)?;
        Some(Window { rates: &self.rates, since: self.since, until })
    }
}

fn rate(world: &World, host: usize) -> f64 {
    let host = &world.hosts[host];
    host.mine_rate as f64 / host.slow
}

fn mines(world: &World, host: usize) -> bool {
    world.hosts[host].node().is_some_and(|node| {
        matches!(&node.view(world.time()).status.engine, Status::Pow(status) if status.mining)
    })
}
