//! Tests of block 0.

use super::*;
use crate::testing::{ETHER, spec as kette_spec, wei, who};
use alloy_primitives::{address, b256, bytes};
use serde_json::json;

fn hash_of(file: &serde_json::Value) -> B256 {
    let spec = ChainSpec::from_json(&file.to_string()).unwrap();
    genesis(&spec).unwrap().0.hash()
}

/// Sepolia's genesis is small and its hash known to everybody (eth-clients/sepolia; geth
/// `SepoliaGenesisHash`). London is active in it.
#[test]
fn sepolia() {
    let million = "0xD3C21BCECCEDA1000000";
    let file = json!({
        "config": {
            "chainId": 11_155_111, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0,
            "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 0, "mergeNetsplitBlock": 1_735_371,
            "shanghaiTime": 1_677_557_088, "terminalTotalDifficulty": 17_000_000_000_000_000_u64,
        },
        "nonce": "0x0",
        "timestamp": "0x6159af19",
        "extraData": "0x5365706f6c69612c20417468656e732c204174746963612c2047726565636521",
        "gasLimit": "0x1c9c380",
        "difficulty": "0x20000",
        "alloc": {
            "0xa2A6d93439144FFE4D27c9E088dCD8b783946263": { "balance": million },
            "0xBc11295936Aa79d594139de1B2e12629414F3BDB": { "balance": million },
            "0x7cF5b79bfe291A67AB02b393E456cCc4c266F753": { "balance": million },
            "0xaaec86394441f915bce3e6ab399977e9906f3b69": { "balance": million },
            "0xF47CaE1CF79ca6758Bfc787dbD21E6bdBe7112B8": { "balance": million },
            "0xd7eDDB78ED295B3C9629240E8924fb8D8874ddD8": { "balance": million },
            "0x8b7F0977Bb4f0fBE7076FA22bC24acA043583F5e": { "balance": million },
            "0xe2e2659028143784d557bcec6ff3a0721048880a": { "balance": million },
            "0xd9a5179f091d85051d3c982785efd1455cec8699": { "balance": million },
            "0xbeef32ca5b9a198d27B4e02F4c70439fE60356Cf": { "balance": million },
            "0x0000006916a87b82333f4245046623b23794c65c": { "balance": "0x84595161401484A000000" },
            "0xb21c33de1fab3fa15499c62b59fe0cc3250020d1": { "balance": "0x52B7D2DCC80CD2E4000000" },
            "0x10F5d45854e038071485AC9e402308cF80D2d2fE": { "balance": "0x52B7D2DCC80CD2E4000000" },
            "0xd7d76c58b3a519e9fA6Cc4D22dC017259BC49F1E": { "balance": "0x52B7D2DCC80CD2E4000000" },
            "0x799D329e5f583419167cD722962485926E338F4a": { "balance": "0xDE0B6B3A7640000" },
        },
    });
    let spec = ChainSpec::from_json(&file.to_string()).unwrap();
    let (header, state) = genesis(&spec).unwrap();
    assert_eq!(
        state.root(),
        b256!("5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494")
    );
    assert_eq!(
        header.hash(),
        b256!("25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9")
    );
}

/// geth, core/genesis_test.go: the custom genesis with storage. The file leaves gas limit and difficulty out;
/// geth's defaults are written out here.
#[test]
fn account_with_storage() {
    let one = "0x0100000000000000000000000000000000000000000000000000000000000000";
    let file = json!({
        "config": { "chainId": 1, "homesteadBlock": 3 },
        "gasLimit": 4_712_388,
        "difficulty": 131_072,
        "alloc": {
            "0x0100000000000000000000000000000000000000": {
                "balance": "0x1", "storage": { one: one },
            },
        },
    });
    assert_eq!(
        hash_of(&file),
        b256!("89c99d90b79719238d2645c7642f2c9295246e80775b38cfd162b696817fbd50")
    );
}

#[test]
fn kette_has_every_field_up_to_prague() {
    let (header, state) = genesis(&kette_spec(&json!({}), &json!({}))).unwrap();
    assert_eq!(header.number, 0);
    assert_eq!(header.base_fee_per_gas, Some(1_000_000_000));
    assert_eq!(header.withdrawals_root, Some(EMPTY_ROOT_HASH));
    assert_eq!(header.blob_gas_used, Some(0));
    assert_eq!(header.excess_blob_gas, Some(0));
    assert_eq!(header.parent_beacon_block_root, Some(B256::ZERO));
    // SHA-256 of nothing (EIP-7685).
    let nothing = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(header.requests_hash, Some(nothing));
    assert_eq!(header.transactions_root, EMPTY_ROOT_HASH);
    assert_eq!(header.receipts_root, EMPTY_ROOT_HASH);
    assert_eq!(header.state_root, state.root());
    assert_eq!(state.account(who(0)).unwrap().unwrap().balance, wei(1_000 * ETHER));
    assert_eq!(state.supply().unwrap(), wei(4_000 * ETHER));
}

