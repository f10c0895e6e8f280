//! A topology as a drawing: a row per tier, first dials thick, other sessions thin, dead nodes with a dashed ring.

use super::{Topology, escape};
use crate::commands::output::counted;
use std::fmt::Write as _;

/// Distance of neighbours in a row.
const STEP: usize = 110;
/// Distance of rows.
const ROW: usize = 130;
/// Radius of a node.
const RADIUS: usize = 22;

/// Returns the drawing, in the colours of the page around it.
pub fn svg(topology: &Topology) -> String {
    let tiers = topology.tiers();
    let widest = tiers.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or(1).max(1);
    let (width, height) = (widest * STEP + STEP, tiers.len().max(1) * ROW + 20);
    let mut places = vec![(0, 0); topology.nodes.len()];
    for (row, (_, nodes)) in tiers.iter().enumerate() {
        for (at, node) in nodes.iter().enumerate() {
            // A flat arc, so that sessions within a tier do not hide each other.
            let middle = nodes.len().saturating_sub(1);
            let sag = (2 * at).abs_diff(middle) * 18 / nodes.len().max(1);
            let x = STEP / 2 + (2 * at + 1) * (width - STEP) / (2 * nodes.len().max(1));
            places[*node] = (x, 40 + row * ROW + sag);
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"none\" stroke=\"currentColor\">\n\
         <title>{}: {}, {}</title>\n",
        escape(&topology.name),
        counted(topology.links.len(), "session"),
        counted(topology.components.len(), "component")
    );
    for link in &topology.links {
        let ((x1, y1), (x2, y2)) = (places[link.a], places[link.b]);
        let look = if Topology::is_first(link) {
            "stroke-width=\"2.5\""
        } else {
            "stroke-width=\"0.8\" opacity=\"0.5\""
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {look}/>");
    }
    for (node, (x, y)) in topology.nodes.iter().zip(places) {
        let dashes = if node.running { "" } else { " stroke-dasharray=\"4 3\"" };
        let inside = if node.running { format!("g{}", node.component) } else { "off".to_owned() };
        let _ = writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{RADIUS}\" fill=\"Canvas\" stroke-width=\"1.5\"{dashes}/>\n\
             <g fill=\"currentColor\" stroke=\"none\" text-anchor=\"middle\">\
             <text x=\"{x}\" y=\"{}\">{inside}</text><text x=\"{x}\" y=\"{}\">{}</text>\
             <text x=\"{x}\" y=\"{}\" opacity=\"0.7\">{}</text></g>",
            y + 4,
            y + RADIUS + 14,
            escape(&node.name),
            y + RADIUS + 27,
            escape(&node.region),
        );
    }
    out + "</svg>\n"
}
