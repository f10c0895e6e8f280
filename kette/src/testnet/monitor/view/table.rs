//! The table of nodes. Columns are left out, least important first, until it fits.

use super::words;
use crate::{
    commands::net::nodes,
    testnet::{
        monitor::{keys::Screen, model::Model},
        status::NodeStatus,
    },
};
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    style::{Color, Style},
    widgets::{Cell, Row, Table, TableState},
};

/// A column: heading, width, from which width of the screen on it is there, content.
type Column = (&'static str, u16, u16, fn(&Model, usize, &NodeStatus) -> String);

const COLUMNS: [Column; 19] = [
    ("NODE", 10, 0, |_, _, node| node.name.clone()),
    ("STATE", 8, 0, |_, _, node| nodes::state(node).to_owned()),
    ("REGION", 11, 110, |_, _, node| node.region.clone()),
    ("ROLE", 9, 110, |model, at, _| role(model, at)),
    ("HEIGHT", 7, 0, |_, _, node| node.height.to_string()),
    ("FINAL", 7, 0, |_, _, node| node.finalized.to_string()),
    ("HEAD", 8, 0, |_, _, node| words::hash(&node.hash)),
    ("AGE", 6, 0, |_, _, node| {
        node.head_age_secs.map_or_else(|| "-".to_owned(), |secs| words::duration(secs as u64))
    }),
    ("IN/OUT", 6, 0, |_, _, node| format!("{}/{}", node.peers_in, node.peers_out)),
    ("POOL", 5, 0, |_, _, node| node.pending.to_string()),
    ("CPU%", 5, 0, |model, at, _| words::decimal(model.cpu(at))),
    ("PSS", 5, 0, |_, _, node| words::bytes(node.pss_bytes.map(|bytes| bytes as f64))),
    ("ERR", 3, 0, |_, _, node| node.errors.to_string()),
    ("HELLOS", 7, 130, |_, _, node| {
        format!("{}/{}", node.handshakes_received, node.handshakes_sent)
    }),
    ("BLOCKS", 11, 130, |_, _, node| format!("{}/{}", node.blocks_received, node.blocks_sent)),
    ("TXS", 13, 150, |_, _, node| {
        format!("{}/{}", node.transactions_received, node.transactions_sent)
    }),
    ("RX B/s", 7, 150, |model, at, _| words::bytes(model.rates.get(at).and_then(|r| r.rx))),
    ("TX B/s", 7, 150, |model, at, _| words::bytes(model.rates.get(at).and_then(|r| r.tx))),
    ("ANSWER", 7, 160, |_, _, node| {
        node.answer_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}ms"))
    }),
];

/// Draws the table; a row that is not as it should be begins with `!`.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|(_, _, from, _)| area.width >= *from).collect();
    let headings = columns.iter().map(|(heading, ..)| Cell::from(*heading));
    let rows = screen.order(model).into_iter().map(|at| {
        let node = &model.status.list[at];
        let bad = !node.running || node.errors > 0 || !node.alarms.is_empty();
        let style = match (node.running, bad) {
            (false, _) => Style::new().fg(Color::Red),
            (true, true) => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        };
        let mark = if bad { "! " } else { "  " };
        let cells = columns.iter().enumerate().map(|(column, (.., text))| {
            let text = text(model, at, node);
            Cell::from(if column == 0 { format!("{mark}{text}") } else { text })
        });
        Row::new(cells).style(style)
    });
    let widths = columns.iter().map(|(_, width, ..)| Constraint::Length(*width));
    let table = Table::new(rows, widths)
        .header(Row::new(headings).style(Style::new().underlined()))
        .highlight_symbol(">")
        .highlight_spacing(ratatui::widgets::HighlightSpacing::Always)
        .row_highlight_style(Style::new().bold());
    let last = model.status.list.len().saturating_sub(1);
    let mut state = TableState::new().with_selected(screen.selected.min(last));
    frame.render_stateful_widget(table, area, &mut state);
}

fn role(model: &Model, at: usize) -> String {
    let engine = model.engines.get(at);
    let is = |field: &str| engine.is_some_and(|engine| engine[field] == true);
    match (is("mining"), is("signing")) {
        (true, _) => "miner",
        (_, true) => "validator",
        _ => "full",
    }
    .to_owned()
}
