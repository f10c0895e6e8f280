//! Blocks, transactions, receipts, accounts and proofs, from memory and from the store.

use crate::{
    client::{call, failure},
    node::{CHAIN_ID, ETHER, Fixture, LOGGER, TOPIC, signed, who},
};
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_rpc_types_eth::{Block, EIP1186AccountProofResponse, TransactionReceipt};
use alloy_trie::{Nibbles, proof::verify_proof, root::ordered_trie_root_with_encoder};
use kette_types::Transaction;
use serde_json::{Value, json};

type RpcBlock = Block<alloy_rpc_types_eth::Transaction<Transaction>>;

#[tokio::test]
async fn names_of_blocks_lead_to_blocks() {
    let fixture = Fixture::new().await;
    fixture.send(0, 0, who(1), 5).await;
    fixture.mine(10);
    let at = fixture.at;
    assert_eq!(call(at, "eth_blockNumber", json!([])).await, "0xa");
    for (tag, number) in
        [("latest", 10), ("finalized", 7), ("safe", 7), ("earliest", 0), ("0x1", 1)]
    {
        let shown = call(at, "eth_getBlockByNumber", json!([tag, false])).await;
        let block: RpcBlock = serde_json::from_value(shown.clone()).unwrap();
        let expected = fixture.block(number);
        assert_eq!(block.header.hash, expected.hash(), "{tag}");
        assert_eq!(block.header.inner.hash_slow(), expected.hash(), "{tag}");
        assert_eq!(block.header.total_difficulty, Some(expected.total_weight), "{tag}");
        assert_eq!(shown["uncles"], json!([]));
        let by_hash = call(at, "eth_getBlockByHash", json!([expected.hash(), false])).await;
        assert_eq!(by_hash, shown);
        let raw = call(at, "debug_getRawBlock", json!([tag])).await;
        let raw: Bytes = serde_json::from_value(raw).unwrap();
        assert_eq!(block.header.size, Some(U256::from(raw.len())), "{tag}");
        let raw = call(at, "debug_getRawHeader", json!([tag])).await;
        let raw: Bytes = serde_json::from_value(raw).unwrap();
        assert_eq!(keccak256(raw), expected.hash());
    }
    for params in [json!(["0xb", true]), json!(["0xffffffff", false])] {
        assert_eq!(call(at, "eth_getBlockByNumber", params).await, Value::Null);
    }
    assert_eq!(call(at, "eth_getBlockByHash", json!([B256::ZERO, true])).await, Value::Null);
    assert_eq!(call(at, "eth_getBlockTransactionCountByNumber", json!(["0x1"])).await, "0x1");
    assert_eq!(call(at, "eth_getUncleCountByBlockNumber", json!(["0x1"])).await, "0x0");
}

