//! Network files: reading, writing, planning, selecting, and what happens when.

mod checks;
mod doc;
mod errors;
mod plans;
mod round;
mod steps;

use super::*;
use std::time::Duration;

/// Four miners and a late reader, with what the test adds.
fn file(more: &str) -> NetworkFile {
    NetworkFile::parse(&text(more)).unwrap()
}

fn text(more: &str) -> String {
    format!(
        "schema = 1\n[network]\nname = \"test\"\nchain = \"atmn\"\n[[group]]\nname = \"miner\"\ncount = 4\n\
         roles = [\"miner\"]\n[[group]]\nnames = [\"reader\"]\n{more}"
    )
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A network of which all nodes run and have this height.
fn facts(at: Duration, height: u64) -> Facts {
    let names = ["miner-0", "miner-1", "miner-2", "miner-3", "reader"];
    let node = |name: &&str| NodeFacts {
        name: (*name).to_owned(),
        up: true,
        honest: true,
        height,
        ..NodeFacts::default()
    };
    Facts { at, nodes: names.iter().map(node).collect() }
}
