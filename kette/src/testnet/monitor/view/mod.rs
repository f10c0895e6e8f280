//! Draws the monitor: header, the chosen panel, footer. Pure. Everything that a colour says, a word says too.

mod header;
mod overview;
mod panels;
mod table;
pub mod words;

use super::{
    keys::{Panel, Screen},
    model::Model,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::Line,
    widgets::{Block, Clear, Paragraph, Wrap},
};

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, screen: &Screen) {
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(3), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    header::draw(frame, top, model);
    match screen.panel {
        Panel::Overview => overview::draw(frame, body, model, screen),
        Panel::Topology => panels::topology(frame, body, model, screen),
        Panel::Consensus => panels::consensus(frame, body, model, screen),
        Panel::Mempool => panels::mempool(frame, body, model, screen),
        Panel::Links => panels::links(frame, body, model, screen),
        Panel::Log => panels::log(frame, body, model, &screen.log),
        Panel::Help => panels::help(frame, body, screen),
    }
    frame.render_widget(Paragraph::new(footer(screen)).style(Style::new().reversed()), bottom);
    if let Some(verb) = screen.asked {
        dialog(frame, &format!("{}? y/n", verb.question(model)));
    } else if screen.menu {
        dialog(
            frame,
            "h halves   i cut the selected node off   m mend all   any other key: nothing",
        );
    }
}

fn footer(screen: &Screen) -> Line<'_> {
    if !screen.note.is_empty() {
        return Line::from(format!(" {}", screen.note));
    }
    Line::from(match screen.panel {
        Panel::Log if screen.log.typing => {
            return Line::from(format!(" search: {}_", screen.log.search));
        }
        Panel::Log => " f follow  / search  n N next  PgUp PgDn Home End  Esc back  q quit",
        _ => " jk select  Enter log  t c m l panels  s sort  p u r node  x cut  ? help  q quit",
    })
}

