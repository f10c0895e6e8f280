//! The OpenRPC 1.3 document of the method table; committed as `openrpc.json` and served under that name.

use crate::table::{self, Access, Method, Param};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// Returns the document, pretty-printed.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        let mut text = serde_json::to_string_pretty(&generate()).expect("a value is plain JSON");
        text.push('\n');
        text
    });
    &DOCUMENT
}

/// Returns the names of all methods, as the document lists them.
pub fn method_names() -> Vec<&'static str> {
    table::all().map(|method| method.name).collect()
}

fn generate() -> Value {
    let schemas: Map<String, Value> =
        SCHEMAS.iter().map(|(name, schema)| ((*name).to_owned(), schema.to_json())).collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Kette JSON-RPC",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Ethereum's methods, and Kette's own under kette_. Every method also takes its \
                arguments by name.",
        },
        "methods": table::all().map(method).collect::<Vec<_>>(),
        "components": { "schemas": schemas },
    })
}

fn method(method: &Method) -> Value {
    let mut shown = json!({
        "name": method.name,
        "summary": method.summary,
        "params": method.params.iter().map(param).collect::<Vec<_>>(),
        "result": { "name": "result", "schema": schema(method.result) },
    });
    let tag = match method.access {
        Access::Open => return shown,
        Access::Control => "control",
        Access::Development => "development",
    };
    shown["tags"] = json!([{ "name": tag }]);
    shown
}

fn param(param: &Param) -> Value {
    json!({ "name": param.name, "required": param.required, "schema": schema(param.schema) })
}

/// `X` refers to a schema of the list, `[X]` is an array of it, `X?` is it or null.
fn schema(name: &str) -> Value {
    if let Some(inner) = name.strip_suffix('?') {
        return json!({ "oneOf": [schema(inner), { "type": "null" }] });
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return json!({ "type": "array", "items": schema(inner) });
    }
    debug_assert!(SCHEMAS.iter().any(|(known, _)| *known == name), "unknown schema {name}");
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

enum Shape {
    /// A JSON type with a description.
    Plain(&'static str, &'static str),
    /// A string with a pattern.
    Pattern(&'static str, &'static str),
}

impl Shape {
    fn to_json(&self) -> Value {
        match self {
            Self::Plain("any", description) => json!({ "description": description }),
            Self::Plain(kind, description) => json!({ "type": kind, "description": description }),
            Self::Pattern(pattern, description) => {
                json!({ "type": "string", "pattern": pattern, "description": description })
            }
        }
    }
}

const SCHEMAS: &[(&str, Shape)] = &[
    ("Quantity", Shape::Pattern("^0x(0|[1-9a-f][0-9a-f]*)$", "An integer in hexadecimal")),
    ("Data", Shape::Pattern("^0x([0-9a-f]{2})*$", "Bytes in hexadecimal")),
    ("Hash", Shape::Pattern("^0x[0-9a-f]{64}$", "32 bytes in hexadecimal")),
    ("Address", Shape::Pattern("^0x[0-9a-fA-F]{40}$", "20 bytes in hexadecimal")),
    ("PeerId", Shape::Pattern("^(0x)?[0-9a-f]{64}$", "A node's ed25519 public key")),
    ("PeerAddress", Shape::Plain("string", "[PEER-ID@]IP:PORT[/quic]")),
    (
        "BlockTag",
        Shape::Plain(
            "string",
            "A number in hexadecimal, or earliest, finalized, safe, latest, pending",
        ),
    ),
    ("BlockId", Shape::Plain("any", "A block tag, a block hash, or {blockHash} or {blockNumber}")),
    ("Boolean", Shape::Plain("boolean", "true or false")),
    ("Integer", Shape::Plain("integer", "A plain JSON integer")),
    ("String", Shape::Plain("string", "Text")),
    ("Null", Shape::Plain("null", "Nothing")),
    ("Any", Shape::Plain("any", "Depends on the arguments")),
    ("Object", Shape::Plain("object", "An object of this node's own shape")),
    ("Block", Shape::Plain("object", "Ethereum's block with hashes or whole transactions")),
    ("Header", Shape::Plain("object", "Ethereum's block header")),
    ("Transaction", Shape::Plain("object", "Ethereum's transaction with its place")),
    ("Receipt", Shape::Plain("object", "Ethereum's transaction receipt")),
    ("Log", Shape::Plain("object", "Ethereum's log with its place")),
    ("Filter", Shape::Plain("object", "fromBlock and toBlock, or blockHash; address; topics")),
    (
        "Call",
        Shape::Plain("object", "from, to, gas, gasPrice or fees, value, input, nonce, accessList"),
    ),
    (
        "StateOverrides",
        Shape::Plain("object", "Per address: balance, nonce, code, state, stateDiff"),
    ),
    (
        "BlockOverrides",
        Shape::Plain("object", "number, time, gasLimit, coinbase, random, baseFee, difficulty"),
    ),
    ("AccountProof", Shape::Plain("object", "EIP-1186 proof of an account and slots")),
    ("FeeHistory", Shape::Plain("object", "Base fees, gas used ratios, rewards")),
    ("AccessListResult", Shape::Plain("object", "accessList, gasUsed, error")),
    ("Syncing", Shape::Plain("any", "false, or startingBlock, currentBlock, highestBlock")),
    ("Number", Shape::Plain("any", "A quantity in hexadecimal or a plain JSON integer")),
];
