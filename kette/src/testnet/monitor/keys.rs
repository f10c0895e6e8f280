//! What keys do; pure. Everything that changes the network is asked about first, and answered with y or n.

use super::model::Model;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is on the screen, and how the user got there.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    /// Which panel is below the header.
    pub panel: Panel,
    /// Selected node: its place in the table.
    pub selected: usize,
    /// Order of the table.
    pub sort: Sort,
    /// What waits for y or n.
    pub asked: Option<Verb>,
    /// The partition menu is open.
    pub menu: bool,
    /// Lines of the panel above what is shown,
    pub down: u16,
    /// and columns left of it.
    pub right: u16,
    /// The log that is shown.
    pub log: Log,
    /// What was done last, or why it failed.
    pub note: String,
}

/// What is below the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// Nodes, charts, events.
    #[default]
    Overview,
    /// Tiers and sessions.
    Topology,
    /// Engines and tips.
    Consensus,
    /// Waiting transactions.
    Mempool,
    /// Round trips between nodes.
    Links,
    /// A node's log.
    Log,
    /// The keys.
    Help,
}

/// Order of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// As in the network file.
    #[default]
    Plan,
    /// Highest first.
    Height,
    /// Fewest sessions first.
    Peers,
    /// Busiest first.
    Cpu,
    /// Most errors first.
    Errors,
}

/// A node's log on the screen.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Which node, by index.
    pub node: usize,
    /// Its lines.
    pub lines: Vec<String>,
    /// Lines between the end and the last one shown.
    pub up: usize,
    /// New lines are shown as they come.
    pub follow: bool,
    /// What is searched for.
    pub search: String,
    /// The search is being typed.
    pub typing: bool,
}

/// What may be done to a network. Nodes are indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Stop a process where it is.
    Pause(usize),
    /// Let it go on.
    Resume(usize),
    /// End it and start it again.
    Restart(usize),
    /// Cut all links between the first and the second half.
    SplitInHalves,
    /// Cut all links of a node.
    Isolate(usize),
    /// Mend all links.
    Heal,
    /// End all processes.
    ShutDown,
}

/// What the screen's owner must do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Draw.
    Draw,
    /// Leave.
    Quit,
    /// Ask the nodes now.
    Refresh,
    /// Read the log of `Log::node`.
    ReadLog,
    /// Do it to the network.
    Do(Verb),
}

/// Lines of a page of a log or panel.
const PAGE: usize = 10;
/// Columns by which round trips move to the side.
const COLUMNS: u16 = 5;

impl Verb {
    /// Says what would be done.
    pub fn question(self, model: &Model) -> String {
        let name = |node: usize| model.node(node).map_or("?", |node| node.name.as_str());
        match self {
            Self::Pause(node) => format!("pause {}", name(node)),
            Self::Resume(node) => format!("let {} go on", name(node)),
            Self::Restart(node) => format!("restart {}", name(node)),
            Self::SplitInHalves => "cut the network in two halves".to_owned(),
            Self::Isolate(node) => format!("cut {} off", name(node)),
            Self::Heal => "mend all links".to_owned(),
            Self::ShutDown => "shut all nodes down".to_owned(),
        }
    }
}

impl Screen {
    /// Returns the nodes' indexes in the order of the table.
    pub fn order(&self, model: &Model) -> Vec<usize> {
        let list = &model.status.list;
        let mut order: Vec<usize> = (0..list.len()).collect();
        match self.sort {
            Sort::Plan => {}
            Sort::Height => order.sort_by_key(|node| std::cmp::Reverse(list[*node].height)),
            Sort::Peers => order.sort_by_key(|node| list[*node].peers),
            Sort::Cpu => order.sort_by(|a, b| {
                let cpu = |node: usize| model.cpu(node).unwrap_or(0.0);
                cpu(*b).total_cmp(&cpu(*a))
            }),
            Sort::Errors => order.sort_by_key(|node| std::cmp::Reverse(list[*node].errors)),
        }
        order
    }

    /// Returns the selected node's index.
    pub fn node(&self, model: &Model) -> usize {
        let order = self.order(model);
        order.get(self.selected).or(order.last()).copied().unwrap_or(0)
    }

    /// Takes a key.
    pub fn press(&mut self, key: KeyEvent, model: &Model) -> Then {
        if key.kind == KeyEventKind::Release {
            return Then::Draw;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Then::Quit;
        }
        if let Some(verb) = self.asked {
            return self.answer(verb, key.code);
        }
        if self.menu {
            return self.choose(key.code, model);
        }
        if self.panel == Panel::Log && self.log.typing {
            return self.type_search(key.code);
        }
        self.note.clear();
        if self.panel == Panel::Log && self.in_log(key.code) {
            return Then::Draw;
        }
        self.plain(key.code, model)
    }

