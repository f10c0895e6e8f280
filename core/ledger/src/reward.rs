//! What a block pays its producer: integers only, so that every machine pays the same.

use kette_types::{
    U256,
    planted::{Bug, is_planted},
    spec::{LogArgument, RewardPolicy},
};

/// Who votes in a block's height, as far as its reward depends on it; nobody if the engine has no validators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voters {
    /// How many there are.
    pub count: u64,
    /// Their weight.
    pub weight: u128,
}

impl Voters {
    /// Returns the mean weight, rounded down; 1 if there is nobody.
    fn mean(self) -> u64 {
        let mean = self.weight.checked_div(u128::from(self.count)).unwrap_or(1);
        u64::try_from(mean).unwrap_or(u64::MAX)
    }
}

/// Returns the wei that the block with this number creates; nothing for block 0.
pub fn reward(policy: &RewardPolicy, number: u64, voters: Voters) -> U256 {
    let Some(past) = number.checked_sub(1) else { return U256::ZERO };
    if is_planted(Bug::DuplicateReward) && number.is_multiple_of(8) {
        return by_policy(policy, number, past, voters).saturating_mul(U256::from(2));
    }
    by_policy(policy, number, past, voters)
}

fn by_policy(policy: &RewardPolicy, number: u64, past: u64, voters: Voters) -> U256 {
    match policy {
        RewardPolicy::Constant { amount } => *amount,
        RewardPolicy::Halving { initial, interval, halvings } => {
            let era = past.checked_div(*interval).unwrap_or(0).min(u64::from(*halvings));
            usize::try_from(era).map_or(U256::ZERO, |era| initial.wrapping_shr(era))
        }
        RewardPolicy::Log { argument, unit } => {
            let argument = match argument {
                LogArgument::Height => number,
                LogArgument::Value(value) => *value,
                LogArgument::MeanStake => voters.mean(),
                LogArgument::Validators => voters.count,
            };
            log_units(argument).saturating_mul(*unit)
        }
    }
}

/// Returns floor(10^8 * (1 + ln(argument))).
fn log_units(argument: u64) -> U256 {
    let units = U256::from(UNITS);
    units + ((ln(argument.max(1)) * units) >> FRACTION_BITS)
}

/// Returns the natural logarithm with [`FRACTION_BITS`] fractional bits, rounded down by less than 2^-118.
///
/// With `argument = 2^k * m` and `1 <= m < 2`, `ln(argument) = k ln(2) + 2 artanh((m - 1) / (m + 1))`.
fn ln(argument: u64) -> U256 {
    let exponent = argument.ilog2();
    let (mantissa, one) =
        (U256::from(argument), U256::from(1) << usize::try_from(exponent).expect("at most 63"));
    let fraction = ((mantissa - one) << FRACTION_BITS) / (mantissa + one);
    let third = (U256::from(1) << FRACTION_BITS) / U256::from(3);
    ((artanh(third) * U256::from(exponent)) + artanh(fraction)) << 1
}

/// Sums `x + x^3/3 + x^5/5 + ...` until the terms vanish; at most 41 terms for `x <= 1/3`.
fn artanh(x: U256) -> U256 {
    let square = (x * x) >> FRACTION_BITS;
    let (mut power, mut odd, mut sum) = (x, U256::from(1), U256::ZERO);
    while !power.is_zero() {
        sum += power / odd;
        power = (power * square) >> FRACTION_BITS;
        odd += U256::from(2);
    }
    sum
}

