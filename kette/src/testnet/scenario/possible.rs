//! What of a network file processes can carry out; pure.

use crate::{
    run::{byzantine, clock},
    testnet::{file, links::LinkPlan},
};
use anyhow::bail;
use kette_sim::{
    faults::{Links, closed_ways},
    scenario::{Action, NetworkFile, Plan, step::LinkChange},
};
use kette_types::{ChainSpec, limits::PEERS_MAX, spec::NetworkKind};
use std::collections::BTreeSet;

/// Refuses a file that asks for anything that only the simulator can do.
///
/// # Errors
/// Lists every such group and step with the reason.
pub fn check(file: &NetworkFile, plan: &Plan, spec: &ChainSpec, seed: u64) -> anyhow::Result<()> {
    let mut list = Vec::new();
    for (index, group) in file.group.iter().enumerate() {
        if let Some(key) = file::simulated(group) {
            let why = "a process is as fast as this machine, and so is its clock";
            list.push(format!("[[group]] {}: `{key}`: {why}", index + 1));
        }
        if let Some(why) = clock::refusal(group.clock_offset_ms, spec) {
            list.push(format!("[[group]] {}: `clock_offset_ms`: {why}", index + 1));
        }
        if let Some(why) = group.byzantine.and_then(|role| byzantine::refusal(role, spec)) {
            list.push(format!("[[group]] {}: `byzantine`: {why}", index + 1));
        }
    }
    if LinkPlan::asks(file) {
        if !may_cut(spec) {
            list.push(format!("[shape] and [[link]]: {NOT_LOCAL}"));
        } else if let Err(error) = LinkPlan::new(file, plan) {
            list.push(format!("[[link]]: {error}"));
        }
    }
    for (index, step) in file.step.iter().enumerate() {
        if let Some(why) = refusal(file, plan, spec, seed, index, &step.action) {
            let key = step.action.key();
            list.push(format!("[[step]] {} (at {}, {key}): {why}", index + 1, step.at));
        }
    }
    if !list.is_empty() {
        bail!(
            "`{}` asks for what real processes cannot do; `kette sim run` can:\n  {}",
            file.network.name,
            list.join("\n  ")
        );
    }
    Ok(())
}

/// Refuses steps that only nodes with a process of their own can be done to.
///
/// # Errors
/// Lists them.
pub fn check_in_process(file: &NetworkFile) -> anyhow::Result<()> {
    let needs = |action: &Action| {
        matches!(action, Action::Crash(_) | Action::Wipe(_) | Action::Pause(_) | Action::Churn(_))
    };
    let steps = file.step.iter().enumerate().filter(|(_, step)| needs(&step.action));
    let list: Vec<String> = steps
        .map(|(index, step)| {
            format!("[[step]] {} (at {}, {})", index + 1, step.at, step.action.key())
        })
        .collect();
    if !list.is_empty() {
        bail!(
            "`{}` kills or pauses nodes, and with --in-process they share one process; leave it out, or stop them \
             instead:\n  {}",
            file.network.name,
            list.join("\n  ")
        );
    }
    Ok(())
}

/// Returns why processes cannot carry out a step.
fn refusal(
    file: &NetworkFile,
    plan: &Plan,
    spec: &ChainSpec,
    seed: u64,
    index: usize,
    action: &Action,
) -> Option<String> {
    let why = match action {
        Action::Partition(_) | Action::Cut(_) => {
            return uncuttable(plan, spec, seed, index, action);
        }
        Action::Reset(_) if !may_cut(spec) => NOT_LOCAL,
        Action::Crash(it) if it.at_write.is_some() => {
            "nobody sees when a process writes: leave out `at_write`"
        }
        Action::Mine(it) if it.rate.is_some() => {
            "a process keeps the hash rate that it was started with: leave out `rate`"
        }
        Action::Slow(_) => "processes share this machine's processors",
        Action::Clock(_) => "processes share this machine's clock",
        Action::Disk(_) => "processes share this machine's disk",
        Action::Link(it) => return unshapable(file, plan, spec, it),
        Action::Frames(_) => "nobody stands between two processes",
        Action::Reset(_)
        | Action::Heal(_)
        | Action::Crash(_)
        | Action::Stop(_)
        | Action::Start(_)
        | Action::Wipe(_)
        | Action::Pause(_)
        | Action::Churn(_)
        | Action::Mine(_)
        | Action::Load(_) => return None,
    };
    Some(why.to_owned())
}

