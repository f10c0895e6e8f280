//! `kette keys validator`: a validator's keys and what proves to the registry that they are its owner's.

use crate::{cli::HomeArgs, commands::output, run::home::Home, validator_key::ValidatorKey};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use kette_types::Address;
use serde_json::{Value, json};

/// What to do with validators' keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make keys and keep them in validator.json of the home directory
    New {
        /// Name for people, e.g. validator1.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Print the public keys, and with --owner the proof that `register` and `rotate` ask for
    Show {
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// What is shown of keys.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    pub home: HomeArgs,
    /// The account that owns the stake and is paid.
    #[arg(long)]
    pub owner: Option<Address>,
    /// Votes, for `kette genesis new --validators FILE`.
    #[arg(long)]
    pub stake: Option<u64>,
    /// The chain that the proof is for: a preset or a genesis file (default: genesis.json in the home directory).
    #[arg(long)]
    pub genesis: Option<String>,
}

/// Carries out `kette keys validator`.
///
/// # Errors
/// If a key cannot be read or written.
pub fn run(args: Keys, json: bool) -> anyhow::Result<()> {
    let (key, args) = match args {
        Keys::New { name, show } => {
            let home = Home::new(show.home.home.clone());
            home.create()?;
            let key = ValidatorKey::random(name);
            key.write(&home.validator_key())?;
            (key, show)
        }
        Keys::Show { show } => (load(&Home::new(show.home.home.clone()))?, show),
    };
    output::print(&describe(&key, &args)?, json)
}

/// Reads the key of a home directory.
///
/// # Errors
/// If there is none; says how to make one.
pub fn load(home: &Home) -> anyhow::Result<ValidatorKey> {
    let path = home.validator_key();
    anyhow::ensure!(
        path.exists(),
        "no validator's key at {}: make one with `kette keys validator new --home {}`",
        path.display(),
        home.path().display()
    );
    ValidatorKey::read(&path)
}

fn describe(key: &ValidatorKey, args: &ShowArgs) -> anyhow::Result<Value> {
    let home = Home::new(args.home.home.clone());
    let identity = key.identity(None);
    let mut shown = json!({
        "file": home.validator_key(),
        "key": identity.key(),
        "vrfKey": identity.vrf_key(),
    });
    if let Some(name) = &key.name {
        shown["name"] = json!(name);
    }
    if key.insecure {
        shown["insecure"] = json!(true);
    }
    if let Some(owner) = args.owner {
        shown["address"] = json!(owner);
        // A genesis that is still to be written has no domain yet; its validators need no proof.
        if args.genesis.is_some() || home.genesis().exists() {
            let spec = home.spec(args.genesis.as_deref()).context("--genesis")?;
            shown["proof"] = json!(key.proof(spec.domain(), owner));
        }
    }
    if let Some(stake) = args.stake {
        shown["weight"] = json!(stake);
    }
    Ok(shown)
}
