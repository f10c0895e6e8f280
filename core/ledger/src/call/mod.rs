//! Simulated calls on a block's state: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.
//!
//! Checks are relaxed as geth relaxes them: any sender, any nonce, a gas limit above the block's, and no base
//! fee while the caller names no fee. A value still needs a balance, unless an override gives one.

mod access;
mod estimate;
mod overrides;

pub use access::AccessListOutcome;
pub use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest,
    state::{AccountOverride, EvmOverrides, StateOverride},
};

use crate::{ReadError, Rules, State, database::BlockHashes, staking};
use alloy_evm::{Evm, EvmEnv, eth::EthEvmBuilder};
use alloy_primitives::{Log, TxKind};
use kette_types::{Address, Bytes, Header, U256};
use overrides::Overridden;
use revm::{
    Database,
    context::{
        BlockEnv, TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
        transaction::AccessList,
    },
    context_interface::either::Either,
    database::State as Cache,
    inspector::{Inspector, NoOpInspector},
    state::AccountInfo,
};
use std::cell::OnceCell;

/// How a simulated call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It returned.
    Success {
        /// What it returned; of a creation the deployed code.
        output: Bytes,
        /// Gas used, refunds deducted.
        gas_used: u64,
        /// What it logged.
        logs: Vec<Log>,
    },
    /// It reverted.
    Revert {
        /// The reason, ABI-encoded as a rule.
        output: Bytes,
        /// Gas used.
        gas_used: u64,
    },
    /// It ran out of gas or did what no program may do.
    Halt {
        /// What happened.
        reason: String,
        /// Gas used: all of it.
        gas_used: u64,
    },
}

/// A call that was not even started, or a gas limit that cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The host failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The request contradicts itself.
    #[error("{0}")]
    Request(&'static str),
    /// Signed for another chain.
    #[error("chain id {got}, expected {expected}")]
    WrongChainId {
        /// In the request.
        got: u64,
        /// The chain's.
        expected: u64,
    },
    /// The balance does not cover value and highest fee.
    #[error("insufficient funds for gas * price + value: balance {got} wei, needs {expected}")]
    InsufficientFunds {
        /// The sender's balance.
        got: U256,
        /// What it would cost at most.
        expected: U256,
    },
    /// The highest fee is below the block's base fee.
    #[error("max fee per gas less than block base fee: {got}, base fee {base_fee}")]
    BaseFee {
        /// In the request.
        got: u128,
        /// The block's.
        base_fee: u64,
    },
    /// The gas limit is below what the call costs before it runs.
    #[error("intrinsic gas too low: have {got}, want {expected}")]
    IntrinsicGas {
        /// In the request.
        got: u64,
        /// The least.
        expected: u64,
    },
    /// The call is invalid for another reason.
    #[error("{0}")]
    Invalid(String),
    /// No gas limit up to the cap is enough.
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    /// The call to be estimated reverts.
    #[error("execution reverted")]
    Reverted(Bytes),
    /// The call to be estimated fails whatever gas it gets.
    #[error("{0}")]
    Halted(String),
}

/// A call that is no transaction: the state stays as it is.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The chain's rules.
    pub rules: &'a Rules,
    /// The block that gives the environment.
    pub header: &'a Header,
    /// The state after it.
    pub state: &'a State,
    /// What is called, by whom, with what.
    pub request: &'a TransactionRequest,
    /// What is other than in the chain.
    pub overrides: &'a EvmOverrides,
    /// Where `BLOCKHASH` looks.
    pub hashes: &'a dyn BlockHashes,
    /// Bounds the work, in gas.
    pub gas_cap: u64,
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Call<'_> {
    /// Runs it: `eth_call`.
    ///
    /// # Errors
    /// If the request cannot be run at all; a call that fails is an outcome.
    pub fn run(&self) -> Result<CallOutcome, CallError> {
        let simulation = Simulation::new(self)?;
        simulation.with_cache(|cache| {
            simulation.run(cache, self.gas(), None, NoOpInspector {}).map(CallOutcome::from)
        })
    }

    /// Returns the gas that the request has.
    fn gas(&self) -> u64 {
        self.request.gas.unwrap_or(self.gas_cap).min(self.gas_cap)
    }
}

