//! The health score of a network, 0 to 100 (requirements X20): idle costs nothing, a split costs most.

use serde::Serialize;

/// What the score is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Nodes planned.
    pub nodes: usize,
    /// Nodes that answer.
    pub running: usize,
    /// Groups of nodes without a session between them.
    pub components: usize,
    /// Fewest sessions that a running node has.
    pub sessions_min: usize,
    /// Errors in the last 60 seconds.
    pub errors: usize,
    /// Tips differ by more than 2 blocks for more than 30 seconds.
    pub diverged: bool,
}

/// How good a score is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Band {
    /// 100.
    Excellent,
    /// 80 to 99.
    Good,
    /// 60 to 79.
    Fair,
    /// Below 60.
    Poor,
}

/// Returns the score.
pub fn score(health: &Health) -> u8 {
    let share = health.running * 100 / health.nodes.max(1);
    let bonus = if health.components == 1 && health.sessions_min >= 2 { BONUS } else { 0 };
    let split = if health.components > 1 { SPLIT } else { 0 };
    let diverged = if health.diverged { DIVERGED } else { 0 };
    let penalty = (PER_ERROR * health.errors + split + diverged).min(PENALTY_MAX);
    let total = (share + bonus).saturating_sub(penalty).min(100);
    u8::try_from(total).unwrap_or(100)
}

/// Returns the word for a score.
pub const fn band(score: u8) -> Band {
    match score {
        100.. => Band::Excellent,
        80..=99 => Band::Good,
        60..=79 => Band::Fair,
        _ => Band::Poor,
    }
}

const BONUS: usize = 5;
const SPLIT: usize = 45;
const DIVERGED: usize = 10;
const PER_ERROR: usize = 2;
const PENALTY_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn health(running: usize, components: usize, sessions_min: usize, errors: usize) -> Health {
        Health { nodes: 10, running, components, sessions_min, errors, diverged: false }
    }

    #[test]
    fn gives_the_vectors_of_x20() {
        let vectors = [
            (health(10, 1, 2, 0), 100, Band::Excellent),
            (health(9, 1, 2, 0), 95, Band::Good),
            (health(8, 1, 2, 0), 85, Band::Good),
            (health(6, 1, 2, 0), 65, Band::Fair),
            (health(5, 1, 2, 3), 49, Band::Poor),
            (health(5, 2, 1, 3), 0, Band::Poor),
            (health(10, 2, 2, 0), 55, Band::Poor),
        ];
        for (health, expected, word) in vectors {
            assert_eq!((score(&health), band(score(&health))), (expected, word), "{health:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn stays_within_bounds(running in 0usize..2000, nodes in 0usize..1000, components in 0usize..50,
                               sessions_min in 0usize..50, errors in 0usize..100_000, diverged: bool) {
            let health = Health { nodes, running: running.min(nodes), components, sessions_min, errors, diverged };
            proptest::prop_assert!(score(&health) <= 100);
        }
    }
}
