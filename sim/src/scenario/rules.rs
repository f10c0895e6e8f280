//! What a network file must obey beyond its types. Each objection names the place and says what to do.

use super::{
    Action, At, Check, Group, Link, Misbehaviour, NetworkFile, Plan, Shape, Step, hint,
    limits::{
        FSYNC_MAX, LATENCY_MAX, LINK_LATENCY_MAX, bandwidth, clock, cost, drift, hash_rate,
        longest, loss, positive, probability, slowness, transfers,
    },
    plan, region, select,
    step::{Frames, Slow},
    units,
};
use std::time::Duration;

/// More steps than anybody writes; what a program writes must end, too.
const STEPS_MAX: usize = 10_000;
/// Shortest turn of a flapping partition and shortest mean of a churn.
const TURN_MIN: Duration = Duration::from_millis(10);
/// Most votes of one node: TOML's integers end at 2^63 - 1.
const STAKE_MAX: u64 = i64::MAX as u64;
/// How many funded accounts a development chain has.
const SENDERS_MAX: u32 = 10;
/// Pairs of transactions with one nonce.
const CONFLICTS_MAX: u32 = 1_000;

/// Checks a whole file.
pub(super) fn check(file: &NetworkFile) -> Result<(), String> {
    if file.schema != super::SCHEMA {
        let (schema, ours) = (file.schema, super::SCHEMA);
        return Err(format!("schema = {schema}: this program reads schema {ours}"));
    }
    let network = &file.network;
    positive("[network]: duration", Some(network.duration))?;
    hash_rate("[network]: mine_rate", Some(network.mine_rate))?;
    shape(&file.shape).map_err(|error| format!("[shape]: {error}"))?;
    transfers("[workload]: rate", file.workload.rate)?;
    if file.workload.conflicts > CONFLICTS_MAX {
        return Err(format!("[workload]: conflicts: at most {CONFLICTS_MAX} pairs"));
    }
    if let Some(senders) = file.workload.senders.filter(|n| !(1..=SENDERS_MAX).contains(n)) {
        return Err(format!("[workload]: senders = {senders}: 1 to {SENDERS_MAX} accounts"));
    }
    for (index, group) in file.group.iter().enumerate() {
        self::group(file, group).map_err(|error| format!("[[group]] {}: {error}", index + 1))?;
    }
    let plan = Plan::new(file)?;
    for (index, link) in file.link.iter().enumerate() {
        self::link(&plan, link).map_err(|error| format!("[[link]] {}: {error}", index + 1))?;
    }
    if file.step.len() > STEPS_MAX {
        return Err(format!("{} steps: at most {STEPS_MAX}", file.step.len()));
    }
    for (index, step) in file.step.iter().enumerate() {
        let place = format!("[[step]] {} (at {}, {})", index + 1, step.at, step.action.key());
        self::step(file, &plan, step).map_err(|error| format!("{place}: {error}"))?;
    }
    for (index, check) in file.check.iter().enumerate() {
        demand(check)
            .map_err(|error| format!("[[check]] {} ({}): {error}", index + 1, check.key()))?;
    }
    Ok(())
}

fn shape(shape: &Shape) -> Result<(), String> {
    longest("latency", shape.latency, LATENCY_MAX)?;
    longest("jitter", shape.jitter, LATENCY_MAX)?;
    loss(shape.loss)?;
    bandwidth(shape.bandwidth)?;
    longest("fsync", shape.fsync, FSYNC_MAX)?;
    cost("cpu", cpu(shape))
}

/// Returns the factor on the cost of everything.
fn cpu(shape: &Shape) -> f64 {
    shape.cpu.unwrap_or(1.0)
}

