//! The strategy as a machine of two lengths: algorithm 1 of Eyal and Sirer (2014).
//!
//! | Lead before | Pool finds a block | Others find a block |
//! |---|---|---|
//! | 0, no branch | keeps it | adopts the public chain |
//! | 0, tie (state 0') | publishes: wins the race | adopts the public chain |
//! | 1 | keeps it | publishes its block: a tie |
//! | 2 | keeps it | publishes all: wins by one |
//! | more | keeps it | publishes the first unpublished block |

/// Where the race stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strategy {
    /// Length of the private chain.
    private: u64,
    /// Length of the longest public chain that is not a mere prefix of the private one.
    public: u64,
    /// The pool's whole branch is public and as long as the others'.
    tie: bool,
}

/// What the pool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Goes on mining.
    Wait,
    /// Mines on the public chain.
    Adopt,
    /// Publishes its whole branch, which is as long as the others'.
    Race,
    /// Publishes its whole branch, which is longer than the others'.
    Win,
    /// Publishes the first unpublished block.
    PublishOne,
}

impl Strategy {
    /// Begins without a branch.
    pub(super) const fn new(length: u64) -> Self {
        Self { private: length, public: length, tie: false }
    }

    /// Tells whether the pool has no branch of its own.
    pub(super) const fn is_level(&self) -> bool {
        self.private <= self.public && !self.tie
    }

    /// The pool found a block that makes its chain this long.
    pub(super) const fn pool_found(&mut self, length: u64) -> Move {
        let behind = self.private < self.public;
        self.private = length;
        if self.tie || behind {
            return self.give_up_lead();
        }
        Move::Wait
    }

    /// Others found a block with this number.
    pub(super) fn others_found(&mut self, number: u64) -> Move {
        if number <= self.public {
            return Move::Wait;
        }
        let lead = self.private.saturating_sub(self.public);
        self.public = number;
        // More than one at once, as after a partition: the lead counts from the last of them.
        let lead = if self.private < number { 0 } else { lead.min(self.private - number + 1) };
        match lead {
            0 => {
                self.tie = false;
                Move::Adopt
            }
            1 => {
                self.tie = true;
                Move::Race
            }
            2 => self.give_up_lead(),
            _ => Move::PublishOne,
        }
    }

    /// Publishes everything: the pool's chain is the public one.
    pub(super) const fn give_up_lead(&mut self) -> Move {
        self.tie = false;
        if self.public < self.private {
            self.public = self.private;
        }
        Move::Win
    }

    /// The mining node took the public chain; its head has this number now.
    pub(super) const fn adopted(&mut self, length: u64) {
        self.private = length;
        if self.public < length {
            self.public = length;
        }
        self.tie = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, happens, stream};

    /// Relative revenue by equation 8 of the paper.
    fn revenue(a: f64, g: f64) -> f64 {
        let up = a * (1.0 - a) * (1.0 - a) * (4.0 * a + g * (1.0 - 2.0 * a)) - a * a * a;
        up / (1.0 - a * (1.0 + (2.0 - a) * a))
    }

    /// Plays the game with coins instead of nodes; returns the pool's share of the blocks that stay.
    fn play(alpha: f64, blocks: u64, seed: u64) -> f64 {
        let mut rng = stream(seed, Purpose::Byzantine, 0);
        let mut strategy = Strategy::new(0);
        // Who found the blocks of the public branch since the fork: `true` is the pool.
        let (mut private, mut public) = (Vec::new(), Vec::new());
        let (mut pool, mut others) = (0u64, 0u64);
        let settle = |branch: &mut Vec<bool>, pool: &mut u64, others: &mut u64| {
            for by_pool in branch.drain(..) {
                *(if by_pool { &mut *pool } else { &mut *others }) += 1;
            }
        };
        let mut smaller = false;
        for _ in 0..blocks {
            let decision = if happens(&mut rng, alpha) {
                private.push(true);
                strategy.pool_found(strategy.private + 1)
            } else {
                if strategy.tie && smaller {
                    // All others mine on the pool's block, because its hash is the smaller one.
                    public.clone_from(&private);
                }
                public.push(false);
                strategy.others_found(strategy.public + 1)
            };
            match decision {
                Move::Wait | Move::PublishOne => {}
                Move::Race => smaller = happens(&mut rng, 0.5),
                Move::Adopt => {
                    settle(&mut public, &mut pool, &mut others);
                    private.clear();
                    strategy.adopted(strategy.public);
                }
                Move::Win => {
                    settle(&mut private, &mut pool, &mut others);
                    public.clear();
                }
            }
        }
        pool as f64 / (pool + others) as f64
    }

    #[test]
    fn revenue_follows_the_closed_formula() {
        for (alpha, seed) in [(0.1, 1), (0.25, 2), (0.33, 3), (0.4, 4), (0.45, 5)] {
            let (got, expected) = (play(alpha, 400_000, seed), revenue(alpha, 0.5));
            assert!((got - expected).abs() < 0.006, "alpha {alpha}: {got}, expected {expected}");
        }
        // Below a quarter it does not pay with gamma 1/2, above it does.
        assert!(revenue(0.24, 0.5) < 0.24 && revenue(0.26, 0.5) > 0.26);
    }

    #[test]
    fn several_blocks_at_once_count_to_the_last() {
        let ahead = Strategy { private: 8, public: 5, tie: false };
        for (number, expected) in
            [(6, Move::PublishOne), (7, Move::Win), (8, Move::Race), (9, Move::Adopt)]
        {
            assert_eq!(ahead.clone().others_found(number), expected, "{number}");
        }
    }

    #[test]
    fn each_state_answers_as_in_the_paper() {
        let mut level = Strategy::new(7);
        assert_eq!(level.others_found(8), Move::Adopt);
        let mut one = Strategy::new(7);
        assert_eq!(one.pool_found(8), Move::Wait);
        assert_eq!(one.others_found(8), Move::Race);
        let (mut won, mut lost) = (one, one);
        assert_eq!(won.pool_found(9), Move::Win);
        assert!(won.is_level());
        assert_eq!(lost.others_found(9), Move::Adopt);
        let mut three = Strategy::new(7);
        for length in 8..=10 {
            assert_eq!(three.pool_found(length), Move::Wait);
        }
        assert_eq!(three.others_found(8), Move::PublishOne);
        assert_eq!(
            three.others_found(8),
            Move::Wait,
            "a second block of that height changes nothing"
        );
        assert_eq!(three.others_found(9), Move::Win);
        assert!(three.is_level());
        assert_eq!(three.others_found(10), Move::Wait, "too late");
        assert_eq!(three.others_found(11), Move::Adopt);
    }
}
