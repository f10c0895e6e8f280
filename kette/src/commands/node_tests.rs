//! The flags of `kette node` that tests use, hidden from `--help`: a node that lies, a clock that is wrong. Both work in
//! builds with debug assertions only, and on local chains only.

use crate::run::{byzantine, clock};
use anyhow::bail;
use clap::Args;
use kette_sim::scenario::Misbehaviour;
use kette_types::ChainSpec;

/// Flags for tests.
#[derive(Args, Clone, Debug, Default)]
pub struct TestArgs {
    /// Lie in this way; `byzantine.json` in the home directory says to whom.
    #[arg(long, hide = true, value_name = "ROLE")]
    byzantine: Option<String>,
    /// Milliseconds by which the node's clock is ahead.
    #[arg(long, hide = true, value_name = "MS", allow_negative_numbers = true)]
    clock_offset: Option<i64>,
}

impl TestArgs {
    /// Returns how the node lies.
    ///
    /// # Errors
    /// If there is no such role, or a process of this chain cannot play it.
    pub fn role(&self, spec: &ChainSpec) -> anyhow::Result<Option<Misbehaviour>> {
        let Some(name) = &self.byzantine else { return Ok(None) };
        let role = byzantine::role(name)?;
        match byzantine::refusal(role, spec) {
            Some(why) => bail!("--byzantine {name}: {why}"),
            None => Ok(Some(role)),
        }
    }

    /// Returns how far the node's clock is ahead, milliseconds.
    ///
    /// # Errors
    /// If this build or chain does not allow a wrong clock.
    pub fn clock_offset_ms(&self, spec: &ChainSpec) -> anyhow::Result<i64> {
        let ahead = self.clock_offset.unwrap_or(0);
        match clock::refusal(ahead, spec) {
            Some(why) => bail!("--clock-offset: {why}"),
            None => Ok(ahead),
        }
    }
}
