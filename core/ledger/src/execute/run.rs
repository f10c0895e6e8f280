//! One pass over a block's transactions: system calls, transactions, requests, rewards.

use super::{BlockError, Outcome};
use crate::{
    ReadError, Rules, State,
    database::{BlockHashes, StateReader},
    reward,
    spec::BlockRules,
    staking::{self, Closed, Ending},
};
use alloy_consensus::{Transaction as _, TxType, constants::GWEI_TO_WEI, transaction::Recovered};
use alloy_evm::{
    Evm, EvmFactory,
    block::{
        BlockExecutionError, BlockExecutor,
        calc::{base_block_reward, block_reward, ommer_reward},
    },
    eth::{
        EthBlockExecutionCtx, EthBlockExecutor, EthEvm, EthEvmFactory,
        receipt_builder::{ReceiptBuilder, ReceiptBuilderCtx},
    },
    precompiles::PrecompilesMap,
};
use kette_types::{Address, Body, Header, Receipt, Transaction, U256, spec::BaseFee};
use revm::{
    Database, DatabaseCommit,
    context::result::ResultAndState,
    database::{State as Cache, states::bundle_state::BundleRetention},
    inspector::NoOpInspector,
    state::{Account as EvmAccount, TransactionId},
};
use std::{borrow::Cow, cell::OnceCell};

/// A block being executed.
pub(crate) struct Run<'a, 'b> {
    executor: Executor<'a, 'b>,
    rules: &'a Rules,
    header: &'a Header,
    count: usize,
    burned: U256,
}

type Executor<'a, 'b> = EthBlockExecutor<
    'a,
    EthEvm<&'b mut Cache<StateReader<'a>>, NoOpInspector, PrecompilesMap>,
    BlockRules<'a>,
    Receipts,
>;

/// Runs a block: what comes before the transactions, `fill`, and what comes after. Of `body` only ommers and
/// withdrawals are read. `ending` is there if the chain has a validator registry. The caller looks into `fault`
/// before it believes an error.
#[expect(clippy::too_many_arguments, reason = "a block has that many parts, each of another type")]
pub(crate) fn with(
    rules: &Rules,
    state: &State,
    header: &Header,
    body: &Body,
    ending: Option<&Ending>,
    hashes: &dyn BlockHashes,
    fault: &OnceCell<ReadError>,
    fill: impl FnOnce(&mut Run<'_, '_>) -> Result<(), BlockError>,
) -> Result<Outcome, BlockError> {
    let reader = StateReader { state, hashes, fault, strict: true };
    let mut cache = Cache::builder().with_database(reader).with_bundle_update().build();
    let context = EthBlockExecutionCtx {
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root,
        ommers: &body.ommers,
        withdrawals: body.withdrawals.as_ref().map(|list| Cow::Borrowed(list.as_slice())),
        extra_data: header.extra_data.clone(),
        tx_count_hint: Some(body.transactions.len()),
        slot_number: None,
    };
    let env = rules.env(header);
    let fork = env.cfg_env.spec;
    let mut evm = EthEvmFactory::default().create_evm(&mut cache, env);
    staking::install(evm.precompiles_mut(), rules, fork, header.number);
    let executor = EthBlockExecutor::new(evm, context, rules.at(header), Receipts);
    let mut run = Run { executor, rules, header, count: 0, burned: U256::ZERO };
    run.executor.apply_pre_execution_changes().map_err(system_call)?;
    fill(&mut run)?;
    let mut burned = run.burned;
    let (_, result) = run.executor.finish().map_err(system_call)?;

    let closed = match (rules.bft(), ending) {
        (Some(terms), Some(ending)) => staking::close(&mut cache, rules, terms, header, ending)?,
        _ => Closed::default(),
    };
    burned += closed.burned;
    let base_fees = U256::from(header.base_fee_per_gas.unwrap_or(0)) * U256::from(result.gas_used);
    let issued = match rules.kette() {
        Some(kette) => {
            let issued = reward(&kette.reward, header.number, closed.voters);
            let share = rules.bft().map_or(0, |terms| terms.producer_share);
            for (who, amount) in staking::split(issued, header.beneficiary, share, &closed.signers)
            {
                credit(&mut cache, who, amount)?;
            }
            match kette.base_fee {
                BaseFee::Burn => burned += base_fees,
                BaseFee::Producer => credit(&mut cache, header.beneficiary, base_fees)?,
            }
            issued
        }
        None => {
            burned += base_fees + blob_fees(rules, header, result.blob_gas_used);
            ethereum_issue(rules, header, body)
        }
    };
    cache.merge_transitions(BundleRetention::PlainState);
    Ok(Outcome { result, bundle: cache.take_bundle(), issued, burned, logs: closed.logs })
}

impl Run<'_, '_> {
    /// Returns how many transactions ran.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Returns the block's gas limit.
    pub(crate) const fn gas_limit(&self) -> u64 {
        self.header.gas_limit
    }

