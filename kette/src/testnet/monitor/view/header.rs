//! Three lines about the whole network.

use super::words;
use crate::{
    commands::output::counted,
    testnet::{monitor::model::Model, score::Band},
};
use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
    widgets::Paragraph,
};

/// Draws the header.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let status = &model.status;
    let band = format!("{:?}", status.band);
    let colour = match status.band {
        Band::Excellent | Band::Good => Color::Green,
        Band::Fair => Color::Yellow,
        Band::Poor => Color::Red,
    };
    let score = Span::from(format!("score {} {band}", status.score)).fg(colour).bold();
    let first = Line::from(vec![
        Span::from(format!(" {} ", status.name)).bold().reversed(),
        Span::from(format!(
            " chain {}  up {}  {}  ",
            model.chain_id,
            words::duration(model.uptime_secs),
            words::clock(model.at_ms),
        )),
        score,
        Span::from(format!("  connectivity {}", status.connectivity.score)),
    ]);
    let parts = &status.health;
    let conflict = match &status.conflict {
        Some(conflict) => format!("  CONFLICTING FINALITY at {}", conflict.number),
        None if status.quorum.is_some() => "  NO QUORUM".to_owned(),
        None => String::new(),
    };
    // Small screens have no room for what is zero.
    let penalties: String = [
        ("err", parts.errors_penalty),
        ("split", parts.split_penalty),
        ("apart", parts.diverged_penalty),
        ("quorum", parts.quorum_penalty),
    ]
    .into_iter()
    .filter(|(_, points)| *points > 0)
    .map(|(name, points)| format!(" -{points}{name}"))
    .collect();
    let second = format!(
        " {}/{} up  {}  {}  errors {}/min  parts {}+{}{penalties}{conflict}",
        status.running,
        status.nodes,
        components(model),
        counted(status.sessions, "session"),
        status.errors,
        parts.running_share,
        parts.connected_bonus,
    );
    let agreed = match status.hash_equal {
        true => "same chain",
        false if status.running == 0 => "nobody answers",
        false => "DIFFERENT CHAINS",
    };
    let finality = match status.finality_ms {
        Some(finality) => format!(
            " ({} p50, {} p99)",
            words::millis(Some(finality.p50)),
            words::millis(Some(finality.p99))
        ),
        None => String::new(),
    };
    // First dials that each bootstrap node has, where there are any.
    let dials: Vec<String> =
        model.topology.bootstraps.iter().map(|b| b.live.len().to_string()).collect();
    let dials =
        if dials.is_empty() { String::new() } else { format!("  dials {}", dials.join("/")) };
    let third = format!(
        " height {}  final {}, lag {}{finality}  {agreed}{dials}",
        status.height, status.finalized, model.finality_lag,
    );
    let bad = status.components > 1 || status.conflict.is_some();
    let style = if bad { Style::new().red().bold() } else { Style::new() };
    let lines = vec![first, Line::styled(second, style), Line::from(third)];
    frame.render_widget(Paragraph::new(lines), area);
}

/// Says how many components there are; two or more are a partition.
fn components(model: &Model) -> String {
    match model.status.components {
        1 => "1 component".to_owned(),
        0 => "nobody answers".to_owned(),
        more => format!("{more} COMPONENTS: PARTITION"),
    }
}
