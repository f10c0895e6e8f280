//! Who may propose: the seed of a height, and from it the leader of each round, drawn by weight.
//!
//! ```text
//! seed(1)     = keccak256("kette/bft/first-seed/1\0" || 32 bytes of genesis)
//! seed(h + 1) = keccak256("kette/bft/next-seed/1\0" || seed(h) || VRF output in the header of h)
//! alpha(h, r) = keccak256("kette/bft/alpha/1\0" || seed(h) || h || r)      what the header's maker proves
//! draw(h, r)  = keccak256("kette/bft/draw/1\0" || seed(h) || r)            h 8 bytes, r 4, big-endian
//! ```
//! **Rounds.** With n validators, rounds 0 to n-1 are a turn: n draws by weight without replacement. Rounds n
//! to 2n-1 are the next turn, drawn anew, and so on. A draw is taken modulo the weight that did not lead yet
//! in this turn and counted along the set, which is sorted by public key. In round 0 everybody leads with
//! the share of their weight. Later rounds exist because a leader failed, so whoever had a turn waits: with
//! k validators silent, one of the first k+1 leaders is not, whatever the weights. Draws with replacement
//! have no such bound, and in no round of a turn a better chance of a live leader. The price: the shares
//! of later rounds differ from the weights (behind a leader who holds nearly everything, the small ones lead
//! round 1).
//!
//! **Bias.** A draw has 256 bits and the total less than 128, so reduction moves no probability by more
//! than 2^-128. The VRF output is unique, so a leader cannot try other blocks for another seed. It can
//! withhold: whoever leads round r learns what seed their block would give, and may leave the choice
//! to the leader of round r+1. That is one bit per leader in a row who takes part. Who writes the
//! genesis file chooses the first seed.
//!
//! **What a caller must keep.** The set of height h is fixed before its seed is known: changes made in a
//! block take effect two heights later at the earliest. The round in `alpha` is that in which the block was
//! made, also when it is proposed again later. Nothing random comes from votes or certificates, because two
//! valid certificates for one block differ.

use super::vrf::Output;
use alloy_primitives::{B256, U256, keccak256};
use kette_types::bft::ValidatorSet;

/// Returns the seed of height 1, from 32 bytes of genesis that should differ between chains.
pub fn first_seed(genesis: B256) -> B256 {
    keccak256([b"kette/bft/first-seed/1\0".as_slice(), genesis.as_slice()].concat())
}

/// Returns the seed of the height after the one with this seed, whose header carries this output.
pub fn next_seed(seed: B256, output: &Output) -> B256 {
    let tag = b"kette/bft/next-seed/1\0".as_slice();
    keccak256([tag, seed.as_slice(), output.0.as_slice()].concat())
}

/// Returns what the leader of this height and round proves with its VRF key.
pub fn alpha(seed: B256, height: u64, round: u32) -> B256 {
    let tag = b"kette/bft/alpha/1\0".as_slice();
    keccak256([tag, seed.as_slice(), &height.to_be_bytes(), &round.to_be_bytes()].concat())
}

/// Returns the position of a round's leader in the set of the height. Every round has one, also the last
/// that a peer can name.
///
/// Costs at most n draws and n^2 / 2 steps, 0.1 ms for the last of 128 on a quiet
/// server core. Round 0 is one draw of 1 us.
pub fn leader(set: &ValidatorSet, seed: B256, round: u32) -> usize {
    let turn = u32::try_from(set.len()).expect("at most VALIDATORS_MAX");
    let earlier = round % turn;
    let leaders = Leaders { round: round - earlier, ..leaders(set, seed) };
    let mut leaders = leaders.skip(usize::try_from(earlier).expect("below VALIDATORS_MAX"));
    leaders.next().expect("leaders never end")
}

/// Returns the positions of the leaders of rounds 0, 1, 2 and so on, without end.
pub const fn leaders(set: &ValidatorSet, seed: B256) -> Leaders<'_> {
    Leaders { set, seed, round: 0, waiting: Vec::new(), weight: 0 }
}

/// The leaders of a height round by round, as positions in its set; never ends.
#[derive(Clone, Debug)]
pub struct Leaders<'a> {
    set: &'a ValidatorSet,
    seed: B256,
    round: u32,
    /// Who did not lead yet in this turn, in the order of the set, and their total weight.
    waiting: Vec<(usize, u64)>,
    weight: u128,
}

impl Iterator for Leaders<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.waiting.is_empty() {
            let weights = self.set.validators().iter().map(|validator| validator.weight);
            self.waiting.extend(weights.enumerate());
            self.weight = self.set.total();
        }
        let mut point = draw(self.seed, self.round, self.weight);
        let place = self.waiting.iter().position(|(_, weight)| {
            let rest = point.checked_sub(u128::from(*weight));
            point = rest.unwrap_or(point);
            rest.is_none()
        });
        let (leader, weight) = self.waiting.remove(place.expect("the draw is below the sum"));
        self.weight -= u128::from(weight);
        // Nobody waits for 2^32 rounds, but a peer may name the last one.
        self.round = self.round.wrapping_add(1);
        Some(leader)
    }
}

/// Returns a number below `bound`.
fn draw(seed: B256, round: u32, bound: u128) -> u128 {
    let tag = b"kette/bft/draw/1\0".as_slice();
    let hash = keccak256([tag, seed.as_slice(), &round.to_be_bytes()].concat());
    (U256::from_be_bytes(hash.0) % U256::from(bound)).to()
}

#[cfg(test)]
mod tests;
