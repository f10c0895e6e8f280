//! Tests of real networks by name: which embedded network files each is made of, in short and in full length.

use std::time::Duration;

/// A test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// What runs by default.
    pub short: &'static [Part],
    /// What runs with `--long`.
    pub long: &'static [Part],
}

/// A network file, and how long it runs and how large it is if not as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name of the embedded file.
    pub file: &'static str,
    /// Instead of the file's own duration, seconds.
    pub seconds: Option<u64>,
    /// Instead of the file's own number of nodes.
    pub nodes: Option<usize>,
}

impl Part {
    /// Returns the duration to run for, if not the file's own.
    pub fn duration(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }
}

const fn file(file: &'static str) -> Part {
    Part { file, seconds: None, nodes: None }
}

const fn lasting(file: &'static str, seconds: u64) -> Part {
    Part { file, seconds: Some(seconds), nodes: None }
}

/// All tests, in the order in which `all` runs them.
pub const TESTS: [Test; 14] = [
    Test {
        name: "connectivity",
        about: "ten nodes run, are connected, and lose no session; without the first three the rest goes on",
        short: &[file("pow10"), file("pow10-kill")],
        long: &[lasting("pow10", 300), file("pow10-kill")],
    },
    Test {
        name: "nak3",
        about: "Alice, Bob and Charlie mine, send and agree; who was away catches up in less than 5 s",
        short: &[file("nak3")],
        long: &[lasting("nak3", 120)],
    },
    Test {
        name: "propagation",
        about: "blocks of one node reach ten within 2 s, with a table of the latency of each block",
        short: &[file("propagation")],
        long: &[lasting("propagation", 120)],
    },
    Test {
        name: "fork",
        about: "blocks found at the same time, a network cut in two, and less work against more blocks",
        short: &[file("fork1-net"), file("fork2-net"), file("fork3-net")],
        long: &[file("fork1"), file("fork2"), file("fork3")],
    },
    Test {
        name: "partition",
        about: "a cut makes two networks within 15 s, its end makes one of them again",
        short: &[file("fork2-net")],
        long: &[file("fork2")],
    },
    Test {
        name: "orphan",
        about: "blocks whose parents a node lacks: after sleep, with an empty database, as a latecomer",
        short: &[file("fork4-net")],
        long: &[lasting("fork4-net", 180), file("fork4")],
    },
    Test {
        name: "churn",
        about: "nodes crash and return all the time, and all agree afterwards",
        short: &[file("churn-net")],
        long: &[file("churn")],
    },
    Test {
        name: "load",
        about: "five and ten miners under 15 transactions a second, five under 130: all are committed and in all pools",
        short: &[file("load5"), file("load10"), file("load100")],
        long: &[lasting("load5", 120), lasting("load10", 120), lasting("load100", 120)],
    },
    Test {
        name: "byzantine",
        about: "liars among honest nodes",
        short: &[file("byzantine-net")],
        long: &[file("byzantine"), file("bft4-e")],
    },
    Test {
        name: "topology",
        about: "mesh, star, line, ring and a graph of one's own",
        short: &[
            file("topo-mesh"),
            file("topo-star"),
            file("topo-line"),
            file("topo-ring"),
            file("topo-custom"),
        ],
        long: &[
            lasting("topo-mesh", 60),
            lasting("topo-star", 60),
            lasting("topo-line", 60),
            lasting("topo-ring", 60),
            lasting("topo-custom", 60),
        ],
    },
    Test {
        name: "scale",
        about: "many nodes on one machine: 20, or 50 with --long",
        short: &[file("scale")],
        long: &[Part { nodes: Some(50), ..lasting("scale", 300) }],
    },
    Test {
        name: "geo",
        about: "ten regions of the world with measured latencies",
        short: &[file("geo-net")],
        long: &[file("geo")],
    },
    Test {
        name: "engines",
        about: "the same load and faults on both engines, for a report side by side",
        short: &[file("engines-pow"), file("engines-bft")],
        long: &[lasting("engines-pow", 180), lasting("engines-bft", 180)],
    },
    Test {
        name: "upgrade",
        about: "all nodes stop and start again with another copy of the program, and the chain goes on",
        short: &[file("upgrade")],
        long: &[lasting("upgrade", 120)],
    },
];

/// The name that stands for all of them.
pub const ALL: &str = "all";

/// Returns the tests of a name: one, or all.
pub fn named(name: &str) -> Vec<Test> {
    TESTS.into_iter().filter(|test| name == ALL || test.name == name).collect()
}

/// Returns the parts of tests in the order in which they run, each file once.
pub fn parts(tests: &[Test], long: bool) -> Vec<(Test, Part)> {
    let mut parts: Vec<(Test, Part)> = Vec::new();
    for test in tests {
        for part in if long { test.long } else { test.short } {
            if !parts.iter().any(|(_, known)| known == part) {
                parts.push((*test, *part));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{presets, testnet::file};
    use std::collections::BTreeSet;

    #[test]
    fn every_test_has_files_that_can_be_read() {
        for test in TESTS {
            for part in test.short.iter().chain(test.long) {
                let file = file::load_scaled(part.file, part.nodes).unwrap();
                assert!(!file.check.is_empty(), "{}", part.file);
                let mut file = file;
                if let Some(duration) = part.duration() {
                    file.network.duration = duration;
                    file.check().unwrap_or_else(|error| panic!("{}: {error}", part.file));
                }
            }
        }
    }

    #[test]
    fn every_embedded_test_file_is_in_a_test() {
        let used: BTreeSet<&str> = TESTS
            .iter()
            .flat_map(|test| test.short.iter().chain(test.long))
            .map(|it| it.file)
            .collect();
        for name in presets::tests() {
            assert!(used.contains(name), "{name}");
        }
    }

    #[test]
    fn all_runs_each_file_once_and_not_for_long() {
        let all = parts(&named(ALL), false);
        let files: BTreeSet<&str> = all.iter().map(|(_, part)| part.file).collect();
        assert_eq!(files.len(), all.len());
        let seconds: u64 = all
            .iter()
            .map(|(_, part)| file::load(part.file).unwrap().network.duration.as_secs())
            .sum();
        assert!(seconds < 1_020, "{seconds}");
        assert!(named("nothing").is_empty() && named("churn").len() == 1);
    }
}
