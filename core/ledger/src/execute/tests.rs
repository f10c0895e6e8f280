//! Tests of execution.

use super::*;
use crate::testing::*;
use alloy_consensus::{TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::Authorization,
};
use alloy_primitives::{KECCAK256_EMPTY, TxKind, bytes, keccak256};
use alloy_signer::SignerSync;
use kette_types::{Bytes, Transaction};
use serde_json::json;

/// What the transactions of the head block burned.
fn burned(built: &crate::Built) -> U256 {
    U256::from(built.header.base_fee_per_gas.unwrap()) * U256::from(built.header.gas_used)
}

#[test]
fn transfer_moves_value_fee_and_reward() {
    let mut chain = Chain::new();
    let to = Address::repeat_byte(0x77);
    let built = chain.mine([transfer(0, 0, to, ETHER)]);
    assert_eq!(built.header.gas_used, 21_000);
    assert_eq!(built.executed.issued, wei(2 * ETHER));
    assert_eq!(built.executed.burned, burned(&built));
    let tip = wei(21_000 * GWEI);
    assert_eq!(chain.balance(to), wei(ETHER));
    assert_eq!(chain.balance(MINER), wei(2 * ETHER) + tip);
    assert_eq!(chain.balance(who(0)), wei(999 * ETHER) - tip - burned(&built));
    assert_eq!(chain.account(who(0)).nonce, 1);
    assert_eq!(built.executed.changed, {
        let mut changed = vec![who(0), to, MINER];
        changed.sort();
        changed
    });
    chain.assert_supply();
}

#[test]
fn base_fee_goes_to_the_producer_if_genesis_says_so() {
    let mut chain = Chain::with(&json!({ "baseFee": "producer" }), &json!({}));
    let built = chain.mine([transfer(0, 0, who(1), ETHER)]);
    assert_eq!(built.executed.burned, U256::ZERO);
    let fees = burned(&built) + wei(21_000 * GWEI);
    assert_eq!(chain.balance(MINER), wei(2 * ETHER) + fees);
    chain.assert_supply();
}

#[test]
fn every_type_of_transaction() {
    let mut chain = Chain::new();
    let list = AccessList(vec![AccessListItem { address: who(3), storage_keys: vec![B256::ZERO] }]);
    let access = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 2,
        gas_price: 50 * GWEI,
        gas_limit: 30_000,
        to: TxKind::Call(who(1)),
        value: wei(3),
        access_list: list,
        input: Bytes::new(),
    };
    let built = chain.mine([
        sign(&key(0), legacy(0, Some(CHAIN_ID))),
        sign(&key(0), legacy(1, None)),
        sign(&key(0), access),
        transfer(0, 3, who(1), 4),
    ]);
    let types: Vec<u8> = built.executed.receipts.iter().map(|r| r.tx_type as u8).collect();
    assert_eq!(types, [0, 0, 1, 2]);
    assert!(built.executed.receipts.iter().all(|receipt| receipt.success));
    // EIP-2930: 2,400 for an address and 1,900 for a slot.
    let gas: Vec<u64> = built.executed.receipts.iter().map(|r| r.cumulative_gas_used).collect();
    assert_eq!(gas, [21_000, 42_000, 42_000 + 25_300, 42_000 + 25_300 + 21_000]);
    assert_eq!(chain.balance(who(1)), wei(1_000 * ETHER + 1 + 1 + 3 + 4));
    chain.assert_supply();
}

#[test]
fn contract_keeps_balances_and_logs() {
    let mut chain = Chain::new();
    let token = who(0).create(0);
    let built = chain.mine([create(0, 0, TOKEN)]);
    assert!(built.executed.receipts[0].success);
    assert_eq!(chain.account(token).code_hash, keccak256(TOKEN));
    assert_eq!(chain.state.code(keccak256(TOKEN)).unwrap(), Bytes::from_static(TOKEN));
    assert_eq!(chain.account(token).nonce, 1);

    let slot = |address: Address| -> U256 { address.into_word().into() };
    let built = chain.mine([call(1, 0, token, words(slot(who(2)), U256::from(500)))]);
    let receipt = &built.executed.receipts[0];
    assert!(receipt.success);
    let log = &receipt.logs[0];
    assert_eq!((log.address, log.topics()), (token, &[B256::with_last_byte(42)][..]));
    assert_eq!(U256::from_be_slice(&log.data.data), U256::from(500));
    assert!(
        built.header.logs_bloom.contains_input(alloy_primitives::BloomInput::Raw(token.as_slice()))
    );
    let read = |chain: &Chain, owner| chain.state.storage(token, slot(owner)).unwrap();
    assert_eq!(read(&chain, who(2)), U256::from(500));
    assert_eq!(read(&chain, who(1)), U256::ZERO - U256::from(500));

    // Back again: the slots return to zero and leave the trie.
    chain.mine([call(2, 0, token, words(slot(who(1)), U256::from(500)))]);
    assert_eq!(read(&chain, who(2)), U256::ZERO);
    assert_eq!(chain.account(token).storage_root, alloy_consensus::EMPTY_ROOT_HASH);
    chain.assert_supply();
}

