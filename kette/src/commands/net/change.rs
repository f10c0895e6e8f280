//! `kette net byz`, `upgrade`, `clock`, `mine`: nodes of a running network that go on as something else. What they are is
//! written into the network's list, so later starts of the node keep it.

use super::{Where, process};
use crate::{
    commands::{block_on, output},
    run::{byzantine, clock},
    testnet::{control::Control, insight},
};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use kette_sim::scenario::units::parse_duration;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Flags of `kette net byz`.
#[derive(Args, Debug)]
pub struct Byz {
    /// Nodes: a name, a group, `*`, `node*`, `miner-0..3`.
    #[arg(value_name = "NODE")]
    node: String,
    /// How it lies (`byzantine` in docs/network-file.md), or `honest` to go back.
    role: String,
    #[command(flatten)]
    place: Where,
}

/// Flags of `kette net upgrade`.
#[derive(Args, Debug)]
pub struct Upgrade {
    /// Nodes: a name, a group, `*`, `node*`, `miner-0..3`.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// The program that they go on with.
    #[arg(long, value_name = "PATH")]
    binary: PathBuf,
    #[command(flatten)]
    place: Where,
}

/// What is done to clocks.
#[derive(Debug, Subcommand)]
pub enum Clock {
    /// Restart nodes with a clock that is wrong by so much: +2s, -500ms, 0
    Skew {
        /// Nodes: a name, a group, `*`, `node*`, `miner-0..3`.
        node: String,
        /// How far the clock is ahead; with a minus sign how far behind.
        #[arg(allow_hyphen_values = true)]
        by: String,
        #[command(flatten)]
        place: Where,
    },
}

