//! Runs as `kette net run --json` and `kette sim run --json` write them, read back for reports.

use crate::input::{self, Kind};
use anyhow::{Context as _, bail};
use kette_sim::run::{
    BlockFigures, FaultBand, FinalityFigures, HeightSample, NodeFigures, Propagation,
    TransactionFigures,
};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// A run. Fields that one of the two hosts does not know are empty.
#[derive(Clone, Debug, Deserialize)]
pub struct Document {
    /// The network's name.
    #[serde(default)]
    pub name: String,
    /// The chain's engine.
    #[serde(default)]
    pub engine: String,
    /// Where all choices came from.
    pub seed: u64,
    /// Seconds that passed, real or virtual.
    #[serde(alias = "virtual_seconds")]
    pub seconds: f64,
    /// From the first start until all answered (processes).
    pub start_seconds: Option<f64>,
    /// From the end of all faults until all agreed and had two more blocks (processes).
    pub converged_seconds: Option<f64>,
    /// Whether there is no violation and all checks hold.
    pub ok: bool,
    /// How many nodes.
    pub nodes: usize,
    /// Blocks.
    pub blocks: BlockFigures,
    /// Time until shares of the nodes had a block.
    pub propagation: Propagation,
    /// Time until blocks were final.
    pub finality: Option<FinalityFigures>,
    /// Transactions.
    pub transactions: TransactionFigures,
    /// Names of the nodes, in the order of `heights`.
    pub names: Vec<String>,
    /// Heights over time.
    pub heights: Vec<HeightSample>,
    /// Faults over time.
    pub faults: Vec<FaultBand>,
    /// The nodes at the end.
    #[serde(default)]
    pub list: Vec<NodeFigures>,
    /// Checks.
    pub checks: Vec<Check>,
    /// Invariants that did not hold.
    pub violations: Vec<Violation>,
    /// What did not happen and need not.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Hash over everything that happened (simulator).
    pub trace_hash: Option<String>,
    /// What ran it.
    #[serde(default)]
    pub command: String,
    /// The commit of the program.
    #[serde(default)]
    pub commit: String,
    /// Cores, operating system, architecture.
    #[serde(default)]
    pub machine: Value,
    /// Whether the simulator ran it.
    #[serde(skip)]
    pub simulated: bool,
}

/// A check and how it ended.
#[derive(Clone, Debug, Deserialize)]
pub struct Check {
    /// In words.
    pub check: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was seen.
    pub seen: String,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, Deserialize)]
pub struct Violation {
    /// Which.
    pub checker: String,
    /// What was seen.
    pub what: String,
}

impl Document {
    /// Reads the runs of a file, of either host.
    ///
    /// # Errors
    /// If it cannot be read, or is something else.
    pub fn read(path: &Path) -> anyhow::Result<Vec<Self>> {
        // One limit holds for both: which of them it is shows only inside.
        let bytes = input::bytes(path, Kind::NetResults)?;
        let value: Value = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is no result of `kette net run --json` or `kette sim run --json`",
                path.display()
            )
        })?;
        Self::from_value(value).with_context(|| path.display().to_string())
    }

    /// Takes what either of the two commands printed.
    ///
    /// # Errors
    /// If it is something else, or of a version that lacks what a report needs.
    pub fn from_value(mut value: Value) -> anyhow::Result<Vec<Self>> {
        let runs = match value["schema"].as_str() {
            Some("kette-net-run") => vec![value],
            Some(crate::commands::sim::run::SCHEMA) => {
                let runs = value["runs"].take();
                let Value::Array(mut runs) = runs else { bail!("it has no `runs`") };
                for run in &mut runs {
                    for key in ["command", "commit", "machine", "schema"] {
                        run[key] = value[key].clone();
                    }
                }
                runs
            }
            Some(other) => bail!(
                "`{other}`: expected what `kette net run --json` or `kette sim run --json` prints"
            ),
            None => bail!("expected what `kette net run --json` or `kette sim run --json` prints"),
        };
        if runs.is_empty() {
            bail!("it has no runs");
        }
        let read = |run: Value| {
            let simulated = run["schema"] == crate::commands::sim::run::SCHEMA;
            let run: Self = serde_json::from_value(run)?;
            anyhow::Ok(Self { simulated, ..run })
        };
        runs.into_iter().map(read).collect()
    }

    /// Names the host.
    pub const fn host(&self) -> &'static str {
        if self.simulated { "simulator" } else { "processes" }
    }

    /// Names the run: network, host, seed.
    pub fn title(&self) -> String {
        format!("{}, {}, seed {}", self.name, self.host(), self.seed)
    }

    /// Names the machine.
    pub fn machine(&self) -> String {
        let text = |key: &str| self.machine[key].as_str().unwrap_or("unknown").to_owned();
        let cores = self.machine["cores"].as_u64().unwrap_or(0);
        format!("{cores} cores, {} {}", text("os"), text("arch"))
    }
}