#[test]
fn failures_cost_gas_and_change_nothing_else() {
    let mut chain = Chain::new();
    let (revert, forever) = (who(0).create(0), who(0).create(1));
    chain.mine([create(0, 0, REVERT), create(0, 1, LOOP)]);
    let value = TxEip1559 { value: wei(5), ..dynamic(0, revert.into(), 0, Bytes::new()) };
    let built = chain.mine([sign(&key(1), value), call(2, 0, forever, Bytes::new())]);
    let [reverted, exhausted] = &built.executed.receipts[..] else { panic!("two receipts") };
    assert!(!reverted.success && !exhausted.success);
    assert!(reverted.cumulative_gas_used < 22_000);
    // Out of gas takes all of it.
    assert_eq!(exhausted.cumulative_gas_used - reverted.cumulative_gas_used, 500_000);
    assert_eq!(chain.balance(revert), U256::ZERO);
    assert_eq!(chain.account(who(1)).nonce, 1);
    chain.assert_supply();
}

#[test]
fn contract_sees_its_block() {
    let mut chain = Chain::new();
    let witness = who(0).create(0);
    chain.mine([create(0, 0, WITNESS)]);
    let parent = chain.head.hash();
    let built = chain.mine([call(1, 0, witness, Bytes::new())]);
    assert!(built.executed.receipts[0].success);
    assert!(!built.header.difficulty.is_zero());
    for (slot, expected) in [
        (0, parent.into()),
        (1, built.header.mix_hash.into()),
        (2, U256::from(built.header.base_fee_per_gas.unwrap())),
        (3, U256::from(built.header.timestamp)),
        (4, MINER.into_word().into()),
        (5, U256::from(CHAIN_ID)),
        (6, U256::from(1)),
        (7, chain.hashes[&0].into()),
    ] {
        assert_eq!(chain.slot(witness, slot), expected, "slot {slot}");
    }
}

#[test]
fn unknown_ancestor_is_a_fault_and_not_the_blocks() {
    let mut chain = Chain::new();
    let witness = who(0).create(0);
    chain.mine([create(0, 0, WITNESS)]);
    let built = chain.build([call(1, 0, witness, Bytes::new())]);
    chain.hashes.clear();
    let error = chain.execute(&block(built.header, built.body)).unwrap_err();
    assert!(error.is_host_failure(), "{error}");
    assert!(chain.try_build([call(1, 0, witness, Bytes::new())]).unwrap_err().is_host_failure());
}

#[test]
fn self_destruct_since_cancun() {
    let mut chain = Chain::new();
    let mortal = who(0).create(0);
    chain.mine([create(0, 0, MORTAL)]);
    // An old contract only sends its balance away; code and nonce stay (EIP-6780).
    let to = |address: Address| words(address.into_word().into(), U256::ZERO);
    let fund = TxEip1559 { value: wei(7), ..dynamic(0, mortal.into(), 0, to(who(2))) };
    chain.mine([sign(&key(1), fund), call(1, 1, mortal, to(who(3)))]);
    assert_eq!(chain.balance(who(2)), wei(1_000 * ETHER + 7));
    assert_eq!(chain.account(mortal).code_hash, keccak256(MORTAL));
    chain.assert_supply();
}