const NOT_LOCAL: &str = "nodes cut and shape links only on chains whose genesis says `network: local` under config.kette";

fn may_cut(spec: &ChainSpec) -> bool {
    let local = |kette: &kette_types::spec::KetteConfig| {
        kette.development || kette.network == NetworkKind::Local
    };
    spec.kette.as_ref().is_some_and(local)
}

/// Returns why nodes cannot cut what a step wants cut.
fn uncuttable(
    plan: &Plan,
    spec: &ChainSpec,
    seed: u64,
    index: usize,
    action: &Action,
) -> Option<String> {
    if !may_cut(spec) {
        return Some(NOT_LOCAL.to_owned());
    }
    let ways: BTreeSet<(usize, usize)> = match closed_ways(plan, seed, index, action) {
        Ok(ways) => ways.into_iter().collect(),
        Err(error) => return Some(error),
    };
    let most = (0..plan.nodes.len())
        .map(|node| ways.iter().filter(|(from, _)| *from == node).count())
        .max();
    most.filter(|most| *most > PEERS_MAX)
        .map(|most| format!("cuts a node from {most} others: a node can name {PEERS_MAX}"))
}

/// Returns why nodes cannot change links as a step wants.
fn unshapable(
    file: &NetworkFile,
    plan: &Plan,
    spec: &ChainSpec,
    link: &LinkChange,
) -> Option<String> {
    if !may_cut(spec) {
        return Some(NOT_LOCAL.to_owned());
    }
    let mut links = LinkPlan::new(file, plan).ok()?;
    Links::default().begin(&mut links, plan, 0, &link.link).err()
}

