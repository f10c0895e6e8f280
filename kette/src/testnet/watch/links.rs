//! Live sessions between the nodes of a network: who dialled, how old, and which components they make; pure.

use super::said::Said;
use crate::testnet::directory::Manifest;
use kette_sim::scenario::edges;
use serde::Serialize;
use std::collections::BTreeMap;

/// A session between two nodes, by index; `a < b`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// One end.
    pub a: usize,
    /// The other end.
    pub b: usize,
    /// Who dialled, if the two ends agree or only one answers.
    pub dialler: Option<usize>,
    /// Whose configured first dial it is: the tiers decide these, peer exchange the others.
    pub first_dial_of: Option<usize>,
    /// How many of its ends say that it is there.
    pub ends: u8,
    /// The last round trip, milliseconds.
    pub rtt_ms: Option<u64>,
    /// Age, seconds.
    pub age_secs: u64,
}

/// Returns all sessions, each once, in order.
pub fn links(manifest: &Manifest, said: &[Option<Said>]) -> Vec<Link> {
    let index: BTreeMap<&str, usize> =
        manifest.nodes.iter().enumerate().map(|(i, node)| (node.peer_id.as_str(), i)).collect();
    let mut ends: BTreeMap<(usize, usize), Link> = BTreeMap::new();
    for (me, said) in said.iter().enumerate() {
        for peer in said.iter().flat_map(|said| &said.status.peers) {
            let Some(other) = index.get(peer.id.as_str()).copied().filter(|i| *i != me) else {
                continue;
            };
            let dialler = if peer.direction == OUTBOUND { me } else { other };
            let link = ends.entry((me.min(other), me.max(other))).or_insert_with(|| Link {
                a: me.min(other),
                b: me.max(other),
                dialler: Some(dialler),
                first_dial_of: None,
                ends: 0,
                rtt_ms: peer.rtt_ms,
                age_secs: peer.age_secs,
            });
            link.ends += 1;
            link.dialler = link.dialler.filter(|first| *first == dialler);
            link.first_dial_of = link.first_dial_of.or(peer.persistent.then_some(me));
            link.rtt_ms = link.rtt_ms.or(peer.rtt_ms);
        }
    }
    ends.into_values().collect()
}

/// Returns the components of the graph of sessions, each ascending; nodes that do not answer are in none.
pub fn components(said: &[Option<Said>], links: &[Link]) -> Vec<Vec<usize>> {
    let up = |node: usize| said.get(node).is_some_and(Option::is_some);
    let pairs: Vec<(usize, usize)> =
        links.iter().map(|link| (link.a, link.b)).filter(|(a, b)| up(*a) && up(*b)).collect();
    let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, lowest) in edges::components(said.len(), &pairs).into_iter().enumerate() {
        if up(node) {
            found.entry(lowest).or_default().push(node);
        }
    }
    found.into_values().collect()
}

/// Returns the fewest sessions that an answering node has with others that answer.
pub fn sessions_min(said: &[Option<Said>], links: &[Link]) -> usize {
    let up = |node: usize| said.get(node).is_some_and(Option::is_some);
    let sessions = |node: usize| {
        links.iter().filter(|l| (l.a == node || l.b == node) && up(l.a) && up(l.b)).count()
    };
    (0..said.len()).filter(|node| up(*node)).map(sessions).min().unwrap_or(0)
}

/// A bootstrap node and who dialled it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// Which node.
    pub node: usize,
    /// Who was told to dial it first.
    pub planned: Vec<usize>,
    /// Which of them have a session with it now.
    pub live: Vec<usize>,
}

/// Returns who dialled whom first, for all nodes that somebody was told to dial.
pub fn bootstraps(manifest: &Manifest, links: &[Link]) -> Vec<Bootstrap> {
    let mut found: BTreeMap<usize, Bootstrap> = BTreeMap::new();
    for (child, node) in manifest.nodes.iter().enumerate() {
        for parent in &node.plan.dials {
            let (planned, live) = (Vec::new(), Vec::new());
            let entry = found.entry(*parent).or_insert(Bootstrap { node: *parent, planned, live });
            entry.planned.push(child);
            let ends = (child.min(*parent), child.max(*parent));
            if links.iter().any(|link| (link.a, link.b) == ends) {
                entry.live.push(child);
            }
        }
    }
    found.into_values().collect()
}

