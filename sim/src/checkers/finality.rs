//! What a node told to be final stays so, also over a restart.
//!
//! `pow` may replace a final block, if a heavier branch that is not deeper than the reorganization limit says so; then it
//! must raise an alarm in the same turn. Excused is a node whose disk lied, rotted or was emptied.

use super::{Checker, Observation, per_host::PerHost};
use crate::World;
use alloy_primitives::B256;
use kette_chain::Record;
use kette_node::Event;

/// See the module.
#[derive(Debug, Default)]
pub struct Finality {
    hosts: PerHost<Final>,
}

#[derive(Debug, Default)]
struct Final {
    /// Told to everybody.
    told: Option<(u64, B256)>,
    /// Ordered to be written.
    ordered: Option<u64>,
    /// A final block was replaced, and nobody heard an alarm yet.
    alarm_due: Option<u64>,
    wipes: u32,
}

impl Checker for Finality {
    fn name(&self) -> &'static str {
        "finality"
    }

    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        let (Observation::Up { host }
        | Observation::Down { host }
        | Observation::Turned { host }
        | Observation::Ordered { host, .. }
        | Observation::Event { host, .. }) = seen
        else {
            return Ok(());
        };
        let here = &world.hosts[*host];
        if !here.is_honest() {
            return Ok(());
        }
        let known = self.hosts.of(*host);
        let result = match seen {
            Observation::Up { .. } => known.up(here),
            Observation::Down { .. } => {
                // It had no time for an alarm.
                known.alarm_due = None;
                Ok(())
            }
            Observation::Ordered { records, .. } => {
                records.iter().try_for_each(|record| known.ordered(record))
            }
            Observation::Event { event: Event::Finalized { number, hash }, .. } => {
                known.told(*number, *hash)
            }
            Observation::Event { event: Event::Alarm(_), .. } => {
                known.alarm_due = None;
                Ok(())
            }
            // A turn of several writes is seen after each of them; the alarm may stand behind the next one.
            Observation::Turned { .. } if here.writing => Ok(()),
            Observation::Turned { .. } => match known.alarm_due.take() {
                Some(number) => Err(format!("replaced final block {number} without an alarm")),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        result.map_err(|what| format!("{}: {what}", here.name))
    }
}

impl Final {
    fn up(&mut self, host: &crate::world::Host) -> Result<(), String> {
        let Some(node) = host.node() else { return Ok(()) };
        let (tree, wipes) = (node.tree(), host.disk.wipes());
        let told = self.told.filter(|_| wipes == self.wipes && !host.disk.is_excused());
        let now = tree.finalized();
        *self = Self { told: Some(now), ordered: Some(now.0), alarm_due: None, wipes };
        let Some((number, hash)) = told else { return Ok(()) };
        let found = tree.canonical(number).map_err(|error| error.to_string())?;
        if now.0 < number || found != Some(hash) {
            return Err(format!(
                "block {number} {hash} was final before a restart; now {} is the newest final \
                 number, and {found:?} has that number",
                now.0
            ));
        }
        Ok(())
    }

    fn ordered(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Canonical { keep, .. } => {
                if self.ordered.is_some_and(|number| number > *keep) {
                    self.alarm_due = self.ordered;
                    self.ordered = Some(*keep);
                }
                // What was told is no longer promised.
                self.told = self.told.filter(|(number, _)| number <= keep);
                Ok(())
            }
            Record::Final { number, hash, .. } => match self.ordered.replace(*number) {
                Some(before) if before >= *number => {
                    Err(format!("writes {number} {hash} as final after {before}"))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn told(&mut self, number: u64, hash: B256) -> Result<(), String> {
        match self.told.replace((number, hash)) {
            Some((before, old)) if before >= number => {
                Err(format!("tells {number} {hash} as final after {before} {old}"))
            }
            _ => Ok(()),
        }
    }
}
