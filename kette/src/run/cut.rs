//! From whom a node is cut off both ways, kept in its directory so that a restart does not heal it: `cut.json`. Links
//! that are cut in one direction are among the links ([`super::links`]).

use super::{home::Home, links};
use crate::whole_file;
use anyhow::Context as _;
use kette_types::{ChainSpec, PeerId};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    time::{Duration, SystemTime},
};

/// A cut that lasts until somebody heals it, or until a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cut {
    /// Peers without a session.
    pub peers: BTreeSet<PeerId>,
    /// When it ends, milliseconds since 1970; without it somebody heals it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl Cut {
    /// Makes a cut that begins now.
    pub fn new(peers: BTreeSet<PeerId>, lasts: Option<Duration>) -> Self {
        let end = lasts.and_then(|lasts| SystemTime::now().checked_add(lasts));
        Self { peers, until_ms: end.map(unix_ms) }
    }

    /// Reads a node's cut; one that has ended is none.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(home: &Home) -> anyhow::Result<Self> {
        let cut = Self::written(home)?;
        Ok(if cut.is_over() { Self::default() } else { cut })
    }

    /// Tells whether a node had a cut whose time is over.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn has_ended(home: &Home) -> anyhow::Result<bool> {
        let cut = Self::written(home)?;
        Ok(!cut.peers.is_empty() && cut.is_over())
    }

    fn written(home: &Home) -> anyhow::Result<Self> {
        let path = home.cut();
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    fn is_over(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// Reads what a node that starts is cut off from.
    ///
    /// # Errors
    /// If the file is damaged, or strangers take part in this chain.
    pub(super) fn load(home: &Home, spec: &ChainSpec) -> anyhow::Result<Self> {
        let cut = Self::read(home)?;
        if cut != Self::default() {
            links::only_local(spec, &home.cut())?;
        }
        Ok(cut)
    }

    /// Writes it where the node finds it at its next start.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, home: &Home) -> anyhow::Result<()> {
        match self.peers.is_empty() {
            true => whole_file::remove_unsynced(&home.cut()),
            false => whole_file::write_unsynced(&home.cut(), &serde_json::to_string_pretty(self)?),
        }
    }

    /// Returns how long it still lasts, if it ends by itself.
    pub fn remaining(&self) -> Option<Duration> {
        let now = unix_ms(SystemTime::now());
        self.until_ms.map(|end| Duration::from_millis(end.saturating_sub(now)))
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_types::B256;

    #[test]
    fn a_cut_is_read_until_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_path_buf());
        assert_eq!(Cut::read(&home).unwrap(), Cut::default());
        let peers = BTreeSet::from([PeerId(B256::repeat_byte(1))]);
        for lasts in [None, Some(Duration::from_secs(60))] {
            let cut = Cut::new(peers.clone(), lasts);
            cut.write(&home).unwrap();
            assert_eq!(Cut::read(&home).unwrap(), cut);
            assert!(!Cut::has_ended(&home).unwrap());
            let remaining = cut.remaining();
            assert_eq!(remaining.is_some(), lasts.is_some());
            assert!(remaining.is_none_or(|left| left > Duration::from_secs(50)), "{remaining:?}");
        }
        Cut { peers, until_ms: Some(1) }.write(&home).unwrap();
        assert_eq!(Cut::read(&home).unwrap(), Cut::default(), "it ended in 1970");
        assert!(Cut::has_ended(&home).unwrap());
        Cut::default().write(&home).unwrap();
        assert!(!home.cut().exists());
        fs::write(home.cut(), "{").unwrap();
        assert!(format!("{:#}", Cut::read(&home).unwrap_err()).contains("cut.json"));
    }
}
