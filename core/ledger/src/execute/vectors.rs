//! Blocks that other implementations agree on, from Frontier to Cancun: genesis, valid blocks, side branches,
//! invalid blocks. A selection of BlockchainTests of github.com/ethereum/tests at commit 4c87ebbf (MIT, see
//! `vectors/LICENSE`), reduced to what is read here.

use super::{BlockError, execute, senders};
use crate::{Rules, State, genesis, recover};
use alloy_primitives::hex;
use alloy_rlp::Decodable;
use kette_types::{B256, Block, Bytes, ChainSpec, Header, SealedHeader, Transaction};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

#[test]
fn published_blocks() {
    let file = include_str!("vectors/blocks.json");
    let cases: BTreeMap<String, Value> = serde_json::from_str(file).expect("the file is JSON");
    assert_eq!(cases.len(), 69);
    let problems: Vec<String> =
        cases.iter().filter_map(|(name, test)| run(name, test).err()).collect();
    assert_eq!(problems, Vec::<String>::new());
}

/// Runs one case: genesis first, then one block after another.
fn run(name: &str, test: &Value) -> Result<(), String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or("not text");
    let network = text(&test["network"])?;
    let Some(config) = config(&network) else { return Err(format!("{name}: network {network}")) };
    let start = &test["genesisBlockHeader"];
    let mut file = json!({ "config": config, "alloc": test["pre"] });
    for (ours, theirs) in [
        ("nonce", "nonce"),
        ("timestamp", "timestamp"),
        ("extraData", "extraData"),
        ("gasLimit", "gasLimit"),
        ("difficulty", "difficulty"),
        ("mixHash", "mixHash"),
        ("coinbase", "coinbase"),
        ("baseFeePerGas", "baseFeePerGas"),
        ("excessBlobGas", "excessBlobGas"),
        ("blobGasUsed", "blobGasUsed"),
    ] {
        if !start[theirs].is_null() {
            file[ours] = start[theirs].clone();
        }
    }
    let spec =
        ChainSpec::from_json(&file.to_string()).map_err(|error| format!("{name}: {error}"))?;
    let (head, state) = genesis(&spec).map_err(|error| format!("{name}: {error}"))?;
    if head.hash().to_string() != text(&start["hash"])? {
        return Err(format!("{name}: genesis hash {}", head.hash()));
    }
    let rules = Rules::new(Arc::new(spec));
    let mut tree = BTreeMap::from([(head.hash(), (head, state))]);
    for (index, entry) in test["blocks"].as_array().into_iter().flatten().enumerate() {
        let exception = entry.get("expectException").or(entry.get("expectExceptionALL"));
        let rlp = hex::decode(text(&entry["rlp"])?).map_err(|error| error.to_string())?;
        match (apply(&rules, &mut tree, &rlp), exception) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Err(error), None) => return Err(format!("{name}, block {index}: {error}")),
            (Ok(()), Some(exception)) if is_ours(exception) => {
                return Err(format!("{name}, block {index}: accepted, expected {exception}"));
            }
            (Ok(()), Some(_)) => return Ok(()),
        }
    }
    let last = text(&test["lastblockhash"])?;
    let found = tree.keys().any(|hash| hash.to_string() == last);
    if found { Ok(()) } else { Err(format!("{name}: last block {last} is missing")) }
}

type Tree = BTreeMap<B256, (SealedHeader, State)>;

fn apply(rules: &Rules, tree: &mut Tree, rlp: &[u8]) -> Result<(), String> {
    let decoded = alloy_consensus::Block::<Transaction, Header>::decode(&mut &rlp[..])
        .map_err(|error| error.to_string())?;
    let header = SealedHeader::new(decoded.header, Bytes::new());
    let block = Block { header, body: decoded.body };
    if !block.body_matches() {
        return Err("the body is not the header's".to_owned());
    }
    let (parent, state) = tree.get(&block.header.parent_hash).ok_or("unknown parent")?.clone();
    let senders =
        senders(recover(&block.body.transactions)).map_err(|e: BlockError| e.to_string())?;
    let mut hashes = BTreeMap::new();
    let mut ancestor = &parent;
    while hashes.len() < 256 {
        hashes.insert(ancestor.number, ancestor.hash());
        let Some((next, _)) = tree.get(&ancestor.parent_hash) else { break };
        ancestor = next;
    }
    let executed = execute(rules, &parent, &state, &block, &senders, &hashes)
        .map_err(|error| error.to_string())?;
    tree.insert(block.hash(), (block.header, executed.state));
    Ok(())
}

/// Tells whether an invalid block breaks a rule of this crate. Ommers, difficulty, the DAO's extra data and the
/// total difficulty of the merge are an engine's business.
fn is_ours(exception: &Value) -> bool {
    let text = exception.as_str().unwrap_or_default();
    !["UNCLE", "DIFFICULTY", "EXTRA_DATA_INVALID_DAO", "IMPORT_IMPOSSIBLE"]
        .iter()
        .any(|other| text.contains(other))
}

/// Forks in the order in which they came, with their keys.
const FORKS: &[(&str, &[&str])] = &[
    ("Frontier", &[]),
    ("Homestead", &["homesteadBlock"]),
    ("EIP150", &["eip150Block"]),
    ("EIP158", &["eip155Block", "eip158Block"]),
    ("Byzantium", &["byzantiumBlock"]),
    ("ConstantinopleFix", &["constantinopleBlock"]),
    ("Istanbul", &["istanbulBlock"]),
    ("Berlin", &["berlinBlock"]),
    ("London", &["londonBlock"]),
    ("Paris", &["terminalTotalDifficulty"]),
    ("Shanghai", &["shanghaiTime"]),
    ("Cancun", &["cancunTime"]),
];

/// Returns geth's `config` of a network's name: a fork, or two with where the second begins.
fn config(network: &str) -> Option<Value> {
    let mut config = json!({ "chainId": 1 });
    let mut set = |last: &str, first: Option<&str>, at: u64| {
        let end = FORKS.iter().position(|(name, _)| *name == last)?;
        let begin = FORKS.iter().position(|(name, _)| Some(*name) == first);
        for key in
            FORKS[begin.map_or(0, |begin| begin + 1)..=end].iter().flat_map(|(_, keys)| *keys)
        {
            config[*key] = at.into();
        }
        Some(())
    };
    match network.split_once("To") {
        None => set(network, None, 0)?,
        Some((first, then)) => {
            let first = if first == "ArrowGlacier" { "London" } else { first };
            let (then, at) = then.split_once("At")?;
            let at = match at {
                "5" => 5,
                "Time15k" => 15_000,
                "DiffC0000" => 0xc_0000,
                _ => return None,
            };
            set(first, None, 0)?;
            if then == "Dao" {
                config["daoForkBlock"] = at.into();
                config["daoForkSupport"] = true.into();
            } else {
                set(then, Some(first), at)?;
            }
        }
    }
    Some(config)
}
