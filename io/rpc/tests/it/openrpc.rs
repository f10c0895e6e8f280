//! The committed document is the generated one, and lists exactly what is served.

use crate::{client, node::Fixture};
use kette_rpc::openrpc;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn committed_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openrpc.json");
    let generated = openrpc::document();
    if std::env::var_os("KETTE_UPDATE_OPENRPC").is_some() {
        std::fs::write(path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == generated,
        "openrpc.json differs from the method table: run the test with KETTE_UPDATE_OPENRPC=1"
    );
}

#[test]
fn every_schema_is_defined_and_every_name_is_unique() {
    let document: Value = serde_json::from_str(openrpc::document()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in openrpc::document().split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    let names: BTreeSet<_> = openrpc::method_names().into_iter().collect();
    assert_eq!(names.len(), openrpc::method_names().len());
}

#[tokio::test]
async fn every_listed_method_is_served() {
    let fixture = Fixture::new().await;
    for name in openrpc::method_names() {
        // Wrong parameters: the method is found and does nothing.
        let answer = client::answer(fixture.at, name, json!("wrong")).await;
        let pushed = name.ends_with("_subscribe") || name.ends_with("_unsubscribe");
        let missing = answer["error"]["code"] == -32601;
        assert_eq!(missing, pushed, "{name}: {answer}");
    }
    let served = client::get(fixture.at, "/openrpc.json").await;
    assert_eq!(served.body, openrpc::document());
}
