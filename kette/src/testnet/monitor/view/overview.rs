//! The first panel: nodes, charts, events.

use super::{table, words};
use crate::testnet::monitor::{
    keys::Screen,
    model::{Charts, Happened, Model},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Style, Stylize as _},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph, Sparkline},
};

/// Lines of the charts, with their titles.
const CHARTS_SMALL: u16 = 4;
const CHARTS_LARGE: u16 = 10;
/// Lines of the events: title and ten.
const EVENTS: u16 = 11;
/// Lines of the table that stay, with its heading.
const TABLE_MIN: u16 = 6;

/// Draws the panel.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, screen: &Screen) {
    let rows = u16::try_from(model.status.list.len()).unwrap_or(u16::MAX).saturating_add(1);
    let charts = if area.height >= 40 { CHARTS_LARGE } else { CHARTS_SMALL };
    // Events get what the table leaves, four lines at least.
    let rest = area.height.saturating_sub(charts);
    let events = rest.saturating_sub(rows).clamp(5, EVENTS).min(rest.saturating_sub(TABLE_MIN));
    let [nodes, middle, bottom] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(charts),
        Constraint::Length(events),
    ])
    .areas(area);
    table::draw(frame, nodes, model, screen);
    draw_charts(frame, middle, &model.charts);
    draw_events(frame, bottom, &model.events);
}

fn draw_charts(frame: &mut Frame<'_>, area: Rect, charts: &Charts) {
    let columns = Layout::horizontal([Constraint::Fill(1); 3]).spacing(1).split(area);
    let titles = [
        format!("block time {}", words::millis(charts.block_ms_mean)),
        format!("tx/s {:.1}", charts.tps_mean),
        format!(
            "spread p50 {} p95 {}",
            words::millis(charts.spread_p50),
            words::millis(charts.spread_p95)
        ),
    ];
    let series = [&charts.block_ms, &charts.tps, &charts.spread_ms];
    for ((area, title), values) in columns.iter().zip(titles).zip(series) {
        let block = Block::new().borders(Borders::TOP).title(title);
        // The newest values are at the right.
        let width = usize::from(area.width);
        let shown = &values[values.len().saturating_sub(width)..];
        frame.render_widget(Sparkline::default().block(block).data(shown), *area);
    }
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, events: &[Happened]) {
    let lines = usize::from(area.height.saturating_sub(1));
    let newest = &events[events.len().saturating_sub(lines)..];
    let shown = newest.iter().map(|event| {
        let warn = event.level != "info";
        let style = if warn { Style::new().yellow() } else { Style::new() };
        let mark = if warn { "! " } else { "  " };
        Line::from(vec![
            Span::from(format!("{mark}{} {} ", words::clock(event.at_ms), event.node)),
            Span::from(event.kind.clone()).bold(),
            Span::from(format!(" {}", event.text)),
        ])
        .style(style)
    });
    let block = Block::new().borders(Borders::TOP).title("events of all nodes, newest below");
    frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()).block(block), area);
}