/// Flags of `kette net mine`.
#[derive(Args, Debug)]
pub struct Mine {
    /// Nodes: a name, a group, `*`, `node*`, `miner-0..3`.
    #[arg(value_name = "NODE")]
    node: String,
    /// Whether they mine.
    state: Switch,
    /// Hashes per second at most, from now on; restarts the nodes.
    #[arg(long)]
    hash_rate: Option<u64>,
    #[command(flatten)]
    place: Where,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Lets nodes lie, or be honest again.
///
/// # Errors
/// If there is no such role, or a process of this chain cannot play it.
pub fn byz(args: &Byz, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(&args.place.directory()?)?;
    let nodes = control.select(std::slice::from_ref(&args.node), false)?;
    let role = match args.role.as_str() {
        "honest" => None,
        name => {
            Some(byzantine::role(name).map_err(|error| anyhow::anyhow!("{error}, or `honest`"))?)
        }
    };
    if let Some(role) = role {
        let spec = control.spec()?;
        if let Some(why) = byzantine::refusal(role, &spec) {
            bail!("{}: {why}", args.role);
        }
        let no_vote = |node: &&usize| control.manifest.nodes[**node].plan.stake == 0;
        if let Some(node) = nodes.iter().find(no_vote).filter(|_| role.is_of_validators()) {
            bail!(
                "{}: only a validator can do this, and {} is none",
                args.role,
                control.name(*node)
            );
        }
    }
    for node in &nodes {
        control.manifest.nodes[*node].plan.byzantine = role;
    }
    let shown = role.map(insight::word).transpose()?;
    let shown = shown.as_deref().unwrap_or("honest");
    apply(&mut control, &nodes)?;
    show(&control, &nodes, &json!({ "role": shown }), &format!("restarted, {shown}"), json)
}

/// Restarts nodes with another program.
///
/// # Errors
/// If it is no `kette`, or a node does not start with it.
pub fn upgrade(args: &Upgrade, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(&args.place.directory()?)?;
    if control.manifest.in_process {
        bail!(
            "all nodes of this network share one process, which has one program: `kette net down`, then \
             `kette net up` with the other program"
        );
    }
    let nodes = control.select(&args.nodes, false)?;
    let binary = fs::canonicalize(&args.binary)
        .with_context(|| format!("--binary {}", args.binary.display()))?;
    let version = version(&binary)?;
    for node in &nodes {
        control.manifest.nodes[*node].binary = Some(binary.clone());
    }
    apply(&mut control, &nodes)?;
    let text = format!("restarted with {version}, {}", binary.display());
    show(&control, &nodes, &json!({ "binary": binary, "version": version }), &text, json)
}

/// Asks a program what it is.
fn version(binary: &Path) -> anyhow::Result<String> {
    let shown = binary.display();
    let asked = Command::new(binary).arg("--version").stdin(Stdio::null()).output();
    let asked = asked.with_context(|| format!("cannot run {shown}"))?;
    let said = String::from_utf8_lossy(&asked.stdout);
    let version = said.lines().next().unwrap_or_default().to_owned();
    if !asked.status.success() || !version.starts_with("kette") {
        bail!("{shown} is not kette: `{shown} --version` says `{version}`");
    }
    Ok(version)
}

/// Restarts nodes with a wrong clock.
///
/// # Errors
/// If the time is none, or build or chain do not allow it.
pub fn clock(args: &Clock, json: bool) -> anyhow::Result<()> {
    let Clock::Skew { node, by, place } = args;
    let mut control = Control::take(&place.directory()?)?;
    let nodes = control.select(std::slice::from_ref(node), false)?;
    let ahead = offset_ms(by)?;
    if let Some(why) = clock::refusal(ahead, &control.spec()?) {
        bail!("{why}");
    }
    for node in &nodes {
        control.manifest.nodes[*node].plan.clock_offset_ms = ahead;
    }
    apply(&mut control, &nodes)?;
    let text = match ahead {
        0 => "restarted with the right clock".to_owned(),
        1.. => format!("restarted with a clock {ahead} ms ahead"),
        _ => format!("restarted with a clock {} ms behind", ahead.unsigned_abs()),
    };
    show(&control, &nodes, &json!({ "ahead_ms": ahead }), &text, json)
}

/// Reads `+2s`, `-500ms`, `0`.
fn offset_ms(text: &str) -> anyhow::Result<i64> {
    let (sign, time) = match text.strip_prefix('-') {
        Some(time) => (-1, time),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if time.parse().is_ok_and(|number: u64| number > 0) {
        bail!("{text} what? write {text}ms, or {text}s for seconds");
    }
    let time = parse_duration(time).map_err(anyhow::Error::msg)?;
    Ok(sign * i64::try_from(time.as_millis())?)
}

/// Switches mining.
///
/// # Errors
/// If the chain has no miners, or a node does not do as told.
pub fn mine(args: &Mine, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(&args.place.directory()?)?;
    let on = args.state == Switch::On;
    let nodes = control.select(std::slice::from_ref(&args.node), args.hash_rate.is_none())?;
    if control.spec()?.bft().is_some() {
        bail!("this chain has no miners: its validators make the blocks (`kette validator`)");
    }
    for node in &nodes {
        let plan = &mut control.manifest.nodes[*node].plan;
        plan.miner = on;
        plan.mine_rate = args.hash_rate.unwrap_or(plan.mine_rate);
    }
    let shown = json!({ "mining": on, "hash_rate": args.hash_rate });
    if let Some(rate) = args.hash_rate {
        apply(&mut control, &nodes)?;
        let word = if on { "mining" } else { "not mining" };
        let text = format!("restarted, {word}, {rate} hashes per second at most");
        return show(&control, &nodes, &shown, &text, json);
    }
    let verb = if on { "kette_startMining" } else { "kette_stopMining" };
    for node in &nodes {
        let client = control.operator(*node)?;
        block_on(async { client.ask::<Value>(verb, []).await })
            .with_context(|| control.name(*node).to_owned())?;
    }
    control.save()?;
    show(&control, &nodes, &shown, if on { "mines" } else { "does not mine" }, json)
}

fn apply(control: &mut Control, nodes: &[usize]) -> anyhow::Result<()> {
    control.save()?;
    process::restart(control, nodes)
}

/// Says what nodes are now: as data, or in words.
fn show(
    control: &Control,
    nodes: &[usize],
    shown: &Value,
    text: &str,
    json: bool,
) -> anyhow::Result<()> {
    let names: Vec<&str> = nodes.iter().map(|node| control.name(*node)).collect();
    if json {
        let mut value = shown.clone();
        value["nodes"] = json!(names);
        return output::print(&value, true);
    }
    names.iter().try_for_each(|name| output::line(&format!("{name}: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_wrong_a_clock_is() {
        for (text, ms) in [("+2s", 2_000), ("-500ms", -500), ("3s", 3_000), ("0", 0), ("+0", 0)] {
            assert_eq!(offset_ms(text).unwrap(), ms, "{text}");
        }
        assert!(offset_ms("soon").is_err());
        for (text, advice) in
            [("-2", "-2ms, or -2s for"), ("+2", "+2ms, or +2s"), ("2", "2ms, or 2s")]
        {
            let error = offset_ms(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text} what? write {advice}")), "{error}");
        }
    }
}
