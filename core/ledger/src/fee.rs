//! The base fee of EIP-1559, with the floor that a Kette genesis may set.

use crate::Rules;
use alloy_eips::eip1559::{
    DEFAULT_BASE_FEE_MAX_CHANGE_DENOMINATOR, DEFAULT_ELASTICITY_MULTIPLIER, INITIAL_BASE_FEE,
};
use alloy_hardforks::EthereumHardforks;
use kette_types::Header;

/// Returns the base fee of the block that follows `parent`; 0 on Ethereum before London.
pub fn next_base_fee(rules: &Rules, parent: &Header) -> u64 {
    child_base_fee(rules, parent).unwrap_or(0)
}

/// Returns the base fee of the block that follows `parent`, or `None` if it has none (before London).
pub(crate) fn child_base_fee(rules: &Rules, parent: &Header) -> Option<u64> {
    if !rules.is_london_active_at_block(parent.number.saturating_add(1)) {
        return None;
    }
    let fee = match parent.base_fee_per_gas {
        None => INITIAL_BASE_FEE,
        Some(fee) => after(fee, parent.gas_used, parent.gas_limit),
    };
    Some(fee.max(rules.kette().map_or(0, |kette| kette.base_fee_min)))
}

/// EIP-1559: the fee moves by at most an eighth towards the point where half of the gas limit is used.
fn after(fee: u64, gas_used: u64, gas_limit: u64) -> u64 {
    let target = gas_limit / DEFAULT_ELASTICITY_MULTIPLIER;
    if target == 0 {
        return fee;
    }
    let step = |difference: u64| {
        let step = u128::from(fee) * u128::from(difference)
            / u128::from(target)
            / u128::from(DEFAULT_BASE_FEE_MAX_CHANGE_DENOMINATOR);
        u64::try_from(step).unwrap_or(u64::MAX)
    };
    match gas_used.checked_sub(target) {
        Some(0) => fee,
        Some(above) => fee.saturating_add(step(above).max(1)),
        None => fee.saturating_sub(step(target - gas_used)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn follows_the_formula(
            fee in 0..u64::MAX / 2,
            limit in 5_000..u64::MAX / 2,
            used in 0..u64::MAX,
        ) {
            let used = used % (limit + 1);
            let expected =
                calc_next_block_base_fee(used, limit, fee, BaseFeeParams::ethereum());
            prop_assert_eq!(after(fee, used, limit), expected);
        }
    }

    #[test]
    fn table_of_eip_1559() {
        let limit = 30_000_000;
        for (fee, used, expected) in [
            (1_000_000_000, 15_000_000, 1_000_000_000),
            (1_000_000_000, 30_000_000, 1_125_000_000),
            (1_000_000_000, 0, 875_000_000),
            (0, 30_000_000, 1),
            (0, 0, 0),
            (7, 0, 7),
            (u64::MAX, 30_000_000, u64::MAX),
        ] {
            assert_eq!(after(fee, used, limit), expected, "{fee} {used}");
        }
    }
}
