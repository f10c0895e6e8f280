//! How the nodes of a network are connected: tiers, sessions, components, first dials; as text and as drawings. Pure.

mod dot;
mod html;
mod svg;
mod text;

pub use dot::dot;
pub use html::html;
pub use svg::svg;
pub use text::text;

use super::{
    directory::Manifest,
    watch::{
        links::{self, Bootstrap, Link},
        said::Said,
    },
};
use serde::Serialize;

/// A network's sessions at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Topology {
    /// The network's name.
    pub name: String,
    /// Nodes, in the network's order; others speak of them by index.
    pub nodes: Vec<Place>,
    /// Sessions, each once.
    pub links: Vec<Link>,
    /// Groups of running nodes that sessions join: more than one is a partition.
    pub components: Vec<Vec<usize>>,
    /// Who was told to dial whom first, and who has a session there now.
    pub bootstraps: Vec<Bootstrap>,
    /// Ends of sessions over all nodes, as the nodes count them.
    pub session_ends: usize,
}

/// A node in a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Bootstrap tier, 1 is first.
    pub tier: u32,
    /// Region label, empty if it has none.
    pub region: String,
    /// It answers.
    pub running: bool,
    /// Group that it is in, from 1; 0 if it does not answer.
    pub component: usize,
    /// Sessions that others dialled.
    pub inbound: usize,
    /// Sessions that it dialled.
    pub outbound: usize,
    /// Whom it was told to dial first.
    pub first_dials: Vec<usize>,
}

impl Topology {
    /// Describes a network from what its nodes said.
    pub fn of(manifest: &Manifest, said: &[Option<Said>]) -> Self {
        let links = links::links(manifest, said);
        let components = links::components(said, &links);
        let place = |(index, node): (usize, &super::directory::ManifestNode)| {
            let peers = said[index].as_ref().map_or(&[][..], |said| &said.status.peers);
            let outbound = peers.iter().filter(|peer| peer.direction == "outbound").count();
            let component = components.iter().position(|nodes| nodes.contains(&index));
            Place {
                name: node.plan.name.clone(),
                tier: node.plan.tier,
                region: node.plan.region.clone(),
                running: said[index].is_some(),
                component: component.map_or(0, |at| at + 1),
                inbound: peers.len() - outbound,
                outbound,
                first_dials: node.plan.dials.clone(),
            }
        };
        let nodes: Vec<Place> = manifest.nodes.iter().enumerate().map(place).collect();
        Self {
            name: manifest.name.clone(),
            session_ends: nodes.iter().map(|node| node.inbound + node.outbound).sum(),
            bootstraps: links::bootstraps(manifest, &links),
            nodes,
            links,
            components,
        }
    }

    /// Returns the tiers that there are, with their nodes.
    fn tiers(&self) -> Vec<(u32, Vec<usize>)> {
        let mut tiers: Vec<u32> = self.nodes.iter().map(|node| node.tier).collect();
        tiers.sort_unstable();
        tiers.dedup();
        let of =
            |tier: u32| (0..self.nodes.len()).filter(|i| self.nodes[*i].tier == tier).collect();
        tiers.into_iter().map(|tier| (tier, of(tier))).collect()
    }

    /// Returns how the first dials are spread, e.g. `3/3/3`.
    fn spread(&self) -> String {
        let live: Vec<String> = self.bootstraps.iter().map(|b| b.live.len().to_string()).collect();
        live.join("/")
    }

    /// Tells whether a session is somebody's configured first dial.
    fn is_first(link: &Link) -> bool {
        link.first_dial_of.is_some()
    }
}

/// Escapes text for XML and HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::watch::links::tests::{ATMN, network};

    fn atmn() -> Topology {
        let sessions = [&ATMN[..], &[(9, 3, false), (1, 2, false)]].concat();
        let (manifest, said) = network("atmn", &sessions);
        Topology::of(&manifest, &said)
    }

    #[test]
    fn text_shows_tiers_dials_and_components() {
        let expected = "\
atmn: 10 of 10 nodes, 11 sessions (22 ends), 1 component

tier 1
  node0 US-EAST 3 in 0 out
    <- node1 node2 node3
tier 2
  node1 US-WEST 3 in 2 out
    <- node4 node5 node6
    -- node2
  node2 EU-WEST 4 in 1 out
    <- node7 node8 node9
    -- node1
tier 3
  node3 EU-CENTRAL 1 in 1 out
    -- node9
  node4 ASIA-EAST 0 in 1 out
  node5 US-CENTRAL 0 in 1 out
  node6 EU-NORTH 0 in 1 out
  node7 ASIA-SOUTH 0 in 1 out
  node8 SA-EAST 0 in 1 out
  node9 AFRICA 0 in 2 out
    -- node3

first dials: node0 3 of 3, node1 3 of 3, node2 3 of 3 (3/3/3)
<- has a session with its first dial, -- another session
";
        assert_eq!(text(&atmn()), expected);
    }

    #[test]
    fn a_partition_is_named() {
        let (manifest, mut said) = network("atmn", &ATMN);
        said[0] = None;
        let shown = text(&Topology::of(&manifest, &said));
        for words in [
            "9 of 10 nodes",
            "3 components: PARTITION",
            "component 1: node1 node4 node5 node6",
            "component 3: node3\n",
            "node0 US-EAST does not answer",
        ] {
            assert!(shown.contains(words), "`{words}` is missing in:\n{shown}");
        }
    }

    #[test]
    fn drawings_have_every_node_and_session_and_nothing_from_elsewhere() {
        let topology = atmn();
        let dot = dot(&topology);
        assert_eq!(dot.matches(" -> ").count() + dot.matches(" -- ").count(), 11);
        let svg = svg(&topology);
        assert_eq!((svg.matches("<line").count(), svg.matches("<circle").count()), (11, 10));
        let html = html(&topology);
        for node in &topology.nodes {
            assert!([&dot, &svg, &html].iter().all(|drawn| drawn.contains(&node.name)));
        }
        assert!(html.starts_with("<!DOCTYPE html>") && html.contains(&svg));
        let foreign = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http"), "{html}");
    }

    #[test]
    fn names_are_escaped() {
        let (mut manifest, said) = network("volkskette", &[(1, 0, true)]);
        manifest.nodes[0].plan.region = "<b>\"&".to_owned();
        let topology = Topology::of(&manifest, &said);
        assert!(
            html(&topology).contains("&lt;b&gt;&quot;&amp;") && !html(&topology).contains("<b>")
        );
        assert!(dot(&topology).contains("<b>\\\"&"));
    }
}