#[test]
fn self_destruct_in_creation_burns_what_it_keeps() {
    let mut chain = Chain::new();
    // ADDRESS, SELFDESTRUCT as creation code, with 5 ether: account and ether are gone.
    let doomed =
        TxEip1559 { value: wei(5 * ETHER), ..dynamic(0, TxKind::Create, 0, bytes!("30ff")) };
    let built = chain.mine([sign(&key(0), doomed)]);
    assert!(built.executed.receipts[0].success);
    assert_eq!(chain.state.account(who(0).create(0)).unwrap(), None);
    assert_eq!(built.executed.burned, wei(5 * ETHER) + burned(&built));
    chain.assert_supply();

    // CALLER, SELFDESTRUCT: the ether comes back and nothing burns but the fee.
    let back = TxEip1559 { value: wei(5 * ETHER), ..dynamic(1, TxKind::Create, 0, bytes!("33ff")) };
    let built = chain.mine([sign(&key(0), back)]);
    assert_eq!(built.executed.burned, burned(&built));
    chain.assert_supply();
}

#[test]
fn delegation_runs_code_in_the_signers_account() {
    let mut chain = Chain::new();
    let token = who(0).create(0);
    chain.mine([create(0, 0, TOKEN)]);
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: token, nonce: 0 };
    let signature = key(1).sign_hash_sync(&authorization.signature_hash()).unwrap();
    let delegate = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_limit: 500_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: who(1),
        value: U256::ZERO,
        authorization_list: vec![authorization.into_signed(signature)],
        input: words(who(2).into_word().into(), U256::from(9)),
        ..TxEip7702::default()
    };
    let built = chain.mine([sign(&key(0), delegate.clone())]);
    let receipt = &built.executed.receipts[0];
    assert_eq!((receipt.success, receipt.tx_type as u8), (true, 4));
    let code = [&[0xef, 0x01, 0x00][..], token.as_slice()].concat();
    assert_eq!(chain.account(who(1)).code_hash, keccak256(&code));
    assert_eq!(chain.state.code(keccak256(&code)).unwrap(), code);
    assert_eq!(chain.account(who(1)).nonce, 1);
    let slot = who(2).into_word().into();
    assert_eq!(chain.state.storage(who(1), slot).unwrap(), U256::from(9));

    // A delegated account still sends (EIP-7702), and can clear its delegation.
    chain.mine([transfer(1, 1, who(2), 1)]);
    let clear = Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 2 };
    let signature = key(1).sign_hash_sync(&clear.signature_hash()).unwrap();
    let clear = TxEip7702 {
        nonce: 2,
        to: who(3),
        authorization_list: vec![clear.into_signed(signature)],
        input: Bytes::new(),
        ..delegate
    };
    chain.mine([sign(&key(0), clear)]);
    assert_eq!(chain.account(who(1)).code_hash, KECCAK256_EMPTY);
    chain.assert_supply();
}

