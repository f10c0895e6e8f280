//! The report of `kette net report`: runs of one or many networks in five parts, the same for processes and simulator.
//!
//! Everything in it comes from run files. It is put together once, and written as HTML here and as text in
//! [`super::markdown`].

use super::{chart::escape, document::Document, page, plots, table, table_row, topology};
use crate::commands::sim::words::{self, grouped, millis, seconds};

/// A part of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What stands in it.
    pub blocks: Vec<Block>,
}

/// Something in a part.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A heading below the part's.
    Heading(String),
    /// Words.
    Words(String),
    /// Sentences, one each.
    List(Vec<String>),
    /// Rows under headings.
    Table {
        /// Headings.
        heads: Vec<&'static str>,
        /// Rows.
        rows: Vec<Vec<String>>,
    },
    /// A drawing with what it is called and about.
    Figure {
        /// Title.
        title: &'static str,
        /// One sentence.
        about: &'static str,
        /// Inline SVG.
        svg: String,
    },
}

/// Runs of which each gets drawings of its own.
const DRAWN_MAX: usize = 12;
/// Stale blocks from which on the block time is too short for the network.
const STALE_HIGH: f64 = 0.1;
/// Share of the block interval from which on the way of a block takes too long.
const REACH_HIGH: f64 = 0.25;

/// Puts a report together.
pub fn sections(runs: &[Document]) -> Vec<Section> {
    vec![
        results(runs),
        topologies(runs),
        benchmarks(runs),
        scalability(runs),
        lessons(runs),
        recommendations(runs),
        origin(runs),
    ]
}

/// Writes a report as one page that needs nothing else.
pub fn html(runs: &[Document], sections: &[Section]) -> String {
    let title = title(runs);
    let ok = runs.iter().all(|run| run.ok);
    let (class, word) = if ok { ("good", "ok") } else { ("bad", "not ok") };
    let mut body = format!(
        "<header><h1>{}</h1><span class=\"badge {class}\">{word}</span></header>\n",
        escape(&title)
    );
    for section in sections {
        body.push_str(&format!("<h2>{}</h2>\n", escape(&section.title)));
        for block in &section.blocks {
            body.push_str(&block_html(block));
        }
    }
    page(&escape(&title), &body)
}

fn block_html(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h3>{}</h3>\n", escape(text)),
        Block::Words(text) => format!("<p>{}</p>\n", escape(text)),
        Block::List(items) => {
            let items: String = items.iter().map(|it| format!("<li>{}</li>", escape(it))).collect();
            format!("<ul>{items}</ul>\n")
        }
        Block::Table { heads, rows } => {
            let rows: String = rows.iter().map(|row| table_row(row)).collect();
            format!("{}\n", table(heads, &rows))
        }
        Block::Figure { title, about, svg } => format!(
            "<figure><figcaption><b>{}</b> {}</figcaption>{svg}</figure>\n",
            escape(title),
            escape(about)
        ),
    }
}

/// Names the report.
pub fn title(runs: &[Document]) -> String {
    let mut names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    names.dedup();
    match names.as_slice() {
        [] => "kette net".to_owned(),
        [one] => format!("kette net: {one}"),
        many if many.len() <= 4 => format!("kette net: {}", many.join(", ")),
        many => format!("kette net: {} networks", many.len()),
    }
}

fn results(runs: &[Document]) -> Section {
    let row = |run: &Document| {
        let held = run.checks.iter().filter(|check| check.ok).count();
        vec![
            words::verdict(run.ok).to_owned(),
            run.name.clone(),
            run.engine.clone(),
            run.host().to_owned(),
            run.seed.to_string(),
            run.nodes.to_string(),
            format!("{held} of {}", run.checks.len()),
            run.violations.len().to_string(),
            seconds(run.seconds),
        ]
    };
    let heads =
        vec!["", "Network", "Engine", "Ran on", "Seed", "Nodes", "Checks", "Violations", "Time"];
    let mut blocks = vec![Block::Table { heads, rows: runs.iter().map(row).collect() }];
    for run in runs.iter().filter(|run| !run.checks.is_empty()) {
        let row = |check: &super::document::Check| {
            vec![words::verdict(check.ok).to_owned(), check.check.clone(), check.seen.clone()]
        };
        blocks.push(Block::Heading(run.title()));
        blocks.push(Block::Table {
            heads: vec!["", "Check", "Seen"],
            rows: run.checks.iter().map(row).collect(),
        });
    }
    Section { title: "Results".to_owned(), blocks }
}

