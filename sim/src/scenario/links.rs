//! What checks ask about sessions: who has them, who lost them, into how many parts a network falls.

use super::{
    Facts, NodeFacts,
    check::{Handshakes, Steady},
    judge::{Seen, nobody, running},
};

/// Nodes that one verdict names at most.
const NAMED_MAX: usize = 10;

/// Tells whether the network falls into so many parts; names the smaller ones.
pub(super) fn parts(facts: &Facts, wanted: usize) -> Seen {
    let parts = facts.components();
    let Some((_, others)) = parts.split_first() else { return nobody() };
    let sizes: Vec<String> = parts.iter().map(|part| part.len().to_string()).collect();
    let apart = others.iter().flatten().map(|node| facts.nodes[*node].name.clone());
    let what = match parts.len() {
        1 => format!("1 component of {} nodes", sizes[0]),
        count => format!("{count} components of {} nodes", sizes.join(", ")),
    };
    Seen { ok: parts.len() == wanted, what, nodes: apart.take(NAMED_MAX).collect() }
}

/// Counts first dials that are sessions, and says how many each dialled node has of them.
pub(super) fn bootstrap(facts: &Facts, dials: &[Vec<usize>], min: Option<usize>) -> Seen {
    let planned: usize = dials.iter().map(Vec::len).sum();
    let links = facts.links();
    let mut accepted = vec![0usize; dials.len()];
    let mut missing = Vec::new();
    for (from, to) in
        dials.iter().enumerate().flat_map(|(from, to)| to.iter().map(move |to| (from, *to)))
    {
        match links.binary_search(&(from.min(to), from.max(to))) {
            Ok(_) => accepted[to] += 1,
            Err(_) => missing.extend(facts.nodes.get(from).map(|node| node.name.clone())),
        }
    }
    let made: usize = accepted.iter().sum();
    let each = accepted.iter().zip(&facts.nodes).filter(|(count, _)| **count > 0);
    let each: Vec<String> = each.map(|(count, node)| format!("{} {count}", node.name)).collect();
    let shown =
        if each.len() > NAMED_MAX { String::new() } else { format!(": {}", each.join(", ")) };
    missing.truncate(NAMED_MAX);
    Seen {
        ok: made >= min.unwrap_or(planned),
        what: format!("{made} of {planned} first dials are sessions{shown}"),
        nodes: missing,
    }
}

/// Adds up greetings, both ends of a session.
pub(super) fn handshakes(facts: &Facts, it: &Handshakes) -> Seen {
    let sum = |value: fn(&NodeFacts) -> u64| running(facts).map(value).sum::<u64>();
    let completed = sum(|node| node.handshakes_completed);
    let attempted = sum(|node| node.handshakes_attempted).max(completed);
    let share = completed as f64 / attempted.max(1) as f64;
    let worst = running(facts)
        .max_by_key(|node| node.handshakes_attempted.saturating_sub(node.handshakes_completed));
    Seen {
        ok: completed >= it.min && share >= it.min_success,
        what: format!("{completed} of {attempted} completed, {:.1} %", share * 100.0),
        nodes: worst.map(|node| node.name.clone()).into_iter().collect(),
    }
}

/// Adds up faults of peers and ERROR lines; names the nodes that have some.
pub(super) fn errors(facts: &Facts, logs: &[(String, u64)], max: u64) -> Seen {
    let logged = |name: &str| -> u64 {
        logs.iter().filter(|(node, _)| node == name).map(|(_, count)| *count).sum()
    };
    let honest = facts.nodes.iter().filter(|node| node.honest);
    let mut list: Vec<(u64, &str)> =
        honest.map(|node| (node.faults + logged(&node.name), node.name.as_str())).collect();
    list.retain(|(count, _)| *count > 0);
    list.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
    let total: u64 = list.iter().map(|(count, _)| count).sum();
    let each: Vec<String> =
        list.iter().take(NAMED_MAX).map(|(count, name)| format!("{name} {count}")).collect();
    let what = match total {
        0 => "none".to_owned(),
        total => format!("{total}: {}", each.join(", ")),
    };
    let nodes = list.iter().take(NAMED_MAX).map(|(_, name)| (*name).to_owned()).collect();
    Seen { ok: total <= max, what, nodes }
}

/// Returns the verdict as soon as it cannot become good any more.
pub(super) fn broken(first: &Facts, facts: &Facts, it: &Steady) -> Option<Seen> {
    Some(steady(first, facts, it)).filter(|seen| !seen.ok)
}

/// Compares what nodes had with what they have and what they opened since: the rest ended. A peer without room says so
/// when it was greeted already: that was no session.
pub(super) fn steady(first: &Facts, facts: &Facts, it: &Steady) -> Seen {
    let (mut lost, mut failed, mut nodes) = (0, 0, Vec::new());
    for (then, now) in
        first.nodes.iter().zip(&facts.nodes).filter(|(then, now)| then.up && now.honest)
    {
        // A process that began anew has none of the sessions of the one before.
        let anew = now.handshakes_completed < then.handshakes_completed || !now.up;
        let opened = now.handshakes_completed.saturating_sub(then.handshakes_completed);
        let refused = now.sessions_refused.saturating_sub(then.sessions_refused);
        let since = |count: u64| if anew { 0 } else { count };
        let had = (then.peers as u64 + since(opened)).saturating_sub(since(refused));
        let gone = had.saturating_sub(if anew { 0 } else { now.peers as u64 });
        let dials = now.dials_failed.saturating_sub(if anew { 0 } else { then.dials_failed });
        lost += gone;
        failed += dials;
        if gone + dials > 0 && nodes.len() < NAMED_MAX {
            nodes.push(now.name.clone());
        }
    }
    Seen {
        ok: lost <= it.max_lost && failed <= it.max_failed_dials,
        what: format!("{lost} ends of sessions lost, {failed} failed dials"),
        nodes,
    }
}