    /// Returns the gas that is left in the block.
    pub(crate) const fn gas_left(&self) -> u64 {
        self.header.gas_limit.saturating_sub(self.executor.cumulative_tx_gas_used)
    }

    /// Runs the next transaction of the block. After an error the block is as it was before.
    pub(crate) fn transaction(
        &mut self,
        transaction: &Transaction,
        sender: Address,
    ) -> Result<(), BlockError> {
        let index = self.count;
        self.check(transaction)?;
        let recovered = Recovered::new_unchecked(transaction, sender);
        let output =
            self.executor.execute_transaction_without_commit(recovered).map_err(|error| {
                let base_fee = self.header.base_fee_per_gas.unwrap_or(0);
                BlockError::from_transaction(error, index, transaction, base_fee)
            })?;
        let destroyed = self.destroyed(&output.result, output.blob_gas_used)?;
        self.burned += destroyed;
        self.executor.commit_transaction(output);
        self.count += 1;
        Ok(())
    }

    /// Checks what revm would not, or not say as clearly.
    fn check(&self, transaction: &Transaction) -> Result<(), BlockError> {
        let index = self.count;
        if self.rules.kette().is_some() && transaction.is_eip4844() {
            return Err(BlockError::BlobTransaction { index });
        }
        let expected = self.rules.chain_id();
        if transaction.chain_id().is_some_and(|got| got != expected) {
            return Err(BlockError::WrongChainId { index, got: transaction.chain_id(), expected });
        }
        Ok(())
    }

    /// Returns what self-destructs of a transaction took along: ether that a contract sent to itself, or
    /// received after its end. It is the sum of all balances before, less that after and the burned fees.
    fn destroyed(
        &mut self,
        output: &ResultAndState,
        blob_gas_used: u64,
    ) -> Result<U256, BlockError> {
        if !output.state.values().any(EvmAccount::is_selfdestructed) {
            return Ok(U256::ZERO);
        }
        let gas = U256::from(output.result.gas().tx_gas_used());
        let mut after = U256::from(self.header.base_fee_per_gas.unwrap_or(0)) * gas
            + blob_fees(self.rules, self.header, blob_gas_used);
        let mut before = U256::ZERO;
        for (address, account) in &output.state {
            if !account.is_touched() {
                continue;
            }
            let old = self
                .executor
                .evm_mut()
                .db_mut()
                .basic(*address)
                .map_err(|error| BlockError::SystemCall(error.to_string()))?;
            before += old.map_or(U256::ZERO, |info| info.balance);
            if !account.is_selfdestructed() {
                after += account.info.balance;
            }
        }
        Ok(before.saturating_sub(after))
    }
}

fn system_call(error: BlockExecutionError) -> BlockError {
    BlockError::SystemCall(error.to_string())
}

/// Adds to a balance outside of any transaction.
fn credit(
    cache: &mut Cache<StateReader<'_>>,
    address: Address,
    amount: U256,
) -> Result<(), BlockError> {
    if amount.is_zero() {
        return Ok(());
    }
    let info = cache.basic(address).map_err(|error| BlockError::SystemCall(error.to_string()))?;
    let mut account =
        info.map_or_else(|| EvmAccount::new_not_existing(TransactionId::ZERO), EvmAccount::from);
    account.info.balance =
        account.info.balance.checked_add(amount).ok_or(BlockError::BalanceOverflow(address))?;
    account.mark_touch();
    cache.commit(std::iter::once((address, account)).collect());
    Ok(())
}

/// Returns what a block of Ethereum itself creates: block and ommer rewards, or withdrawals.
fn ethereum_issue(rules: &Rules, header: &Header, body: &Body) -> U256 {
    let block = rules.at(header);
    let mut issued = U256::ZERO;
    if let Some(base) = base_block_reward(block, header.number) {
        issued += U256::from(block_reward(base, body.ommers.len()));
        for ommer in &body.ommers {
            issued += U256::from(ommer_reward(base, header.number, ommer.number));
        }
    }
    for withdrawal in body.withdrawals.iter().flat_map(|list| list.iter()) {
        issued += U256::from(withdrawal.amount) * U256::from(GWEI_TO_WEI);
    }
    issued
}

/// Returns the blob fees of a block; Ethereum burns them (EIP-4844).
fn blob_fees(rules: &Rules, header: &Header, blob_gas_used: u64) -> U256 {
    let fee = rules.blob_params(header.timestamp).and_then(|params| header.blob_fee(params));
    U256::from(fee.unwrap_or(0)) * U256::from(blob_gas_used)
}

/// Makes receipts of our own type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receipts;

impl ReceiptBuilder for Receipts {
    type Transaction = Transaction;
    type Receipt = Receipt;

    fn build_receipt<E: Evm>(&self, context: ReceiptBuilderCtx<'_, TxType, E>) -> Receipt {
        Receipt {
            tx_type: context.tx_type,
            success: context.result.is_success(),
            cumulative_gas_used: context.cumulative_gas_used,
            logs: context.result.into_logs(),
        }
    }
}
