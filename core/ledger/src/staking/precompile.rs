//! The registry as a contract: what happens when something calls its address.

use super::{
    abi::Staking,
    layout::STAKING_ADDRESS,
    metered::{Failure, Metered},
    transact, view,
};
use crate::Rules;
use Staking::StakingCalls as Call;
use alloy_evm::precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap};
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolInterface, SolValue};
use kette_types::bft::{BftSpec, Domain};
use revm::{
    context_interface::cfg::GasParams,
    precompile::{
        PrecompileError, PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult,
    },
    primitives::hardfork::SpecId,
};
use std::sync::Arc;

/// Puts the registry at its address, if the chain has one. `number` is the block that calls are in; a simulated
/// call is in the block after its state, so that it does what a transaction would.
pub(crate) fn install(precompiles: &mut PrecompilesMap, rules: &Rules, spec: SpecId, number: u64) {
    if rules.bft().is_none() {
        return;
    }
    let gas = GasParams::new_spec(spec);
    let contract = Contract { chain: rules.spec().clone(), domain: rules.domain(), gas, number };
    let id = PrecompileId::Custom("staking".into());
    let precompile = DynPrecompile::new_stateful(id, move |input| contract.run(input));
    precompiles.apply_precompile(&STAKING_ADDRESS, |_| Some(precompile));
}

struct Contract {
    chain: Arc<kette_types::ChainSpec>,
    domain: Domain,
    gas: GasParams,
    number: u64,
}

/// One call of the registry.
pub(super) struct Context<'a, 'b> {
    pub(super) terms: &'a BftSpec,
    pub(super) domain: Domain,
    /// The block that the call is in. The sets of its height and the next one are fixed.
    pub(super) number: u64,
    pub(super) caller: Address,
    pub(super) value: U256,
    pub(super) slots: Metered<'a, 'b>,
}

impl Contract {
    fn run(&self, mut input: PrecompileInput<'_>) -> PrecompileResult {
        let Some(terms) = self.chain.bft() else {
            return Err(PrecompileError::Fatal("the chain has no registry".to_owned()));
        };
        let (direct, reservoir) = (input.is_direct_call(), input.reservoir);
        let mut context = Context {
            terms,
            domain: self.domain,
            number: self.number,
            caller: input.caller,
            value: input.value,
            slots: Metered {
                internals: &mut input.internals,
                gas: &self.gas,
                left: input.gas,
                refund: 0,
            },
        };
        let result = context.dispatch(input.data, direct, input.is_static);
        let (used, refund) = (input.gas - context.slots.left, context.slots.refund);
        match result {
            Ok(output) => {
                let output = PrecompileOutput::new(used, output.into(), reservoir);
                Ok(PrecompileOutput { gas_refunded: refund, ..output })
            }
            Err(Failure::Revert(data)) => {
                Ok(PrecompileOutput::revert(used, data.into(), reservoir))
            }
            Err(Failure::OutOfGas) => {
                Ok(PrecompileOutput::halt(PrecompileHalt::OutOfGas, reservoir))
            }
            Err(Failure::Fatal(error)) => Err(PrecompileError::Fatal(error)),
        }
    }
}

impl Context<'_, '_> {
    fn dispatch(&mut self, data: &[u8], direct: bool, is_static: bool) -> Result<Vec<u8>, Failure> {
        self.slots.charge(CALL_GAS + WORD_GAS * words(data.len()))?;
        if !direct {
            return Err(Failure::revert(&Staking::NotDirect {}));
        }
        let call = decode(data)?;
        let is_view = matches!(
            call,
            Call::validators(_)
                | Call::validator(_)
                | Call::validatorsAt(_)
                | Call::totalWeight(_)
                | Call::quorum(_)
                | Call::unbonding(_)
        );
        if is_static && !is_view {
            return Err(Failure::revert(&Staking::StaticCall {}));
        }
        let payable = matches!(call, Call::register(_) | Call::bond(_));
        if !payable && !self.value.is_zero() {
            return Err(Failure::revert(&Staking::NotPayable {}));
        }
        let output = match call {
            Call::validators(_) => view::validators(self)?.abi_encode(),
            Call::validator(call) => view::validator(self, call.owner)?.abi_encode(),
            Call::validatorsAt(call) => view::validators_at(self, call.height)?.abi_encode(),
            Call::totalWeight(_) => U256::from(view::total_weight(self)?).abi_encode(),
            Call::quorum(_) => U256::from(view::quorum(self)?).abi_encode(),
            Call::unbonding(call) => view::unbonding(self, call.owner)?.abi_encode(),
            call => {
                self.transact(call)?;
                Vec::new()
            }
        };
        self.slots.charge(WORD_GAS * words(output.len()))?;
        Ok(output)
    }

    fn transact(&mut self, call: Call) -> Result<(), Failure> {
        match call {
            Call::register(call) => transact::register(self, call.key, call.vrfKey, &call.proof),
            Call::bond(_) => transact::bond(self),
            Call::unbond(call) => transact::unbond(self, call.amount),
            Call::withdraw(_) => transact::withdraw(self),
            Call::unjail(_) => transact::unjail(self),
            Call::rotate(call) => transact::rotate(self, call.key, call.vrfKey, &call.proof),
            _ => Err(Failure::revert(&Staking::UnknownFunction {})),
        }
    }
}

fn decode(data: &[u8]) -> Result<Call, Failure> {
    let known = data.first_chunk().is_some_and(|selector| Call::valid_selector(*selector));
    if !known {
        return Err(Failure::revert(&Staking::UnknownFunction {}));
    }
    Call::abi_decode_validate(data).map_err(|_| Failure::revert(&Staking::BadArguments {}))
}

fn words(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(32)).unwrap_or(u64::MAX)
}

/// Finding the function, and the arithmetic around its reads and writes.
const CALL_GAS: u64 = 200;
/// A word that is decoded or encoded; as a word that is copied (Yellow Paper, appendix G).
const WORD_GAS: u64 = 3;