    fn plain(&mut self, code: KeyCode, model: &Model) -> Then {
        let last = model.status.list.len().saturating_sub(1);
        let node = self.node(model);
        match code {
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Char('j') | KeyCode::Down | KeyCode::Tab => {
                self.selected = (self.selected + 1).min(last);
            }
            KeyCode::Char('k') | KeyCode::Up | KeyCode::BackTab => {
                self.selected = self.selected.min(last).saturating_sub(1);
            }
            KeyCode::Home => (self.selected, self.down, self.right) = (0, 0, 0),
            KeyCode::End => self.selected = last,
            KeyCode::PageDown => self.down = self.down.saturating_add(PAGE as u16),
            KeyCode::PageUp => self.down = self.down.saturating_sub(PAGE as u16),
            KeyCode::Right => self.right = self.right.saturating_add(COLUMNS),
            KeyCode::Left => self.right = self.right.saturating_sub(COLUMNS),
            KeyCode::Char('1') | KeyCode::Esc => self.show(Panel::Overview),
            KeyCode::Char('2' | 't') => self.show(Panel::Topology),
            KeyCode::Char('3' | 'c') => self.show(Panel::Consensus),
            KeyCode::Char('4' | 'm') => self.show(Panel::Mempool),
            KeyCode::Char('5' | 'l') => self.show(Panel::Links),
            KeyCode::Char('?') => self.show(Panel::Help),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('R') => return Then::Refresh,
            KeyCode::Char('x') => self.menu = true,
            KeyCode::Char('p') => self.asked = Some(Verb::Pause(node)),
            KeyCode::Char('u') => self.asked = Some(Verb::Resume(node)),
            KeyCode::Char('r') => self.asked = Some(Verb::Restart(node)),
            KeyCode::Char('Q') => self.asked = Some(Verb::ShutDown),
            KeyCode::Enter => {
                self.show(Panel::Log);
                self.log = Log { node, follow: true, ..Log::default() };
                return Then::ReadLog;
            }
            _ => {}
        }
        Then::Draw
    }

    fn show(&mut self, panel: Panel) {
        (self.panel, self.down, self.right) = (panel, 0, 0);
    }

    fn answer(&mut self, verb: Verb, code: KeyCode) -> Then {
        match code {
            KeyCode::Char('y' | 'Y') => {
                self.asked = None;
                Then::Do(verb)
            }
            KeyCode::Char('n' | 'N') | KeyCode::Esc => {
                self.asked = None;
                Then::Draw
            }
            _ => Then::Draw,
        }
    }

    fn choose(&mut self, code: KeyCode, model: &Model) -> Then {
        self.asked = match code {
            KeyCode::Char('h') => Some(Verb::SplitInHalves),
            KeyCode::Char('i') => Some(Verb::Isolate(self.node(model))),
            KeyCode::Char('m') => Some(Verb::Heal),
            _ => None,
        };
        self.menu = false;
        Then::Draw
    }

    fn type_search(&mut self, code: KeyCode) -> Then {
        match code {
            KeyCode::Char(letter) => self.log.search.push(letter),
            KeyCode::Backspace => {
                self.log.search.pop();
            }
            KeyCode::Esc => {
                self.log.search.clear();
                self.log.typing = false;
            }
            KeyCode::Enter => {
                self.log.typing = false;
                self.find(true);
            }
            _ => {}
        }
        Then::Draw
    }

    /// Looks for the next line of a log; says so if there is none.
    fn find(&mut self, older: bool) -> bool {
        if !self.log.find(older) {
            self.note = format!("no line has `{}`", self.log.search);
        }
        true
    }

    /// Takes a key that means something in a log only.
    fn in_log(&mut self, code: KeyCode) -> bool {
        let log = &mut self.log;
        let end = log.lines.len().saturating_sub(1);
        match code {
            KeyCode::PageUp => log.up = (log.up + PAGE).min(end),
            KeyCode::PageDown => log.up = log.up.saturating_sub(PAGE),
            KeyCode::Up | KeyCode::Char('k') => log.up = (log.up + 1).min(end),
            KeyCode::Down | KeyCode::Char('j') => log.up = log.up.saturating_sub(1),
            KeyCode::Home => log.up = end,
            KeyCode::End => log.up = 0,
            KeyCode::Char('f') => {
                log.follow = !log.follow;
                log.up = if log.follow { 0 } else { log.up };
                return true;
            }
            KeyCode::Char('/') => {
                log.search.clear();
                log.typing = true;
            }
            KeyCode::Char('n') => return self.find(true),
            KeyCode::Char('N') => return self.find(false),
            _ => return false,
        }
        log.follow = log.follow && log.up == 0 && !log.typing;
        true
    }
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Plan => Self::Height,
            Self::Height => Self::Peers,
            Self::Peers => Self::Cpu,
            Self::Cpu => Self::Errors,
            Self::Errors => Self::Plan,
        }
    }
}