#[test]
fn every_rule_about_a_transaction() {
    let chain = Chain::new();
    let index = 0;
    let fee = |transaction: TxEip1559| sign(&key(0), transaction);
    let base = || TxEip1559 { gas_limit: 21_000, ..dynamic(0, who(1).into(), 1, Bytes::new()) };

    let got = Some(1);
    let error = chain.smuggle(sign(&key(0), legacy(0, got)));
    assert_eq!(error, BlockError::WrongChainId { index, got, expected: CHAIN_ID });
    let blobs = TxEip4844 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        max_fee_per_gas: 100 * GWEI,
        max_fee_per_blob_gas: GWEI,
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        ..TxEip4844::default()
    };
    assert_eq!(chain.smuggle(sign(&key(0), blobs)), BlockError::BlobTransaction { index });
    let error = chain.smuggle(fee(TxEip1559 { nonce: 3, ..base() }));
    assert_eq!(error, BlockError::NonceTooHigh { index, got: 3, expected: 0 });
    let error = chain.smuggle(fee(TxEip1559 { value: wei(1_000 * ETHER), ..base() }));
    let expected = wei(1_000 * ETHER + 21_000 * 100 * GWEI);
    let got = wei(1_000 * ETHER);
    assert_eq!(error, BlockError::InsufficientFunds { index, got, expected });
    let error = chain.smuggle(fee(TxEip1559 { value: U256::MAX, ..base() }));
    assert_eq!(error, BlockError::CostOverflow { index });
    let error = chain.smuggle(fee(TxEip1559 { gas_limit: 20_999, ..base() }));
    assert_eq!(error, BlockError::IntrinsicGas { index, got: 20_999, expected: 21_000 });
    // EIP-7623: a floor of 40 gas per non-zero byte.
    let data = Bytes::from(vec![1; 1_000]);
    let error = chain.smuggle(fee(TxEip1559 { gas_limit: 60_000, input: data, ..base() }));
    assert_eq!(error, BlockError::IntrinsicGas { index, got: 60_000, expected: 61_000 });
    let error = chain.smuggle(fee(TxEip1559 { gas_limit: 30_000_001, ..base() }));
    let available = 30_000_000;
    assert_eq!(error, BlockError::GasLimit { index, got: 30_000_001, available });
    let base_fee = 875_000_000;
    let low = TxEip1559 { max_fee_per_gas: 874_999_999, max_priority_fee_per_gas: 0, ..base() };
    assert_eq!(chain.smuggle(fee(low)), BlockError::BaseFee { index, got: 874_999_999, base_fee });
    let tip = TxEip1559 { max_priority_fee_per_gas: 101 * GWEI, ..base() };
    assert_eq!(chain.smuggle(fee(tip)), BlockError::TipAboveFee { index });
    let large = TxEip1559 {
        to: TxKind::Create,
        gas_limit: 10_000_000,
        input: Bytes::from(vec![0; 49_153]),
        ..base()
    };
    assert_eq!(chain.smuggle(fee(large)), BlockError::InitCodeSize { index });
    let nobody = TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 100_000,
        max_fee_per_gas: 100 * GWEI,
        ..TxEip7702::default()
    };
    assert_eq!(chain.smuggle(sign(&key(0), nobody)), BlockError::Authorizations { index });
}

#[test]
fn rules_that_need_a_past() {
    let balance = "0xde0b6b3a7640000";
    let alloc = json!({ "alloc": {
        who(2).to_string(): { "balance": balance, "code": "0x00" },
        who(3).to_string(): { "balance": balance, "nonce": "0xffffffffffffffff" },
    } });
    let mut chain = Chain::with(&json!({}), &alloc);
    chain.mine([transfer(0, 0, who(1), 1)]);
    let index = 0;
    let error = chain.smuggle(transfer(0, 0, who(1), 1));
    assert_eq!(error, BlockError::NonceTooLow { index, got: 0, expected: 1 });
    let error = chain.smuggle(transfer(2, 0, who(1), 1));
    assert_eq!(error, BlockError::SenderIsContract { index });

    let error = chain.smuggle(transfer(3, u64::MAX, who(1), 1));
    assert_eq!(error, BlockError::NonceOverflow { index });

    let osaka = Chain::with(&json!({}), &json!({ "config": { "osakaTime": 0 } }));
    let transaction =
        TxEip1559 { gas_limit: 16_777_217, ..dynamic(0, who(1).into(), 1, Bytes::new()) };
    let error = osaka.smuggle(sign(&key(0), transaction));
    assert_eq!(error, BlockError::GasLimitCap { index, got: 16_777_217, max: 16_777_216 });
}

#[test]
fn high_s_is_no_signature() {
    let chain = Chain::new();
    let Transaction::Eip1559(good) = transfer(0, 0, who(1), 1) else { panic!("dynamic fee") };
    let mirrored = good.signature().with_parity(!good.signature().v());
    let order = alloy_primitives::uint!(
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256
    );
    let mirrored =
        alloy_primitives::Signature::new(mirrored.r(), order - mirrored.s(), mirrored.v());
    let malleable: Transaction =
        alloy_consensus::Signed::new_unhashed(good.tx().clone(), mirrored).into();
    assert_eq!(chain.smuggle(malleable), BlockError::BadSignature(0));
}

