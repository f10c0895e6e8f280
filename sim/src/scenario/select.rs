//! Which nodes a pattern means: a node, a group, `*`, `node*`, `miner-0..3` (both ends included).

use super::{Plan, hint};

/// Returns the indexes of the nodes that any of the patterns means, ascending.
///
/// # Errors
/// If a pattern means no node; says which names there are.
pub fn select(plan: &Plan, patterns: &[String]) -> Result<Vec<usize>, String> {
    if patterns.is_empty() {
        return Err(format!("no nodes are named: \"*\" means all of {}", names(plan)));
    }
    let mut found = Vec::new();
    for pattern in patterns {
        let nodes = one(plan, pattern)?;
        if nodes.is_empty() {
            let known = plan.nodes.iter().map(|node| node.name.as_str());
            let known = known.chain(plan.groups.iter().flatten().map(String::as_str));
            let hint = hint::nearest(pattern, known)
                .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
            return Err(format!("`{pattern}` means no node: there are {}{hint}", names(plan)));
        }
        found.extend(nodes);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Returns what one pattern means. A node's own name goes first, then a group's.
fn one(plan: &Plan, pattern: &str) -> Result<Vec<usize>, String> {
    let named = |wanted: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..plan.nodes.len()).filter(|i| wanted(&plan.nodes[*i].name)).collect()
    };
    let exact = named(&|name| name == pattern);
    if !exact.is_empty() {
        return Ok(exact);
    }
    // Several groups may have one name: who joins a group when its network is made larger is like it in name only.
    let of = |group: usize| plan.groups.get(group).and_then(Option::as_deref);
    if plan.groups.iter().any(|name| name.as_deref() == Some(pattern)) {
        let is_in = |i: &usize| of(plan.nodes[*i].group) == Some(pattern);
        return Ok((0..plan.nodes.len()).filter(is_in).collect());
    }
    if let Some(start) = pattern.strip_suffix('*') {
        return Ok(named(&|name| name.starts_with(start)));
    }
    let Some((start, first, last)) = range(pattern) else { return Ok(Vec::new()) };
    if first > last {
        return Err(format!("`{pattern}`: the first number is larger than the last"));
    }
    let within = |name: &str| {
        let number = name.strip_prefix(start).and_then(number);
        number.is_some_and(|number| (first..=last).contains(&number))
    };
    let nodes = named(&within);
    if !nodes.is_empty() && nodes.len() as u64 != (last - first).saturating_add(1) {
        return Err(format!("`{pattern}`: not all of them exist, there are {}", names(plan)));
    }
    Ok(nodes)
}

/// Splits `miner-0..3` into `miner-`, 0 and 3.
fn range(pattern: &str) -> Option<(&str, u64, u64)> {
    let (first, last) = pattern.split_once("..")?;
    let digits = first.len() - first.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (start, first) = first.split_at(first.len() - digits);
    Some((start, number(first)?, number(last)?))
}

/// Reads digits as they stand at the end of a node's name: no sign, no leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Names of groups and nodes, as many as one reads.
fn names(plan: &Plan) -> String {
    const SHOWN: usize = 20;
    let groups = plan.groups.iter().flatten().collect::<std::collections::BTreeSet<_>>();
    let groups = groups.into_iter().map(|name| format!("group {name}"));
    let nodes = plan.nodes.iter().map(|node| node.name.clone());
    let mut all: Vec<String> = groups.chain(nodes).collect();
    if all.len() > SHOWN {
        let more = all.len() - SHOWN;
        all.truncate(SHOWN);
        all.push(format!("and {more} more"));
    }
    all.join(", ")
}
