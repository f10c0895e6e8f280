//! The least gas limit with which a transaction succeeds, found as geth finds it.

use super::{Call, CallError, Simulation, halt_text, overrides::Overridden};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{KECCAK256_EMPTY, TxKind};
use kette_types::U256;
use revm::{
    Database,
    context::result::{ExecutionResult, HaltReason},
    database::State as Cache,
    inspector::NoOpInspector,
};

impl Call<'_> {
    /// Returns a gas limit with which it succeeds, at most 1.5 % above the least one: `eth_estimateGas`.
    ///
    /// # Errors
    /// If it cannot run at all, or fails with as much gas as it may have.
    pub fn estimate_gas(&self) -> Result<u64, CallError> {
        let simulation = Simulation::new(self)?;
        simulation.with_cache(|cache| search(&simulation, cache, self))
    }
}

fn search(
    simulation: &Simulation<'_>,
    cache: &mut Cache<Overridden<'_>>,
    call: &Call<'_>,
) -> Result<u64, CallError> {
    let mut high = highest(simulation, cache, call)?;
    if is_plain_transfer(simulation, cache)? && high >= TRANSFER_GAS {
        let result = simulation.run(cache, TRANSFER_GAS, None, NoOpInspector {});
        if result.is_ok_and(|result| result.is_success()) {
            return Ok(TRANSFER_GAS);
        }
    }
    let (used, refund) = match simulation.run(cache, high, None, NoOpInspector {}) {
        Ok(ExecutionResult::Success { gas, .. }) => (gas.total_gas_spent(), gas.inner_refunded()),
        Ok(ExecutionResult::Revert { output, .. }) => return Err(CallError::Reverted(output)),
        Ok(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. })
        | Err(CallError::IntrinsicGas { .. }) => return Err(CallError::GasAllowance(high)),
        Ok(ExecutionResult::Halt { reason, .. }) => {
            return Err(CallError::Halted(halt_text(&reason)));
        }
        Err(error) => return Err(error),
    };
    // What was used after refunds is the most that is certainly too little by one.
    let mut low = used.saturating_sub(refund).saturating_sub(1);
    // Most calls need what they used before refunds, a stipend, and the 64th that a call holds back (EIP-150).
    let guess = used.saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
    if guess < high {
        if succeeds(simulation, cache, guess)? { high = guess } else { low = guess }
    }
    while low + 1 < high && !is_close(low, high) {
        // Limits near the low end are likelier, so the search leans to them.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(1));
        if succeeds(simulation, cache, middle)? { high = middle } else { low = middle }
    }
    Ok(high)
}

/// Returns the largest gas limit that may be tried.
fn highest(
    simulation: &Simulation<'_>,
    cache: &mut Cache<Overridden<'_>>,
    call: &Call<'_>,
) -> Result<u64, CallError> {
    let Call { request, header, gas_cap, .. } = *call;
    let mut high = request.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(header.gas_limit);
    let transaction = &simulation.transaction;
    if transaction.gas_price > 0 {
        let (got, expected) = (simulation.sender(cache)?.balance, transaction.value);
        let left =
            got.checked_sub(expected).ok_or(CallError::InsufficientFunds { got, expected })?;
        let affordable = left / U256::from(transaction.gas_price);
        high = high.min(affordable.saturating_to());
    }
    if simulation.rules.is_osaka_active_at_timestamp(header.timestamp) {
        high = high.min(alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA);
    }
    Ok(high.min(gas_cap))
}

fn is_plain_transfer(
    simulation: &Simulation<'_>,
    cache: &mut Cache<Overridden<'_>>,
) -> Result<bool, CallError> {
    let transaction = &simulation.transaction;
    let TxKind::Call(to) = transaction.kind else { return Ok(false) };
    if !transaction.data.is_empty() {
        return Ok(false);
    }
    let to = cache.basic(to).map_err(|error| CallError::Invalid(error.to_string()))?;
    Ok(to.is_none_or(|to| to.code_hash == KECCAK256_EMPTY))
}

fn succeeds(
    simulation: &Simulation<'_>,
    cache: &mut Cache<Overridden<'_>>,
    gas: u64,
) -> Result<bool, CallError> {
    match simulation.run(cache, gas, None, NoOpInspector {}) {
        Ok(result) => Ok(result.is_success()),
        Err(CallError::IntrinsicGas { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether a search is done: within 1.5 %, as geth.
const fn is_close(low: u64, high: u64) -> bool {
    (high - low).saturating_mul(1_000) < high.saturating_mul(15)
}

/// Gas of a transfer between accounts without code (Yellow Paper, appendix G).
const TRANSFER_GAS: u64 = 21_000;
/// Gas that a callee gets with a value (Yellow Paper, appendix G).
const CALL_STIPEND: u64 = 2_300;
