//! `kette import`: a chain of plain Ethereum, made here with alloy's types and tries and none of ours.

use crate::harness::{Ran, accounts, kette, text};
use alloy_consensus::{
    Block, BlockBody, EMPTY_OMMER_ROOT_HASH, Header, Receipt, ReceiptEnvelope, TrieAccount,
    TxEnvelope, proofs,
};
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip4895::{Withdrawal, Withdrawals},
};
use alloy_primitives::{Address, B256, U256, address};
use alloy_rlp::Encodable as _;
use serde_json::json;
use std::{collections::BTreeMap, fs};
use tempfile::TempDir;

const CHAIN_ID: u64 = 77;
const COINBASE: Address = address!("00000000000000000000000000000000000c0de0");
const VALIDATOR: Address = address!("00000000000000000000000000000000000000d0");
const GWEI: u64 = 1_000_000_000;
const GENESIS_TIME: u64 = 1_700_000_000;

/// A chain after the merge, under Cancun's rules, that grows block by block.
struct Ethereum {
    head: Header,
    state: BTreeMap<Address, TrieAccount>,
    file: Vec<u8>,
}

impl Ethereum {
    fn new() -> Self {
        let rich = TrieAccount { balance: U256::from(10u128.pow(20)), ..TrieAccount::default() };
        let state = BTreeMap::from([(accounts::address(0), rich)]);
        let head = Header {
            gas_limit: 30_000_000,
            timestamp: GENESIS_TIME,
            base_fee_per_gas: Some(GWEI),
            state_root: root(&state),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            withdrawals_root: Some(proofs::calculate_withdrawals_root(&[])),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            ..Header::default()
        };
        Self { head, state, file: Vec::new() }
    }

    fn genesis() -> serde_json::Value {
        let config = json!({
            "chainId": CHAIN_ID, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0, "mergeNetsplitBlock": 0,
            "shanghaiTime": 0, "cancunTime": 0, "terminalTotalDifficulty": 0,
            "terminalTotalDifficultyPassed": true,
        });
        json!({
            "config": config, "nonce": "0x0", "timestamp": format!("{GENESIS_TIME:#x}"),
            "extraData": "0x", "gasLimit": "0x1c9c380", "difficulty": "0x0",
            "mixHash": B256::ZERO, "coinbase": Address::ZERO, "baseFeePerGas": "0x3b9aca00",
            "alloc": { accounts::address(0).to_string(): { "balance": "0x56bc75e2d63100000" } },
        })
    }

    /// Adds a block with transfers of `wei` each and one withdrawal of so many gwei.
    fn add(&mut self, wei: &[u128], withdrawn: u64) -> &mut Self {
        let parent = &self.head;
        let base_fee = calc_next_block_base_fee(
            parent.gas_used,
            parent.gas_limit,
            parent.base_fee_per_gas.expect("London"),
            BaseFeeParams::ethereum(),
        );
        let (mut transactions, mut receipts): (Vec<TxEnvelope>, Vec<ReceiptEnvelope>) =
            <_>::default();
        let (signer, to) = (accounts::signer(0), accounts::address(1));
        for wei in wei {
            let from = self.state.get_mut(&signer.address()).expect("funded");
            transactions.push(accounts::transfer(&signer, to, *wei, from.nonce, CHAIN_ID));
            // At most 2 gwei in all, 1 gwei of it tip: the producer's share is what the base fee leaves.
            let tip = GWEI.min(2 * GWEI - base_fee);
            from.nonce += 1;
            from.balance -= U256::from(*wei) + U256::from(21_000 * (base_fee + tip));
            self.state.entry(to).or_default().balance += U256::from(*wei);
            self.state.entry(COINBASE).or_default().balance += U256::from(21_000 * tip);
            let receipt = Receipt {
                status: true.into(),
                cumulative_gas_used: 21_000 * transactions.len() as u64,
                logs: Vec::new(),
            };
            receipts.push(ReceiptEnvelope::Eip1559(receipt.into()));
        }
        let withdrawal =
            Withdrawal { index: 0, validator_index: 0, address: VALIDATOR, amount: withdrawn };
        let withdrawals = Withdrawals::new(vec![withdrawal]);
        self.state.entry(VALIDATOR).or_default().balance +=
            U256::from(withdrawn) * U256::from(GWEI);
        let header = Header {
            parent_hash: parent.hash_slow(),
            number: parent.number + 1,
            timestamp: parent.timestamp + 12,
            beneficiary: COINBASE,
            gas_used: 21_000 * transactions.len() as u64,
            base_fee_per_gas: Some(base_fee),
            state_root: root(&self.state),
            transactions_root: proofs::calculate_transaction_root(&transactions),
            receipts_root: proofs::calculate_receipt_root(&receipts),
            withdrawals_root: Some(proofs::calculate_withdrawals_root(&withdrawals)),
            mix_hash: B256::repeat_byte(7),
            parent_beacon_block_root: Some(B256::repeat_byte(9)),
            ..parent.clone()
        };
        self.head = header.clone();
        let body = BlockBody {
            transactions,
            ommers: Vec::<Header>::new(),
            withdrawals: Some(withdrawals),
        };
        Block { header, body }.encode(&mut self.file);
        self
    }
}

