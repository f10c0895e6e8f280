//! `kette net topology`: the live sessions of a network, as text, drawing or data.

use super::{Where, absolute};
use crate::{
    commands::{block_on, exit::Exit, output},
    testnet::{
        directory::Directory,
        topology::{self, Topology},
        watch::said,
    },
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Flags of `kette net topology`.
#[derive(Args, Debug)]
pub struct TopologyArgs {
    #[command(flatten)]
    place: Where,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to this file instead of standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How a topology is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree for people.
    Text,
    /// The language of Graphviz.
    Dot,
    /// A drawing.
    Svg,
    /// A page with the drawing and tables.
    Html,
    /// Data.
    Json,
}

/// Carries out `kette net topology`.
///
/// # Errors
/// If there is no network, nothing answers, or the file cannot be written.
pub fn run(args: &TopologyArgs, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(args.place.home.clone())?);
    let manifest = directory.require()?;
    let said = block_on(async { Ok(said::ask(&manifest).await) })?;
    let topology = Topology::of(&manifest, &said);
    if topology.components.is_empty() {
        let text = format!("no node of `{}` answers: `kette net up` starts it", manifest.name);
        return Err(Exit::NotUp(text).into());
    }
    let format = if json { Format::Json } else { args.format };
    let text = match format {
        Format::Text => topology::text(&topology),
        Format::Dot => topology::dot(&topology),
        Format::Svg => topology::svg(&topology),
        Format::Html => topology::html(&topology),
        Format::Json => serde_json::to_string_pretty(&topology)? + "\n",
    };
    match &args.out {
        Some(path) => {
            std::fs::write(path, text)
                .with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("wrote {}", path.display());
            Ok(())
        }
        None => output::raw(&text),
    }
}
