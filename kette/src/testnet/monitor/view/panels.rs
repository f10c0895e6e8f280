//! The other panels: topology, consensus, mempool, links, a log, help.

use super::words;
use crate::testnet::{
    monitor::{keys::Log, model::Model},
    topology,
};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::Line,
    widgets::{Block, Borders, Paragraph, Wrap},
};
use serde_json::Value;

fn show(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>) {
    let block = Block::new().borders(Borders::TOP).title(title.to_owned());
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Shows lines, and what is too long on the next ones.
fn show_wrapped(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>) {
    let block = Block::new().borders(Borders::TOP).title(title.to_owned());
    let text = Paragraph::new(lines).wrap(Wrap { trim: false }).block(block);
    frame.render_widget(text, area);
}

/// Tiers and sessions.
pub fn topology(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let text = topology::text(&model.topology);
    let lines = text.lines().map(|line| Line::from(line.to_owned())).collect();
    show(frame, area, "topology", lines);
}

/// Heads and who has them, then what each engine says.
pub fn consensus(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let mut lines: Vec<Line<'_>> = model
        .tips
        .iter()
        .map(|tip| {
            let names = names(model, &tip.nodes);
            Line::from(format!(
                "head {} {}: {names}",
                tip.number,
                words::hash(&tip.hash.to_string())
            ))
        })
        .collect();
    lines.push(Line::default());
    for (node, engine) in model.status.list.iter().zip(&model.engines) {
        lines.push(Line::from(format!("{:10} {}", node.name, said(engine))));
    }
    show_wrapped(frame, area, "consensus", lines);
}

/// Returns the plain fields of what an engine says.
fn said(engine: &Value) -> String {
    let Some(fields) = engine.as_object() else { return "does not answer".to_owned() };
    let plain = fields.iter().filter_map(|(name, value)| match value {
        Value::Bool(is) => Some(format!("{name}={is}")),
        Value::Number(number) => Some(format!("{name}={number}")),
        Value::String(text) if text.len() <= 20 => Some(format!("{name}={text}")),
        _ => None,
    });
    plain.collect::<Vec<_>>().join(" ")
}

/// Waiting transactions, and what came and went.
pub fn mempool(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let mut lines = vec![
        Line::from(format!(
            "{:10} {:>8} {:>8} {:>10} {:>10} {:>10}",
            "NODE", "PENDING", "QUEUED", "TXS IN", "TXS OUT", "CLOCK ms"
        ))
        .style(Style::new().underlined()),
    ];
    for node in &model.status.list {
        lines.push(Line::from(format!(
            "{:10} {:>8} {:>8} {:>10} {:>10} {:>10}",
            node.name,
            node.pending,
            node.queued,
            node.transactions_received,
            node.transactions_sent,
            node.clock_skew_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string()),
        )));
    }
    let pending = || model.status.list.iter().filter(|node| node.running).map(|node| node.pending);
    let (least, most) = (pending().min().unwrap_or(0), pending().max().unwrap_or(0));
    lines.push(Line::from(format!("pools differ by {} pending transactions", most - least)));
    show(frame, area, "mempool", lines);
}

/// Round trips of all sessions, milliseconds.
pub fn links(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let nodes = model.status.list.len();
    let heading: String = (0..nodes).map(|node| format!("{node:>6}")).collect();
    let mut lines =
        vec![Line::from(format!("{:14}{heading}", "")).style(Style::new().underlined())];
    for (a, node) in model.status.list.iter().enumerate() {
        let cells: String = (0..nodes).map(|b| format!("{:>6}", cell(model, a, b))).collect();
        lines.push(Line::from(format!("{a:>3} {:10}{cells}", node.name)));
    }
    lines.push(Line::from("round trip in ms; + a session not measured yet, . none"));
    show(frame, area, "links", lines);
}

fn cell(model: &Model, a: usize, b: usize) -> String {
    if a == b {
        return String::new();
    }
    let ends = (a.min(b), a.max(b));
    match model.topology.links.iter().find(|link| (link.a, link.b) == ends) {
        Some(link) => link.rtt_ms.map_or_else(|| "+".to_owned(), |ms| ms.to_string()),
        None => ".".to_owned(),
    }
}

/// A node's log.
pub fn log(frame: &mut Frame<'_>, area: Rect, model: &Model, log: &Log) {
    let name = model.node(log.node).map_or("?", |node| node.name.as_str());
    let follow = if log.follow { ", following" } else { "" };
    let found =
        if log.search.is_empty() { String::new() } else { format!(", search: {}", log.search) };
    let title = format!("log of {name}: {} lines{follow}{found}", log.lines.len());
    let end = log.lines.len().saturating_sub(log.up);
    let from = end.saturating_sub(usize::from(area.height.saturating_sub(1)));
    let lines = log.lines[from..end].iter().map(|line| {
        let hit = !log.search.is_empty() && line.contains(&log.search);
        let mark = if hit { "> " } else { "  " };
        let style = if hit { Style::new().bold() } else { Style::new() };
        Line::from(format!("{mark}{line}")).style(style)
    });
    show(frame, area, &title, lines.collect());
}

/// The keys.
pub fn help(frame: &mut Frame<'_>, area: Rect) {
    show_wrapped(frame, area, "keys", HELP.lines().map(Line::from).collect());
}

fn names(model: &Model, nodes: &[usize]) -> String {
    let names = nodes.iter().filter_map(|node| model.node(*node)).map(|node| node.name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

const HELP: &str = "\
j k Up Down Tab   select a node           Enter   its log
1 Esc             nodes, charts, events   s       sort: plan, height, peers,
2 t               topology                        cpu, errors
3 c               consensus and heads     R       ask the nodes now
4 m               mempool                 p u     pause, let go on
5 l               round trips             r       restart
?                 this                    x       cut and mend links
q Ctrl-C          leave                   Q       shut all nodes down

In a log: f follow, / search, n N next, PgUp PgDn Home End.
What changes the network is asked first: y does it, n or Esc does not.

In the table ! is a node that is not as it should be. IN/OUT are sessions that \
others dialled and that it dialled; HELLOS, BLOCKS and TXS are received/sent; \
PSS is memory of its own and its share of what processes share. Spread is from \
a block's first head anywhere to that of each other node.";
