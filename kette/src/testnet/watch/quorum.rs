//! Whether the validators of a `bft` network can decide: by what each says of its own vote and of the quorum.

use super::said::Said;
use crate::testnet::votes::MissingVotes;
use serde_json::Value;

/// Heads change once a slot or so. Where they do although the nodes' votes are too few, validators elsewhere vote too.
const ALIVE_MS: u64 = 3_000;

/// Returns what is missing in the part of the network with the most votes. `None` if that is enough, the chain has no
/// validators, or blocks come all the same.
pub fn missing(said: &[Option<Said>], parts: &[Vec<usize>]) -> Option<MissingVotes> {
    let number = |engine: &Value, name: &str| engine[name].as_u64().map(u128::from);
    let newest = said.iter().flatten().max_by_key(|said| said.status.height)?;
    let engine = &newest.status.engine;
    let (quorum, total) = (number(engine, "quorum")?, number(engine, "weight")?);
    let votes = |node: &usize| {
        let engine = &said.get(*node)?.as_ref()?.status.engine;
        engine["signing"].as_bool()?.then(|| number(engine, "ownWeight"))?
    };
    let there = parts.iter().map(|part| part.iter().filter_map(votes).sum());
    let up: u128 = there.max().unwrap_or(0);
    let changed = said.iter().flatten().map(|said| {
        let seen = &said.observed;
        seen.now_ms.saturating_sub(seen.head_changed_ms)
    });
    let is_alive = changed.min().is_some_and(|age| age < ALIVE_MS);
    (up < quorum && !is_alive).then_some(MissingVotes { up, total, quorum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Four validators with 100 votes each; the head is 5 s old.
    fn said() -> Vec<Option<Said>> {
        let one = |node: u64| {
            let mut said = Said::default();
            said.status.height = 7 + node % 2;
            said.status.engine = json!({
                "engine": "bft", "weight": 400, "quorum": 267, "ownWeight": 100, "signing": true,
            });
            (said.observed.now_ms, said.observed.head_changed_ms) = (9_000, 4_000);
            Some(said)
        };
        (0..4).map(one).collect()
    }

    #[test]
    fn votes_count_where_they_are_heard_together() {
        let whole = [vec![0, 1, 2, 3]];
        let short = |up| Some(MissingVotes { up, total: 400, quorum: 267 });
        assert_eq!(missing(&said(), &whole), None);
        assert_eq!(missing(&said(), &[vec![0, 1], vec![2, 3]]), short(200));
        let mut away = said();
        (away[0], away[3]) = (None, None);
        assert_eq!(missing(&away, &[vec![1, 2]]), short(200));
        let mut silent = said();
        for node in [1, 2] {
            silent[node].as_mut().unwrap().status.engine["signing"] = json!(false);
        }
        assert_eq!(missing(&silent, &whole), short(200));
        // Somebody else votes.
        silent[0].as_mut().unwrap().observed.head_changed_ms = 8_000;
        assert_eq!(missing(&silent, &whole), None);
        // No votes at all: proof of work.
        let pow = |said: &mut Said| said.status.engine = json!({ "engine": "pow" });
        silent.iter_mut().flatten().for_each(pow);
        assert_eq!(missing(&silent, &whole), None);
        assert_eq!(missing(&[], &[]), None);
    }
}
