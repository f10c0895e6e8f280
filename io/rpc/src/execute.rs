//! Simulated calls: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.

use crate::{
    args::Args,
    chain::Ancestors,
    context::Context,
    failure::Failure,
    table::{Answer, reply},
};
use alloy_eips::BlockId;
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::AccessListResult;
use kette_ledger::{
    State,
    call::{Call, CallError, CallOutcome, EvmOverrides, TransactionRequest},
};
use kette_node::View;
use kette_types::SealedHeader;
use std::sync::Arc;

/// What a simulated call is given.
struct Request {
    view: Arc<View>,
    header: SealedHeader,
    state: State,
    transaction: TransactionRequest,
    overrides: EvmOverrides,
}

impl Request {
    fn take(cx: &Context, args: &mut Args, block_overrides: bool) -> Result<Self, Failure> {
        let transaction = args.required()?;
        let block: Option<BlockId> = args.optional()?;
        let state_overrides = args.optional()?;
        let block_overrides = if block_overrides { args.optional()? } else { None };
        let overrides = EvmOverrides::new(state_overrides, block_overrides);
        let view = cx.view();
        let (header, state) = cx.state(&view, block)?;
        Ok(Self { view, header, state, transaction, overrides })
    }

    /// Lends it as a call, together with where `BLOCKHASH` looks.
    fn with_call<T>(
        &self,
        cx: &Context,
        work: impl FnOnce(Call<'_>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        work(Call {
            rules: &cx.rules,
            header: &self.header,
            state: &self.state,
            request: &self.transaction,
            overrides: &self.overrides,
            hashes: &Ancestors { cx, view: &self.view, header: &self.header },
            gas_cap: cx.config.call_gas_max,
        })
    }
}

/// `eth_call`.
pub(crate) fn eth_call(cx: &Context, args: &mut Args) -> Answer {
    let request = Request::take(cx, args, true)?;
    match request.with_call(cx, |call| call.run())? {
        CallOutcome::Success { output, .. } => reply(&output),
        CallOutcome::Revert { output, .. } => Err(Failure::Reverted(output)),
        CallOutcome::Halt { reason, .. } => Err(Failure::Server(reason)),
    }
}

/// `eth_estimateGas`.
pub(crate) fn estimate_gas(cx: &Context, args: &mut Args) -> Answer {
    let request = Request::take(cx, args, true)?;
    let gas = request.with_call(cx, |call| call.estimate_gas())?;
    reply(&U64::from(gas))
}

/// `eth_createAccessList`.
pub(crate) fn create_access_list(cx: &Context, args: &mut Args) -> Answer {
    let request = Request::take(cx, args, false)?;
    let made = request.with_call(cx, |call| call.access_list())?;
    let (gas_used, error) = match made.outcome {
        CallOutcome::Success { gas_used, .. } => (gas_used, None),
        CallOutcome::Revert { gas_used, output } => {
            (gas_used, Some(Failure::Reverted(output).to_string()))
        }
        CallOutcome::Halt { gas_used, reason } => (gas_used, Some(reason)),
    };
    reply(&AccessListResult {
        access_list: made.access_list,
        gas_used: U256::from(gas_used),
        error,
    })
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Read(error) => error.into(),
            CallError::Reverted(output) => Self::Reverted(output),
            CallError::Request(_) | CallError::WrongChainId { .. } => {
                Self::InvalidParams(error.to_string())
            }
            other => Self::Server(other.to_string()),
        }
    }
}
