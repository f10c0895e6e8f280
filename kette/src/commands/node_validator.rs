//! The flags by which `kette node` votes: whose key, on which chain, with how much weight.

use crate::{
    cli::default_home,
    run::{ValidatorSettings, home::Home},
    validator_key::ValidatorKey,
};
use anyhow::{Context as _, bail};
use clap::Args;
use kette_types::{
    B256, ChainSpec,
    bft::{BftSpec, PublicKey},
    spec::NetworkKind,
};
use std::path::PathBuf;

/// Flags of a validator.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Validators (chains with the engine bft)")]
pub struct ValidatorArgs {
    /// Vote as the validator that genesis calls so, e.g. validator1. Without --home its home is a directory of that
    /// name in the usual one, without a genesis file there the chain is `timecoin`. A validator of a development
    /// network without a key file uses its INSECURE development key.
    #[arg(long = "validator-id", env = "KETTE_VALIDATOR_ID", value_name = "NAME")]
    pub id: Option<String>,
    /// Key file (default: validator.json in the home directory, if it is there).
    #[arg(long = "validator-key", env = "KETTE_VALIDATOR_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Votes that this validator must have by the registry; the node does not start with another number.
    #[arg(long, env = "KETTE_STAKE", value_name = "VOTES")]
    pub stake: Option<u64>,
    /// Sign although the record of what was signed last is missing. Only if the key was never used elsewhere since:
    /// a second vote for one height costs the stake.
    #[arg(long)]
    pub trust_missing_sign_state: bool,
    /// The chain forked, this node stopped, and operators chose its chain: go on. BLOCK is what was final here, as
    /// the log and `kette_consensus` name it; another one ends no stop.
    #[arg(long, value_name = "BLOCK")]
    pub resume_after_fork: Option<B256>,
}

/// The chain of a validator that names none.
const DEFAULT_CHAIN: &str = "timecoin";
/// From a validator's port for peers to that for clients.
const RPC_DISTANCE: u16 = 100;

impl ValidatorArgs {
    /// Takes what the command line left open from the settings file.
    pub fn fill(
        &mut self,
        id: &mut Option<String>,
        key: &mut Option<PathBuf>,
        stake: &mut Option<u64>,
    ) {
        self.id = self.id.take().or_else(|| id.take());
        self.key = self.key.take().or_else(|| key.take());
        self.stake = self.stake.or_else(|| stake.take());
    }

    /// Returns the home directory: of several validators on one machine each has its own.
    pub fn home(&self, home: PathBuf) -> Home {
        match &self.id {
            Some(id) if home == default_home() => Home::new(home.join(id)),
            _ => Home::new(home),
        }
    }

    /// Returns the chain, if only the validator's name says which.
    pub fn chain(&self, home: &Home) -> Option<String> {
        (self.id.is_some() && !home.genesis().exists()).then(|| DEFAULT_CHAIN.to_owned())
    }

    /// Returns the port for clients of a validator that was told its port for peers.
    pub fn rpc_port(&self, p2p: Option<u16>) -> Option<u16> {
        self.id.as_ref()?;
        p2p?.checked_add(RPC_DISTANCE)
    }

    /// Finds the key; `None` if this node does not vote.
    ///
    /// # Errors
    /// If the chain has no validators, no key is there, or it is not the one that genesis names.
    pub fn load(&self, home: &Home, spec: &ChainSpec) -> anyhow::Result<Option<ValidatorSettings>> {
        let asked = self.id.is_some()
            || self.key.is_some()
            || self.stake.is_some()
            || self.resume_after_fork.is_some();
        let Some(bft) = spec.bft() else {
            if asked {
                let engine = spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
                bail!(
                    "--validator-id, --validator-key, --stake and --resume-after-fork: this chain's engine is {engine}, \
                     it has no validators"
                );
            }
            return Ok(None);
        };
        let path = self.key.clone().unwrap_or_else(|| home.validator_key());
        let key = if self.key.is_some() || path.exists() {
            let key = ValidatorKey::read(&path)?;
            if let Some(id) = &self.id {
                let found = key.identity(None).key();
                check_named(bft, id, found).with_context(|| format!("{}", path.display()))?;
            }
            key
        } else if let Some(id) = &self.id {
            let local =
                spec.kette.as_ref().is_some_and(|kette| kette.network == NetworkKind::Local);
            development(bft, id, local)
                .with_context(|| format!("there is no key file at {}", path.display()))?
        } else {
            if self.stake.is_some() {
                bail!(
                    "--stake: this node has no validator's key; make one with `kette keys validator new`, \
                     or name a validator with --validator-id"
                );
            }
            return Ok(None);
        };
        let (stake, trust_missing) = (self.stake, self.trust_missing_sign_state);
        Ok(Some(ValidatorSettings { key, path, stake, trust_missing }))
    }
}

