//! Constants of `bft` in a genesis file. Times in milliseconds, heights in blocks.

use super::{PublicKey, Quorum, Validator, ValidatorSet};
use crate::spec::SpecError;
use alloy_primitives::{U256, uint};
use serde::{Deserialize, Serialize};

/// `config.kette.engine.bft`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BftSpec {
    /// Least time between blocks, milliseconds.
    pub slot_ms: u64,
    /// Without transactions the next block waits up to this long, milliseconds; 0 makes empty blocks.
    #[serde(default)]
    pub empty_after_ms: u64,
    /// Weight that decides.
    #[serde(default)]
    pub quorum: Quorum,
    /// How long a round waits.
    #[serde(default)]
    pub timeouts: TimeoutSpec,
    /// How far a block's time may lie ahead of the receiver's clock, milliseconds.
    #[serde(default = "default_drift")]
    pub clock_drift_ms: u64,
    /// Validators of the first heights. Their stake is created by genesis: weight times `weightUnit`.
    pub validators: Vec<Validator>,
    /// Their names in the same order, for people and command lines; or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validator_names: Vec<String>,
    /// Wei of stake per unit of weight.
    #[serde(default = "default_unit")]
    pub weight_unit: U256,
    /// Least weight that a new validator must bring.
    #[serde(default = "default_weight_min")]
    pub weight_min: u64,
    /// Blocks until unbonded stake can be withdrawn; it can be slashed as long.
    #[serde(default = "default_unbonding")]
    pub unbonding_blocks: u64,
    /// Share of a block's subsidy that goes to its producer, millionths; validators whose precommits the block
    /// carries share the rest by weight.
    #[serde(default = "default_share")]
    pub producer_share: u32,
    /// What is punished, and how.
    #[serde(default)]
    pub slashing: SlashingSpec,
}

/// How long a round waits; round `r` waits `base + r * delta`, at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TimeoutSpec {
    /// For the proposal, until round trips are measured, milliseconds.
    pub propose_ms: u64,
    /// Added per round.
    pub propose_delta_ms: u64,
    /// For a quorum after two thirds voted on anything, until round trips are measured, milliseconds.
    pub vote_ms: u64,
    /// Added per round.
    pub vote_delta_ms: u64,
    /// Longest wait.
    pub max_ms: u64,
    /// Shortest wait that measured round trips may lead to; equal to `proposeMs` or more turns measuring off.
    pub min_ms: u64,
}

impl Default for TimeoutSpec {
    /// Requirements X2: rounds of about 4, 6 and 8 seconds.
    fn default() -> Self {
        Self {
            propose_ms: 2_000,
            propose_delta_ms: 1_000,
            vote_ms: 1_000,
            vote_delta_ms: 500,
            max_ms: 60_000,
            min_ms: 200,
        }
    }
}

/// What is punished, and how. Shares in millionths of the stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SlashingSpec {
    /// Lost for a double vote or proposal, millionths.
    pub double_sign_share: u32,
    /// Lost for being absent, millionths.
    pub downtime_share: u32,
    /// How many of the last blocks count, at most 10,000; 0 never jails for absence.
    pub downtime_window: u64,
    /// Absent from this many of them: jailed.
    pub downtime_missed: u64,
    /// Blocks until a validator that was absent may come back.
    pub jail_blocks: u64,
    /// Evidence is valid for this many blocks after what it proves.
    pub evidence_age: u64,
}

impl Default for SlashingSpec {
    fn default() -> Self {
        Self {
            double_sign_share: 50_000,
            downtime_share: 0,
            downtime_window: 100,
            downtime_missed: 50,
            jail_blocks: 100,
            evidence_age: 10_000,
        }
    }
}

const fn default_drift() -> u64 {
    2_000
}

const fn default_unit() -> U256 {
    uint!(1_000_000_000_000_000_000_U256)
}

const fn default_weight_min() -> u64 {
    1
}

const fn default_unbonding() -> u64 {
    10_000
}

const fn default_share() -> u32 {
    1_000_000
}

impl BftSpec {
    /// Returns the validators of heights 1 and 2.
    ///
    /// # Errors
    /// If they are no set.
    pub fn genesis_set(&self) -> Result<ValidatorSet, super::SetError> {
        ValidatorSet::new(self.validators.clone())
    }

    /// Returns the validator of genesis with this name.
    pub fn named(&self, name: &str) -> Option<&Validator> {
        let index = self.validator_names.iter().position(|known| known == name)?;
        self.validators.get(index)
    }

    /// Checks the constants.
    ///
    /// # Errors
    /// The field that is out of range.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let range = |field, problem| Err(SpecError::Range { field, problem });
        if let Err(error) = self.genesis_set() {
            return Err(SpecError::Validators(error));
        }
        let usable = |v: &Validator| v.key.is_usable() && PublicKey(v.vrf_key).is_usable();
        if !self.validators.iter().all(usable) {
            return range(
                "config.kette.engine.bft.validators",
                "must have keys that are points of Ed25519 of large order: key and vrfKey as \
                 `kette keys validator show` prints them",
            );
        }
        let mut owners: Vec<_> = self.validators.iter().map(|v| v.address).collect();
        owners.sort_unstable();
        if owners.windows(2).any(|pair| pair[0] == pair[1]) {
            return range("config.kette.engine.bft.validators", "must have an address each");
        }
        let mut names: Vec<_> = self.validator_names.iter().collect();
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() && names.len() != self.validators.len() {
            return range(
                "config.kette.engine.bft.validatorNames",
                "must be one for each validator, all different, or none",
            );
        }
        if self.slot_ms == 0 {
            return range("config.kette.engine.bft.slotMs", "must be at least 1 millisecond");
        }
        let t = &self.timeouts;
        if t.propose_ms == 0 || t.vote_ms == 0 || t.min_ms == 0 || t.max_ms < t.propose_ms {
            return range(
                "config.kette.engine.bft.timeouts",
                "must be at least 1 millisecond each, and maxMs at least proposeMs",
            );
        }
        if self.clock_drift_ms == 0 {
            return range("config.kette.engine.bft.clockDriftMs", "must be at least 1 millisecond");
        }
        if self.weight_unit.is_zero() || self.weight_unit > U256::from(u128::MAX) {
            return range("config.kette.engine.bft.weightUnit", "must be 1 to 2^128 - 1 wei");
        }
        if self.weight_min == 0 {
            return range("config.kette.engine.bft.weightMin", "must be at least 1");
        }
        let s = &self.slashing;
        if self.producer_share > MILLION
            || s.double_sign_share > MILLION
            || s.downtime_share > MILLION
        {
            return range(
                "config.kette.engine.bft",
                "shares are millionths: producerShare, doubleSignShare and downtimeShare are at most 1000000",
            );
        }
        if s.downtime_window > 10_000
            || (s.downtime_window > 0 && !(1..=s.downtime_window).contains(&s.downtime_missed))
        {
            return range(
                "config.kette.engine.bft.slashing.downtimeMissed",
                "must be 1 to downtimeWindow, and that at most 10000",
            );
        }
        if s.evidence_age > self.unbonding_blocks {
            return range(
                "config.kette.engine.bft.slashing.evidenceAge",
                "must be at most unbondingBlocks, or stake could leave before it is punished",
            );
        }
        Ok(())
    }
}

/// A whole, in millionths.
const MILLION: u32 = 1_000_000;
