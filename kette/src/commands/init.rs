//! `kette init`: a node's directory with genesis file and identity.

use crate::{
    cli::HomeArgs,
    commands::output,
    presets,
    run::home::{Home, read_genesis},
};
use anyhow::{Context as _, bail};
use clap::Args;
use std::path::Path;

/// Flags of `kette init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    #[command(flatten)]
    home: HomeArgs,
    /// A preset's name (atmn, volkskette, dev) or a genesis file.
    #[arg(long, default_value = "dev", alias = "genesis")]
    chain: String,
    /// Replace a genesis file that is there.
    #[arg(long)]
    force: bool,
}

/// Makes the directory.
///
/// # Errors
/// If there is a genesis file already, or something cannot be written.
pub fn run(args: &InitArgs, json: bool) -> anyhow::Result<()> {
    let home = Home::new(args.home.home.clone());
    let text = match presets::genesis_text(&args.chain) {
        Some(text) => text.to_owned(),
        None if Path::new(&args.chain).exists() => {
            read_genesis(Path::new(&args.chain))?;
            std::fs::read_to_string(&args.chain)?
        }
        None => bail!(
            "`{}` is neither a preset ({}) nor a file",
            args.chain,
            presets::chains().collect::<Vec<_>>().join(", ")
        ),
    };
    home.create()?;
    let path = home.genesis();
    if path.exists() && !args.force {
        bail!("{} exists already: use --force to replace it", path.display());
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let spec = home.load_genesis()?;
    let secret = home.load_or_make_node_key()?;
    let (block, _) = kette_ledger::genesis(&spec)?;
    let value = serde_json::json!({
        "home": home.path(),
        "genesis": path,
        "genesisHash": block.hash(),
        "chainId": spec.chain_id(),
        "peerId": kette_network::peer_id(&secret),
    });
    output::print(&value, json)?;
    let dev =
        if spec.kette.as_ref().is_some_and(|kette| kette.development) { " --dev" } else { "" };
    eprintln!("next: kette node{dev} --home '{}'", home.path().display());
    Ok(())
}
