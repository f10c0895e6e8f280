//! A topology as one page: the drawing, and the same as tables. Nothing is loaded from elsewhere.

use super::{Topology, escape, svg};
use crate::commands::output::counted;

/// Returns the page.
pub fn html(topology: &Topology) -> String {
    let name = escape(&topology.name);
    let label = |node: usize| escape(&topology.nodes[node].name);
    let list = |nodes: &[usize]| nodes.iter().map(|n| label(*n)).collect::<Vec<_>>().join(" ");
    let nodes: String = topology
        .nodes
        .iter()
        .map(|node| {
            let state = if node.running { "up" } else { "does not answer" };
            let first: Vec<String> = node.first_dials.iter().map(|n| label(*n)).collect();
            format!(
                "<tr><td>{}<td>{}<td>{}<td>{state}<td>{}<td>{}<td>{}<td>{}</tr>\n",
                escape(&node.name),
                node.tier,
                escape(&node.region),
                node.component,
                node.inbound,
                node.outbound,
                first.join(" ")
            )
        })
        .collect();
    let links: String = topology
        .links
        .iter()
        .map(|link| {
            let rtt = link.rtt_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            let first = if Topology::is_first(link) { "first dial" } else { "" };
            let dialler = link.dialler.map_or_else(|| "-".to_owned(), label);
            format!(
                "<tr><td>{}<td>{}<td>{dialler}<td>{first}<td>{rtt}<td>{}</tr>\n",
                label(link.a),
                label(link.b),
                link.age_secs
            )
        })
        .collect();
    let components: String = topology
        .components
        .iter()
        .enumerate()
        .map(|(at, nodes)| format!("<li>component {}: {}</li>\n", at + 1, list(nodes)))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name}: topology</title>\n\
         <style>{CSS}</style></head>\n<body><main><h1>{name}</h1>\n{}\
         <p>{}, {} ends; first dials {}</p>\n<ul>{components}</ul>\n\
         <table><tr><th>node<th>tier<th>region<th>state<th>component<th>in<th>out<th>first dial</tr>\n{nodes}</table>\n\
         <table><tr><th>a<th>b<th>dialled by<th>kind<th>round trip, ms<th>age, s</tr>\n{links}</table>\n\
         </main></body></html>\n",
        svg(topology),
        counted(topology.links.len(), "session"),
        topology.session_ends,
        topology.spread(),
    )
}

const CSS: &str = "body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}\
    svg{width:100%;height:auto}table{border-collapse:collapse;margin:1rem 0}\
    td,th{text-align:left;padding:.2rem .8rem;border-bottom:1px solid #8884}";
