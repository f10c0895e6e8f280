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

/// A column: heading, width, importance (0 is never left out), content.
type Column = (&'static str, u16, u8, fn(&Model, usize, &NodeStatus) -> String);

/// As they stand, left to right. The names' own width counts for the first one.
const COLUMNS: [Column; 19] = [
    ("NODE", 0, 0, |_, _, node| node.name.clone()),
    ("STATE", 8, 1, |_, _, node| nodes::state(node).to_owned()),
    ("REGION", 11, 11, |_, _, node| node.region.clone()),
    ("ROLE", 9, 12, |_, _, node| node.role.to_owned()),
    ("HEIGHT", 7, 2, |_, _, node| nodes::number(node.height)),
    ("FINAL", 7, 4, |_, _, node| nodes::number(node.finalized)),
    ("HEAD", 8, 10, |_, _, node| words::hash(&node.hash)),
    ("AGE", 6, 6, |_, _, node| {
        node.head_age_secs.map_or_else(|| "-".to_owned(), |secs| words::duration(secs as u64))
    }),
    ("IN/OUT", 6, 5, |_, _, node| format!("{}/{}", node.peers_in, node.peers_out)),
    ("POOL", 5, 9, |_, _, node| node.pending.to_string()),
    ("CPU%", 5, 7, |model, at, _| words::decimal(model.cpu(at))),
    ("PSS", 5, 8, |_, _, node| words::bytes(node.pss_bytes.map(|bytes| bytes as f64))),
    ("ERR", 3, 3, |_, _, node| node.errors.to_string()),
    ("HELLOS", 7, 13, |_, _, node| {
        format!("{}/{}", node.handshakes_received, node.handshakes_sent)
    }),
    ("BLOCKS", 11, 14, |_, _, node| format!("{}/{}", node.blocks_received, node.blocks_sent)),
    ("TXS", 13, 15, |_, _, node| {
        format!("{}/{}", node.transactions_received, node.transactions_sent)
    }),
    ("RX B/s", 7, 16, |model, at, _| words::bytes(model.rates.get(at).and_then(|r| r.rx))),
    ("TX B/s", 7, 17, |model, at, _| words::bytes(model.rates.get(at).and_then(|r| r.tx))),
    ("ANSWER", 7, 18, |_, _, node| {
        node.answer_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}ms"))
    }),
];

/// Columns of a name at least and at most, with its mark.
const NAME_WIDTH: (u16, u16) = (7, 26);
/// The sign before the selected row.
const SIGN: &str = ">";

/// Returns the columns that fit, as they stand, with their widths.
fn columns(model: &Model, width: u16) -> Vec<(&'static Column, u16)> {
    let longest = model.status.list.iter().map(|node| node.name.chars().count() + 2).max();
    let longest = u16::try_from(longest.unwrap_or(0)).unwrap_or(u16::MAX);
    let name = longest.clamp(NAME_WIDTH.0, NAME_WIDTH.1);
    let mut by_importance: Vec<usize> = (0..COLUMNS.len()).collect();
    by_importance.sort_by_key(|at| COLUMNS[*at].2);
    let mut room = width.saturating_sub(SIGN.len() as u16 + name);
    let mut shown = vec![0];
    for at in by_importance.into_iter().skip(1) {
        let Some(rest) = room.checked_sub(COLUMNS[at].1 + 1) else { break };
        room = rest;
        shown.push(at);
    }
    shown.sort_unstable();
    shown.into_iter().map(|at| (&COLUMNS[at], if at == 0 { name } else { COLUMNS[at].1 })).collect()
}

/// Draws the table; a row that is not as it should be begins with `!`.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
    let columns = columns(model, area.width);
    let headings = columns.iter().map(|((heading, ..), _)| Cell::from(*heading));
    let rows = screen.order(model).into_iter().map(|at| {
        let node = &model.status.list[at];
        let bad = !node.running || node.errors > 0 || !node.alarms.is_empty();
        let style = match (node.running, bad) {
            (false, _) => Style::new().fg(Color::Red),
            (true, true) => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        };
        let mark = if bad { "! " } else { "  " };
        let cells = columns.iter().enumerate().map(|(column, ((.., text), _))| {
            let text = text(model, at, node);
            Cell::from(if column == 0 { format!("{mark}{text}") } else { text })
        });
        Row::new(cells).style(style)
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width));
    let table = Table::new(rows, widths)
        .header(Row::new(headings).style(Style::new().underlined()))
        .highlight_symbol(SIGN)
        .highlight_spacing(ratatui::widgets::HighlightSpacing::Always)
        .row_highlight_style(Style::new().bold());
    let last = model.status.list.len().saturating_sub(1);
    let mut state = TableState::new().with_selected(screen.selected.min(last));
    frame.render_stateful_widget(table, area, &mut state);
}
