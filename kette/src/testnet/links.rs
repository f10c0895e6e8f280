//! What the links between processes are to be like: `[shape]`, `[[link]]` and steps of a network file, as numbers for
//! each node; pure but for the file in a node's directory.

use crate::{run::home::Home, whole_file};
use kette_rpc::{Link, Links};
use kette_sim::{
    faults,
    scenario::{NetworkFile, Plan, Shape, region},
    world::{LinkShape, LinkTable, Shapes},
};
use kette_types::PeerId;
use std::{collections::BTreeSet, time::Duration};

/// Links between all nodes of a network.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    shapes: Shapes,
    regions: Vec<Option<usize>>,
    /// The file shapes all links, not only those that it names.
    all: bool,
}

impl LinkPlan {
    /// Reads what a file says of links.
    ///
    /// # Errors
    /// If a name is not known or a number makes no sense.
    pub fn new(file: &NetworkFile, plan: &Plan) -> Result<Self, String> {
        let regions = plan.nodes.iter().map(|node| region::index(&node.region)).collect();
        let shapes = Shapes::new(file.shape.clone());
        let mut links = Self { shapes, regions, all: shapes_all(&file.shape) };
        for link in &file.link {
            faults::set_link(&mut links, plan, link)?;
        }
        Ok(links)
    }

    /// Tells whether any link is other than the machine makes it.
    pub fn asks(file: &NetworkFile) -> bool {
        shapes_all(&file.shape) || !file.link.is_empty()
    }

    /// Returns what the ways from a node are like; on those to `cut` nothing passes.
    pub fn of(&self, node: usize, cut: &BTreeSet<usize>, ids: &[PeerId]) -> Links {
        let list = ids
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != node)
            .filter_map(|(other, id)| {
                let is_shaped = self.all || self.shapes.is_changed(node, other);
                let shape = if is_shaped { self.link(node, other) } else { LinkShape::default() };
                let cut = cut.contains(&other);
                (cut || shape != LinkShape::default()).then(|| numbers(*id, shape, cut))
            })
            .collect();
        let uplink = self.all.then(|| self.shapes.uplink(self.regions[node])).flatten();
        Links { uplink, list }
    }
}

impl LinkTable for LinkPlan {
    fn link(&self, from: usize, to: usize) -> LinkShape {
        self.shapes.get((from, self.regions[from]), (to, self.regions[to]))
    }

    fn set_link(&mut self, from: usize, to: usize, shape: Option<LinkShape>) {
        self.shapes.set(from, to, shape);
    }
}

/// Tells whether a shape asks for other links than this machine has: what it says of disks and processors does not.
fn shapes_all(shape: &Shape) -> bool {
    Shape { fsync: None, cpu: None, ..shape.clone() } != Shape::default()
}

fn numbers(peer: PeerId, shape: LinkShape, cut: bool) -> Link {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Link {
        peer,
        latency_ms: ms(shape.latency),
        jitter_ms: ms(shape.jitter),
        loss: shape.loss,
        bandwidth: shape.bandwidth,
        cut,
    }
}

/// Writes a node's links into its directory, where it finds them at its next start.
///
/// # Errors
/// If the file cannot be written.
pub fn write(home: &Home, links: &Links) -> anyhow::Result<()> {
    match *links == Links::default() {
        true => whole_file::remove_unsynced(&home.links()),
        false => whole_file::write_unsynced(&home.links(), &serde_json::to_string_pretty(links)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_types::B256;

    fn plan(text: &str) -> (LinkPlan, Vec<PeerId>) {
        let text = format!(
            "schema = 1\n[network]\nname = \"test\"\nchain = \"atmn\"\n{text}\n\
             [[group]]\nname = \"n\"\ncount = 3\nregions = [\"round-robin\"]\n"
        );
        let file = NetworkFile::parse(&text).unwrap();
        let plan = Plan::new(&file).unwrap();
        let ids = (1u8..4).map(|n| PeerId(B256::repeat_byte(n))).collect();
        (LinkPlan::new(&file, &plan).unwrap(), ids)
    }

    fn none() -> BTreeSet<usize> {
        BTreeSet::new()
    }

    #[test]
    fn a_file_that_says_nothing_shapes_nothing() {
        let (links, ids) = plan("[shape]\nfsync = \"1ms\"");
        assert_eq!(links.of(0, &none(), &ids), Links::default());
    }

    #[test]
    fn a_profile_shapes_every_link_by_the_regions_of_its_ends() {
        let (links, ids) = plan("[shape]\nprofile = \"aws-2025\"\nloss = 0.25");
        let Links { uplink, list } = links.of(0, &none(), &ids);
        assert_eq!((uplink, list.len()), (Some(1_000_000_000), 2));
        // US-EAST to US-CENTRAL and US-WEST: half of 16 and 64 ms.
        assert_eq!((list[0].latency_ms, list[1].latency_ms, list[0].loss), (8.0, 32.0, 0.25));
    }

    #[test]
    fn a_named_link_is_shaped_in_the_directions_that_are_named() {
        let (links, ids) = plan(
            "[[link]]\nfrom = [\"n-0\"]\nto = [\"n-1\"]\nlatency = \"80ms\"\nbandwidth = \"1mbit\"\n\
             one_way = true",
        );
        let of = |node| links.of(node, &none(), &ids);
        let Links { uplink, list } = of(0);
        assert_eq!((uplink, list.len(), list[0].peer), (None, 1, ids[1]));
        assert_eq!((list[0].latency_ms, list[0].bandwidth), (80.0, Some(1_000_000)));
        assert_eq!((of(1), of(2)), (Links::default(), Links::default()));
    }

    #[test]
    fn a_way_that_is_cut_is_among_the_links() {
        let (links, ids) = plan("");
        let Links { list, .. } = links.of(0, &BTreeSet::from([2]), &ids);
        assert_eq!((list.len(), list[0].peer, list[0].cut), (1, ids[2], true));
    }
}
