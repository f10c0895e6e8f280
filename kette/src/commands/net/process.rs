//! `kette net kill`, `stop`, `start`, `pause`, `resume`, `restart`: the processes of nodes.

use super::Where;
use crate::{
    commands::{block_on, output, output::counted},
    testnet::{
        control::Control,
        votes::{self, Votes},
    },
};
use clap::Args;
use serde_json::{Value, json};

/// Which nodes of which network.
#[derive(Args, Clone, Debug)]
pub struct Nodes {
    /// Nodes: a name, a group, `*`, `node*`, `miner-0..3`.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    place: Where,
}

/// What happens to processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// SIGKILL.
    Kill,
    /// SIGTERM, and SIGKILL if that does not help.
    Stop,
    /// Starts what is down, and waits until it answers.
    Start,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
    /// Stop and start.
    Restart,
}

/// Carries out a verb.
///
/// # Errors
/// If a node is not there, is down where it must run, or does not do as told.
pub fn run(verb: Verb, args: &Nodes, json: bool) -> anyhow::Result<()> {
    let mut control = Control::take(&args.place.directory()?)?;
    let running = matches!(verb, Verb::Pause | Verb::Resume);
    let nodes = control.select(&args.nodes, running)?;
    let mut list = Vec::new();
    for node in &nodes {
        let did = apply(verb, &mut control, *node)?;
        list.push(json!({ "node": control.name(*node), "did": did }));
    }
    if matches!(verb, Verb::Kill | Verb::Stop | Verb::Pause) {
        warn_of_votes(verb, &control, &nodes)?;
    }
    if matches!(verb, Verb::Start | Verb::Restart) {
        let took = block_on(control.answers(&nodes))?;
        eprintln!("{}, answering after {:.1} s", counted(nodes.len(), "node"), took.as_secs_f64());
    }
    if json {
        return output::print(&Value::Array(list), true);
    }
    for done in &list {
        let word = |key: &str| done[key].as_str().unwrap_or_default().to_owned();
        output::line(&format!("{}: {}", word("node"), word("did")))?;
    }
    Ok(())
}

/// Restarts a node with what is now in its network's list; a node that is down starts.
///
/// # Errors
/// If it does not end, or does not answer.
pub fn restart(control: &mut Control, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        control.stop(*node)?;
        control.start(*node)?;
    }
    block_on(control.answers(nodes)).map(drop)
}

/// Says on standard error that no block becomes final until these nodes are back, if it is so.
fn warn_of_votes(verb: Verb, control: &Control, nodes: &[usize]) -> anyhow::Result<()> {
    let Some(votes) = block_on(Votes::ask(control, nodes))?.filter(|votes| votes.any(nodes)) else {
        return Ok(());
    };
    // Of a node that was paused the kernel may not show it yet.
    let is_up = |node: usize| !nodes.contains(&node) && votes::takes_part(control, node);
    if let Some(missing) = votes.missing(is_up) {
        let back = if verb == Verb::Pause { "resume" } else { "start" };
        let names: Vec<&str> = nodes.iter().map(|node| control.name(*node)).collect();
        eprintln!(
            "warning: the validators that are up have {missing} until `kette net {back} {}`",
            names.join(" ")
        );
    }
    Ok(())
}

fn apply(verb: Verb, control: &mut Control, node: usize) -> anyhow::Result<Value> {
    Ok(match verb {
        Verb::Kill => json!(control.kill(node)?),
        Verb::Stop => json!(control.stop(node)?),
        Verb::Start => json!(if control.start(node)? { "started" } else { "ran already" }),
        Verb::Pause => {
            control.pause(node, true)?;
            json!("paused")
        }
        Verb::Resume => {
            control.pause(node, false)?;
            json!("resumed")
        }
        Verb::Restart => {
            control.stop(node)?;
            control.start(node)?;
            json!("restarted")
        }
    })
}
