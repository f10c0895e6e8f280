//! `kette net generate`: a network as files, for this machine or others. Nothing is started.

use super::flags::{self, NetworkFlags};
use crate::{
    commands::output,
    presets,
    testnet::{
        file,
        generate::{self, Wish},
    },
};
use clap::Args;
use std::{io::Write as _, path::PathBuf};

/// Flags of `kette net generate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// Where the files go.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// An embedded network (see `kette net presets`).
    #[arg(long, default_value = presets::DEFAULT_NETWORK, conflicts_with = "file", conflicts_with_all = flags::FLAGS)]
    preset: String,
    /// A network file instead of a preset.
    #[arg(short, long, conflicts_with_all = flags::FLAGS)]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: NetworkFlags,
    /// First P2P port; the other ports follow.
    #[arg(long)]
    base_port: Option<u16>,
    /// Which node is on which machine: a file with [hosts] and lines such as "node0..3" = "10.0.0.1".
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// New keys on this machine as well, instead of development keys, which everybody can compute.
    #[arg(long)]
    fresh_keys: bool,
    /// Replace what an earlier call wrote there, keys included.
    #[arg(long)]
    force: bool,
    /// Where the program is on the machines [default: this program if all nodes are on this machine, else
    /// /usr/local/bin/kette].
    #[arg(long, value_name = "PATH")]
    binary: Option<String>,
    /// Container image with the program.
    #[arg(long, default_value = "kette:latest")]
    image: String,
}

const EXAMPLES: &str = "\
Examples:
  kette net generate --nodes 4 --out ./mine              four validators on this machine; a command each in commands.txt
  kette net generate --engine pow --tiers 1,2,7 --hosts hosts.toml --out ./mine
                                                         ten nodes on machines of your own, with new keys
  kette sim run ./mine/network.toml                      the same network, simulated";

/// Writes the files.
///
/// # Errors
/// If there are some already, the flags contradict each other, or a file cannot be written.
pub fn run(args: GenerateArgs, json: bool) -> anyhow::Result<()> {
    let mut file = match (args.flags.file(args.base_port)?, args.file) {
        (Some(made), _) => made,
        (None, Some(path)) => file::load(&path.display().to_string())?,
        (None, None) => file::load(&args.preset)?,
    };
    file::set_regions(&mut file, args.flags.regions());
    file.check()?;
    eprintln!("{}", flags::describe(&file)?);
    let wish = Wish {
        file,
        out: args.out.clone(),
        hosts: args.hosts,
        base_port: args.base_port,
        force: args.force,
        fresh_keys: args.fresh_keys,
        binary: args.binary,
        image: args.image,
    };
    let written = generate::generate(&wish)?;
    if json {
        return output::print(&serde_json::to_value(&written)?, true);
    }
    for path in &written.files {
        writeln!(output::stdout(), "{}", path.display())?;
    }
    let out = args.out.display();
    let keys = match written.insecure_keys {
        true => "development keys, which everybody can compute: for this machine only",
        false => "new keys: keep them secret, each node's directory is for its machine alone",
    };
    eprintln!("\n{} nodes, genesis {}; {keys}", written.nodes, written.genesis);
    eprintln!("next: {out}/commands.txt has a command per node, {out}/inventory.toml who is where");
    Ok(())
}