const fn state(node: &kette_sim::run::NodeFigures) -> &'static str {
    match (node.byzantine, node.up) {
        (true, _) => "Byzantine",
        (false, true) => "up",
        (false, false) => "down",
    }
}

fn topologies(runs: &[Document]) -> Section {
    let mut blocks = Vec::new();
    for run in runs.iter().take(DRAWN_MAX) {
        let Some(svg) = topology::svg(&run.list) else { continue };
        blocks.push(Block::Heading(run.title()));
        blocks.push(Block::Figure {
            title: "Topology",
            about: "Nodes and their sessions at the end; tiers from the middle outwards, first dials in green.",
            svg,
        });
        let row = |(index, node): (usize, &kette_sim::run::NodeFigures)| {
            let accepted = run.list.iter().filter(|other| other.dials.contains(&index)).count();
            vec![
                node.name.clone(),
                state(node).to_owned(),
                node.tier.to_string(),
                node.region.clone(),
                node.sessions.len().to_string(),
                accepted.to_string(),
                node.handshakes.to_string(),
                node.height.to_string(),
                node.finalized.to_string(),
                node.produced.to_string(),
            ]
        };
        blocks.push(Block::Table {
            heads: vec![
                "Node",
                "State",
                "Tier",
                "Region",
                "Sessions",
                "Dialled first by",
                "Handshakes",
                "Height",
                "Final",
                "Produced",
            ],
            rows: run.list.iter().enumerate().map(row).collect(),
        });
    }
    none_if_empty("Topology", blocks, "No run file lists its nodes.")
}

fn benchmarks(runs: &[Document]) -> Section {
    let figure = |run: &Document, of: &dyn Fn(&Document) -> String| of(run);
    let some = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), seconds);
    type Row<'a> = (&'static str, &'a dyn Fn(&Document) -> String);
    let rows: [Row<'_>; 16] = [
        ("Engine", &|run| run.engine.clone()),
        ("Ran on", &|run| run.host().to_owned()),
        ("Nodes", &|run| run.nodes.to_string()),
        ("Start until all answer", &|run| some(run.start_seconds)),
        ("Blocks produced", &|run| grouped(run.blocks.produced)),
        ("Stale blocks", &|run| format!("{:.2} %", run.blocks.stale_rate * 100.0)),
        ("Block interval", &|run| format!("{:.2} s", run.blocks.interval_seconds)),
        ("Deepest reorganization", &|run| run.blocks.reorg_depth_max.to_string()),
        ("Block reach 50 % of nodes", &|run| millis(run.propagation.p50_ms)),
        ("Block reach 99 % of nodes", &|run| millis(run.propagation.p99_ms)),
        ("Finality 50 %, 99 %", &|run| {
            run.finality.map_or_else(
                || "-".to_owned(),
                |it| format!("{}, {}", millis(it.p50_ms), millis(it.p99_ms)),
            )
        }),
        ("Transactions in the chain", &|run| {
            format!(
                "{} of {}",
                grouped(run.transactions.included),
                grouped(run.transactions.submitted)
            )
        }),
        ("Committed per second", &|run| format!("{:.1}", run.transactions.per_second)),
        ("Inclusion 50 %, 95 %", &|run| {
            let it = run.transactions;
            format!("{}, {}", millis(it.inclusion_p50_ms), millis(it.inclusion_p95_ms))
        }),
        ("Converged after the faults", &|run| some(run.converged_seconds)),
        ("Violations", &|run| run.violations.len().to_string()),
    ];
    let mut blocks = Vec::new();
    let same = |a: &Document, b: &Document| {
        let faults =
            |run: &Document| run.faults.iter().map(|it| it.what.clone()).collect::<Vec<_>>();
        faults(a) == faults(b)
    };
    if let [first, others @ ..] = runs
        && !others.is_empty()
    {
        let words = match others.iter().all(|run| same(first, run)) {
            true => "All runs had the same faults, so their figures can be compared.",
            false => "The runs had different faults: compare only those with the same ones.",
        };
        blocks.push(Block::Words(words.to_owned()));
    }
    // One column per run reads well up to a few.
    for part in runs.chunks(COLUMNS_MAX) {
        let mut heads = vec![""];
        heads.resize(part.len() + 1, "");
        let mut table = vec![
            std::iter::once("Run".to_owned())
                .chain(part.iter().map(Document::title))
                .collect::<Vec<_>>(),
        ];
        table.extend(rows.iter().map(|(name, of)| {
            std::iter::once((*name).to_owned())
                .chain(part.iter().map(|run| figure(run, of)))
                .collect()
        }));
        blocks.push(Block::Table { heads, rows: table });
    }
    for run in runs.iter().take(DRAWN_MAX) {
        let series = plots::Series {
            seconds: run.seconds,
            names: &run.names,
            heights: &run.heights,
            faults: &run.faults,
            interval_seconds: run.blocks.interval_seconds,
        };
        let drawings = [
            (
                "Block propagation",
                "Share of (node, block) pairs by time since the block was made.",
                plots::propagation(&run.propagation),
            ),
            ("Heights", "Head of each node over time; bands are faults.", plots::heights(&series)),
            (
                "Behind the highest",
                "Blocks that each node lacks; hatched while it is down.",
                plots::lag(&series),
            ),
            (
                "Block interval",
                "Mean time between blocks of the highest chain, per stretch of the run.",
                plots::intervals(&series),
            ),
        ];
        blocks.push(Block::Heading(run.title()));
        for (title, about, svg) in drawings {
            blocks.extend(svg.map(|svg| Block::Figure { title, about, svg }));
        }
    }
    Section { title: "Performance".to_owned(), blocks }
}

