//! A node's directory: what lies where, and keys that only their owner may read.

use crate::whole_file;
use anyhow::{Context as _, bail};
use kette_types::ChainSpec;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// A node's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
    database: Option<PathBuf>,
}

impl Home {
    /// Names a directory; nothing is created.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, database: None }
    }

    /// Keeps the database in another place.
    pub fn with_database(mut self, database: PathBuf) -> Self {
        self.database = Some(database);
        self
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the chain's genesis file lies.
    pub fn genesis(&self) -> PathBuf {
        self.path.join("genesis.json")
    }

    /// Returns where the node's identity lies: an ed25519 secret key, 64 hexadecimal digits.
    pub fn node_key(&self) -> PathBuf {
        self.path.join("node.key")
    }

    /// Returns where a validator's key lies; see [`crate::validator_key`].
    pub fn validator_key(&self) -> PathBuf {
        self.path.join("validator.json")
    }

    /// Returns where it says what the validator signed last.
    pub fn sign_state(&self) -> PathBuf {
        self.path.join("sign_state.json")
    }

    /// Returns where it says what a liar knows of its network; see [`super::byzantine`].
    pub fn byzantine(&self) -> PathBuf {
        self.path.join("byzantine.json")
    }

    /// Returns where the settings file lies.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Returns where it says what the ways to peers are like: see [`super::links`].
    pub fn links(&self) -> PathBuf {
        self.path.join("links.json")
    }

    /// Returns where it says from whom the node is cut off: see [`super::cut`].
    pub fn cut(&self) -> PathBuf {
        self.path.join("cut.json")
    }

    /// Returns where the token lies that clients need to change the node's links: who can read it may.
    pub fn control_token(&self) -> PathBuf {
        self.path.join("control.token")
    }

    /// Reads the token, making one if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or written, is no token, or others may read it.
    pub fn load_or_make_control_token(&self) -> anyhow::Result<String> {
        let path = self.control_token();
        if !path.exists()
            && let Err(error) = write_secret(&path, &rand::random())
            && !path.exists()
        {
            // Not because somebody else was faster: a launcher makes it for its nodes, a node for itself.
            return Err(error);
        }
        self.read_control_token()
    }

    /// Reads the token of a node that was started.
    ///
    /// # Errors
    /// If there is none, it is no token, or others may read it.
    pub fn read_control_token(&self) -> anyhow::Result<String> {
        Ok(alloy_primitives::hex::encode(read_secret(&self.control_token())?))
    }

    /// Returns where the database lies.
    pub fn database(&self) -> PathBuf {
        self.database.clone().unwrap_or_else(|| self.path.join("node.sqlite"))
    }

    /// Returns where account keys lie, as Web3 keystore files.
    pub fn keystore(&self) -> PathBuf {
        self.path.join("keystore")
    }

    /// Creates the directory.
    ///
    /// # Errors
    /// If it cannot be created or written.
    pub fn create(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.path)
            .with_context(|| format!("cannot create the home directory {}", self.path.display()))
    }

    /// Reads the genesis file.
    ///
    /// # Errors
    /// If there is none or it cannot be used; says which command makes one.
    pub fn load_genesis(&self) -> anyhow::Result<ChainSpec> {
        let path = self.genesis();
        if !path.exists() {
            bail!(
                "no genesis file at {}: run `kette init --home {}` first, or name one with --genesis",
                path.display(),
                self.path.display()
            );
        }
        read_genesis(&path)
    }

    /// Reads the chain by preset name, file, or from this directory.
    ///
    /// # Errors
    /// If there is no such genesis or it cannot be used.
    pub fn spec(&self, genesis: Option<&str>) -> anyhow::Result<std::sync::Arc<ChainSpec>> {
        Ok(std::sync::Arc::new(match genesis {
            None => self.load_genesis()?,
            Some(name) if crate::presets::has_genesis(name) => crate::presets::genesis(name)?,
            Some(path) => read_genesis(Path::new(path))?,
        }))
    }

    /// Writes the genesis file if there is none, so that later commands find the chain by the directory alone.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep_genesis(&self, spec: &ChainSpec) -> anyhow::Result<()> {
        let path = self.genesis();
        if path.exists() {
            return Ok(());
        }
        fs::write(&path, serde_json::to_string_pretty(&spec.genesis)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads the node's key, making one if there is none.
    ///
    /// # Errors
    /// If the file cannot be read, is no key, or others may read it.
    pub fn load_or_make_node_key(&self) -> anyhow::Result<[u8; 32]> {
        let path = self.node_key();
        if path.exists() {
            return read_secret(&path);
        }
        let secret: [u8; 32] = rand::random();
        write_secret(&path, &secret)?;
        Ok(secret)
    }
}

/// Reads a genesis file.
///
/// # Errors
/// If it cannot be read or used.
pub fn read_genesis(path: &Path) -> anyhow::Result<ChainSpec> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the genesis file {}", path.display()))?;
    ChainSpec::from_json(&text).with_context(|| format!("{}", path.display()))
}

/// Writes a secret key to a new file with mode 0600: whoever finds the file finds it whole.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write_secret(path: &Path, secret: &[u8; 32]) -> anyhow::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:016x}.new", rand::random::<u64>()));
    let draft = PathBuf::from(draft);
    let written = write_new(&draft, secret);
    // A link takes the place of nothing, which a renamed file would.
    let made = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    let made = made.and_then(|()| whole_file::sync_name(path));
    made.with_context(|| format!("cannot create the key file {}", path.display()))
}

fn write_new(path: &Path, secret: &[u8; 32]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", alloy_primitives::hex::encode(secret))?;
    file.sync_all()
}

/// Reads a secret key.
///
/// # Errors
/// If the file cannot be read, is no key, or is readable by others.
pub fn read_secret(path: &Path) -> anyhow::Result<[u8; 32]> {
    let shown = path.display();
    let mode =
        fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "the key file {shown} is readable by others (mode {:o}): run `chmod 600 {shown}`",
            mode & 0o777
        );
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let mut secret = [0; 32];
    alloy_primitives::hex::decode_to_slice(text.trim(), &mut secret)
        .map_err(|_| anyhow::anyhow!("{shown} is no key file: expected 64 hexadecimal digits"))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_there_whole_or_not_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_owned());
        let made: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| home.load_or_make_control_token().unwrap()))
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|token| *token == made[0]), "{made:?}");
        let error = write_secret(&home.control_token(), &[1; 32]).unwrap_err();
        assert!(error.to_string().contains("control.token"), "{error}");
        assert_eq!(home.read_control_token().unwrap(), made[0]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no drafts are left");
    }
}
