//! Validators, their weights, and how much of it is a quorum.

use super::PublicKey;
use crate::planted::{Bug, is_planted};
use alloy_primitives::{Address, B256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most validators in a set: set and certificate fit one seal.
pub const VALIDATORS_MAX: usize = 128;

/// One validator as it counts in one height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, RlpEncodable, RlpDecodable)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validator {
    /// The account that owns the stake and is paid.
    pub address: Address,
    /// What it signs votes and proposals with.
    pub key: PublicKey,
    /// What its leadership is proven with (RFC 9381).
    pub vrf_key: B256,
    /// Votes it has.
    pub weight: u64,
}

/// Who votes in one height: sorted by public key, no key twice, no weight zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Arc<[Validator]>,
    total: u128,
    hash: B256,
}

/// A list that is no validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No quorum can exist.
    #[error("no validators")]
    Empty,
    /// More than one seal can carry.
    #[error("{0} validators, at most {VALIDATORS_MAX}")]
    TooMany(usize),
    /// Not sorted, or one key twice.
    #[error("validators are not sorted by public key, or a key occurs twice: {0}")]
    Order(PublicKey),
    /// A validator without a vote.
    #[error("validator {0} has weight 0")]
    NoWeight(PublicKey),
}

impl ValidatorSet {
    /// Takes validators in any order.
    ///
    /// # Errors
    /// As [`Self::from_sorted`].
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, SetError> {
        validators.sort_by_key(|validator| validator.key);
        Self::from_sorted(validators)
    }

    /// Takes validators as they stand in a seal.
    ///
    /// # Errors
    /// If the list is empty, too long, not sorted, or has a key twice or a weight of zero.
    pub fn from_sorted(validators: Vec<Validator>) -> Result<Self, SetError> {
        if validators.is_empty() {
            return Err(SetError::Empty);
        }
        if validators.len() > VALIDATORS_MAX {
            return Err(SetError::TooMany(validators.len()));
        }
        if let Some(pair) = validators.windows(2).find(|pair| pair[0].key >= pair[1].key) {
            return Err(SetError::Order(pair[1].key));
        }
        if let Some(none) = validators.iter().find(|validator| validator.weight == 0) {
            return Err(SetError::NoWeight(none.key));
        }
        let total = validators.iter().map(|validator| u128::from(validator.weight)).sum();
        let hash = keccak256(alloy_rlp::encode(&validators));
        Ok(Self { validators: validators.into(), total, hash })
    }

    /// Returns the validators, sorted by public key.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// Always false.
    pub fn is_empty(&self) -> bool {
        self.validators.is_empty()
    }

    /// Returns the sum of all weights.
    pub const fn total(&self) -> u128 {
        self.total
    }

    /// Returns keccak256(RLP(validators)).
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Returns the validator at a position.
    pub fn get(&self, index: usize) -> Option<&Validator> {
        self.validators.get(index)
    }

    /// Returns the position of a key; `None` if it has no vote.
    pub fn position(&self, key: &PublicKey) -> Option<usize> {
        self.validators.binary_search_by_key(key, |validator| validator.key).ok()
    }

    /// Returns the weight of a key; 0 if it has no vote.
    pub fn weight(&self, key: &PublicKey) -> u64 {
        self.position(key).map_or(0, |index| self.validators[index].weight)
    }
}

/// How much weight decides. Integers only, so that every machine agrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quorum {
    /// `3 w >= 2 W`: survives a third that is silent, and nobody who lies if three are equal.
    #[serde(rename = "2/3")]
    TwoThirds,
    /// `3 w > 2 W`: Tendermint's; survives less than a third that lies.
    #[default]
    #[serde(rename = "2/3+")]
    MoreThanTwoThirds,
}

impl Quorum {
    /// Tells whether `weight` of `total` decides.
    pub fn is_met(self, weight: u128, total: u128) -> bool {
        weight >= self.threshold(total)
    }

    /// Returns the least weight that decides: 200 of 300, 267 of 400, 334 of 500, 134 of 200 for `2/3`.
    pub fn threshold(self, total: u128) -> u128 {
        // Weights are u64 and at most 128 of them: twice and three times fit.
        let least = match self {
            Self::TwoThirds => (2 * total).div_ceil(3),
            Self::MoreThanTwoThirds => 2 * total / 3 + 1,
        };
        if is_planted(Bug::QuorumOffByOne) { least - 1 } else { least }
    }

    /// Tells whether voters of this weight surely include an honest one, if less than a third lies.
    pub const fn has_honest(weight: u128, total: u128) -> bool {
        3 * weight >= total
    }

    /// Returns the greatest weight that may lie without two quorums for two blocks: below `2q - W`.
    pub fn safe_weight(self, total: u128) -> u128 {
        (2 * self.threshold(total)).saturating_sub(total).saturating_sub(1)
    }

    /// Returns the greatest weight that may be silent without stopping the chain: `W - q`.
    pub fn live_weight(self, total: u128) -> u128 {
        total.saturating_sub(self.threshold(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_the_published_ones() {
        // Requirements T4 and X1.
        for (total, least) in [(300, 200), (400, 267), (500, 334), (200, 134)] {
            assert_eq!(Quorum::TwoThirds.threshold(total), least);
            assert!(Quorum::TwoThirds.is_met(least, total));
            assert!(!Quorum::TwoThirds.is_met(least - 1, total));
        }
        for (total, least) in [(300, 201), (400, 267), (500, 334), (200, 134), (4, 3), (3, 3)] {
            assert_eq!(Quorum::MoreThanTwoThirds.threshold(total), least);
        }
        // research/bft.md section 5, equal weights of one under `2/3`: q, safe, live.
        for (n, q, safe, live) in
            [(3, 2, 0, 1), (4, 3, 1, 1), (5, 4, 2, 1), (6, 4, 1, 2), (7, 5, 2, 2), (10, 7, 3, 3)]
        {
            let quorum = Quorum::TwoThirds;
            assert_eq!(
                (quorum.threshold(n), quorum.safe_weight(n), quorum.live_weight(n)),
                (q, safe, live),
                "{n}"
            );
        }
        let whole = u128::from(u64::MAX) * VALIDATORS_MAX as u128;
        assert!(Quorum::TwoThirds.is_met(whole, whole));
    }

    #[test]
    fn a_set_is_sorted_and_counted() {
        let validator = |key: u8, weight| Validator {
            address: Address::repeat_byte(key),
            key: PublicKey(B256::repeat_byte(key)),
            vrf_key: B256::ZERO,
            weight,
        };
        let set = ValidatorSet::new(vec![validator(2, u64::MAX), validator(1, 7)]).expect("valid");
        assert_eq!(set.total(), u128::from(u64::MAX) + 7);
        assert_eq!(set.position(&PublicKey(B256::repeat_byte(2))), Some(1));
        assert_eq!(set.weight(&PublicKey(B256::repeat_byte(3))), 0);
        let key = PublicKey(B256::repeat_byte(1));
        assert_eq!(ValidatorSet::new(vec![]), Err(SetError::Empty));
        assert_eq!(
            ValidatorSet::new(vec![validator(1, 1), validator(1, 2)]),
            Err(SetError::Order(key))
        );
        assert_eq!(ValidatorSet::new(vec![validator(1, 0)]), Err(SetError::NoWeight(key)));
        let many = (0..=128).map(|n| validator(n, 1)).collect();
        assert_eq!(ValidatorSet::new(many), Err(SetError::TooMany(129)));
        let unsorted = vec![validator(2, 1), validator(1, 1)];
        assert_eq!(ValidatorSet::from_sorted(unsorted), Err(SetError::Order(key)));
    }
}
