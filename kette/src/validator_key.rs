//! A validator's key file: the seed of its Ed25519 keys (RFC 8032), readable by its owner only.

use crate::whole_file;
use anyhow::{Context as _, bail};
use kette_consensus::bft::Identity;
use kette_sim::scenario::validators::development_seed;
use kette_types::{
    Address, B256,
    bft::{Domain, PublicKey, SignState, Signature},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// A validator's key. Its seed is shown only in its file.
#[derive(Clone, PartialEq, Eq)]
pub struct ValidatorKey {
    /// Name for people; the one in genesis, if it has names.
    pub name: Option<String>,
    /// Everybody can compute the key from the name.
    pub insecure: bool,
    seed: B256,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    key: PublicKey,
    vrf_key: B256,
    /// Last, so that a glance at the file shows the rest.
    seed: B256,
}

impl std::fmt::Debug for ValidatorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ValidatorKey({:?}, {})", self.name, self.identity(None).key())
    }
}

impl ValidatorKey {
    /// Makes a key from the system's randomness.
    pub fn random(name: Option<String>) -> Self {
        Self { name, insecure: false, seed: B256::new(rand::random()) }
    }

    /// Returns the key of a development network's validator. Everybody can compute it.
    pub fn development(name: &str) -> Self {
        Self { name: Some(name.to_owned()), insecure: true, seed: development_seed(name) }
    }

    /// Returns the keys that the engine signs with.
    pub fn identity(&self, signed: Option<SignState>) -> Identity {
        Identity::from_seed(&self.seed, signed)
    }

    /// Proves to the registry of a chain that `owner` has this key: the `proof` of `register` and `rotate`.
    pub fn proof(&self, domain: Domain, owner: Address) -> Signature {
        let identity = self.identity(None);
        let message = kette_ledger::staking::proof_message(domain, owner, identity.vrf_key());
        identity.secret.sign(&message)
    }

    /// Writes a new file with mode 0600.
    ///
    /// # Errors
    /// If there is a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let identity = self.identity(None);
        let file = File {
            name: self.name.clone(),
            warning: self.insecure.then(|| INSECURE.to_owned()),
            key: identity.key(),
            vrf_key: identity.vrf_key(),
            seed: self.seed,
        };
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| {
                format!("cannot create the validator's key file {}", path.display())
            })?;
        writeln!(out, "{}", serde_json::to_string_pretty(&file)?)?;
        out.sync_all()?;
        whole_file::sync_name(path)
            .with_context(|| format!("cannot keep the validator's key file {}", path.display()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, is no key file, or others may read it.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let meta = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
        let mode = meta.permissions().mode();
        if mode & 0o077 != 0 {
            bail!(
                "the validator's key file {shown} is readable by others (mode {:o}): run `chmod 600 {shown}`",
                mode & 0o777
            );
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        // The text holds a secret: what is wrong with it is not quoted.
        let file: File = serde_json::from_str(&text).map_err(|error| {
            anyhow::anyhow!("{shown} is no validator's key file (line {})", error.line())
        })?;
        let key = Self { name: file.name, insecure: file.warning.is_some(), seed: file.seed };
        let identity = key.identity(None);
        if (identity.key(), identity.vrf_key()) != (file.key, file.vrf_key) {
            bail!("{shown}: the public keys are not those of the seed; was the file edited?");
        }
        Ok(key)
    }
}

const INSECURE: &str =
    "INSECURE development key: everybody can compute it from the name. Never for value.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_private_and_read_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("validator.json");
        let key = ValidatorKey::random(Some("v".to_owned()));
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ValidatorKey::read(&path).unwrap(), key);
        assert!(key.write(&path).is_err(), "a key is never replaced");
        let seed = alloy_primitives::hex::encode(key.seed);
        assert!(!format!("{key:?}").contains(&seed));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = ValidatorKey::read(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(&seed, &"11".repeat(32))).unwrap();
        assert!(ValidatorKey::read(&path).unwrap_err().to_string().contains("edited"));
        fs::write(&path, text.replace("\"seed\": \"0x", "\"seed\": \"0xzz")).unwrap();
        let error = format!("{:#}", ValidatorKey::read(&path).unwrap_err());
        assert!(!error.contains(&seed[..8]), "{error}");
    }

    #[test]
    fn a_development_key_says_so_and_proves_its_owner() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("validator.json");
        let key = ValidatorKey::development("validator1");
        key.write(&path).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("INSECURE"));
        assert!(ValidatorKey::read(&path).unwrap().insecure);
        let (domain, owner) = (Domain(B256::repeat_byte(1)), Address::repeat_byte(2));
        let identity = key.identity(None);
        let message = kette_ledger::staking::proof_message(domain, owner, identity.vrf_key());
        assert!(identity.key().verify(&message, &key.proof(domain, owner)));
    }
}