#[test]
fn alloc_carries_code_nonce_and_storage() {
    let whose = address!("00000000000000000000000000000000000000aa");
    let slot = |n: u8| B256::with_last_byte(n).to_string();
    let spec = kette_spec(
        &json!({}),
        &json!({ "baseFeePerGas": "0x7", "alloc": { whose.to_string(): {
            "balance": "0x0", "nonce": "0x5", "code": "0x5f5ffd",
            "storage": { slot(1): slot(9), slot(2): slot(0) },
        } } }),
    );
    let (header, state) = genesis(&spec).unwrap();
    assert_eq!(header.base_fee_per_gas, Some(7));
    let account = state.account(whose).unwrap().unwrap();
    assert_eq!((account.nonce, account.code_hash), (5, keccak256(bytes!("5f5ffd"))));
    assert_eq!(state.code(account.code_hash).unwrap(), bytes!("5f5ffd"));
    assert_eq!(state.storage(whose, U256::from(1)).unwrap(), U256::from(9));
    // The same leaf as alloy computes from the file.
    let expected = spec.genesis.alloc[&whose].clone().into_trie_account();
    assert_eq!(account, expected);
}

#[test]
fn refusals() {
    let refuse = |extra: serde_json::Value| genesis(&kette_spec(&json!({}), &extra)).unwrap_err();
    assert_eq!(refuse(json!({ "number": "0x1" })), GenesisError::Number(1));
    assert_eq!(
        refuse(json!({ "gasLimit": "0x8000000000000000" })),
        GenesisError::GasLimit(1 << 63)
    );
    assert_eq!(
        refuse(json!({ "baseFeePerGas": "0x10000000000000000" })),
        GenesisError::BaseFee(1 << 64)
    );
    assert_eq!(
        refuse(json!({ "config": { "pragueTime": 1 } })),
        GenesisError::LateFork(EthereumHardfork::Prague)
    );
    assert_eq!(
        refuse(json!({ "config": { "londonBlock": 1 } })),
        GenesisError::LateFork(EthereumHardfork::London)
    );
    assert_eq!(
        refuse(json!({ "config": { "amsterdamTime": 9 } })),
        GenesisError::UnknownFork("amsterdam")
    );
    let rich = json!({ "balance": U256::MAX });
    assert_eq!(refuse(json!({ "alloc": { who(9).to_string(): rich } })), GenesisError::Supply);
}

#[test]
fn forks_follow_the_file() {
    use EthereumHardfork as Fork;
    let kette =
        Rules::new(Arc::new(kette_spec(&json!({}), &json!({ "config": { "osakaTime": 50 } }))));
    for fork in STARTING_FORKS {
        let condition = kette.ethereum_fork_activation(*fork);
        assert!(condition.active_at_timestamp_or_number(0, 0), "{fork}");
    }
    assert!(kette.is_paris_active_at_block(0));
    assert!(!kette.is_osaka_active_at_timestamp(49) && kette.is_osaka_active_at_timestamp(50));

    let plain = json!({
        "config": { "chainId": 1, "homesteadBlock": 1, "constantinopleBlock": 5, "londonBlock": 7,
            "terminalTotalDifficulty": 0, "shanghaiTime": 100 },
        "gasLimit": "0x1c9c380", "difficulty": "0x1", "alloc": {},
    });
    let plain = Rules::new(Arc::new(ChainSpec::from_json(&plain.to_string()).unwrap()));
    assert_eq!(plain.ethereum_fork_activation(Fork::Homestead), ForkCondition::Block(1));
    assert_eq!(plain.ethereum_fork_activation(Fork::Petersburg), ForkCondition::Block(5));
    assert_eq!(plain.ethereum_fork_activation(Fork::Byzantium), ForkCondition::Never);
    assert_eq!(plain.ethereum_fork_activation(Fork::Shanghai), ForkCondition::Timestamp(100));
    assert_eq!(plain.ethereum_fork_activation(Fork::Cancun), ForkCondition::Never);
    assert!(plain.is_paris_active_at_block(0));
}