fn group(file: &NetworkFile, group: &Group) -> Result<(), String> {
    if group.tier == 0 {
        return Err("tier = 0: tiers count from 1".to_owned());
    }
    hash_rate("mine_rate", group.mine_rate)?;
    if let Some(stake) = group.stake.filter(|stake| !(1..=STAKE_MAX).contains(stake)) {
        return Err(format!("stake = {stake}: 1 to {STAKE_MAX} votes"));
    }
    slowness("slow", group.slow.unwrap_or(1.0), cpu(&file.shape))?;
    clock("clock_offset_ms", group.clock_offset_ms)?;
    drift("clock_drift_ppm", group.clock_drift_ppm)?;
    let duration = file.network.duration;
    if group.start_at.is_some_and(|at| at > duration) {
        return Err(format!("start_at: after the end of the run{}", raise(duration)));
    }
    let nodes = group.count.unwrap_or(group.names.len());
    if group.regions.len() > nodes {
        let regions = group.regions.len();
        let nodes = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
        return Err(format!("{regions} regions for {nodes}: give one for all, or one each"));
    }
    let alone = group.regions.len() == 1;
    for name in &group.regions {
        if region::index(name).is_none() && !(alone && name == plan::ROUND_ROBIN) {
            let known = region::NAMES.into_iter().chain([plan::ROUND_ROBIN]);
            let meant = hint::nearest(&name.to_ascii_uppercase(), known.clone())
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            return Err(format!(
                "region `{name}` is not in the table: {} (alone){meant}",
                known.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    if group.regions.is_empty() && region::is_regional(file.shape.profile) {
        return Err("this profile needs to know where nodes are: add regions = [\"round-robin\"]"
            .to_owned());
    }
    if group.byzantine.is_some_and(Misbehaviour::is_of_validators) && group.stake.is_none() {
        return Err("this misbehaviour is a validator's: give the group a `stake`".to_owned());
    }
    if group.byzantine == Some(Misbehaviour::SelfishMiner) && group.roles.is_empty() {
        return Err("a selfish miner mines: add roles = [\"miner\"]".to_owned());
    }
    Ok(())
}

fn link(plan: &Plan, link: &Link) -> Result<(), String> {
    select::select(plan, &link.from).map_err(|error| format!("from: {error}"))?;
    select::select(plan, &link.to).map_err(|error| format!("to: {error}"))?;
    longest("latency", link.latency, LINK_LATENCY_MAX)?;
    longest("jitter", link.jitter, LINK_LATENCY_MAX)?;
    loss(link.loss)?;
    bandwidth(link.bandwidth)
}

fn step(file: &NetworkFile, plan: &Plan, step: &Step) -> Result<(), String> {
    let duration = file.network.duration;
    if let At::Time(at) = step.at
        && at > duration
    {
        return Err(format!("begins after the end of the run{}", raise(duration)));
    }
    positive("for", step.action.span().flatten())?;
    let nodes = |patterns: &[String]| select::select(plan, patterns).map(drop);
    match &step.action {
        Action::Partition(it) => {
            match (it.groups.as_slice(), it.kind) {
                ([], None) => {
                    return Err("say who stays together with groups, or a kind".to_owned());
                }
                ([], Some(_)) => {}
                (_, Some(_)) => return Err("give either groups or a kind, not both".to_owned()),
                ([_], None) => {
                    return Err("one group is no partition: name at least two groups".to_owned());
                }
                (groups, None) => separate(plan, groups)?,
            }
            if let Some(flap) = it.flap.filter(|flap| *flap < TURN_MIN) {
                return Err(format!("flap = {flap:?}: at least {TURN_MIN:?}"));
            }
            Ok(())
        }
        Action::Cut(it) => nodes(&it.from).and_then(|()| nodes(&it.to)),
        Action::Heal(_) => Ok(()),
        Action::Reset(it) | Action::Start(it) => nodes(&it.nodes),
        Action::Crash(it) => nodes(&it.nodes),
        Action::Wipe(it) if it.upgrade => Err("upgrade belongs to `stop`".to_owned()),
        Action::Stop(it) | Action::Wipe(it) => nodes(&it.nodes),
        Action::Pause(it) => nodes(&it.nodes),
        Action::Slow(it) => slow(file, plan, it),
        Action::Churn(it) => {
            nodes(&it.nodes)?;
            if it.every < TURN_MIN || it.down < TURN_MIN {
                return Err(format!("every and down are at least {TURN_MIN:?}"));
            }
            Ok(())
        }
        Action::Clock(it) if it.jump_ms == 0 && it.drift_ppm == 0 => {
            Err("nothing changes: give jump_ms or drift_ppm".to_owned())
        }
        Action::Clock(it) => {
            nodes(&it.nodes)?;
            clock("jump_ms", it.jump_ms)?;
            drift("drift_ppm", it.drift_ppm)
        }
        Action::Disk(it) => nodes(&it.nodes),
        Action::Link(it) => link(plan, &it.link),
        Action::Frames(it) => nodes(&it.nodes).and_then(|()| frames(it)),
        Action::Mine(it) => nodes(&it.nodes).and_then(|()| hash_rate("rate", it.rate)),
        Action::Load(it) => transfers("rate", it.rate),
    }
}

fn slow(file: &NetworkFile, plan: &Plan, it: &Slow) -> Result<(), String> {
    let nodes = select::select(plan, &it.nodes)?;
    let own = nodes.into_iter().map(|node| plan.nodes[node].slow).fold(0.0, f64::max);
    slowness("factor", it.factor, cpu(&file.shape) * own)
}

/// Ends an objection to what comes too late.
fn raise(duration: Duration) -> String {
    format!(": raise [network] duration, which is {}", units::format_duration(duration))
}

fn separate(plan: &Plan, groups: &[Vec<String>]) -> Result<(), String> {
    let mut seen = vec![false; plan.nodes.len()];
    for group in groups {
        for node in select::select(plan, group)? {
            if std::mem::replace(&mut seen[node], true) {
                let name = &plan.nodes[node].name;
                return Err(format!("`{name}` is in two groups: leave it out of one"));
            }
        }
    }
    Ok(())
}

fn frames(it: &Frames) -> Result<(), String> {
    let all = [
        ("duplicate", it.duplicate),
        ("replay", it.replay),
        ("reorder", it.reorder),
        ("corrupt", it.corrupt),
    ];
    if all.iter().all(|(_, value)| *value == 0.0) {
        return Err("nothing happens: give duplicate, replay, reorder or corrupt".to_owned());
    }
    all.into_iter().try_for_each(|(name, value)| probability(name, Some(value)))
}

fn demand(check: &Check) -> Result<(), String> {
    match check {
        Check::Agreement(it) => moment(it.after.as_ref(), it.within),
        Check::Components(it) if it.is == 0 => Err("is = 0: at least 1 component".to_owned()),
        Check::Components(it) => moment(it.after.as_ref(), it.within),
        Check::Handshakes(it) => probability("min_success", Some(it.min_success)),
        Check::Transactions(it) => probability("min_included", Some(it.min_included))
            .and_then(|()| transfers("min_per_second", it.min_per_second))
            .and_then(|()| positive("over", it.over)),
        Check::Pools(it) => probability("min_share", Some(it.min_share)),
        Check::Height(it) if i64::try_from(it.min).is_err() => Err("min is too high".to_owned()),
        Check::Reorg(it) => match (it.min_depth, it.max_depth) {
            (None, None) => Err("give max_depth or min_depth".to_owned()),
            (Some(min), Some(max)) if min > max => Err("min_depth is above max_depth".to_owned()),
            _ => Ok(()),
        },
        Check::StaleRate(it) => probability("max", Some(it.max)),
        Check::Propagation(it) if !(it.percent > 0.0 && it.percent <= 100.0) => {
            Err(format!("percent = {}: more than 0, at most 100", it.percent))
        }
        Check::Propagation(it) if it.of_blocks.is_some_and(|of| !(of > 0.0 && of <= 100.0)) => {
            Err("of_blocks: more than 0, at most 100".to_owned())
        }
        Check::Height(_)
        | Check::Connected(_)
        | Check::Conflicts(_)
        | Check::Propagation(_)
        | Check::Running(_)
        | Check::Bootstrap(_)
        | Check::Steady(_)
        | Check::Errors(_)
        | Check::Growth(_) => Ok(()),
    }
}

/// Checks from when on something must hold, and for how long it may not.
fn moment(after: Option<&String>, within: Option<Duration>) -> Result<(), String> {
    match (after, within) {
        (None, Some(_)) => Err("within counts from `after`: add after = \"heal\"".to_owned()),
        (Some(after), _) if after != "heal" => units::parse_duration(after)
            .map(drop)
            .map_err(|error| format!("after: {error}, or \"heal\"")),
        _ => Ok(()),
    }
}