/// Returns what of a file makes no difference between processes, one line each.
pub fn left_out(file: &NetworkFile) -> Vec<String> {
    file::unshaped(file).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    fn verdict(steps: &str, groups: &str, genesis: &str) -> Result<(), String> {
        let text = format!(
            "schema = 1\n[network]\nname = \"test\"\nchain = \"atmn\"\n{genesis}\n\
             [[group]]\nname = \"n\"\ncount = 6\n{groups}\n{steps}"
        );
        let file = NetworkFile::parse(&text).unwrap();
        let plan = Plan::new(&file).unwrap();
        let spec = ChainSpec::from_json(&file::genesis_text(&file).unwrap()).unwrap();
        check(&file, &plan, &spec, 0).map_err(|error| error.to_string())
    }

    fn step(action: &str) -> Result<(), String> {
        verdict(&format!("[[step]]\nat = \"1s\"\n{action}\n"), "", "")
    }

    #[test]
    fn accepts_what_processes_can_do() {
        for action in [
            "partition = { groups = [[\"n-0\"], [\"n-1..5\"]], for = \"1s\" }",
            "partition = { kind = \"halves\", flap = \"2s\" }",
            "partition = { kind = \"isolate\" }",
            "cut = { from = [\"n-0\"], to = [\"n-1\"] }",
            "cut = { from = [\"n-0\"], to = [\"n-1\"], one_way = true }",
            "partition = { kind = \"majority\", one_way = true }",
            // Of six the smallest majority is four: hearing is not mutual.
            "partition = { kind = \"ring\" }",
            "link = { set = { from = [\"n-0\"], to = [\"n-1\"], loss = 0.1 } }",
            "heal = {}",
            "reset = { nodes = [\"*\"] }",
            "crash = { nodes = [\"n-1\"], restart_after = \"1s\" }",
            "stop = { nodes = [\"n-1\"] }",
            "start = { nodes = [\"n-1\"] }",
            "wipe = { nodes = [\"n-1\"] }",
            "pause = { nodes = [\"n-1\"], for = \"1s\" }",
            "churn = { nodes = [\"*\"], every = \"5s\", down = \"5s\" }",
            "mine = { nodes = [\"n-1\"], on = false }",
            "load = { rate = 2.0 }",
        ] {
            assert_eq!(step(action), Ok(()), "{action}");
        }
    }

    #[test]
    fn refuses_the_rest_with_its_reason() {
        for (action, why) in [
            ("crash = { nodes = [\"n-1\"], at_write = \"before\" }", "at_write"),
            ("mine = { nodes = [\"n-1\"], rate = 7 }", "hash rate"),
            ("slow = { nodes = [\"n-1\"], factor = 2.0 }", "processors"),
            ("clock = { nodes = [\"n-1\"], jump_ms = 7 }", "clock"),
            ("disk = { nodes = [\"n-1\"], fault = \"full\" }", "disk"),
            ("frames = { nodes = [\"n-1\"], corrupt = 0.1 }", "between two processes"),
        ] {
            let error = step(action).unwrap_err();
            assert!(error.contains(why) && error.contains("[[step]] 1 (at 1s, "), "{error}");
        }
    }

    #[test]
    fn lists_everything_at_once() {
        let steps = "[[step]]\nat = \"1s\"\nclock = { nodes = [\"n-1\"], jump_ms = 7 }\n\
                     [[step]]\nat = \"2s\"\nheal = {}\n\
                     [[step]]\nat = \"height:3\"\ndisk = { nodes = [\"n-1\"], fault = \"full\" }\n";
        let group = "[[group]]\nnames = [\"liar\", \"twin\"]\nbyzantine = \"twin\"";
        let error = verdict(steps, group, "").unwrap_err();
        for place in ["[[group]] 2: `byzantine`", "[[step]] 1 (", "[[step]] 3 (at height:3, disk)"]
        {
            assert!(error.contains(place), "{place} is missing in: {error}");
        }
        assert!(!error.contains("[[step]] 2"), "{error}");
    }

    #[test]
    fn cuts_and_shapes_nothing_on_a_public_chain() {
        let public = "[genesis.config.kette]\nnetwork = \"public\"";
        for steps in [
            "[[step]]\nat = \"1s\"\npartition = { kind = \"halves\" }\n",
            "[[step]]\nat = \"1s\"\nlink = { set = { from = [\"n-0\"], to = [\"n-1\"], loss = 0.1 } }\n",
            "[[link]]\nfrom = [\"n-0\"]\nto = [\"n-1\"]\nloss = 0.1\n",
            "[shape]\nlatency = \"9ms\"\n",
        ] {
            let error = verdict(steps, "", public).unwrap_err();
            assert!(error.contains("network: local"), "{error}");
        }
    }

    #[test]
    fn knows_which_scenarios_it_can_run() {
        let able = |name: &str| {
            let file = file::load(name).unwrap();
            let plan = Plan::new(&file).unwrap();
            let spec = ChainSpec::from_json(&file::genesis_text(&file).unwrap()).unwrap();
            check(&file, &plan, &spec, file.network.seed).is_ok()
        };
        let able: Vec<&str> = presets::scenarios().filter(|name| able(name)).collect();
        let proofs = ["fork1", "fork2", "fork3", "churn", "geo", "partition"];
        let votes = [
            "bft3",
            "bft3-k",
            "bft4-p",
            "bft4-e",
            "bft5",
            "bft-fork",
            "bft-double-votes",
            "bft-amnesia",
            "bft-amnesia-fork",
            "bft-lost-proposals",
            "bft-late-votes",
            "bft-late-proposals",
            "bft-partitions",
            "bft-late-joiner",
            "bft-bad-blocks",
            "bft-floods",
            "bft-weights",
            "bft-regions",
            "bft-versions",
            "bft-withholder",
            "bft-silence",
        ];
        assert_eq!(able, [&votes[..], &proofs[..]].concat());
    }
}