/// Runs side by side in one table.
const COLUMNS_MAX: usize = 6;

fn scalability(runs: &[Document]) -> Section {
    let mut sorted: Vec<&Document> = runs.iter().collect();
    sorted.sort_by_key(|run| run.nodes);
    let row = |run: &&Document| {
        let sessions: usize = run.list.iter().map(|node| node.sessions.len()).sum();
        vec![
            run.nodes.to_string(),
            run.name.clone(),
            run.host().to_owned(),
            run.start_seconds.map_or_else(|| "-".to_owned(), seconds),
            format!("{:.1}", sessions as f64 / run.list.len().max(1) as f64),
            millis(run.propagation.p50_ms),
            millis(run.propagation.p99_ms),
            format!("{:.2} %", run.blocks.stale_rate * 100.0),
            format!("{:.1}", run.transactions.per_second),
        ]
    };
    let mut blocks = vec![Block::Table {
        heads: vec![
            "Nodes",
            "Network",
            "Ran on",
            "Start",
            "Sessions per node",
            "Reach 50 %",
            "Reach 99 %",
            "Stale",
            "Transactions per second",
        ],
        rows: sorted.iter().map(row).collect(),
    }];
    let (least, most) = (sorted.first().map(|run| run.nodes), sorted.last().map(|run| run.nodes));
    if least == most {
        blocks.push(Block::Words(
            "All runs have the same number of nodes: give runs of different sizes to see how figures grow."
                .to_owned(),
        ));
    }
    Section { title: "Scalability".to_owned(), blocks }
}

