//! Time and difficulty: median time past, and ASERT by its absolute formula from block 1.

use super::{Refusal, demand, same, seal};
use alloy_primitives::U512;
use kette_types::{
    Header, U256,
    spec::{PowSpec, Retarget},
};

/// Timestamps of which the median is taken.
pub(super) const MEDIAN_SPAN: usize = 11;

/// Checks timestamp, difficulty and the excess in `extraData`. `counted` is the sum of the parent's counted solve times,
/// `times` are the timestamps of the parent and its ancestors. Returns the sum with this block.
pub(super) fn check(
    pow: &PowSpec,
    first: U256,
    header: &Header,
    parent: &Header,
    counted: i128,
    times: &[u64],
) -> Result<i128, Refusal> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    demand(header.timestamp > median, || {
        format!("timestamp {} is not after the median {median}", header.timestamp)
    })?;

    let difficulty = match pow.retarget {
        _ if header.number == 1 => first,
        Retarget::Fixed => pow.anchor_difficulty,
        Retarget::Asert => asert(pow, excess(pow, parent.number, counted)),
    };
    same("difficulty", header.difficulty, difficulty)?;

    // Block 1 is the anchor: genesis is made beforehand, so the time since then says nothing.
    let sum = match header.number {
        1 => 0,
        _ => {
            let solve = i128::from(header.timestamp) - i128::from(parent.timestamp);
            counted + solve.min(i128::from(pow.pause_limit))
        }
    };
    let extra = &header.extra_data;
    demand((8..=32).contains(&extra.len()), || format!("{} bytes of extra data", extra.len()))?;
    let told = extra.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let due = excess(pow, header.number, sum);
    same("excess", i128::from(told.cast_signed()), due)?;
    Ok(sum)
}

/// Returns how many seconds the chain is behind schedule at a block: what it took, less what it should have taken. The
/// parent of the anchor counts as one block time before it.
fn excess(pow: &PowSpec, number: u64, counted: i128) -> i128 {
    let time = counted + i128::from(pow.block_time);
    // Blocks since the anchor, and one.
    time - i128::from(pow.block_time) * i128::from(number)
}

/// Returns the difficulty after a block with this excess: aserti3-2d, integers and order as in
/// `bitcoin-abc:src/pow/aserti32d.cpp`, with wide intermediates.
pub(super) fn asert(pow: &PowSpec, excess: i128) -> U256 {
    let anchor = U512::from(seal::target(pow.anchor_difficulty));
    let limit = U512::from(seal::target(pow.difficulty_min));
    let e = excess * 65_536 / i128::from(pow.half_life);
    let s = e >> 16;
    let f = U256::from(u64::try_from(e - (s << 16)).expect("the low 16 bits"));
    let cubic = U256::from(195_766_423_245_049_u64) * f
        + U256::from(971_821_376_u64) * f * f
        + U256::from(5_127_u64) * f * f * f
        + (U256::from(1) << 47);
    let factor = U512::from(U256::from(65_536) + (cubic >> 48));
    // Below 2^273. Doubling stops at the limit and halving at nothing, so neither is done more than 512 times.
    let mut target = anchor * factor;
    let mut shift = s - 16;
    while shift > 0 && target <= limit {
        target <<= 1;
        shift -= 1;
    }
    while shift < 0 && !target.is_zero() {
        target >>= 1;
        shift += 1;
    }
    let target = target.clamp(U512::from(1), limit);
    seal::work(target.to()).max(pow.difficulty_min)
}
