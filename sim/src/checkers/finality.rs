//! What a node told to be final stays so, also over a restart.
//!
//! `pow` may replace a final block, if a heavier branch that is not deeper than the reorganization limit says so; then it
//! must raise an alarm in the same turn. Excused is a node whose disk lied, rotted or was emptied.
//!
//! A turn writes everything first and tells it in order afterwards; it may call several blocks final, replace some of
//! them and call others final. So what is written and what is told are followed apart.

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
    /// It raised an alarm since it last told of a head.
    alarmed: bool,
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
                known.alarmed = true;
                Ok(())
            }
            Observation::Event { event: Event::Head { removed, .. }, .. } => {
                known.switched(removed.iter().map(|block| block.number()).min())
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
        *self = Self { told: Some(now), ordered: Some(now.0), wipes, ..Self::default() };
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

    /// The head is another one, for which the blocks from this number on were replaced.
    fn switched(&mut self, lowest: Option<u64>) -> Result<(), String> {
        let alarmed = std::mem::take(&mut self.alarmed);
        let Some(replaced) =
            self.told.filter(|(number, _)| lowest.is_some_and(|low| low <= *number))
        else {
            return Ok(());
        };
        // What was told is no longer promised, if everybody heard of it.
        self.told = None;
        match alarmed {
            true => Ok(()),
            false => Err(format!("replaced final block {} without an alarm", replaced.0)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(known: &mut Final, numbers: std::ops::RangeInclusive<u64>, branch: u8) {
        for number in numbers {
            known.told(number, B256::repeat_byte(branch)).unwrap();
        }
    }

    #[test]
    fn one_turn_may_replace_what_it_called_final_itself() {
        let mut known = Final::default();
        told(&mut known, 33..=36, 1);
        known.alarmed = true;
        known.switched(Some(36)).unwrap();
        told(&mut known, 36..=37, 2);
        let silent = known.switched(Some(37)).unwrap_err();
        assert!(silent.contains("without an alarm"), "{silent}");
    }

    #[test]
    fn a_replaced_final_block_is_noticed() {
        let mut known = Final::default();
        told(&mut known, 1..=5, 1);
        known.alarmed = true;
        // One that replaces nothing final, or nothing at all, does not take the promise back.
        known.switched(Some(6)).unwrap();
        known.switched(None).unwrap();
        assert!(known.told(5, B256::repeat_byte(2)).unwrap_err().contains("as final after"));
    }
}
