//! Every check can fail: each is shown something bad, and something good that looks like it.

use super::{checks::*, tables::*};
use serde_json::{Value, json};

fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
    let dependencies: Vec<Value> = dependencies.iter().map(|d| json!({ "name": d })).collect();
    let manifest = format!("/core/there/{folder}/Cargo.toml");
    let package = json!({ "name": name, "manifest_path": manifest, "dependencies": dependencies });
    packages(&json!({ "workspace_root": "/core/there", "packages": [package] })).remove(0)
}

#[test]
fn finds_wrong_dependencies() {
    let all = |wrong: Package| {
        let mut all: Vec<Package> =
            ARROWS.iter().map(|(name, _)| package(name, "x", &[])).collect();
        all.retain(|package| package.name != wrong.name);
        all.push(wrong);
        all
    };
    let allowed = all(package("kette-store", "io/store", &["kette-chain", "rusqlite"]));
    assert_eq!(wrong_arrows(&allowed), [""; 0]);
    let back = all(package("kette-types", "core/types", &["kette-ledger"]));
    assert_eq!(wrong_arrows(&back), ["kette-types depends on kette-ledger"]);
    let extra = all(package("kette-new", "core/new", &[]));
    assert_eq!(wrong_arrows(&extra), ["kette-new is not in ARROWS"]);
    assert_eq!(wrong_arrows(&allowed[1..]), ["kette-types is in ARROWS and not in the workspace"]);

    assert_eq!(wrong_owners(&allowed), [""; 0]);
    let revm = [package("kette-rpc", "io/rpc", &["revm"])];
    assert_eq!(wrong_owners(&revm), ["kette-rpc names revm: only kette-ledger may"]);

    assert_eq!(impure_dependencies(&allowed), [""; 0]);
    let tokio = [package("kette-node", "core/node", &["tokio", "serde"])];
    assert_eq!(impure_dependencies(&tokio), ["kette-node depends on tokio"]);
}

#[test]
fn finds_impure_names_in_code_only() {
    let bad = "//! HashMap\nuse std::collections::HashMap; // HashSet\nlet t = Instant::now();\n";
    let found = impure_names("a.rs", bad);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.rs:2: `HashMap`") && found[1].starts_with("a.rs:3: `Instant"));
    let good = "/* std::fs */ let a = \"std::fs \\\" HashMap\"; let b = r#\"a \"tokio::\" b\"#;\n\
                let c: &'static str = MyHashMap::x('\"', '\\'', b'x'); use std::net::SocketAddr;";
    assert_eq!(impure_names("a.rs", good), [""; 0]);
    assert_eq!(impure_names("a.rs", "let q = '\"'; HashSet::new()").len(), 1);
    assert_eq!(engine_names("a.rs", "EngineSpec::Pow(p) => pow::target(p)").len(), 2);
    assert_eq!(engine_names("a.rs", "let power = x.pow(2); // pow::"), [""; 0]);
}

#[test]
fn finds_files_that_look_wrong() {
    assert_eq!(no_opening("a.rs", "use std::fmt;\n//! late"), ["a.rs:1: no `//!`"]);
    assert_eq!(no_opening("a.rs", "//! What it is.\n"), [""; 0]);
    assert_eq!(not_ascii("a.rs", "ok\nna\u{ef}ve"), ["a.rs:2: U+00EF"]);
    let long = "x\n".repeat(LINES_MAX + 1);
    assert_eq!(too_long("a.rs", &long).len(), 1);
    assert_eq!(too_long("a.rs", &long[2..]), [""; 0]);
    let exceptions = [("gone.rs", 700, "why"), ("short.rs", 700, "why"), ("long.rs", 700, "why")];
    let texts = |path: &str| match path {
        "short.rs" => Some("x\n".to_owned()),
        "long.rs" => Some(long.clone()),
        _ => None,
    };
    assert_eq!(stale_exceptions(&exceptions, &texts).len(), 2);
    for bad in
        ["// FIX\u{4d}E later", "todo!(\"x\")", "unimplemented!()", "#[ignore]", "// XX\u{58}"]
    {
        assert_eq!(unfinished("a.rs", bad).len(), 1, "{bad}");
    }
    assert_eq!(unfinished("a.rs", "// a todo list\nlet a = \"todo!()\";"), [""; 0]);
}

#[test]
fn finds_places_of_one_machine() {
    let home = MACHINE_FOLDERS[2];
    assert_eq!(machine_paths("a.md", &format!("see `{home}me/x`")).len(), 1);
    assert_eq!(machine_paths("a.md", &format!("see https://host{home}me, $HOME{home}")), [""; 0]);
    for registry in REGISTRIES {
        assert_eq!(registries("a.md", &format!("from {registry}/x")).len(), 1, "{registry}");
    }
    let lock =
        |source: &str| registries("Cargo.lock", &format!("name = \"a\"\nsource = \"{source}\"\n"));
    assert_eq!(lock(CARGO_SOURCE), [""; 0]);
    assert_eq!(lock("registry+https://mirror.example/index").len(), 1);
}

#[test]
fn finds_broken_links() {
    let read = |path: &str| (path == "docs/b.md").then(|| "# Two words, `x`\n".to_owned());
    let page =
        "[a](../docs/b.md#two-words-x) [b](https://x.y/z) `[c](none.md)`\n```\n[d](none)\n```\n";
    assert_eq!(broken_links("docs/a.md", page, &read), [""; 0]);
    let page = "[a](gone.md)\n\n[b](b.md#three-words)\n";
    let found = broken_links("docs/a.md", page, &read);
    assert_eq!(
        found,
        ["docs/a.md:1: gone.md: no docs/gone.md", "docs/a.md:3: b.md#three-words: no such heading"]
    );

    let page = "`core/a.rs` and `core/gone.rs`, not `core/<engine>/` nor\n```\n`core/x.rs`\n```\n";
    let found = missing_files("README.md", page, &|path| path == "core/a.rs");
    assert_eq!(found, ["README.md:1: no core/gone.rs"]);
}