fn root(state: &BTreeMap<Address, TrieAccount>) -> B256 {
    proofs::state_root_unhashed(state.iter().map(|(address, account)| (*address, *account)))
}

fn import(bytes: &[u8]) -> (TempDir, Ran) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, genesis) = (dir.path().join("chain.rlp"), dir.path().join("genesis.json"));
    fs::write(&file, bytes).expect("written");
    fs::write(&genesis, Ethereum::genesis().to_string()).expect("written");
    let ran = kette(&["--json", "import", text(&file), "--home", text(dir.path())]);
    (dir, ran)
}

#[test]
fn a_chain_of_plain_ethereum_is_executed_by_its_own_rules() {
    let mut chain = Ethereum::new();
    chain.add(&[1, 2, 3], 5).add(&[], 7).add(&[1_000_000_000_000_000_000], 11);
    let (dir, ran) = import(&chain.file);
    let done = ran.json();
    assert_eq!((&done["blocks"], &done["transactions"]), (&json!(3), &json!(4)));
    assert_eq!(done["head"], json!(chain.head.hash_slow()));
    assert_eq!(done["stateRoot"], json!(root(&chain.state)));
    let verified = kette(&["--json", "chain", "verify", "--home", text(dir.path())]).json();
    let supply: U256 = chain.state.values().map(|account| account.balance).sum();
    assert_eq!(verified["supply"], json!(supply.to_string()));
    // A database with blocks is not imported into.
    let file = dir.path().join("chain.rlp");
    let again = kette(&["import", text(&file), "--home", text(dir.path())]);
    again.fails(2, &["has blocks already"]);
}

#[test]
fn what_comes_before_a_broken_block_stays_imported() {
    let mut chain = Ethereum::new();
    chain.add(&[1], 1).add(&[2], 1);
    let two = chain.head.hash_slow();
    let whole = chain.file.clone();
    let valid = |ran: &Ran| {
        let done: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!((&done["blocks"], &done["head"]), (&json!(2), &json!(two)));
    };

    let (dir, ran) = import(&[&whole, b"garbage".as_slice()].concat());
    ran.fails(1, &["no block at byte", &whole.len().to_string()]);
    valid(&ran);
    assert_eq!(
        kette(&["--json", "chain", "verify", "--home", text(dir.path())]).json()["blocks"],
        2
    );

    // Cut off within the third block.
    chain.add(&[3], 1);
    let (_dir, ran) = import(&chain.file[..chain.file.len() - 10]);
    ran.fails(1, &["no block at byte"]);
    valid(&ran);

    // A third block whose state is not what its header says.
    let mut third = Ethereum::new();
    third.add(&[1], 1).add(&[2], 1);
    third.file.clear();
    third.state.entry(VALIDATOR).or_default().balance += U256::from(1);
    third.add(&[3], 1);
    let (_dir, ran) = import(&[whole, third.file].concat());
    ran.fails(1, &["block 3", "does not hold", "state root"]);
    valid(&ran);

    let (_dir, ran) = import(b"");
    assert_eq!(ran.json()["blocks"], 0);
}

/// A published chain through all forks; where it comes from stands beside the files.
#[test]
fn a_published_chain_ends_at_its_published_head() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/execution-apis");
    let (chain, genesis) = (format!("{files}/chain.rlp"), format!("{files}/genesis.json"));
    let home = text(dir.path());
    let ran = kette(&["--json", "import", &chain, "--genesis", &genesis, "--home", home]);
    assert_eq!(ran.json()["blocks"], 54);
    let published = "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7";
    assert_eq!(ran.json()["head"], published);
}