/// Units of a coin with eight decimals.
const UNITS: u64 = 100_000_000;
/// Products of two fractions must fit 256 bits.
const FRACTION_BITS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOBODY: Voters = Voters { count: 0, weight: 0 };
    const COIN: u128 = 1_000_000_000_000_000_000;

    #[test]
    fn log_has_the_published_values() {
        // Requirements X7, units of 10^-8.
        for (argument, expected) in [
            (1, 100_000_000_u64),
            (2, 169_314_718),
            (3, 209_861_228),
            (5, 260_943_791),
            (10, 330_258_509),
            (100, 560_517_018),
            (300, 670_378_247),
        ] {
            assert_eq!(log_units(argument), U256::from(expected), "{argument}");
            let unit = U256::from(10_000_000_000_u64);
            let height = RewardPolicy::Log { argument: LogArgument::Height, unit };
            assert_eq!(reward(&height, argument, NOBODY), U256::from(expected) * unit);
            let value = RewardPolicy::Log { argument: LogArgument::Value(argument), unit };
            assert_eq!(reward(&value, 7, NOBODY), U256::from(expected) * unit);
        }
    }

    #[test]
    fn log_of_validators() {
        let unit = U256::from(1);
        let units = |argument, count, weight| {
            let policy = RewardPolicy::Log { argument, unit };
            reward(&policy, 1, Voters { count, weight })
        };
        // Requirement T27, "5.60 TIME": three validators with a stake of 100 each.
        assert_eq!(units(LogArgument::MeanStake, 3, 300), U256::from(560_517_018));
        assert_eq!(units(LogArgument::MeanStake, 3, 302), U256::from(560_517_018));
        assert_eq!(units(LogArgument::Validators, 3, 300), U256::from(209_861_228));
        assert_eq!(units(LogArgument::MeanStake, 0, 0), U256::from(100_000_000));
        assert_eq!(units(LogArgument::Validators, 0, 0), U256::from(100_000_000));
        let most = u128::from(u64::MAX) * 128;
        assert_eq!(Voters { count: 128, weight: most }.mean(), u64::MAX);
    }

    #[test]
    fn ln_has_the_published_digits() {
        // ln 2 (OEIS A002162) and ln 10 (OEIS A002392), 30 decimals.
        let ten = U256::from(10);
        let scale = ten.pow(U256::from(30));
        for (argument, digits) in
            [(2, "693147180559945309417232121458"), (10, "2302585092994045684017991454684")]
        {
            let got = (ln(argument) * scale) >> FRACTION_BITS;
            assert_eq!(got.to_string(), digits);
        }
    }

    #[test]
    fn halving_ends() {
        let policy = RewardPolicy::Halving {
            initial: U256::from(50 * COIN),
            interval: 525_600,
            halvings: 3,
        };
        for (number, expected) in [
            (0, 0),
            (1, 50 * COIN),
            (525_600, 50 * COIN),
            (525_601, 25 * COIN),
            (1_051_201, 25 * COIN / 2),
            (1_576_801, 25 * COIN / 4),
            (u64::MAX, 25 * COIN / 4),
        ] {
            assert_eq!(reward(&policy, number, NOBODY), U256::from(expected), "{number}");
        }
        let long = RewardPolicy::Halving { initial: U256::MAX, interval: 1, halvings: u32::MAX };
        assert_eq!(reward(&long, 256, NOBODY), U256::from(1));
        assert_eq!(reward(&long, 257, NOBODY), U256::ZERO);
        assert_eq!(reward(&long, u64::MAX, NOBODY), U256::ZERO);
    }

    #[test]
    fn constant_stays() {
        let policy = RewardPolicy::Constant { amount: U256::from(7) };
        assert_eq!(reward(&policy, 0, NOBODY), U256::ZERO);
        assert_eq!(reward(&policy, 1, NOBODY), U256::from(7));
        assert_eq!(reward(&policy, u64::MAX, NOBODY), U256::from(7));
    }

    proptest! {
        #[test]
        fn ln_of_a_product_is_the_sum(a in 1..u64::from(u32::MAX), b in 1..u64::from(u32::MAX)) {
            let error = ln(a * b).abs_diff(ln(a) + ln(b));
            prop_assert!(error < U256::from(1) << (FRACTION_BITS - 118));
        }
        #[test]
        fn log_grows(a in 1..u64::MAX) {
            prop_assert!(log_units(a) <= log_units(a + 1));
        }
    }
}
