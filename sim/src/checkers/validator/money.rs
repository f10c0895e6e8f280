//! What a block creates, by the policies of a genesis file.

use alloy_primitives::U512;
use kette_types::{
    U256,
    spec::{LogArgument, RewardPolicy},
};

/// Returns the wei that the block with this number creates. `voters`: how many validators there are, and their weight.
pub fn reward(policy: &RewardPolicy, number: u64, voters: (u64, u128)) -> U256 {
    if number == 0 {
        return U256::ZERO;
    }
    match policy {
        RewardPolicy::Constant { amount } => *amount,
        RewardPolicy::Halving { initial, interval, halvings } => {
            let era = ((number - 1) / (*interval).max(1)).min(u64::from(*halvings));
            // Beyond 256 halvings nothing is left.
            (0..era.min(256)).fold(*initial, |amount, _| amount / U256::from(2))
        }
        RewardPolicy::Log { argument, unit } => {
            let argument = match argument {
                LogArgument::Height => number,
                LogArgument::Value(value) => *value,
                LogArgument::Validators => voters.0,
                LogArgument::MeanStake => {
                    let mean = voters.1 / u128::from(voters.0.max(1));
                    u64::try_from(mean).unwrap_or(u64::MAX)
                }
            };
            units(argument.max(1)).saturating_mul(*unit)
        }
    }
}

/// Fractional bits of logarithms.
const BITS: usize = 200;
/// Digits of the binary logarithm: far more than floor needs.
const STEPS: usize = 120;

/// Returns floor(10^8 * (1 + ln(argument))).
fn units(argument: u64) -> U256 {
    let ln = (log2(argument) * (ln2() >> (256 - BITS))) >> BITS;
    let scale = U512::from(100_000_000_u64);
    let sum: U512 = scale + ((ln * scale) >> BITS);
    sum.to()
}

/// Returns the binary logarithm, bit by bit: squaring doubles it.
fn log2(argument: u64) -> U512 {
    let whole = 63 - argument.leading_zeros() as usize;
    let mut log = U512::from(whole) << BITS;
    let mut value = (U512::from(argument) << BITS) >> whole;
    let two = U512::from(2) << BITS;
    for step in 1..=STEPS {
        value = (value * value) >> BITS;
        if value >= two {
            value >>= 1;
            log += U512::from(1) << (BITS - step);
        }
    }
    log
}

/// Returns ln 2 with 256 fractional bits (OEIS A068426 in binary).
fn ln2() -> U512 {
    let digits = "b17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a0d175b8baafa2b";
    U512::from_str_radix(digits, 16).expect("hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_2_has_the_published_digits() {
        // OEIS A002162.
        let scaled: U512 = (ln2() * U512::from(10).pow(U512::from(30))) >> 256;
        assert_eq!(scaled.to_string(), "693147180559945309417232121458");
    }

    #[test]
    fn rewards_are_the_ledgers() {
        let unit = U256::from(10_000_000_000_u64);
        let policies = [
            RewardPolicy::Constant { amount: U256::from(7) },
            RewardPolicy::Halving { initial: U256::from(1_000_001), interval: 10, halvings: 3 },
            RewardPolicy::Halving { initial: U256::MAX, interval: 1, halvings: u32::MAX },
            RewardPolicy::Log { argument: LogArgument::Height, unit },
            RewardPolicy::Log { argument: LogArgument::Value(300), unit },
            RewardPolicy::Log { argument: LogArgument::MeanStake, unit },
            RewardPolicy::Log { argument: LogArgument::Validators, unit },
        ];
        let numbers = (0..300).chain([1_000, 525_601, 1 << 40, u64::MAX]);
        for (number, policy) in numbers.flat_map(|n| policies.iter().map(move |p| (n, p))) {
            for (count, weight) in [(0, 0), (3, 302), (1, u128::from(u64::MAX)), (7, 8)] {
                let voters = kette_ledger::Voters { count, weight };
                let ledgers = kette_ledger::reward(policy, number, voters);
                assert_eq!(reward(policy, number, (count, weight)), ledgers, "{number}");
            }
        }
    }
}