/// Draws a line in the middle, over everything.
fn dialog(frame: &mut Frame<'_>, text: &str) {
    let area = frame.area();
    let wanted = u16::try_from(text.chars().count()).unwrap_or(u16::MAX).saturating_add(4);
    let width = wanted.min(area.width);
    let height = if wanted > area.width { 4 } else { 3 };
    let place = Rect {
        x: (area.width - width) / 2,
        y: area.height.saturating_sub(height) / 2,
        width,
        height: height.min(area.height),
    };
    let text = Paragraph::new(text).wrap(Wrap { trim: true }).block(Block::bordered());
    frame.render_widget(Clear, place);
    frame.render_widget(text, place);
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            keys::{Log, Verb},
            model::tests as samples,
        },
        *,
    };
    use ratatui::{Terminal, backend::TestBackend};

    /// Draws a screen as plain text.
    fn drawn(width: u16, height: u16, model: &Model, screen: &Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, screen)).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = (0..height).map(|y| {
            let row: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            row.trim_end().to_owned() + "\n"
        });
        rows.collect()
    }

    async fn model() -> Model {
        let (before, now) =
            (samples::sample(samples::NOW).await, samples::sample(samples::NOW + 2_000).await);
        Model::of(&now, Some(&before))
    }

    /// Compares with a file in `golden/`; `KETTE_UPDATE_GOLDEN=1` writes it.
    #[track_caller]
    fn golden(name: &str, shown: &str) {
        let path =
            format!("{}/src/testnet/monitor/view/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("KETTE_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, shown).unwrap();
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            wanted == shown,
            "{name} differs; KETTE_UPDATE_GOLDEN=1 writes what is drawn now:\n{shown}\nwanted:\n{wanted}"
        );
    }

    #[tokio::test]
    async fn screens_look_as_they_did() {
        let model = model().await;
        let screen = |panel| Screen { panel, ..Screen::default() };
        let lines = ["10:00:00.000 INFO  new head number=7", "10:00:01.000 WARN  alarm"];
        let log = Log { node: 3, lines: lines.map(str::to_owned).to_vec(), ..Log::default() };
        for (name, panel) in [
            ("overview", Panel::Overview),
            ("topology", Panel::Topology),
            ("consensus", Panel::Consensus),
            ("mempool", Panel::Mempool),
            ("links", Panel::Links),
            ("log", Panel::Log),
            ("help", Panel::Help),
        ] {
            let screen = Screen { log: log.clone(), ..screen(panel) };
            for (width, height) in [(80, 24), (200, 50)] {
                golden(&format!("{name}-{width}x{height}"), &drawn(width, height, &model, &screen));
            }
        }
        let asked = Screen { asked: Some(Verb::Pause(4)), ..Screen::default() };
        golden("question-80x24", &drawn(80, 24, &model, &asked));
    }

    /// Engines say more than a line of a small screen holds.
    #[tokio::test]
    async fn what_is_long_goes_on_in_the_next_line() {
        let mut model = model().await;
        let fields: serde_json::Map<_, _> =
            (0..12).map(|n| (format!("field{n:02}"), 1_000_000.into())).collect();
        model.engines[0] = fields.into();
        let screen = Screen { panel: Panel::Consensus, ..Screen::default() };
        let shown = drawn(80, 24, &model, &screen);
        assert!((0..12).all(|n| shown.contains(&format!("field{n:02}=1000000"))), "{shown}");
        // What does not fit below is a page away.
        model.engines = vec![model.engines[0].clone(); 10];
        let last = |down| {
            let screen = Screen { panel: Panel::Consensus, down, ..Screen::default() };
            drawn(80, 24, &model, &screen).contains("node9      field00")
        };
        assert!(!last(0) && last(20) && last(u16::MAX));
        let help = drawn(80, 24, &model, &Screen { panel: Panel::Help, ..Screen::default() });
        assert!(help.contains("of each other node."), "{help}");
    }

    /// Columns go, names stay: `validator1` and `validator2` differ in their last letter.
    #[tokio::test]
    async fn names_are_whole_on_a_small_screen() {
        let mut model = model().await;
        for (at, node) in model.status.list.iter_mut().enumerate() {
            node.name = format!("validator-of-europe-{at}");
        }
        for width in [80, 120, 200] {
            let shown = drawn(width, 24, &model, &Screen::default());
            assert!(
                (0..9).all(|at| shown.contains(&format!("validator-of-europe-{at} "))),
                "{shown}"
            );
            assert!(shown.contains("STATE") && shown.contains("HEIGHT") && shown.contains("ERR"));
        }
    }

    /// Round trips of more nodes than fit beside each other.
    #[tokio::test]
    async fn columns_of_round_trips_are_moved_to_the_side() {
        let model = model().await;
        let heading = |right| {
            let screen = Screen { panel: Panel::Links, right, ..Screen::default() };
            let shown = drawn(40, 24, &model, &screen);
            shown.lines().nth(4).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(heading(0), "0 1 2 3");
        assert_eq!(heading(5), "5 6 7 8");
        assert_eq!(heading(u16::MAX), "6 7 8 9", "the last ones stay");
    }

    /// A state is a word, a bad line has a sign: the text alone, without any colour, says it.
    #[tokio::test]
    async fn nothing_is_said_by_colour_alone() {
        let shown = drawn(80, 24, &model().await, &Screen::default());
        for words in ["down", "score 88 Good", "9/10", "1 component", "! ", "node4"] {
            assert!(shown.contains(words), "`{words}` is missing in:\n{shown}");
        }
    }

    #[tokio::test]
    async fn no_size_is_too_small_and_no_network_too_empty() {
        let full = model().await;
        let mut empty = full.clone();
        empty.status.list.clear();
        empty.charts = super::super::model::Charts::default();
        empty.events.clear();
        empty.tips.clear();
        for panel in [
            Panel::Overview,
            Panel::Topology,
            Panel::Consensus,
            Panel::Mempool,
            Panel::Links,
            Panel::Log,
            Panel::Help,
        ] {
            for size in [(1, 1), (10, 3), (40, 10), (300, 100)] {
                for model in [&full, &empty] {
                    let screen = Screen { panel, menu: true, ..Screen::default() };
                    drawn(size.0, size.1, model, &screen);
                }
            }
        }
    }
}