/// Checks that a key is the one that genesis has under this name. Names that genesis does not have are for people.
fn check_named(bft: &BftSpec, id: &str, key: PublicKey) -> anyhow::Result<()> {
    match bft.named(id) {
        Some(validator) if validator.key != key => bail!(
            "--validator-id {id}: the key file holds {key}, genesis says {} (after `rotate` leave --validator-id out)",
            validator.key
        ),
        _ => Ok(()),
    }
}

/// Returns the development key of a validator of genesis.
fn development(bft: &BftSpec, id: &str, local: bool) -> anyhow::Result<ValidatorKey> {
    let Some(validator) = bft.named(id) else {
        let names = if bft.validator_names.is_empty() {
            "it names none".to_owned()
        } else {
            bft.validator_names.join(", ")
        };
        bail!("--validator-id {id}: genesis has no validator of this name ({names})");
    };
    let key = ValidatorKey::development(id);
    if key.identity(None).key() != validator.key {
        bail!(
            "--validator-id {id}: its key {} is no development key: put its key file there",
            validator.key
        );
    }
    if !local {
        bail!("--validator-id {id}: development keys are for networks with `network: local` only");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        validator: ValidatorArgs,
    }

    fn parse(words: &[&str]) -> ValidatorArgs {
        Line::try_parse_from([&["kette"], words].concat()).unwrap().validator
    }

    #[test]
    fn a_name_is_enough_for_a_development_network() {
        let args = parse(&["--validator-id", "validator2", "--stake", "100"]);
        let home = args.home(default_home());
        assert_eq!(home.path(), default_home().join("validator2"));
        let dir = tempfile::tempdir().unwrap();
        let home = args.home(dir.path().to_owned());
        assert_eq!(home.path(), dir.path());
        assert_eq!(args.chain(&home).as_deref(), Some("timecoin"));
        assert_eq!((args.rpc_port(Some(8_002)), args.rpc_port(None)), (Some(8_102), None));
        let spec = presets::genesis("timecoin").unwrap();
        let validator = args.load(&home, &spec).unwrap().unwrap();
        assert!(validator.key.insecure);
        let genesis = spec.bft().unwrap().named("validator2").unwrap();
        assert_eq!(validator.key.identity(None).key(), genesis.key);
        assert_eq!(validator.stake, Some(100));
    }

    #[test]
    fn refuses_what_cannot_vote() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().to_owned());
        let refused = |words: &[&str], chain: &str| {
            let spec = presets::genesis(chain).unwrap();
            format!("{:#}", parse(words).load(&home, &spec).unwrap_err())
        };
        let error = refused(&["--validator-id", "validator4"], "timecoin");
        assert!(error.contains("validator1, validator2, validator3"), "{error}");
        let error = refused(&["--stake", "100"], "atmn");
        assert!(error.contains("engine is pow"), "{error}");
        let error = refused(&["--stake", "100"], "timecoin");
        assert!(error.contains("kette keys validator new"), "{error}");
        ValidatorKey::random(None).write(&home.validator_key()).unwrap();
        let error = refused(&["--validator-id", "validator1"], "timecoin");
        assert!(error.contains("genesis says"), "{error}");
        let spec = presets::genesis("timecoin").unwrap();
        assert!(
            parse(&[]).load(&home, &spec).unwrap().is_some(),
            "a key in the home directory votes"
        );
        let empty = Home::new(dir.path().join("none"));
        assert!(parse(&[]).load(&empty, &spec).unwrap().is_none(), "a node without a key follows");
    }
}