impl Log {
    /// Puts the next line that has what is searched for at the bottom: an older one, or a newer one. Tells whether there
    /// is any, or nothing is searched for.
    fn find(&mut self, older: bool) -> bool {
        if self.search.is_empty() || self.lines.is_empty() {
            return self.search.is_empty();
        }
        let end = self.lines.len().saturating_sub(1);
        let has = |up: &usize| self.lines[end - up].contains(&self.search);
        let found = if older {
            (self.up + 1..=end).find(has).or_else(|| (0..=self.up.min(end)).find(has))
        } else {
            (0..self.up.min(end)).rev().find(has)
        };
        self.follow = false;
        let Some(up) = found else { return false };
        self.up = up;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{super::model::tests as samples, *};

    async fn model() -> Model {
        Model::of(&samples::sample(samples::NOW).await, None)
    }

    fn press(screen: &mut Screen, model: &Model, keys: &str) -> Then {
        let mut then = Then::Draw;
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '^' => KeyCode::PageUp,
                letter => KeyCode::Char(letter),
            };
            then = screen.press(code.into(), model);
        }
        then
    }

    #[tokio::test]
    async fn what_changes_the_network_is_asked_first() {
        let model = model().await;
        for (keys, verb) in [
            ("jjp", Verb::Pause(2)),
            ("u", Verb::Resume(0)),
            ("kr", Verb::Restart(0)),
            ("xh", Verb::SplitInHalves),
            ("jxi", Verb::Isolate(1)),
            ("xm", Verb::Heal),
            ("Q", Verb::ShutDown),
        ] {
            let mut screen = Screen::default();
            assert_eq!(press(&mut screen, &model, keys), Then::Draw, "{keys}");
            assert_eq!(screen.asked, Some(verb), "{keys}");
            assert_eq!(press(&mut screen.clone(), &model, "q"), Then::Draw, "only y and n count");
            assert_eq!(press(&mut screen.clone(), &model, "y"), Then::Do(verb), "{keys}");
            assert_eq!(press(&mut screen, &model, "n"), Then::Draw);
            assert_eq!(screen.asked, None);
        }
    }

    #[tokio::test]
    async fn panels_sorting_and_leaving() {
        let model = model().await;
        let mut screen = Screen::default();
        for (key, panel) in [
            ("t", Panel::Topology),
            ("3", Panel::Consensus),
            ("m", Panel::Mempool),
            ("l", Panel::Links),
            ("?", Panel::Help),
            ("\u{1b}", Panel::Overview),
        ] {
            press(&mut screen, &model, key);
            assert_eq!(screen.panel, panel);
        }
        assert_eq!(press(&mut screen, &model, "R"), Then::Refresh);
        screen.press(KeyCode::PageDown.into(), &model);
        screen.press(KeyCode::Right.into(), &model);
        assert_eq!((screen.down, screen.right), (10, 5));
        press(&mut screen, &model, "l");
        assert_eq!((screen.down, screen.right), (0, 0), "another panel begins at its beginning");
        press(&mut screen, &model, "\u{1b}");
        press(&mut screen, &model, "jjjjjjjjjjjjjjj");
        assert_eq!(screen.selected, 9);
        press(&mut screen, &model, "ssss");
        assert_eq!(screen.sort, Sort::Errors);
        assert_eq!(screen.order(&model)[0], 6, "node 6 has the error");
        assert_eq!(press(&mut screen, &model, "q"), Then::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        screen.asked = Some(Verb::Heal);
        assert_eq!(screen.press(interrupt, &model), Then::Quit);
    }

    #[tokio::test]
    async fn logs_are_scrolled_and_searched() {
        let model = model().await;
        let mut screen = Screen::default();
        assert_eq!(press(&mut screen, &model, "j\n"), Then::ReadLog);
        assert_eq!((screen.panel, screen.log.node, screen.log.follow), (Panel::Log, 1, true));
        press(&mut screen, &model, "n");
        screen.log.lines = (0..50).map(|n| format!("line {n}")).collect();
        press(&mut screen, &model, "^k");
        assert_eq!((screen.log.up, screen.log.follow), (11, false));
        // Letters of a search are no commands.
        press(&mut screen, &model, "/e 2q");
        assert_eq!((screen.log.search.as_str(), screen.log.typing), ("e 2q", true));
        press(&mut screen, &model, "\u{1b}/line 2\n");
        assert_eq!(screen.log.lines[49 - screen.log.up], "line 29");
        press(&mut screen, &model, "n");
        assert_eq!(screen.log.lines[49 - screen.log.up], "line 28");
        press(&mut screen, &model, "N");
        assert_eq!(screen.log.lines[49 - screen.log.up], "line 29");
        press(&mut screen, &model, "/nowhere\n");
        assert_eq!(screen.note, "no line has `nowhere`");
        press(&mut screen, &model, "f");
        assert!(screen.log.follow && screen.log.up == 0);
    }
}
