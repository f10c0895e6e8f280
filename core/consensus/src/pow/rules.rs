//! Which headers are sealed: the rules that a peer can break, cheapest first.

use super::{difficulty, seal};
use crate::SealError;
use kette_chain::Headers;
use kette_types::{
    B256, SealedHeader, Time, U256,
    planted::{Bug, is_planted},
    spec::PowSpec,
};

/// A rule of `pow` that a header breaks, whatever the state of the node that looks at it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The proof is in the header; there is nothing beside it.
    #[error("seal beside the header has {got} bytes, expected none")]
    SealNotEmpty {
        /// Bytes found.
        got: usize,
    },
    /// `extraData` holds the excess and at most 24 bytes more.
    #[error("extra data has {got} bytes, expected {EXTRA_DATA_MIN} to {EXTRA_DATA_MAX}")]
    ExtraDataLength {
        /// Bytes found.
        got: usize,
    },
    /// No block is easier than the genesis file allows.
    #[error("difficulty {got} is below the lowest, {expected}")]
    DifficultyBelowMin {
        /// The header's difficulty.
        got: U256,
        /// The lowest difficulty.
        expected: U256,
    },
    /// The hash does not meet the target of the header's own difficulty.
    #[error("proof-of-work hash {got:#x} is above the target {expected:#x}")]
    ProofOfWork {
        /// The hash.
        got: U256,
        /// The target.
        expected: U256,
    },
    /// Numbers count up by one.
    #[error("number {got} after the parent's, expected {expected}")]
    Number {
        /// The header's number.
        got: u64,
        /// The parent's plus one.
        expected: u64,
    },
    /// The difficulty is the one that the schedule demands.
    #[error("difficulty {got}, expected {expected}")]
    Difficulty {
        /// The header's difficulty.
        got: U256,
        /// By the parent.
        expected: U256,
    },
    /// `mixHash` is the parent's proof-of-work hash.
    #[error("mix hash {got}, expected {expected}")]
    MixHash {
        /// The header's.
        got: B256,
        /// The parent's proof-of-work hash.
        expected: B256,
    },
    /// The excess follows from the parent's and the two timestamps.
    #[error("excess {got} s in the extra data, expected {expected} s")]
    Excess {
        /// The header's.
        got: i64,
        /// By the parent.
        expected: i64,
    },
    /// Time moves on: the timestamp is later than the median of the last eleven.
    #[error("timestamp {got}, expected later than the median time past {expected}")]
    MedianTimePast {
        /// The header's timestamp.
        got: u64,
        /// The median.
        expected: u64,
    },
}

/// Checks a header. What needs the header alone comes first, then the parent, then older ancestors, and the
/// clock last, so that only headers which are otherwise good are held for a later time.
pub(super) fn check(
    spec: &PowSpec,
    first_difficulty: U256,
    clock: Time,
    header: &SealedHeader,
    chain: &dyn Headers,
) -> Result<(), SealError> {
    alone(spec, header)?;
    let parent =
        chain.header(header.parent_hash)?.ok_or(SealError::UnknownAncestor(header.parent_hash))?;
    against_parent(spec, first_difficulty, clock, header, &parent)?;
    let median = median_time_past(&parent, chain)?;
    if header.timestamp <= median {
        return Err(Violation::MedianTimePast { got: header.timestamp, expected: median }.into());
    }
    let acceptable = Time::from_secs(header.timestamp.saturating_sub(spec.future_limit));
    if clock < acceptable {
        return Err(SealError::Future(acceptable));
    }
    Ok(())
}

fn alone(spec: &PowSpec, header: &SealedHeader) -> Result<(), Violation> {
    if !header.seal().is_empty() {
        return Err(Violation::SealNotEmpty { got: header.seal().len() });
    }
    let len = header.extra_data.len();
    if !(EXTRA_DATA_MIN..=EXTRA_DATA_MAX).contains(&len) {
        return Err(Violation::ExtraDataLength { got: len });
    }
    if header.difficulty < spec.difficulty_min {
        return Err(Violation::DifficultyBelowMin {
            got: header.difficulty,
            expected: spec.difficulty_min,
        });
    }
    let target = seal::target(header.difficulty);
    let hash = seal::header_pow_hash(header);
    if hash > target {
        return Err(Violation::ProofOfWork { got: hash, expected: target });
    }
    Ok(())
}

fn against_parent(
    spec: &PowSpec,
    first_difficulty: U256,
    clock: Time,
    header: &SealedHeader,
    parent: &SealedHeader,
) -> Result<(), Violation> {
    if Some(header.number) != parent.number.checked_add(1) {
        let expected = parent.number.saturating_add(1);
        return Err(Violation::Number { got: header.number, expected });
    }
    let expected = difficulty::next_difficulty(spec, first_difficulty, parent);
    if header.difficulty != expected {
        return Err(Violation::Difficulty { got: header.difficulty, expected });
    }
    let wrong = is_planted(Bug::LocalClockDifficulty);
    let timestamp = if wrong { clock.as_secs() } else { header.timestamp };
    let expected = difficulty::next_excess(spec, parent, timestamp);
    let got = difficulty::excess(header).expect("the length was checked");
    if got != expected {
        return Err(Violation::Excess { got, expected });
    }
    let expected = mix_hash(parent);
    if header.mix_hash != expected {
        return Err(Violation::MixHash { got: header.mix_hash, expected });
    }
    Ok(())
}

/// Returns the `mixHash` of a child of `parent`: what contracts read as PREVRANDAO costs work to bias and is
/// known when a template is built.
pub(super) fn mix_hash(parent: &SealedHeader) -> B256 {
    B256::from(seal::header_pow_hash(parent))
}

/// Returns the median timestamp of `parent` and its ancestors, eleven in all; the upper one of an even number,
/// which occurs only near genesis.
pub(super) fn median_time_past(
    parent: &SealedHeader,
    chain: &dyn Headers,
) -> Result<u64, SealError> {
    let mut timestamps = vec![parent.timestamp];
    let (mut number, mut hash) = (parent.number, parent.parent_hash);
    while number > 0 && timestamps.len() < MEDIAN_SPAN {
        let ancestor = chain.header(hash)?.ok_or(SealError::UnknownAncestor(hash))?;
        timestamps.push(ancestor.timestamp);
        // Counts down by itself, so that a header with a false number cannot make the loop longer.
        number -= 1;
        hash = ancestor.parent_hash;
    }
    timestamps.sort_unstable();
    Ok(timestamps[timestamps.len() / 2])
}

/// Bytes of the excess at the start of `extraData`.
pub const EXTRA_DATA_MIN: usize = 8;
/// Ethereum's limit of `extraData`; the bytes after the excess are free for the miner.
pub const EXTRA_DATA_MAX: usize = 32;
/// How many timestamps the median time past is taken of.
pub const MEDIAN_SPAN: usize = 11;