#[tokio::test]
async fn a_transaction_is_shown_waiting_then_in_its_block() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let (hash, raw) = signed(0, 0, LOGGER, 0);
    assert_eq!(call(at, "eth_getTransactionByHash", json!([hash])).await, Value::Null);
    assert_eq!(call(at, "eth_sendRawTransaction", json!([raw])).await, json!(hash));

    let waiting = call(at, "eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&waiting["blockHash"], &waiting["from"]), (&Value::Null, &json!(who(0))));
    assert_eq!(call(at, "eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    assert_eq!(call(at, "eth_getTransactionCount", json!([who(0), "latest"])).await, "0x0");
    assert_eq!(call(at, "eth_getTransactionCount", json!([who(0), "pending"])).await, "0x1");
    let pending = call(at, "eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&pending["number"], &pending["hash"]), (&json!("0x1"), &Value::Null));
    assert_eq!(pending["transactions"], json!([hash]));
    let from = call(at, "txpool_contentFrom", json!([who(0)])).await;
    assert_eq!(from["pending"]["0"]["hash"], json!(hash));

    fixture.mine(1);
    for later in 0..2 {
        let block = fixture.block(1);
        let shown = call(at, "eth_getTransactionByHash", json!([hash])).await;
        assert_eq!(shown["blockHash"], json!(block.hash()));
        assert_eq!(shown["transactionIndex"], "0x0");
        assert_eq!(shown["type"], "0x2");
        let by_index =
            call(at, "eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])).await;
        assert_eq!(by_index, shown);
        assert_eq!(
            call(at, "eth_getTransactionByBlockHashAndIndex", json!([block.hash(), "0x1"])).await,
            Value::Null
        );
        assert_eq!(call(at, "eth_getRawTransactionByHash", json!([hash])).await, json!(raw));
        let shown = call(at, "eth_getTransactionReceipt", json!([hash])).await;
        let receipt: TransactionReceipt = serde_json::from_value(shown.clone()).unwrap();
        assert!(receipt.inner.status());
        assert_eq!(receipt.gas_used, block.receipts[0].cumulative_gas_used);
        assert_eq!(receipt.inner.logs()[0].topics(), [TOPIC]);
        assert_eq!(receipt.inner.logs()[0].block_hash, Some(block.hash()));
        assert_eq!((&shown["type"], &shown["contractAddress"]), (&json!("0x2"), &Value::Null));
        assert_eq!(call(at, "eth_getBlockReceipts", json!(["0x1"])).await, json!([shown]));
        let raw_receipts = call(at, "debug_getRawReceipts", json!(["0x1"])).await;
        let raw_receipts: Vec<Bytes> = serde_json::from_value(raw_receipts).unwrap();
        let root =
            ordered_trie_root_with_encoder(&raw_receipts, |raw, out| out.extend_from_slice(raw));
        assert_eq!(root, block.block.header.receipts_root);
        assert_eq!(call(at, "debug_getRawTransaction", json!([hash])).await, json!(raw));
        assert_eq!(call(at, "eth_getTransactionCount", json!([who(0), "pending"])).await, "0x1");
        let full = call(at, "eth_getBlockByNumber", json!(["0x1", true])).await;
        assert_eq!(full["transactions"][0]["hash"], json!(hash));
        if later == 0 {
            // The same answers when the block is read back from the store.
            fixture.mine(6);
        }
    }
}

#[tokio::test]
async fn refusals_of_transactions_are_in_geths_words() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    fixture.send(0, 0, who(1), 1).await;
    fixture.mine(1);
    let (_, again) = signed(0, 0, who(1), 2);
    let (_, rich) = signed(1, 0, who(0), 5_000 * ETHER);
    let mut trailing = signed(0, 1, who(1), 1).1.to_vec();
    trailing.push(0);
    for (raw, expected) in [
        (again, "nonce too low"),
        (rich, "insufficient funds for gas * price + value"),
        (Bytes::from(trailing), "rlp"),
        (Bytes::from_static(&[3, 0xc0]), "transaction type not supported"),
        (Bytes::new(), "rlp"),
        (Bytes::from(vec![0x02; 200_000]), "oversized data"),
    ] {
        let (code, message) = failure(at, "eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(code, -32000, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
    let (code, message) = failure(at, "eth_sendTransaction", json!([{}])).await;
    assert_eq!(code, -32004);
    assert!(message.contains("holds no keys"), "{message}");
}

#[tokio::test]
async fn finality_has_one_vocabulary() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    let (code, _) = failure(at, "kette_finality", json!([B256::ZERO])).await;
    assert_eq!(code, -32001);
    let hash = fixture.send(0, 0, who(1), 1).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let shown = call(at, "kette_finality", json!([hash])).await;
        let status = shown["status"].as_str().unwrap().to_owned();
        seen.push((status, shown["confirmations"].as_u64().unwrap()));
        fixture.mine(1);
    }
    let seen: Vec<(&str, u64)> = seen.iter().map(|(s, c)| (s.as_str(), *c)).collect();
    assert_eq!(
        seen,
        [
            ("pending", 0),
            ("included", 1),
            ("confirmed", 2),
            ("confirmed", 3),
            ("final", 4),
            ("final", 5)
        ]
    );
}

#[tokio::test]
async fn accounts_are_read_and_proven() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    fixture.send(0, 0, LOGGER, 0).await;
    fixture.mine(1);
    let balance = call(at, "eth_getBalance", json!([who(1), "latest"])).await;
    assert_eq!(balance, json!(U256::from(1_000 * ETHER)));
    let block = json!({ "blockHash": fixture.block(1).hash(), "requireCanonical": true });
    assert_eq!(call(at, "eth_getBalance", json!([Address::repeat_byte(9), block])).await, "0x0");
    let code: Bytes =
        serde_json::from_value(call(at, "eth_getCode", json!([LOGGER, "latest"])).await).unwrap();
    assert!(code.len() > 40);
    assert_eq!(call(at, "eth_getCode", json!([who(0)])).await, "0x");
    let slot = call(at, "eth_getStorageAt", json!([LOGGER, "0x0", "latest"])).await;
    assert_eq!(slot, json!(B256::with_last_byte(1)));

    let root = fixture.block(1).block.header.state_root;
    for (address, slots) in
        [(LOGGER, json!(["0x0", "0x5"])), (who(3), json!([])), (Address::ZERO, json!([]))]
    {
        let shown = call(at, "eth_getProof", json!([address, slots, "latest"])).await;
        let proof: EIP1186AccountProofResponse = serde_json::from_value(shown).unwrap();
        let account = alloy_trie::TrieAccount {
            nonce: proof.nonce,
            balance: proof.balance,
            storage_root: proof.storage_hash,
            code_hash: proof.code_hash,
        };
        let exists = address != Address::ZERO;
        let value = exists.then(|| alloy_rlp::encode(account));
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(root, key, value, &proof.account_proof).unwrap();
        for slot in &proof.storage_proof {
            let value = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
            let key = Nibbles::unpack(keccak256(slot.key.as_b256()));
            verify_proof(proof.storage_hash, key, value, &slot.proof).unwrap();
        }
        assert_eq!(
            proof.storage_proof.first().map(|s| s.value),
            (address == LOGGER).then(|| U256::from(1))
        );
    }
}

#[tokio::test]
async fn a_pruned_state_says_so_and_an_unknown_block_too() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    fixture.send(0, 0, who(1), 1).await;
    fixture.mine(10);
    let (code, message) = failure(at, "eth_getBalance", json!([who(0), "0x2"])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("missing trie node"), "{message}");
    let (code, message) = failure(at, "eth_getBalance", json!([who(0), "0x63"])).await;
    assert_eq!((code, message.as_str()), (-32001, "header not found"));
    // Genesis is a checkpoint of this store.
    let genesis = call(at, "eth_getBalance", json!([who(0), "earliest"])).await;
    assert_eq!(genesis, json!(U256::from(1_000 * ETHER)));
}

#[tokio::test]
async fn the_node_introduces_itself() {
    let fixture = Fixture::new().await;
    let at = fixture.at;
    assert_eq!(call(at, "eth_chainId", json!([])).await, format!("{CHAIN_ID:#x}"));
    assert_eq!(call(at, "net_version", json!([])).await, CHAIN_ID.to_string());
    assert_eq!(call(at, "net_listening", json!([])).await, true);
    assert_eq!(call(at, "net_peerCount", json!([])).await, "0x0");
    assert_eq!(call(at, "eth_syncing", json!([])).await, false);
    assert_eq!(call(at, "eth_accounts", json!([])).await, json!([]));
    assert_eq!(call(at, "eth_mining", json!([])).await, false);
    let version = call(at, "web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with("Kette/v0.1.0/"), "{version}");
    let hash = call(at, "web3_sha3", json!(["0x68656c6c6f20776f726c64"])).await;
    assert_eq!(hash, hex::encode_prefixed(keccak256("hello world")));
    let modules = call(at, "rpc_modules", json!([])).await;
    for namespace in
        ["eth", "net", "web3", "txpool", "debug", "kette", "evm", "anvil", "hardhat", "rpc"]
    {
        assert_eq!(modules[namespace], "1.0", "{namespace}");
    }
}
