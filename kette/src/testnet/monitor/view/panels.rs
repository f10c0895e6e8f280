//! The other panels: topology, consensus, mempool, links, a log, help.

use super::words;
use crate::testnet::{
    monitor::{
        keys::{Log, Screen},
        model::Model,
    },
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

/// Shows lines, and those of words that are too long on the next ones; from below the first ones, if the user wishes.
fn show(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>, screen: &Screen) {
    let room = area.height.saturating_sub(1);
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let count = u16::try_from(text.line_count(area.width)).unwrap_or(u16::MAX);
    let down = screen.down.min(count.saturating_sub(room));
    let title = match count.saturating_sub(room) {
        0 => title.to_owned(),
        more => format!("{title}: PgUp PgDn, {down} of {more} lines down"),
    };
    let block = Block::new().borders(Borders::TOP).title(title);
    frame.render_widget(text.scroll((down, 0)).block(block), area);
}

/// Tiers and sessions.
pub fn topology(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
    let text = topology::text(&model.topology);
    let lines = text.lines().map(|line| Line::from(line.to_owned())).collect();
    show(frame, area, "topology", lines, screen);
}

/// Heads and who has them, then what each engine says.
pub fn consensus(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
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
    show(frame, area, "consensus", lines, screen);
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
pub fn mempool(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
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
    show(frame, area, "mempool", lines, screen);
}

/// Round trips of all sessions, milliseconds; so many columns as fit.
pub fn links(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
    let nodes = model.status.list.len();
    let room = usize::from(area.width.saturating_sub(LINK_NAME) / LINK_CELL).max(1);
    let first = usize::from(screen.right).min(nodes.saturating_sub(room));
    let shown = first..nodes.min(first + room);
    let heading: String = shown.clone().map(|node| format!("{node:>6}")).collect();
    let mut lines =
        vec![Line::from(format!("{:14}{heading}", "")).style(Style::new().underlined())];
    for (a, node) in model.status.list.iter().enumerate() {
        let cells: String = shown.clone().map(|b| format!("{:>6}", cell(model, a, b))).collect();
        lines.push(Line::from(format!("{a:>3} {:10.10}{cells}", node.name)));
    }
    let more = if shown.len() < nodes { "; Left Right: other columns" } else { "" };
    lines.push(Line::from(format!("round trip in ms; + a session not measured yet, . none{more}")));
    show(frame, area, "links", lines, screen);
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
    let block = Block::new().borders(Borders::TOP).title(title);
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

/// The keys.
pub fn help(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    show(frame, area, "keys", HELP.lines().map(Line::from).collect(), screen);
}

/// Characters of a row's name and of a cell.
const LINK_NAME: u16 = 14;
const LINK_CELL: u16 = 6;

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
PgUp PgDn         up and down a panel     Q       shut all nodes down
Left Right        more round trips        q       leave; Ctrl-C does always

In a log: f follow, / search, n N next, PgUp PgDn Home End.
What changes the network is asked first: y does it, n or Esc does not.

In the table ! is a node that is not as it should be. IN/OUT are sessions that \
others dialled and that it dialled; HELLOS, BLOCKS and TXS are received/sent; \
PSS is memory of its own and its share of what processes share. Spread is from \
a block's first head anywhere to that of each other node.";
