//! Networks of any shape: pairs of nodes, as a network file lists them (`edges`) or as a file of their own has them.

use super::PlannedNode;
use serde::Deserialize;

/// More pairs than a mesh of 1,000 nodes has.
const EDGES_MAX: usize = 500_000;

/// Returns for each node whom it dials first: of each pair the later node dials.
///
/// # Errors
/// If a name is none, a node is paired with itself, or not all nodes reach each other.
pub(super) fn dials(
    nodes: &[PlannedNode],
    edges: &[(String, String)],
) -> Result<Vec<Vec<usize>>, String> {
    if edges.is_empty() && nodes.len() > 1 {
        return Err(
            "[network]: topology = \"custom\" needs edges = [[\"a\", \"b\"], ...]".to_owned()
        );
    }
    if edges.len() > EDGES_MAX {
        return Err(format!("[network]: {} edges: at most {EDGES_MAX}", edges.len()));
    }
    let place = |name: &String| {
        let found = nodes.iter().position(|node| node.name == *name);
        found.ok_or_else(|| format!("[network]: edges: no node is called `{name}`"))
    };
    let mut dials = vec![Vec::new(); nodes.len()];
    for (a, b) in edges {
        let (a, b) = (place(a)?, place(b)?);
        if a == b {
            return Err(format!("[network]: edges: `{}` is paired with itself", nodes[a].name));
        }
        let (first, later) = (a.min(b), a.max(b));
        if !dials[later].contains(&first) {
            dials[later].push(first);
        }
    }
    let pairs: Vec<(usize, usize)> = dials
        .iter()
        .enumerate()
        .flat_map(|(later, dials)| dials.iter().map(move |first| (*first, later)))
        .collect();
    let groups = components(nodes.len(), &pairs);
    match groups.iter().position(|group| *group != groups[0]) {
        Some(apart) => Err(format!(
            "[network]: edges: `{}` and `{}` do not reach each other: add a pair that joins their parts",
            nodes[0].name, nodes[apart].name
        )),
        None => Ok(dials),
    }
}

/// Returns for each of `count` nodes the lowest node that it reaches by these pairs.
pub fn components(count: usize, pairs: &[(usize, usize)]) -> Vec<usize> {
    let mut group: Vec<usize> = (0..count).collect();
    // With path halving: https://doi.org/10.1145/62.2160, section 4.
    let root = |group: &mut Vec<usize>, mut at: usize| {
        while group[at] != at {
            group[at] = group[group[at]];
            at = group[at];
        }
        at
    };
    for (a, b) in pairs {
        let (a, b) = (root(&mut group, *a), root(&mut group, *b));
        group[a.max(b)] = a.min(b);
    }
    (0..count).map(|at| root(&mut group, at)).collect()
}

/// Reads pairs of names from text: a line `a b` for each (commas and `--` do as well, `#` begins a comment), or JSON, a
/// list of `["a", "b"]` or of `{"from": "a", "to": "b"}`, alone or as `links` or `edges` of an object.
///
/// # Errors
/// Names the line, or what JSON lacks.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    if text.trim_start().starts_with(['[', '{']) {
        return json(text);
    }
    let mut edges = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().replace("--", " ").replace(',', " ");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [a, b] => edges.push(((*a).to_owned(), (*b).to_owned())),
            _ => {
                let number = index + 1;
                return Err(format!("line {number}: a link has two nodes, as in `alice bob`"));
            }
        }
    }
    some(edges)
}

fn json(text: &str) -> Result<Vec<(String, String)>, String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Pair {
        List(String, String),
        Named { from: String, to: String },
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Document {
        List(Vec<Pair>),
        Object {
            #[serde(alias = "edges")]
            links: Vec<Pair>,
        },
    }
    let document: Document = serde_json::from_str(text).map_err(|error| {
        format!("JSON: {error}: expected [[\"a\", \"b\"], ...] or {{\"links\": [...]}}")
    })?;
    let (Document::List(pairs) | Document::Object { links: pairs }) = document;
    let names = |pair| match pair {
        Pair::List(a, b) | Pair::Named { from: a, to: b } => (a, b),
    };
    some(pairs.into_iter().map(names).collect())
}

fn some(edges: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    match edges.is_empty() {
        true => Err("it has no links".to_owned()),
        false => Ok(edges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{NetworkFile, Plan};

    fn plan(edges: &str) -> Result<Plan, String> {
        let text = format!(
            "schema = 1\n[network]\nname = \"n\"\nchain = \"c\"\ntopology = \"custom\"\n{edges}\n\
             [[group]]\nnames = [\"a\", \"b\", \"c\", \"d\"]\n"
        );
        let file = NetworkFile::parse(&text).map_err(|error| error.0)?;
        assert_eq!(NetworkFile::parse(&file.to_toml().unwrap()).unwrap(), file);
        Plan::new(&file)
    }

    #[test]
    fn of_each_pair_the_later_node_dials() {
        let plan = plan("edges = [[\"b\", \"a\"], [\"a\", \"d\"], [\"c\", \"d\"], [\"d\", \"c\"]]")
            .unwrap();
        let dials: Vec<Vec<usize>> = plan.nodes.into_iter().map(|node| node.dials).collect();
        assert_eq!(dials, [vec![], vec![0], vec![], vec![0, 2]]);
        assert!(!plan.discovery);
    }

    #[test]
    fn refuses_what_is_no_network() {
        for (edges, why) in [
            ("", "needs edges"),
            ("edges = [[\"a\", \"x\"]]", "no node is called `x`"),
            ("edges = [[\"a\", \"a\"]]", "paired with itself"),
            ("edges = [[\"a\", \"b\"], [\"c\", \"d\"]]", "`a` and `c` do not reach each other"),
        ] {
            let error = plan(edges).unwrap_err();
            assert!(error.contains(why), "{edges}: {error}");
        }
        let text = "schema = 1\n[network]\nname = \"n\"\nchain = \"c\"\nedges = [[\"a\", \"b\"]]\n\
                    [[group]]\nnames = [\"a\", \"b\"]\n";
        assert!(NetworkFile::parse(text).unwrap_err().0.contains("custom"));
    }

    #[test]
    fn reads_lists_of_links_in_every_spelling() {
        let wanted = vec![("a".to_owned(), "b".to_owned()), ("b".to_owned(), "c".to_owned())];
        for text in [
            "a b\nb c\n",
            "# a line\na, b\n\nb -- c # the end\n",
            "[[\"a\", \"b\"], {\"from\": \"b\", \"to\": \"c\"}]",
            " {\"links\": [[\"a\", \"b\"], [\"b\", \"c\"]]}",
        ] {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
        for (text, why) in [("", "no links"), ("a b c", "line 1"), ("[1]", "JSON"), ("{}", "JSON")]
        {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn finds_the_parts_of_a_network() {
        assert_eq!(components(5, &[(3, 4), (1, 0), (4, 1)]), [0, 0, 2, 0, 0]);
        assert_eq!(components(2, &[]), [0, 1]);
    }
}
