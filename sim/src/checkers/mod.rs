//! Judges: what must hold in every run, whatever the scenario. Each is a file of its own; all are always on.
//!
//! A checker sees every observation in order and the whole world, and objects in words. It never changes anything.

pub mod agreement;
pub mod ancestry;
pub mod bounds;
pub mod certificates;
pub mod difficulty;
pub mod durability;
pub mod evidence;
pub mod fairness;
pub mod finality;
#[cfg(test)]
pub(crate) mod fixture;
pub mod fork_choice;
pub mod inclusion;
mod lineage;
pub mod liveness;
pub mod mempool;
pub mod no_self_ban;
mod per_host;
#[cfg(test)]
mod planted;
pub mod quiescence;
pub mod restart;
mod rounds;
mod steady;
pub mod supply;
pub mod validator;
pub mod validity;
pub mod vote_discipline;
mod voters;

use crate::World;
use kette_chain::Record;
use kette_node::{Event, Submitted, Ticket};
use kette_types::{Message, PeerId};
use serde::Serialize;

/// Something that happened at a host. Hosts are named by their index in [`World::hosts`].
#[derive(Debug)]
pub enum Observation<'a> {
    /// A node runs (again).
    Up {
        /// Which.
        host: usize,
    },
    /// A node no longer runs.
    Down {
        /// Which.
        host: usize,
    },
    /// A node told a fact.
    Event {
        /// Which.
        host: usize,
        /// The fact.
        event: &'a Event,
    },
    /// A node ordered a write; it is readable and not yet durable.
    Ordered {
        /// Which.
        host: usize,
        /// What.
        records: &'a [Record],
    },
    /// A message leaves a node. Everything ordered before must be durable.
    Sent {
        /// Which.
        host: usize,
        /// To whom.
        to: &'a [PeerId],
        /// What.
        message: &'a Message,
    },
    /// A client is answered. Everything ordered before must be durable.
    Replied {
        /// Which.
        host: usize,
        /// Which question.
        ticket: Ticket,
        /// What.
        result: &'a Submitted,
    },
    /// A turn of a node ended: its state may be looked at. Comes once for every node that took an input which led to
    /// an event or a write.
    Turned {
        /// Which.
        host: usize,
    },
    /// All faults ended; from now on the network must converge.
    Healed,
}

/// One invariant.
pub trait Checker {
    /// Its name: that of its file.
    fn name(&self) -> &'static str;
    /// Looks at one observation.
    ///
    /// # Errors
    /// If the invariant does not hold: what was seen, with node names.
    fn observe(&mut self, world: &World, seen: &Observation<'_>) -> Result<(), String> {
        let _ = (world, seen);
        Ok(())
    }
    /// Looks at the world when the run is over: all honest nodes run, the network had time to converge and is quiet.
    ///
    /// # Errors
    /// If the invariant does not hold.
    fn finish(&mut self, world: &World) -> Result<(), String> {
        let _ = world;
        Ok(())
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Name of the checker.
    pub checker: &'static str,
    /// What was seen.
    pub what: String,
    /// Number of the event.
    pub event: u64,
    /// Virtual time, microseconds.
    pub at_micros: u64,
}

/// Makes all checkers.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(validity::Validity::default()),
        Box::new(agreement::Agreement::default()),
        Box::new(finality::Finality::default()),
        Box::new(ancestry::Ancestry::default()),
        Box::new(fork_choice::ForkChoice::default()),
        Box::new(supply::Supply::default()),
        Box::new(difficulty::Difficulty::default()),
        Box::new(fairness::Fairness::default()),
        Box::new(durability::Durability::default()),
        Box::new(restart::Restart::default()),
        Box::new(liveness::Liveness::default()),
        Box::new(mempool::Mempool::default()),
        Box::new(inclusion::Inclusion::default()),
        Box::new(bounds::Bounds::default()),
        Box::new(no_self_ban::NoSelfBan::default()),
        Box::new(quiescence::Quiescence::default()),
        Box::new(vote_discipline::VoteDiscipline::default()),
        Box::new(certificates::Certificates::default()),
        Box::new(evidence::Evidences::default()),
    ]
}
