//! `kette keys`: account keys as Web3 keystore files (scrypt), as geth keeps them; validators' keys.

use crate::{cli::HomeArgs, commands::output, run::home::Home};
use alloy_signer_local::{LocalSigner, PrivateKeySigner};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use kette_types::Address;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make an account and keep its key in the keystore
    New(StoreArgs),
    /// List the accounts of the keystore
    List {
        #[command(flatten)]
        home: HomeArgs,
    },
    /// Print an account's address, or its private key with --private
    Show {
        /// The account.
        address: Address,
        /// Print the private key.
        #[arg(long)]
        private: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Keep a private key that exists already: read from standard input, 64 hexadecimal digits
    Import(StoreArgs),
    /// A validator's keys (chains with the engine bft)
    #[command(subcommand)]
    Validator(super::validator_keys::Keys),
}

/// Where keys lie and how they are opened.
#[derive(Args, Clone, Debug)]
pub struct StoreArgs {
    #[command(flatten)]
    pub home: HomeArgs,
    /// File with the password; asked for without it.
    #[arg(long, env = "KETTE_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
}

/// Carries out `kette keys`.
///
/// # Errors
/// If a key cannot be read or written or the password is wrong.
pub fn run(args: Keys, json: bool) -> anyhow::Result<()> {
    match args {
        Keys::Validator(args) => super::validator_keys::run(args, json),
        Keys::New(store) => {
            let signer = PrivateKeySigner::random();
            let path = save(&store, &signer)?;
            output::print(&json!({ "address": signer.address(), "file": path }), json)
        }
        Keys::Import(store) => {
            let mut text = String::new();
            std::io::stdin().lock().read_line(&mut text)?;
            let signer: PrivateKeySigner = text.trim().parse().map_err(|_| {
                anyhow::anyhow!(
                    "standard input holds no private key: expected 64 hexadecimal digits"
                )
            })?;
            let path = save(&store, &signer)?;
            output::print(&json!({ "address": signer.address(), "file": path }), json)
        }
        Keys::List { home } => {
            let found = list(&Home::new(home.home).keystore())?;
            let rows: Vec<Value> = found
                .into_iter()
                .map(|(address, file)| json!({ "address": address, "file": file }))
                .collect();
            if json {
                return output::print(&Value::Array(rows), true);
            }
            let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
            let rows: Vec<Vec<String>> =
                rows.iter().map(|row| vec![text(row, "address"), text(row, "file")]).collect();
            output::table(&["ADDRESS", "FILE"], &rows)
        }
        Keys::Show { address, private, store } => {
            if !private {
                let keystore = Home::new(store.home.home).keystore();
                let file = find(&keystore, address)?;
                return output::print(&json!({ "address": address, "file": file }), json);
            }
            let signer = open(&store, address)?;
            let key = alloy_primitives::hex::encode(signer.to_bytes());
            output::print(&json!({ "address": address, "privateKey": key }), json)
        }
    }
}

/// Opens an account's key.
///
/// # Errors
/// If there is no such key or the password is wrong.
pub fn open(store: &StoreArgs, address: Address) -> anyhow::Result<PrivateKeySigner> {
    let path = find(&Home::new(store.home.home.clone()).keystore(), address)?;
    let password = password(store, "password: ")?;
    LocalSigner::decrypt_keystore(&path, password)
        .with_context(|| format!("cannot open {}: wrong password?", path.display()))
}

fn save(store: &StoreArgs, signer: &PrivateKeySigner) -> anyhow::Result<PathBuf> {
    let keystore = Home::new(store.home.home.clone()).keystore();
    fs::create_dir_all(&keystore)
        .with_context(|| format!("cannot create {}", keystore.display()))?;
    let password = password(store, "new password: ")?;
    let name = format!("{:x}.json", signer.address());
    let path = keystore.join(&name);
    if path.exists() {
        bail!("{} exists already", path.display());
    }
    let mut random = alloy_signer::k256::elliptic_curve::rand_core::OsRng;
    LocalSigner::encrypt_keystore(
        &keystore,
        &mut random,
        signer.to_bytes(),
        password,
        Some(&name),
    )?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(path)
}

fn list(keystore: &Path) -> anyhow::Result<Vec<(Address, PathBuf)>> {
    let Ok(entries) = fs::read_dir(keystore) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let parsed: Option<Value> = serde_json::from_str(&text).ok();
        let named = parsed.as_ref().and_then(|v| v["address"].as_str()).map(str::to_owned);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        let address = named.or(stem).and_then(|text| text.trim_start_matches("0x").parse().ok());
        if let (Some(address), Some(_)) = (address, parsed) {
            found.push((address, path));
        }
    }
    found.sort();
    Ok(found)
}

fn find(keystore: &Path, address: Address) -> anyhow::Result<PathBuf> {
    list(keystore)?
        .into_iter()
        .find(|(found, _)| *found == address)
        .map(|(_, path)| path)
        .with_context(|| {
            format!(
                "no key of {address} in {}: see `kette keys list`, make one with `kette keys new`",
                keystore.display()
            )
        })
}

fn password(store: &StoreArgs, prompt: &str) -> anyhow::Result<String> {
    if let Some(path) = &store.password_file {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the password file {}", path.display()))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !std::io::stdin().is_terminal() {
        bail!("no terminal to ask for a password: use --password-file");
    }
    eprint!("{prompt}");
    std::io::stderr().flush()?;
    Ok(rpassword::read_password()?)
}