#[test]
fn every_promise_of_the_header() {
    let chain = Chain::new();
    let built = chain.build([create(0, 0, TOKEN), transfer(1, 0, who(2), 5)]);
    let change = |change: &dyn Fn(&mut Header)| {
        let mut header = built.header.clone();
        change(&mut header);
        chain.execute(&block(header, built.body.clone())).map(|_| ())
    };
    assert_eq!(change(&|_| {}), Ok(()));
    let ones = B256::repeat_byte(1);
    let header = &built.header;
    let (got, expected) = (header.gas_used + 1, header.gas_used);
    assert_eq!(change(&|h| h.gas_used = got), Err(BlockError::GasUsed { got, expected }));
    let (got, expected) = (ones, header.receipts_root);
    assert_eq!(
        change(&|h| h.receipts_root = ones),
        Err(BlockError::ReceiptsRoot { got, expected })
    );
    let expected = header.state_root;
    assert_eq!(change(&|h| h.state_root = ones), Err(BlockError::StateRoot { got, expected }));
    let expected = header.requests_hash.unwrap();
    assert_eq!(
        change(&|h| h.requests_hash = Some(ones)),
        Err(BlockError::RequestsHash { got, expected })
    );
    assert_eq!(change(&|h| h.logs_bloom = Bloom::repeat_byte(1)), Err(BlockError::LogsBloom));
    let error = change(&|h| h.number = 5).unwrap_err();
    assert_eq!(error, BlockError::Header(crate::HeaderError::Number { got: 5, expected: 1 }));
    // The reward is in the state: another beneficiary is another root.
    let other = change(&|h| h.beneficiary = who(3)).unwrap_err();
    assert!(matches!(other, BlockError::StateRoot { .. }), "{other}");

    let block = block(built.header.clone(), built.body.clone());
    let none = execute(&chain.rules, &chain.head, &chain.state, &block, &[], &chain.hashes);
    assert_eq!(none.unwrap_err(), BlockError::Senders { got: 0, expected: 2 });
}

#[test]
fn a_failing_store_is_a_fault() {
    let chain = Chain::new();
    let built = chain.build([transfer(0, 0, who(1), 1)]);
    let mut broken = Chain::new();
    let nothing = std::sync::Arc::new(crate::MemoryNodes::default());
    broken.state = State::open(nothing, chain.state.root());
    let error = broken.execute(&block(built.header, built.body)).unwrap_err();
    assert!(matches!(error, BlockError::Read(_)), "{error}");
    assert!(error.is_host_failure());
    let error = broken.try_build([transfer(0, 0, who(1), 1)]).unwrap_err();
    assert!(error.is_host_failure());
}

#[test]
fn a_balance_never_wraps() {
    let spec = json!({ "reward": { "policy": "constant", "amount": U256::MAX } });
    let mut chain = Chain::with(&spec, &json!({}));
    // 4,000 ether exist, so the producer's own balance still fits ...
    chain.mine([]);
    // ... but not twice.
    assert_eq!(chain.try_build([]).unwrap_err(), BlockError::BalanceOverflow(MINER));
}

#[test]
fn system_contracts_are_called() {
    // EIP-2935's contract, as its code stands in the EIP.
    let history = alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
    let code = alloy_eips::eip2935::HISTORY_STORAGE_CODE.clone();
    let extra = json!({ "alloc": { history.to_string(): { "balance": "0x0", "nonce": "0x1", "code": code } } });
    let mut chain = Chain::with(&json!({}), &extra);
    chain.mine([]);
    chain.mine([]);
    assert_eq!(B256::from(chain.slot(history, 0)), chain.hashes[&0]);
    assert_eq!(B256::from(chain.slot(history, 1)), chain.hashes[&1]);
}

#[test]
fn a_system_contract_that_fails_is_named() {
    let withdrawals = alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
    let account = json!({ "balance": "0x0", "code": Bytes::from_static(REVERT) });
    let chain = Chain::with(&json!({}), &json!({ "alloc": { withdrawals.to_string(): account } }));
    let error = chain.try_build([]).unwrap_err();
    assert!(matches!(error, BlockError::SystemCall(_)), "{error}");
    assert!(!error.is_host_failure());
}