/// A request made ready to run, more than once if need be.
struct Simulation<'a> {
    env: EvmEnv,
    transaction: TxEnv,
    /// The block that the call is in for the validator registry.
    number: u64,
    rules: &'a Rules,
    state: &'a State,
    overrides: &'a EvmOverrides,
    hashes: &'a dyn BlockHashes,
    fault: OnceCell<ReadError>,
}

impl<'a> Simulation<'a> {
    fn new(call: &Call<'a>) -> Result<Self, CallError> {
        let Call { rules, header, state, request, overrides, hashes, .. } = *call;
        let mut env = environment(rules, header, overrides.block.as_deref());
        let transaction = transaction(rules, request, env.block_env.basefee)?;
        if transaction.gas_price == 0 && transaction.gas_priority_fee.unwrap_or(0) == 0 {
            // As geth: who names no fee pays none, and sees none.
            env.block_env.basefee = 0;
        }
        let fault = OnceCell::new();
        let number = header.number.saturating_add(1);
        Ok(Self { env, transaction, number, rules, state, overrides, hashes, fault })
    }

    /// Lends a cache over state and overrides, and reports a failed read as the cause of whatever happened.
    fn with_cache<T>(
        &self,
        work: impl FnOnce(&mut Cache<Overridden<'_>>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let database = Overridden::new(self.state, self.hashes, &self.fault, self.overrides);
        let mut cache = Cache::builder().with_database(database).build();
        let result = work(&mut cache);
        match self.fault.get() {
            Some(error) => Err(CallError::Read(error.clone())),
            None => result,
        }
    }

    /// Returns the sender's account.
    fn sender(&self, cache: &mut Cache<Overridden<'_>>) -> Result<AccountInfo, CallError> {
        let info = cache.basic(self.transaction.caller);
        Ok(info.map_err(|error| CallError::Invalid(error.to_string()))?.unwrap_or_default())
    }

    /// Runs the call with this much gas. Nothing is kept in the cache but what was read.
    fn run<'b, 'c, I>(
        &self,
        cache: &'b mut Cache<Overridden<'c>>,
        gas: u64,
        access_list: Option<AccessList>,
        inspector: I,
    ) -> Result<ExecutionResult, CallError>
    where
        I: Inspector<alloy_evm::eth::EthEvmContext<&'b mut Cache<Overridden<'c>>>>,
    {
        let mut transaction = TxEnv { gas_limit: gas, ..self.transaction.clone() };
        // Only the address of a created contract depends on it.
        transaction.nonce = self.sender(cache)?.nonce;
        if let Some(list) = access_list {
            transaction.access_list = list;
            transaction.tx_type = transaction.tx_type.max(ACCESS_LIST_TYPE);
        }
        let mut evm =
            EthEvmBuilder::new(cache, self.env.clone()).activate_inspector(inspector).build();
        let precompiles = &mut *evm.components_mut().2;
        staking::install(precompiles, self.rules, self.env.cfg_env.spec, self.number);
        let moves = self.overrides.state.iter().flatten().filter_map(|(address, account)| {
            account.move_precompile_to.map(|target| (*address, target))
        });
        precompiles
            .move_precompiles(moves)
            .map_err(|error| CallError::Invalid(error.to_string()))?;
        let base_fee = self.env.block_env.basefee;
        let fee = transaction.gas_price;
        match evm.transact_raw(transaction) {
            Ok(output) => Ok(output.result),
            Err(EVMError::Transaction(error)) => Err(invalid(error, fee, base_fee)),
            Err(error) => Err(CallError::Invalid(error.to_string())),
        }
    }
}

fn invalid(error: InvalidTransaction, fee: u128, base_fee: u64) -> CallError {
    match error {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            CallError::InsufficientFunds { got: *balance, expected: *fee }
        }
        InvalidTransaction::GasPriceLessThanBasefee => CallError::BaseFee { got: fee, base_fee },
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas: least, gas_limit }
        | InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: least, gas_limit } => {
            CallError::IntrinsicGas { got: gas_limit, expected: least }
        }
        other => CallError::Invalid(other.to_string()),
    }
}

/// Returns the environment of a block with what the caller overrides.
fn environment(rules: &Rules, header: &Header, overrides: Option<&BlockOverrides>) -> EvmEnv {
    let mut header = header.clone();
    if let Some(overrides) = overrides {
        // Number and time also decide which forks are active.
        header.number = overrides.number.map_or(header.number, |number| number.saturating_to());
        header.timestamp = overrides.time.unwrap_or(header.timestamp);
    }
    let mut env = rules.env(&header);
    env.cfg_env.disable_nonce_check = true;
    env.cfg_env.disable_block_gas_limit = true;
    env.cfg_env.disable_eip3607 = true;
    env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
    if let Some(overrides) = overrides {
        override_block(&mut env.block_env, overrides);
    }
    env
}

