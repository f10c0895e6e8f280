//! Genesis files for tests: the development preset with other constants.

use serde_json::{Value, json};
use std::path::Path;

/// A genesis file that tests change.
#[derive(Clone, Debug)]
pub(crate) struct Chain(pub(crate) Value);

impl Chain {
    /// A chain that is not for development, with constant difficulty. With `n` miners of `r` hashes per second
    /// a block comes every `difficulty / (n * r)` seconds. Every block pays two coins, so that states differ.
    pub(crate) fn fixed(chain_id: u64, difficulty: u64) -> Self {
        let text = include_str!("../../../presets/chains/dev.json");
        let mut chain = Self(serde_json::from_str(text).expect("the preset is JSON"));
        chain.0["config"]["chainId"] = json!(chain_id);
        chain.0["difficulty"] = json!(format!("{difficulty:#x}"));
        let kette = chain.kette();
        kette["name"] = json!("test");
        kette["development"] = json!(false);
        kette["baseFee"] = json!("producer");
        kette["reward"] = json!({ "policy": "constant", "amount": "0x1bc16d674ec80000" });
        chain.pow()["anchorDifficulty"] = json!(format!("{difficulty:#x}"));
        chain
    }

    /// What stands under `config.kette`.
    pub(crate) fn kette(&mut self) -> &mut Value {
        &mut self.0["config"]["kette"]
    }

    /// The engine's constants.
    pub(crate) fn pow(&mut self) -> &mut Value {
        &mut self.kette()["engine"]["pow"]
    }

    /// Lets blocks run ahead of the clock by so many seconds, so that thousands can be made at once.
    pub(crate) fn ahead(mut self, seconds: u64) -> Self {
        self.pow()["futureLimit"] = json!(seconds);
        self.pow()["pauseLimit"] = json!(2 * seconds);
        self
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.0.to_string()).expect("a genesis file is written");
    }

    /// The program's own reading of the file.
    pub(crate) fn spec(&self) -> kette_types::ChainSpec {
        kette_types::ChainSpec::from_json(&self.0.to_string()).expect("a good genesis file")
    }
}
