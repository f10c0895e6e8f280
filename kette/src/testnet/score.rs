//! Two scores of a network, 0 to 100 each, with what they are made of: its health (requirement X20), in which idle
//! costs nothing and a split costs most, and its connectivity (requirement A32).

use serde::Serialize;

/// What the health score is made of.
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
    /// Validators that hear each other have too few votes: nothing becomes final.
    pub no_quorum: bool,
    /// Two nodes have different final blocks of one number: nothing makes up for that.
    pub conflict: bool,
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

/// The parts of a health score: `share + bonus - penalty`, within 0 and 100, and 0 with conflicting finality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HealthParts {
    /// Nodes that answer, percent of those planned.
    pub running_share: usize,
    /// For one group in which each node has two sessions or more.
    pub connected_bonus: usize,
    /// For errors of the last 60 seconds.
    pub errors_penalty: usize,
    /// For more than one group.
    pub split_penalty: usize,
    /// For tips that differ for long.
    pub diverged_penalty: usize,
    /// For validators without a quorum.
    pub quorum_penalty: usize,
    /// All penalties, at most 60.
    pub penalty: usize,
    /// Different final blocks of one number.
    pub conflicting_finality: bool,
}

impl Health {
    /// Returns the parts of the score.
    pub fn parts(&self) -> HealthParts {
        let given = |is: bool, points: usize| if is { points } else { 0 };
        let errors_penalty = PER_ERROR.saturating_mul(self.errors);
        let split_penalty = given(self.components > 1, SPLIT);
        let diverged_penalty = given(self.diverged, DIVERGED);
        let quorum_penalty = given(self.no_quorum, NO_QUORUM);
        HealthParts {
            running_share: self.running * 100 / self.nodes.max(1),
            connected_bonus: given(self.components == 1 && self.sessions_min >= 2, BONUS),
            errors_penalty,
            split_penalty,
            diverged_penalty,
            quorum_penalty,
            penalty: errors_penalty
                .saturating_add(split_penalty + diverged_penalty + quorum_penalty)
                .min(PENALTY_MAX),
            conflicting_finality: self.conflict,
        }
    }
}

impl HealthParts {
    /// Returns the score.
    pub fn score(&self) -> u8 {
        if self.conflicting_finality {
            return 0;
        }
        let total = (self.running_share + self.connected_bonus).saturating_sub(self.penalty);
        u8::try_from(total.min(100)).unwrap_or(100)
    }
}

/// The connectivity score: four parts of 25 points each, by the share of all planned nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Connectivity {
    /// Nodes that answer.
    pub running: u8,
    /// Nodes with a session; a node alone in its network needs none.
    pub connected: u8,
    /// Nodes that answer and had no error in the last 60 seconds.
    pub without_errors: u8,
    /// Nodes that answer within 100 ms.
    pub responsive: u8,
    /// All four together.
    pub score: u8,
}

impl Connectivity {
    /// Adds up the parts; each argument is a number of nodes.
    pub fn of(
        nodes: usize,
        running: usize,
        connected: usize,
        without_errors: usize,
        responsive: usize,
    ) -> Self {
        let part = |count: usize| {
            u8::try_from((count * PART / nodes.max(1)).min(PART)).unwrap_or_default()
        };
        let parts = [running, connected, without_errors, responsive].map(part);
        let [running, connected, without_errors, responsive] = parts;
        Self { running, connected, without_errors, responsive, score: parts.iter().sum() }
    }
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

/// Points of each of the four parts.
const PART: usize = 25;
const BONUS: usize = 5;
const SPLIT: usize = 45;
const DIVERGED: usize = 10;
/// X20 names none; the chain stands still, which is worse than a split.
const NO_QUORUM: usize = 60;
const PER_ERROR: usize = 2;
const PENALTY_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn health(running: usize, components: usize, sessions_min: usize, errors: usize) -> Health {
        Health { nodes: 10, running, components, sessions_min, errors, ..Health::default() }
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
            let score = health.parts().score();
            assert_eq!((score, band(score)), (expected, word), "{health:?}");
        }
    }

    #[test]
    fn tips_apart_cost_ten_points_and_conflicting_finality_all() {
        let whole = health(10, 1, 2, 0);
        assert_eq!(Health { diverged: true, ..whole }.parts().score(), 95);
        assert_eq!(Health { conflict: true, ..whole }.parts().score(), 0);
        let silent = Health { no_quorum: true, ..whole }.parts();
        assert_eq!(
            (silent.quorum_penalty, silent.score(), band(silent.score())),
            (60, 45, Band::Poor)
        );
        let parts = health(10, 2, 2, 40).parts();
        assert_eq!((parts.errors_penalty, parts.split_penalty, parts.penalty), (80, 45, 60));
    }

    #[test]
    fn connectivity_has_four_parts_of_25() {
        let score = |running, connected, good, fast| {
            Connectivity::of(10, running, connected, good, fast).score
        };
        assert_eq!(score(10, 10, 10, 10), 100);
        assert_eq!(score(10, 10, 9, 10), 97);
        assert_eq!(score(5, 5, 5, 5), 48);
        assert_eq!(score(0, 0, 0, 0), 0);
        assert_eq!(Connectivity::of(0, 0, 0, 0, 0).score, 0);
    }

    proptest::proptest! {
        #[test]
        fn stays_within_bounds(running in 0usize..2000, nodes in 0usize..1000, components in 0usize..50,
                               sessions_min in 0usize..50, errors: usize, diverged: bool, no_quorum: bool, conflict: bool) {
            let health = Health { nodes, running: running.min(nodes), components, sessions_min, errors, diverged, no_quorum, conflict };
            proptest::prop_assert!(health.parts().score() <= 100);
        }
    }
}
