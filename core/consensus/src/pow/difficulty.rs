//! How difficulty follows hash rate: absolutely scheduled exponentially rising targets (aserti3-2d).
//!
//! The schedule wants block n at `t_1 + (n - 1) * T`. How many seconds a chain is behind it, its *excess*, is
//! carried in the header, so the next difficulty needs the parent's header and nothing else:
//! ```text
//! excess_1     = 0
//! excess_n     = excess_(n-1) + min(t_n - t_(n-1), K) - T        K = pause limit
//! target_(n+1) = anchor target * 2^(excess_n / half life)        n >= 1
//! ```
//! Without K this is ASERT with block 1 as anchor and `t_1 - T` as the time of its parent. K lets the
//! schedule slip with a pause: plain ASERT makes up for eight hours of silence with thousands of blocks at
//! the lowest difficulty.

use super::seal;
use alloy_primitives::U512;
use kette_types::spec::{PowSpec, Retarget};
use kette_types::{Header, U256};

/// Returns the excess that a header carries: the first 8 bytes of its `extraData`, big-endian two's complement.
pub fn excess(header: &Header) -> Option<i64> {
    header.extra_data.first_chunk().map(|bytes| i64::from_be_bytes(*bytes))
}

/// Returns the excess that a child of `parent` with this timestamp must carry.
pub fn next_excess(spec: &PowSpec, parent: &Header, timestamp: u64) -> i64 {
    if parent.number == 0 {
        return 0;
    }
    let solve_time = i128::from(timestamp) - i128::from(parent.timestamp);
    let counted = solve_time.min(i128::from(spec.pause_limit));
    let sum =
        i128::from(excess(parent).unwrap_or_default()) + counted - i128::from(spec.block_time);
    i64::try_from(sum.clamp(i128::from(i64::MIN), i128::from(i64::MAX))).expect("clamped to i64")
}

/// Returns the difficulty that a child of `parent` must have. `first` is the difficulty of block 1.
pub fn next_difficulty(spec: &PowSpec, first: U256, parent: &Header) -> U256 {
    match spec.retarget {
        _ if parent.number == 0 => first,
        Retarget::Fixed => spec.anchor_difficulty,
        Retarget::Asert => {
            let anchor = seal::target(spec.anchor_difficulty);
            let limit = seal::target(spec.difficulty_min);
            let excess = i128::from(excess(parent).unwrap_or_default());
            seal::work(scale(anchor, excess, spec.half_life, limit)).max(spec.difficulty_min)
        }
    }
}

/// Returns the target of the next block by aserti3-2d.
///
/// `time_diff` runs from the parent of the anchor block to the current block, `height_diff` from the anchor
/// block to the current block. Integers, rounding and order of operations are those of Bitcoin Cash Node and
/// Bitcoin ABC (`src/pow/aserti32d.cpp`), with 512-bit intermediates because targets here may come close to
/// 2^256. The pseudo-code in its specification differs from the code and is not followed.
pub fn asert(
    anchor_target: U256,
    time_diff: i64,
    height_diff: i64,
    block_time: u64,
    half_life: u64,
    limit: U256,
) -> U256 {
    let scheduled = i128::from(block_time).saturating_mul(i128::from(height_diff) + 1);
    scale(anchor_target, i128::from(time_diff).saturating_sub(scheduled), half_life, limit)
}

/// Returns `anchor * 2^(excess / half_life)`, within 0.013 %, clamped to `[1, limit]`.
///
/// # Panics
/// If `half_life` is 0: a checked genesis has at least 1.
fn scale(anchor: U256, excess: i128, half_life: u64, limit: U256) -> U256 {
    // Division truncates towards zero, the shift rounds down; both as in the reference.
    let exponent = excess.saturating_mul(1 << 16) / i128::from(half_life);
    let fraction = u64::try_from(exponent & 0xffff).expect("16 bits");
    let shift = (exponent >> 16).saturating_sub(16);
    let product = U512::from(anchor) * U512::from(power(fraction));
    // Shifts beyond 512 bits are all alike: nothing is left, or the limit is exceeded.
    let bits = usize::try_from(shift.unsigned_abs()).unwrap_or(512).min(512);
    let next = if shift <= 0 {
        product >> bits
    } else if bits + product.bit_len() > 512 {
        U512::MAX
    } else {
        product << bits
    };
    next.saturating_to::<U256>().min(limit).max(U256::ONE)
}

/// Returns 2^(fraction / 2^16) * 2^16 for a fraction below 2^16, by the cubic of aserti3-2d.
fn power(fraction: u64) -> u64 {
    let f = u128::from(fraction);
    let cubic = 195_766_423_245_049 * f + 971_821_376 * f * f + 5_127 * f * f * f + (1 << 47);
    u64::try_from(65_536 + (cubic >> 48)).expect("the cubic stays below 2^17")
}