fn override_block(block: &mut BlockEnv, overrides: &BlockOverrides) {
    if let Some(number) = overrides.number {
        block.number = number;
    }
    if let Some(difficulty) = overrides.difficulty {
        block.difficulty = difficulty;
    }
    if let Some(gas_limit) = overrides.gas_limit {
        block.gas_limit = gas_limit;
    }
    if let Some(beneficiary) = overrides.coinbase {
        block.beneficiary = beneficiary;
    }
    if let Some(random) = overrides.random {
        block.prevrandao = Some(random);
    }
    if let Some(base_fee) = overrides.base_fee {
        block.basefee = base_fee.saturating_to();
    }
    if let (Some(price), Some(blob)) =
        (overrides.blob_base_fee, &mut block.blob_excess_gas_and_price)
    {
        blob.blob_gasprice = price.saturating_to();
    }
}

fn transaction(
    rules: &Rules,
    request: &TransactionRequest,
    base_fee: u64,
) -> Result<TxEnv, CallError> {
    if request.gas_price.is_some()
        && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
    {
        return Err(CallError::Request(
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
        ));
    }
    if request.blob_versioned_hashes.is_some() || request.sidecar.is_some() {
        return Err(CallError::Request("blob transactions (EIP-4844) are not part of this chain"));
    }
    let (data, input) = (&request.input.data, &request.input.input);
    if data.is_some() && input.is_some() && data != input {
        return Err(CallError::Request("both \"data\" and \"input\" are set and not equal"));
    }
    let expected = rules.chain_id();
    if let Some(got) = request.chain_id.filter(|got| *got != expected) {
        return Err(CallError::WrongChainId { got, expected });
    }
    let tip = request.max_priority_fee_per_gas;
    // A tip alone means: whatever the base fee is, and this on top.
    let fee = request
        .gas_price
        .or(request.max_fee_per_gas)
        .unwrap_or_else(|| tip.map_or(0, |tip| tip.saturating_add(u128::from(base_fee))));
    let authorizations = request.authorization_list.clone().unwrap_or_default();
    let dynamic = request.max_fee_per_gas.is_some() || tip.is_some();
    let tx_type = if !authorizations.is_empty() {
        DELEGATION_TYPE
    } else if dynamic {
        DYNAMIC_FEE_TYPE
    } else if request.access_list.is_some() {
        ACCESS_LIST_TYPE
    } else {
        0
    };
    Ok(TxEnv {
        tx_type,
        caller: request.from.unwrap_or(Address::ZERO),
        gas_price: fee,
        gas_priority_fee: (tx_type >= DYNAMIC_FEE_TYPE)
            .then(|| tip.unwrap_or(if dynamic { 0 } else { fee })),
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: input.clone().or_else(|| data.clone()).unwrap_or_default(),
        chain_id: Some(expected),
        access_list: request.access_list.clone().unwrap_or_default(),
        authorization_list: authorizations.into_iter().map(Either::Left).collect(),
        ..TxEnv::default()
    })
}

impl From<ExecutionResult> for CallOutcome {
    fn from(result: ExecutionResult) -> Self {
        let gas_used = result.gas().tx_gas_used();
        match result {
            ExecutionResult::Success { output, logs, .. } => {
                Self::Success { output: output.into_data(), gas_used, logs }
            }
            ExecutionResult::Revert { output, .. } => Self::Revert { output, gas_used },
            ExecutionResult::Halt { reason, .. } => {
                Self::Halt { reason: halt_text(&reason), gas_used }
            }
        }
    }
}

/// Returns geth's words where it has some, because clients look for them.
fn halt_text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode".to_owned(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::StackOverflow => "stack limit reached".to_owned(),
        HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        other => format!("{other:?}"),
    }
}

/// EIP-2718 type of EIP-2930.
const ACCESS_LIST_TYPE: u8 = 1;
/// EIP-2718 type of EIP-1559.
const DYNAMIC_FEE_TYPE: u8 = 2;
/// EIP-2718 type of EIP-7702.
const DELEGATION_TYPE: u8 = 4;

#[cfg(test)]
mod tests;
