//! A network as a drawing: nodes on a circle, tiers inside each other, sessions between them.

use super::chart::{WIDTH, escape};
use kette_sim::run::NodeFigures;
use std::fmt::Write as _;

/// Nodes whose names are written.
const NAMED_MAX: usize = 40;
/// Below and above so many nodes a drawing is flat or high.
const FEW: usize = 6;
/// Between the outermost ring and the edge: names need room at the sides.
const MARGIN: (f64, f64) = (90.0, 30.0);

/// Draws nodes and sessions; first dials that are sessions stand out. `None` if there is nothing to draw.
pub(super) fn svg(nodes: &[NodeFigures]) -> Option<String> {
    if nodes.is_empty() {
        return None;
    }
    let height = height(nodes.len());
    let places = places(nodes);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Nodes and the sessions between them\">\n"
    );
    let mut links: Vec<(usize, usize)> = nodes
        .iter()
        .enumerate()
        .flat_map(|(from, node)| node.sessions.iter().map(move |to| (from.min(*to), from.max(*to))))
        .filter(|(a, b)| a != b && *b < nodes.len())
        .collect();
    links.sort_unstable();
    links.dedup();
    for (a, b) in links {
        let first = nodes[a].dials.contains(&b) || nodes[b].dials.contains(&a);
        let class = if first { "boot" } else { "edge" };
        let ((x1, y1), (x2, y2)) = (places[a], places[b]);
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }
    for (node, (x, y)) in nodes.iter().zip(&places) {
        let class = if node.up { "peer" } else { "peer gone" };
        let region =
            if node.region.is_empty() { String::new() } else { format!(", {}", node.region) };
        let words = format!(
            "{}, tier {}{region}: height {}, {} sessions",
            node.name,
            node.tier,
            node.height,
            node.sessions.len()
        );
        let _ = writeln!(
            out,
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"><title>{}</title></circle>",
            escape(&words)
        );
        if nodes.len() <= NAMED_MAX {
            // Away from the middle, where the lines are.
            let below = if *y > height / 2.0 { 18.0 } else { -10.0 };
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                y + below,
                escape(&node.name)
            );
        }
    }
    out.push_str("</svg>");
    Some(out)
}

const fn height(nodes: usize) -> f64 {
    if nodes <= FEW { 240.0 } else { 460.0 }
}

/// Puts each tier on an ellipse of its own, the first one innermost.
fn places(nodes: &[NodeFigures]) -> Vec<(f64, f64)> {
    let mut tiers: Vec<u32> = nodes.iter().map(|node| node.tier).collect();
    tiers.sort_unstable();
    tiers.dedup();
    let (center_x, center_y) = (WIDTH / 2.0, height(nodes.len()) / 2.0);
    let place = |(index, node): (usize, &NodeFigures)| {
        let ring = tiers.iter().position(|tier| *tier == node.tier).unwrap_or(0) + 1;
        let peers = nodes.iter().filter(|other| other.tier == node.tier).count();
        let before = nodes[..index].iter().filter(|other| other.tier == node.tier).count();
        // One node alone on the innermost ring stands in the middle.
        let alone = peers == 1 && ring == 1 && tiers.len() > 1;
        let share = if alone { 0.0 } else { ring as f64 / tiers.len() as f64 };
        let turn = (before as f64 + 0.5 * (ring % 2) as f64) / peers as f64 * std::f64::consts::TAU;
        let x = center_x + share * (center_x - MARGIN.0) * turn.sin();
        let y = center_y - share * (center_y - MARGIN.1) * turn.cos();
        (x, y)
    };
    nodes.iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, tier: u32, dials: Vec<usize>, sessions: Vec<usize>) -> NodeFigures {
        NodeFigures {
            name: name.to_owned(),
            tier,
            region: "EU-WEST".to_owned(),
            up: name != "down",
            byzantine: false,
            height: 7,
            finalized: 1,
            produced: 2,
            handshakes: 3,
            sessions,
            dials,
        }
    }

    #[test]
    fn draws_each_session_once_and_first_dials_in_their_own_colour() {
        let nodes = [
            node("a<b", 1, vec![], vec![1, 2]),
            node("b", 2, vec![0], vec![0, 2]),
            node("down", 2, vec![0], vec![0, 1, 99]),
        ];
        let svg = svg(&nodes).unwrap();
        assert_eq!(svg.matches("<line").count(), 3);
        assert_eq!(svg.matches("class=\"boot\"").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a&lt;b, tier 1, EU-WEST: height 7, 2 sessions"), "{svg}");
        assert_eq!(svg.matches("peer gone").count(), 1);
        assert!(super::svg(&[]).is_none());
    }

    #[test]
    fn nodes_stand_apart_and_inside() {
        let nodes: Vec<NodeFigures> =
            (0..100).map(|at| node(&format!("n{at}"), 1 + at / 30, vec![], vec![])).collect();
        let mut places = places(&nodes);
        assert!(places.iter().all(|(x, y)| (0.0..WIDTH).contains(x) && (0.0..460.0).contains(y)));
        let count = places.len();
        places.sort_by(|a, b| a.partial_cmp(b).unwrap());
        places.dedup_by(|a, b| (a.0 - b.0).abs() < 0.5 && (a.1 - b.1).abs() < 0.5);
        assert_eq!(places.len(), count);
    }
}
