//! What must hold whatever the file says; pure. Less than the simulator's judges see: a process shows only its answers.
//!
//! - `finality`: what is final at a node is in the heaviest chain of the end, and so is what was final, or the node
//!   raised an alarm;
//! - `supply`: balances are genesis plus rewards less burned fees, and the same on nodes with one head;
//! - `no_self_ban`: no node bans another, if all are honest;
//! - `inclusion`: what was taken from a user is in the chain or waits, unless a database was emptied;
//! - `processes`: no process ends by itself, and one that is told to end does;
//! - `liveness`: within `settle` after the last fault one head, nobody catching up, two more blocks.

use alloy_primitives::B256;
use kette_sim::scenario::Facts;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// Which rule.
    pub checker: &'static str,
    /// What was seen.
    pub what: String,
    /// At which node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Seconds after the start.
    pub at_seconds: f64,
}

impl Violation {
    /// Something is wrong at a node.
    pub fn at(checker: &'static str, node: &str, at: Duration, what: String) -> Self {
        Self { checker, what, node: Some(node.to_owned()), at_seconds: at.as_secs_f64() }
    }

    /// Tells whether money or what is final is not what it must be: nothing makes up for that.
    pub fn is_unsafe(&self) -> bool {
        matches!(self.checker, FINALITY | SUPPLY)
    }
}

/// See the module.
pub const FINALITY: &str = "finality";
/// See the module.
pub const SUPPLY: &str = "supply";
/// See the module.
pub const NO_SELF_BAN: &str = "no_self_ban";
/// See the module.
pub const INCLUSION: &str = "inclusion";
/// See the module.
pub const PROCESSES: &str = "processes";
/// See the module.
pub const LIVENESS: &str = "liveness";

/// What nodes called final, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Finals {
    /// Who said so first, and when, by number and hash.
    told: BTreeMap<(u64, B256), Vec<(usize, Duration)>>,
}

impl Finals {
    /// Looks at what is final at honest nodes that run.
    pub fn observe(&mut self, facts: &Facts) {
        for (index, node) in
            facts.nodes.iter().enumerate().filter(|(_, node)| node.up && node.honest)
        {
            if node.finalized_hash == B256::ZERO {
                // It has not answered yet.
                continue;
            }
            let by = self.told.entry((node.finalized, node.finalized_hash)).or_default();
            if !by.iter().any(|(known, _)| *known == index) {
                by.push((index, facts.at));
            }
        }
    }

    /// Compares with the chain of the end, hashes by number from block 0, and the nodes as they are then. `excused` are
    /// nodes that raised an alarm or lost their database: they may have changed their mind, and must not stay behind.
    pub fn judge(
        &self,
        chain: &[B256],
        end: &Facts,
        excused: impl Fn(usize) -> bool,
    ) -> Option<Violation> {
        let name = |node: usize| end.nodes[node].name.clone();
        let is_now = |node: usize, number: u64, hash: &B256| {
            let node = &end.nodes[node];
            node.up && node.finalized == number && node.finalized_hash == *hash
        };
        self.told.iter().find_map(|((number, hash), by)| {
            let there = chain.get(usize::try_from(*number).ok()?);
            if there == Some(hash) {
                return None;
            }
            let (node, at) =
                *by.iter().find(|(node, _)| !excused(*node) || is_now(*node, *number, hash))?;
            let there = there.map_or_else(|| "no block".to_owned(), B256::to_string);
            let node = name(node);
            let what =
                format!("{node} called {hash} final at number {number}; the chain has {there}");
            Some(Violation::at(FINALITY, &node, at, what))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_sim::scenario::NodeFacts;

    fn facts(finals: &[(u64, u8)]) -> Facts {
        let node = |(index, (number, hash)): (usize, &(u64, u8))| NodeFacts {
            name: format!("n{index}"),
            up: true,
            honest: true,
            finalized: *number,
            finalized_hash: B256::repeat_byte(*hash),
            ..NodeFacts::default()
        };
        Facts { at: Duration::from_secs(3), nodes: finals.iter().enumerate().map(node).collect() }
    }

    fn judge(finals: &Finals, end: &Facts, excused: &[usize]) -> Option<Violation> {
        let chain: Vec<B256> = (10..14).map(B256::repeat_byte).collect();
        finals.judge(&chain, end, |node| excused.contains(&node))
    }

    #[test]
    fn what_was_final_must_be_in_the_chain_of_the_end() {
        let mut finals = Finals::default();
        let end = facts(&[(3, 13), (3, 13), (1, 11)]);
        finals.observe(&facts(&[(0, 10), (2, 12), (0, 0)]));
        finals.observe(&end);
        assert_eq!(judge(&finals, &end, &[]), None);
        finals.observe(&facts(&[(3, 13), (3, 99), (1, 11)]));
        let violation = judge(&finals, &end, &[]).unwrap();
        assert_eq!((violation.node.as_deref(), violation.is_unsafe()), (Some("n1"), true));
        assert_eq!(judge(&finals, &end, &[1]), None, "it raised an alarm");
        // Above the chain of the end there is nothing final.
        finals.observe(&facts(&[(9, 42), (3, 13), (1, 11)]));
        assert_eq!(judge(&finals, &end, &[1]).unwrap().node.as_deref(), Some("n0"));
    }

    #[test]
    fn an_alarm_does_not_excuse_who_stays_on_another_chain() {
        let mut finals = Finals::default();
        let end = facts(&[(3, 13), (2, 99)]);
        finals.observe(&end);
        assert_eq!(judge(&finals, &end, &[0, 1]).unwrap().node.as_deref(), Some("n1"));
    }
}
