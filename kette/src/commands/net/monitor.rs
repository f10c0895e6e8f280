//! `kette net monitor`: a network on one screen, or as lines, or once as data.

use super::{Where, absolute};
use crate::{
    commands::{block_on, output},
    testnet::{
        directory::Directory,
        monitor::{lines, model::Model, poller, screen},
    },
};
use clap::Args;
use kette_sim::scenario::units::parse_duration;
use std::{io::IsTerminal as _, time::Duration};

/// Time between the two samples of `--once`: rates need two.
const BETWEEN: Duration = Duration::from_millis(500);

/// Flags of `kette net monitor`.
#[derive(Args, Debug)]
pub struct MonitorArgs {
    #[command(flatten)]
    place: Where,
    /// Time between two rounds of questions.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
    /// Ask once, print, and end; with --json the whole model.
    #[arg(long)]
    once: bool,
    /// Print a line per interval even in a terminal.
    #[arg(long)]
    lines: bool,
}

/// Carries out `kette net monitor`.
///
/// # Errors
/// If there is no network, or the terminal cannot be used.
pub fn run(args: &MonitorArgs, json: bool) -> anyhow::Result<()> {
    let directory = Directory::new(absolute(args.place.home.clone())?);
    let interval = args.interval.max(Duration::from_millis(100));
    if args.once {
        let model = block_on(async {
            let before = poller::sample(&directory).await?;
            tokio::time::sleep(BETWEEN).await;
            Ok(Model::of(&poller::sample(&directory).await?, Some(&before)))
        })?;
        return if json {
            output::print(&serde_json::to_value(&model)?, true)
        } else {
            output::raw(&(lines::line(&model) + "\n"))
        };
    }
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if json || args.lines || !terminal {
        return block_on(screen::run_lines(&directory, interval, json));
    }
    block_on(screen::run(&directory, interval))
}
