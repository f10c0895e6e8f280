//! Blocks that other implementations agree on: files of `ethereum/tests` (commit 4c87ebbf, BlockchainTests; MIT),
//! from Frontier to Cancun, with their genesis, valid blocks, side branches and invalid blocks.

use super::{BlockError, execute, senders};
use crate::{GenesisError, Rules, State, genesis, recover};
use alloy_primitives::hex;
use alloy_rlp::Decodable;
use kette_types::{B256, Block, Bytes, ChainSpec, Header, SealedHeader, Transaction};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

#[test]
fn merge_shanghai_cancun() {
    check(include_str!("vectors/mergeExample.json"), 1);
    check(include_str!("vectors/shanghaiExample.json"), 1);
}

/// Runs every case of a file; `cases` says how many there are, so that none is lost.
fn check(file: &str, cases: usize) {
    let file: BTreeMap<String, Value> = serde_json::from_str(file).expect("the file is JSON");
    assert_eq!(file.len(), cases);
    for (name, test) in &file {
        if let Err(problem) = run(name, test) {
            panic!("{problem}");
        }
    }
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
    let spec = ChainSpec::from_json(&file.to_string()).map_err(|error| format!("{name}: {error}"))?;
    let (head, state) = match genesis(&spec) {
        Ok(genesis) => genesis,
        // Balances that no chain can have.
        Err(GenesisError::Supply) => return Ok(()),
        Err(error) => return Err(format!("{name}: {error}")),
    };
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
    let senders = senders(recover(&block.body.transactions)).map_err(|e: BlockError| e.to_string())?;
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

/// Forks in the order in which they came, with their keys and whether they come by time.
const FORKS: &[(&str, &[&str])] = &[
    ("Frontier", &[]),
    ("Homestead", &["homesteadBlock"]),
    ("EIP150", &["eip150Block"]),
    ("EIP158", &["eip155Block", "eip158Block"]),
    ("Byzantium", &["byzantiumBlock"]),
    ("Constantinople", &["constantinopleBlock"]),
    ("ConstantinopleFix", &["petersburgBlock"]),
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
        let begin = first.map_or(0, |first| {
            FORKS.iter().position(|(name, _)| *name == first).map_or(0, |first| first + 1)
        });
        for key in FORKS[begin..=end].iter().flat_map(|(_, keys)| *keys) {
            config[*key] = at.into();
        }
        Some(())
    };
    match network.split_once("To") {
        None if network == "Constantinople" => {
            set(network, None, 0)?;
            config["petersburgBlock"] = u64::MAX.into();
        }
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

#[test]
fn zz_all() {
    let Ok(dir) = std::env::var("KETTE_VECTORS") else { return };
    let (mut ok, mut bad, mut kinds) = (0, 0, BTreeMap::<String, u32>::new());
    for path in std::fs::read_to_string(dir).unwrap().lines() {
        let Ok(file) = serde_json::from_str::<BTreeMap<String, Value>>(&std::fs::read_to_string(path).unwrap()) else { continue };
        for (name, test) in &file {
            if test.get("network").is_none() { continue; }
            match run(name, test) {
                Ok(()) => ok += 1,
                Err(problem) => { bad += 1; *kinds.entry(test["network"].to_string()).or_default() += 1; if bad < 60 { eprintln!("BAD {path} {problem}"); } }
            }
        }
    }
    eprintln!("TOTAL ok {ok} bad {bad} {kinds:?}");
}
