//! What tests of the whole program share: nodes and networks as processes, their RPC, ports, fast chains.
//!
//! Nothing here sleeps to wait for something: [`until`] asks again and again and fails with what it saw last.
//! Every process that a test starts ends with the value that started it, also when the test fails.

pub(crate) mod accounts;
pub(crate) mod blocks;
pub(crate) mod chains;
pub(crate) mod nets;
pub(crate) mod nodes;
pub(crate) mod ports;
pub(crate) mod rpc;

pub(crate) use chains::Chain;
pub(crate) use nets::Net;
pub(crate) use nodes::Node;
pub(crate) use ports::Ports;
pub(crate) use rpc::Rpc;

use serde_json::Value;
use std::{
    fmt::Debug,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`, and returns it with the time that it took.
///
/// # Panics
/// If it takes longer than `limit`; shows the last `Err`.
pub(crate) fn until<T, E: Debug>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, E>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(found) => return (found, started.elapsed()),
            Err(seen) if started.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; last seen: {seen:?}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Seconds, for limits.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A run of the program that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// Returns standard output as JSON; the run must have been good.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Holds that the run failed with this code and that its error says all of `words`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing in: {}", self.err);
        }
    }
}

impl Ran {
    /// Holds that `kette --json miner` found so many blocks.
    #[track_caller]
    pub(crate) fn found(&self, blocks: usize) {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.out.matches("\"found\"").count(), blocks, "{self:?}");
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program, with nothing of the caller's own settings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kette"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KETTE_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn kette(args: &[&str]) -> Ran {
    program().args(args).output().expect("the program starts").into()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Prints a measured figure; nextest shows it with `--no-capture` or `--success-output final`.
pub(crate) fn figure(name: &str, value: impl std::fmt::Display) {
    eprintln!("FIGURE {name}: {value}");
}
