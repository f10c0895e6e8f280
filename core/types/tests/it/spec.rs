//! Genesis files: what is read, and what is refused with a reason.

use kette_types::{
    ChainSpec, EngineSpec, SpecError, U256,
    spec::{BaseFee, Retarget},
};
use serde_json::{Value, json};

fn genesis() -> Value {
    json!({
        "config": { "chainId": 7, "kette": {
            "name": "test",
            "engine": { "pow": {
                "blockTime": 12, "halfLife": 120, "pauseLimit": 240,
                "anchorDifficulty": "0x100", "futureLimit": 60
            } },
            "reward": { "policy": "constant", "amount": "0x1" }
        } },
        "gasLimit": "0x1c9c380", "difficulty": "0x10", "alloc": {}
    })
}

fn read(value: &Value) -> Result<ChainSpec, SpecError> {
    ChainSpec::from_json(&value.to_string())
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let spec = read(&genesis()).unwrap();
    let kette = spec.kette.unwrap();
    let EngineSpec::Pow(pow) = kette.engine else { panic!("not pow") };
    assert_eq!((pow.finality_depth, pow.reorg_limit), (6, 100));
    assert_eq!((pow.retarget, pow.difficulty_min), (Retarget::Asert, U256::from(1)));
    assert_eq!((kette.base_fee, kette.development), (BaseFee::Burn, false));
}

#[test]
fn a_plain_ethereum_genesis_has_no_engine() {
    let mut value = genesis();
    value["config"].as_object_mut().unwrap().remove("kette");
    assert!(read(&value).unwrap().kette.is_none());
}

#[test]
fn refuses_what_would_break_the_chain() {
    let pow = "/config/kette/engine/pow";
    let cases = [
        ("/config/chainId", json!(0), "chainId"),
        ("/gasLimit", json!("0x10"), "gasLimit"),
        ("/difficulty", json!("0x0"), "difficulty"),
        (&format!("{pow}/blockTime"), json!(0), "blockTime"),
        (&format!("{pow}/halfLife"), json!(0), "halfLife"),
        (&format!("{pow}/pauseLimit"), json!(60), "pauseLimit"),
        (&format!("{pow}/anchorDifficulty"), json!("0x0"), "difficultyMin"),
        (
            "/config/kette/reward",
            json!({"policy": "halving", "initial": "0x1", "interval": 0, "halvings": 1}),
            "interval",
        ),
        (
            "/config/kette/reward",
            json!({"policy": "log", "argument": {"value": 0}, "unit": "0x1"}),
            "argument",
        ),
    ];
    for (path, bad, named) in cases {
        let mut value = genesis();
        *value.pointer_mut(path).unwrap() = bad;
        let error = read(&value).unwrap_err().to_string();
        assert!(error.contains(named), "{path}: {error}");
    }
    for (key, bad) in [("finalityDepth", 0), ("reorgLimit", 1), ("reorgLimit", 1_001)] {
        let mut value = genesis();
        value["config"]["kette"]["engine"]["pow"][key] = json!(bad);
        assert!(matches!(read(&value), Err(SpecError::Range { .. })), "{key} = {bad}");
    }
}

#[test]
fn an_unknown_key_or_engine_is_named() {
    let mut value = genesis();
    value["config"]["kette"]["engnie"] = json!({});
    assert!(read(&value).unwrap_err().to_string().contains("engnie"));
    let mut value = genesis();
    value["config"]["kette"]["engine"] = json!({ "paxos": {} });
    let error = read(&value).unwrap_err().to_string();
    assert!(error.contains("`paxos`") && error.contains("pow, bft"), "{error}");
    assert!(ChainSpec::from_json("{").is_err());
}

#[test]
fn the_rules_hash_follows_every_constant() {
    let first = read(&genesis()).unwrap().rules_hash();
    let mut value = genesis();
    value["config"]["kette"]["engine"]["pow"]["halfLife"] = json!(121);
    assert_ne!(first, read(&value).unwrap().rules_hash());
    assert_eq!(first, read(&genesis()).unwrap().rules_hash());
}