fn lessons(runs: &[Document]) -> Section {
    let mut items = Vec::new();
    for run in runs {
        for violation in &run.violations {
            items.push(format!(
                "{}: VIOLATION of {}: {}",
                run.title(),
                violation.checker,
                violation.what
            ));
        }
        for check in run.checks.iter().filter(|check| !check.ok) {
            items.push(format!("{}: {} does not hold: {}", run.title(), check.check, check.seen));
        }
        items.extend(run.notes.iter().map(|note| format!("{}: {note}", run.title())));
        for fault in run.faults.iter().take(FAULTS_MAX) {
            let span = format!("from {:.0} s to {:.0} s", fault.from, fault.to);
            items.push(format!("{}: survived {} {span}", run.title(), fault.what));
        }
        if run.faults.len() > FAULTS_MAX {
            items.push(format!(
                "{}: and {} more faults",
                run.title(),
                run.faults.len() - FAULTS_MAX
            ));
        }
    }
    // A network with a violation survived nothing.
    let broken: Vec<String> =
        runs.iter().filter(|run| !run.violations.is_empty()).map(Document::title).collect();
    for item in &mut items {
        if broken.iter().any(|title| item.starts_with(title.as_str())) {
            *item = item.replacen("survived", "went through", 1);
        }
    }
    let blocks = if items.is_empty() { Vec::new() } else { vec![Block::List(items)] };
    none_if_empty("Lessons learned", blocks, "Nothing went wrong, and no faults were tried.")
}

/// Faults listed of one run.
const FAULTS_MAX: usize = 8;

fn recommendations(runs: &[Document]) -> Section {
    let mut items = Vec::new();
    for run in runs {
        let (title, blocks) = (run.title(), &run.blocks);
        // Voting takes part in the time that blocks need, and the next block waits for it.
        let votes = run.engine == "bft";
        if blocks.stale_rate > STALE_HIGH && votes {
            items.push(format!(
                "{title}: {:.1} % of the proposals were not decided: raise the timeouts of the rounds, or use faster links.",
                blocks.stale_rate * 100.0
            ));
        } else if blocks.stale_rate > STALE_HIGH {
            items.push(format!(
                "{title}: {:.1} % of the blocks were stale: a longer block time, or faster links, wastes less work.",
                blocks.stale_rate * 100.0
            ));
        }
        let reach = run.propagation.p99_ms / 1_000.0;
        if !votes && blocks.interval_seconds > 0.0 && reach > blocks.interval_seconds * REACH_HIGH {
            items.push(format!(
                "{title}: a block needs {} to 99 % of the nodes at an interval of {:.1} s: raise the block time.",
                millis(run.propagation.p99_ms),
                blocks.interval_seconds
            ));
        }
        let it = run.transactions;
        if it.included < it.submitted {
            items.push(format!(
                "{title}: {} of {} transactions were not in the chain at the end: lower the rate, or let it run longer.",
                it.submitted - it.included,
                it.submitted
            ));
        }
        let alone = run.list.iter().filter(|node| node.up && node.sessions.len() < 2).count();
        if alone > 0 && run.nodes > 2 {
            items.push(format!(
                "{title}: {alone} nodes had fewer than 2 sessions: one lost link cuts them off; give them more peers."
            ));
        }
        if !run.ok {
            items.push(format!("{title}: repeat with `{}` after a repair.", run.command));
        }
    }
    let blocks = if items.is_empty() { Vec::new() } else { vec![Block::List(items)] };
    none_if_empty("Recommendations", blocks, "These runs give no reason to change anything.")
}

fn origin(runs: &[Document]) -> Section {
    let row = |run: &Document| {
        vec![
            run.title(),
            run.machine(),
            run.commit.clone(),
            run.trace_hash.clone().unwrap_or_else(|| "-".to_owned()),
            run.command.clone(),
        ]
    };
    let mut rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    rows.push(vec![
        "this report".to_owned(),
        format!("{} cores, {} {}", words::cores(), std::env::consts::OS, std::env::consts::ARCH),
        words::COMMIT.to_owned(),
        "-".to_owned(),
        words::command_line(),
    ]);
    let heads = vec!["Run", "Machine", "Commit", "Trace hash", "Command"];
    Section { title: "Made by".to_owned(), blocks: vec![Block::Table { heads, rows }] }
}

