//! A topology in the language of Graphviz: `kette net topology --format dot | dot -Tpng`.

use super::Topology;

/// Returns a directed graph; arrows are from who dialled, without a head if that is not known.
pub fn dot(topology: &Topology) -> String {
    let mut out =
        format!("digraph \"{}\" {{\n  rankdir=TB; node [shape=box];\n", escape(&topology.name));
    for (tier, nodes) in topology.tiers() {
        let ranks: Vec<String> = nodes.iter().map(|node| format!("n{node};")).collect();
        out += &format!("  {{ rank=same; /* tier {tier} */ {} }}\n", ranks.concat());
    }
    for (index, node) in topology.nodes.iter().enumerate() {
        let style = if node.running { "solid" } else { "dashed" };
        let state = if node.running {
            format!("component {}", node.component)
        } else {
            "does not answer".to_owned()
        };
        let label = format!("{}\\n{}\\n{state}", escape(&node.name), escape(&node.region));
        out += &format!("  n{index} [label=\"{label}\", style={style}];\n");
    }
    for link in &topology.links {
        let style = if Topology::is_first(link) { "penwidth=2" } else { "style=dashed" };
        let (from, to, head) = match link.dialler {
            Some(dialler) if dialler == link.b => (link.b, link.a, ""),
            Some(_) => (link.a, link.b, ""),
            None => (link.a, link.b, ", dir=none"),
        };
        out += &format!("  n{from} -> n{to} [{style}{head}];\n");
    }
    out + "}\n"
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
