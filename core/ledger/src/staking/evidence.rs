//! Punishment of who signed twice.

use super::{
    abi::Staking,
    record::{Holder, Record, Unbonding, share_of},
    slots::{Slots, SlotsMut},
};
use crate::{ReadError, Rules, State};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;
use kette_types::bft::{BftSpec, Domain, Evidence, EvidenceError, PublicKey};

/// Why a block cannot carry this evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceRefusal {
    /// The host failed; nothing is said about the evidence.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It proves nothing.
    #[error(transparent)]
    Proof(#[from] EvidenceError),
    /// The chain has no registry.
    #[error("evidence: the chain has no validators")]
    NoRegistry,
    /// Nobody ever registered this key.
    #[error("evidence: {0} was never a validator's key")]
    Unknown(PublicKey),
    /// The key could not vote any more at that height.
    #[error("evidence of height {height}: the key was changed in block {retired}")]
    Retired {
        /// Of what was signed.
        height: u64,
        /// When the owner took another key.
        retired: u64,
    },
    /// Not before the block that carries it.
    #[error("evidence of height {height} in block {number}")]
    Future {
        /// Of what was signed.
        height: u64,
        /// Of the block.
        number: u64,
    },
    /// Too long ago.
    #[error("evidence of height {height} in block {number}: older than {age} blocks")]
    Old {
        /// Of what was signed.
        height: u64,
        /// Of the block.
        number: u64,
        /// `evidenceAge`.
        age: u64,
    },
    /// Punished already, for this height or a later one.
    #[error(
        "evidence of height {height}: the validator was punished for height {punished} already"
    )]
    Punished {
        /// Of what was signed.
        height: u64,
        /// What it was punished for.
        punished: u64,
    },
}

/// Tells why block `number` on this state cannot carry this evidence. What is accepted here is accepted by
/// execution, whatever the block's transactions do, as long as the block carries no other evidence against the
/// same validator: see [`choose_evidence`].
///
/// # Errors
/// The reason, or that the state cannot be read.
pub fn evidence_error(
    rules: &Rules,
    state: &State,
    number: u64,
    evidence: &Evidence,
) -> Result<(), EvidenceRefusal> {
    accused(rules, state, number, evidence).map(drop)
}

/// Chooses, in the order given, up to `max` proofs that block `number` on this state can carry: one for each
/// validator, the rest waits.
///
/// # Errors
/// If the state cannot be read.
pub fn choose_evidence<'a>(
    rules: &Rules,
    state: &State,
    number: u64,
    pool: impl IntoIterator<Item = &'a Evidence>,
    max: usize,
) -> Result<Vec<Evidence>, ReadError> {
    let (mut chosen, mut owners) = (Vec::new(), Vec::new());
    for evidence in pool {
        if chosen.len() == max {
            break;
        }
        match accused(rules, state, number, evidence) {
            Ok(owner) if owners.contains(&owner) => {}
            Ok(owner) => {
                owners.push(owner);
                chosen.push(evidence.clone());
            }
            Err(EvidenceRefusal::Read(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(chosen)
}

fn accused(
    rules: &Rules,
    state: &State,
    number: u64,
    evidence: &Evidence,
) -> Result<Address, EvidenceRefusal> {
    let terms = rules.bft().ok_or(EvidenceRefusal::NoRegistry)?;
    let mut slots = state;
    Ok(judge(&mut slots, terms, rules.domain(), number, evidence)??.owner)
}

/// Finds whom the evidence is about. The outer error is the storage's.
pub(super) fn judge<S: Slots>(
    slots: &mut S,
    terms: &BftSpec,
    domain: Domain,
    number: u64,
    evidence: &Evidence,
) -> Result<Result<Record, EvidenceRefusal>, S::Error> {
    let (key, height, age) = (evidence.culprit(), evidence.height(), terms.slashing.evidence_age);
    if let Err(error) = evidence.signed() {
        return Ok(Err(error.into()));
    }
    if height >= number {
        return Ok(Err(EvidenceRefusal::Future { height, number }));
    }
    if number - height > age {
        return Ok(Err(EvidenceRefusal::Old { height, number, age }));
    }
    let Some(holder) = Holder::load(slots, key)? else {
        return Ok(Err(EvidenceRefusal::Unknown(key)));
    };
    // A change in block r counts from height r + 2 on.
    if let Some(retired) = holder.retired.filter(|retired| height >= retired.saturating_add(2)) {
        return Ok(Err(EvidenceRefusal::Retired { height, retired }));
    }
    let record = Record::load(slots, holder.owner)?;
    if height <= record.punished {
        return Ok(Err(EvidenceRefusal::Punished { height, punished: record.punished }));
    }
    Ok(match evidence.check(domain) {
        Ok(()) => Ok(record),
        Err(error) => Err(error.into()),
    })
}

/// What a punishment takes, and says.
pub(super) struct Punishment {
    pub(super) burned: U256,
    pub(super) logs: Vec<alloy_primitives::LogData>,
}

/// Punishes a double signing of `height`: stake and what is on its way out are cut, and the validator is out
/// for ever.
pub(super) fn punish<S: SlotsMut>(
    slots: &mut S,
    terms: &BftSpec,
    number: u64,
    height: u64,
    mut record: Record,
) -> Result<Punishment, S::Error> {
    let share = terms.slashing.double_sign_share;
    let mut burned = cut(slots, &mut record, share)?;
    for index in 0..record.queue {
        let entry = record.unbonding(slots, index)?;
        if entry.release > number {
            let loss = share_of(entry.amount, share);
            burned += loss;
            let amount = entry.amount - loss;
            record.set_unbonding(slots, index, Unbonding { amount, ..entry })?;
        }
    }
    (record.jailed, record.tombstoned, record.jailed_until) = (true, true, u64::MAX);
    (record.punished, record.missed) = (height, 0);
    record.save(slots)?;
    let (owner, amount) = (record.owner, burned);
    let logs = vec![
        Staking::Slashed { owner, amount }.encode_log_data(),
        Staking::Jailed { owner, until: u64::MAX }.encode_log_data(),
    ];
    Ok(Punishment { burned, logs })
}

/// Takes a share of the stake. Who has none left gives back the seat. The caller saves the record.
pub(super) fn cut<S: SlotsMut>(
    slots: &mut S,
    record: &mut Record,
    share: u32,
) -> Result<U256, S::Error> {
    let loss = share_of(record.stake, share);
    record.stake -= loss;
    if record.seated && record.stake.is_zero() {
        record.stand(slots)?;
    }
    Ok(loss)
}