#[test]
fn ethereum_has_types_when_their_forks_came() {
    let index = 0;
    let plain = |forks: serde_json::Value| {
        let mut file = json!({ "difficulty": "0x0", "config": forks });
        file["config"]["kette"] = serde_json::Value::Null;
        Chain::with(&json!({}), &file)
    };
    let homestead = plain(json!({ "homesteadBlock": 0 }));
    let error = homestead.smuggle(transfer(0, 0, who(1), 1));
    assert_eq!(error, BlockError::TypeNotActive { index, got: 2 });

    // After Cancun blob transactions are Ethereum's own matter.
    let cancun = plain(json!({
        "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
        "byzantiumBlock": 0, "constantinopleBlock": 0, "istanbulBlock": 0, "berlinBlock": 0,
        "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0,
    }));
    let blobs = |hashes: Vec<B256>| {
        let transaction = TxEip4844 {
            chain_id: CHAIN_ID,
            gas_limit: 21_000,
            max_fee_per_gas: 100 * GWEI,
            max_fee_per_blob_gas: GWEI,
            blob_versioned_hashes: hashes,
            to: who(1),
            ..TxEip4844::default()
        };
        sign(&key(0), transaction)
    };
    let merged = |transaction: Option<Transaction>| {
        let mut built = cancun.build([]);
        built.header.difficulty = U256::ZERO;
        let mut block = block(built.header, built.body);
        block.body.transactions.extend(transaction);
        block
    };
    let error = cancun.execute(&merged(Some(blobs(vec![])))).unwrap_err();
    assert!(matches!(error, BlockError::Blobs { .. }), "{error}");

    // One blob: 131,072 blob gas at 1 wei, burned besides the base fee.
    let versioned = B256::repeat_byte(1);
    let mut block_with = merged(Some(blobs(vec![versioned])));
    let mut header = block_with.header.header().clone();
    header.gas_used = 21_000;
    let mut attempt = |header: &Header| {
        block_with.header = kette_types::SealedHeader::new(header.clone(), Bytes::new());
        cancun.execute(&block_with)
    };
    let error = attempt(&header).unwrap_err();
    assert_eq!(error, BlockError::BlobGasUsed { got: 0, expected: 131_072 });
    header.blob_gas_used = Some(131_072);
    let BlockError::ReceiptsRoot { expected, .. } = attempt(&header).unwrap_err() else {
        panic!("the receipts root is next")
    };
    header.receipts_root = expected;
    let BlockError::StateRoot { expected, .. } = attempt(&header).unwrap_err() else {
        panic!("the state root is next")
    };
    header.state_root = expected;
    let executed = attempt(&header).unwrap();
    let base_fee = U256::from(header.base_fee_per_gas.unwrap());
    assert_eq!(executed.burned, base_fee * U256::from(21_000) + U256::from(131_072));
    assert_eq!(executed.issued, U256::ZERO);
    let supply = executed.state.supply().unwrap();
    assert_eq!(supply, cancun.genesis.supply().unwrap() - executed.burned);
}

#[test]
fn ethereum_before_the_merge_pays_its_own_reward() {
    let plain = json!({ "difficulty": "0x20000", "config": {
        "kette": null, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
        "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0,
        "berlinBlock": 0, "londonBlock": 0,
    } });
    let mut chain = Chain::with(&json!({}), &plain);
    let built = chain.mine([sign(&key(0), legacy(0, Some(CHAIN_ID)))]);
    assert_eq!(built.header.withdrawals_root, None);
    assert_eq!(built.header.requests_hash, None);
    assert_eq!(built.executed.issued, wei(2 * ETHER));
    assert_eq!(built.executed.burned, burned(&built));
    chain.assert_supply();

    // With an ommer: 1/32 more for the block, 7/8 for the ommer of the block before (Yellow Paper 11.3).
    let ommer = Header { number: 1, beneficiary: who(3), ..Header::default() };
    let built = chain.build([]);
    let mut block = block(built.header, built.body);
    block.body.ommers = vec![ommer];
    let error = chain.execute(&block).unwrap_err();
    let BlockError::StateRoot { expected, .. } = error else { panic!("{error}") };
    let mut header = block.header.header().clone();
    header.state_root = expected;
    block.header = kette_types::SealedHeader::new(header, Bytes::new());
    let executed = chain.execute(&block).unwrap();
    assert_eq!(executed.issued, wei(2 * ETHER + ETHER / 16 + ETHER / 4 * 7));
    let ommer = executed.state.account(who(3)).unwrap().unwrap();
    assert_eq!(ommer.balance, wei(1_000 * ETHER + ETHER / 4 * 7));
}

#[test]
fn cost_max_is_what_ethereum_checks() {
    let transaction = transfer(0, 0, who(1), 7);
    assert_eq!(cost_max(&transaction), wei(21_000 * 100 * GWEI + 7));
    let legacy: Transaction = sign(&key(0), TxLegacy { value: U256::MAX, ..legacy(0, None) });
    assert_eq!(cost_max(&legacy), U256::MAX);
}