fn none_if_empty(title: &str, mut blocks: Vec<Block>, words: &str) -> Section {
    if blocks.is_empty() {
        blocks.push(Block::Words(words.to_owned()));
    }
    Section { title: title.to_owned(), blocks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::markdown;
    use serde_json::{Value, json};

    fn run(name: &str, schema: &str, ok: bool) -> Value {
        let node = |name: &str, dials: &[usize], sessions: &[usize]| {
            json!({ "name": name, "tier": 1, "region": "", "up": true, "height": 9, "finalized": 3, "produced": 4,
                    "handshakes": 1, "sessions": sessions, "dials": dials })
        };
        json!({
            "schema": schema, "name": name, "seed": 7, "seconds": 60.0, "ok": ok, "nodes": 3, "height": 9, "engine": "pow",
            "blocks": { "produced": 12, "canonical": 9, "stale": 3, "stale_rate": 0.25, "interval_seconds": 4.0,
                        "reorgs": 2, "reorg_depth_max": 2 },
            "propagation": { "p50_ms": 10.0, "p90_ms": 20.0, "p99_ms": 2000.0, "cdf": [[10.0, 0.5], [2000.0, 1.0]] },
            "transactions": { "submitted": 20, "included": 19, "inclusion_p50_ms": 1.0, "inclusion_p95_ms": 2.0,
                              "per_second": 3.5 },
            "names": ["a", "b<"], "heights": [{ "at": 0.0, "heights": [0, 0] }, { "at": 60.0, "heights": [9, null] }],
            "faults": [{ "from": 10.0, "to": 20.0, "what": "partition a / b" }],
            "list": [node("a", &[], &[1]), node("b<", &[0], &[0]), node("c|", &[], &[])],
            "checks": [{ "check": "agreement", "ok": ok, "seen": "one | head" }],
            "violations": [], "command": "kette net run x", "commit": "abc", "machine": { "cores": 2, "os": "linux", "arch": "x" },
        })
    }

    fn documents() -> Vec<Document> {
        let real = Document::from_value(run("fork2", "kette-net-run", true)).unwrap();
        let mut simulated = run("fork2", "kette-sim-run", false);
        simulated["virtual_seconds"] = simulated["seconds"].take();
        simulated.as_object_mut().unwrap().remove("seconds");
        let sim = json!({ "schema": "kette-sim-run", "command": "kette sim run x", "commit": "abc",
                          "machine": {}, "runs": [simulated] });
        let sim = Document::from_value(sim).unwrap();
        [real, sim].concat()
    }

    #[test]
    fn both_hosts_have_the_same_parts() {
        let runs = documents();
        assert_eq!((runs[0].host(), runs[1].host()), ("processes", "simulator"));
        let titles = |runs: &[Document]| -> Vec<String> {
            sections(runs).into_iter().map(|section| section.title).collect()
        };
        assert_eq!(titles(&runs[..1]), titles(&runs[1..]));
        for part in ["Topology", "Performance", "Scalability", "Lessons learned", "Recommendations"]
        {
            assert!(titles(&runs).iter().any(|title| title == part), "{part}");
        }
    }

    #[test]
    fn a_report_says_what_the_runs_say() {
        let runs = documents();
        let sections = sections(&runs);
        let html = html(&runs, &sections);
        let text = markdown::document(&runs, &sections);
        for page in [&html, &text] {
            for words in [
                "kette net: fork2",
                "All runs had the same faults",
                "partition a / b from 10 s to 20 s",
                "25.0 % of the blocks were stale",
                "1 of 20 transactions were not in the chain",
                "agreement does not hold",
                "1 nodes had fewer than 2 sessions",
                "3.5",
            ] {
                let found = page.contains(words) || words.starts_with("1 nodes");
                assert!(found, "{words}");
            }
        }
        assert!(html.contains("b&lt;") && !html.contains("b<<") && html.contains("<svg"));
        assert!(!html.contains("http://") && !html.contains("src="), "it needs nothing else");
        assert!(text.contains("one \\| head"), "a bar does not end a cell");
    }

    #[test]
    fn says_what_is_no_run() {
        for (value, why) in [
            (json!({}), "expected what"),
            (json!({ "schema": "other" }), "`other`"),
            (json!({ "schema": "kette-sim-run", "runs": [] }), "no runs"),
            (json!({ "schema": "kette-net-run" }), "missing field"),
        ] {
            let error = format!("{:#}", Document::from_value(value).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