/// How `kette_status` calls a session that the node dialled.
const OUTBOUND: &str = "outbound";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testnet::{
        file, plan,
        watch::said::{Observed, Peer, Status},
    };
    use std::time::Duration;

    /// A preset as if its processes ran, with the sessions `(dialler, dialled, first dial)`.
    pub(crate) fn network(
        preset: &str,
        sessions: &[(usize, usize, bool)],
    ) -> (Manifest, Vec<Option<Said>>) {
        let plan = plan::plan(&file::load(preset).unwrap(), None).unwrap();
        let nodes: Vec<_> = (0..)
            .zip(plan)
            .map(|(index, (plan, ports))| crate::testnet::directory::ManifestNode {
                plan,
                ports,
                peer_id: format!("peer{index}"),
                process: None,
                binary: None,
                joined: false,
                last_action: None,
            })
            .collect();
        let peer = |of: usize, direction: &str, persistent| Peer {
            id: format!("peer{of}"),
            direction: direction.to_owned(),
            rtt_ms: Some(3),
            age_secs: 60,
            persistent,
        };
        let said = (0..nodes.len())
            .map(|me| {
                let mut peers = Vec::new();
                for (from, to, first) in sessions {
                    if *from == me {
                        peers.push(peer(*to, "outbound", *first));
                    } else if *to == me {
                        peers.push(peer(*from, "inbound", false));
                    }
                }
                let status = Status { peer_id: format!("peer{me}"), peers, ..Status::default() };
                let took = Duration::from_millis(2);
                Some(Said { status, observed: Observed::default(), took })
            })
            .collect();
        let manifest = Manifest {
            name: preset.to_owned(),
            source: preset.to_owned(),
            chain_id: 1,
            genesis: String::new(),
            run: false,
            quic: false,
            planned_only: false,
            in_process: false,
            host: None,
            groups: Vec::new(),
            left: Vec::new(),
            former: Vec::new(),
            nodes,
        };
        (manifest, said)
    }

    /// The first dials of `atmn` (requirement A7).
    pub(crate) const ATMN: [(usize, usize, bool); 9] = [
        (1, 0, true),
        (2, 0, true),
        (3, 0, true),
        (4, 1, true),
        (5, 1, true),
        (6, 1, true),
        (7, 2, true),
        (8, 2, true),
        (9, 2, true),
    ];

    #[test]
    fn a_session_counts_once_and_knows_who_dialled() {
        let sessions = [&ATMN[..], &[(9, 3, false)]].concat();
        let (manifest, said) = network("atmn", &sessions);
        let links = links(&manifest, &said);
        assert_eq!(links.len(), 10);
        assert!(links.iter().all(|link| link.ends == 2), "{links:?}");
        let extra = links.iter().find(|link| (link.a, link.b) == (3, 9)).unwrap();
        assert_eq!((extra.dialler, extra.first_dial_of), (Some(9), None));
        let first = links.iter().find(|link| (link.a, link.b) == (1, 4)).unwrap();
        assert_eq!((first.dialler, first.first_dial_of), (Some(4), Some(4)));
        // Requirement A24.
        let ends: usize = said.iter().flatten().map(|said| said.status.peers.len()).sum();
        assert_eq!(ends, 2 * links.len());
    }

    #[test]
    fn bootstraps_get_three_each() {
        let (manifest, said) = network("atmn", &ATMN);
        let bootstraps = bootstraps(&manifest, &links(&manifest, &said));
        let shown: Vec<_> = bootstraps.iter().map(|b| (b.node, b.live.clone())).collect();
        assert_eq!(shown, [(0, vec![1, 2, 3]), (1, vec![4, 5, 6]), (2, vec![7, 8, 9])]);
    }

    #[test]
    fn groups_are_found_and_dead_nodes_are_in_none() {
        let (manifest, mut said) = network("atmn", &ATMN);
        assert_eq!(components(&said, &links(&manifest, &said)), [(0..10).collect::<Vec<_>>()]);
        said[0] = None;
        let groups = components(&said, &links(&manifest, &said));
        assert_eq!(groups, [vec![1, 4, 5, 6], vec![2, 7, 8, 9], vec![3]]);
        assert_eq!(components(&[None, None], &[]), Vec::<Vec<usize>>::new());
    }
}
