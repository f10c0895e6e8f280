//! The trace for people: one line per event, with a column per node that shows its height.
//!
//! ```text
//!    event         time  n0   n1   n2   what
//!      912   12.041500s  5*   4    -    compact from 91f2  ! head 5 3be0
//! ```
//! `*` marks the node that acted, `-` a node that is down, `~` one that stands still.

use anyhow::Context as _;
use kette_sim::{run::Run, world::TraceLine};
use std::{cell::RefCell, collections::BTreeMap, io::Write, rc::Rc};

/// Nodes that get a column of their own; with more, the line names the node.
const COLUMNS_MAX: usize = 20;
/// Characters left for what happened, at least.
const TEXT_MIN: usize = 30;
/// Lines of one event at most: a node cannot do more at once that is worth reading.
const NOTES_MAX: usize = 64;

/// Returns the columns of the terminal behind standard output or standard error.
pub fn terminal_width() -> Option<usize> {
    let size = terminal_size::terminal_size_of(std::io::stdout())
        .or_else(|| terminal_size::terminal_size_of(std::io::stderr()));
    size.map(|(width, _)| usize::from(width.0))
}

/// Reads a run's trace and writes it as lines.
pub struct Reader {
    lines: Rc<RefCell<Vec<TraceLine>>>,
    layout: Layout,
    /// Names of nodes by how the trace writes their identities.
    names: BTreeMap<String, String>,
    out: Box<dyn Write>,
    headed: bool,
}

impl Reader {
    /// Listens to a run from now on. With a width, lines are cut.
    pub fn new(run: &mut Run, out: Box<dyn Write + Send>, width: Option<usize>) -> Self {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let heard = lines.clone();
        run.read_trace(Box::new(move |line| heard.borrow_mut().push(line)));
        let hosts = &run.world.hosts;
        // Twins have one identity: the first of them gives it its name.
        let names = hosts.iter().rev().map(|host| (host.id.short(), host.name.clone()));
        Self {
            lines,
            layout: Layout::new(hosts.iter().map(|host| host.name.clone()).collect(), width),
            names: names.collect(),
            out,
            headed: false,
        }
    }

    /// Does about this many events and writes what happened; tells whether there is more to do.
    ///
    /// # Errors
    /// If the output fails.
    pub fn advance(&mut self, run: &mut Run, events: u64) -> anyhow::Result<bool> {
        if !std::mem::replace(&mut self.headed, true) {
            writeln!(self.out, "{}", self.layout.head()).context("cannot write the trace")?;
        }
        let end = run.world.trace().events.saturating_add(events);
        loop {
            let more = run.advance(1);
            for line in self.read(run) {
                writeln!(self.out, "{line}").context("cannot write the trace")?;
            }
            if !more || run.world.trace().events >= end {
                return Ok(more);
            }
        }
    }

    /// Returns the lines of what happened since the last call.
    pub fn read(&mut self, run: &Run) -> Vec<String> {
        let lines = self.lines.take();
        if lines.is_empty() {
            return Vec::new();
        }
        let marks = if self.layout.columns { marks(run) } else { Vec::new() };
        let mut lines = grouped(lines);
        for line in &mut lines {
            line.text = readable(&line.text, &self.names);
        }
        lines.iter().map(|line| self.layout.line(line, &marks)).collect()
    }

    /// Returns the headings.
    pub fn head(&self) -> String {
        self.layout.head()
    }

    /// Writes what is still in a buffer.
    ///
    /// # Errors
    /// If the output fails.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context("cannot write the trace")
    }
}

/// What each node's column shows now.
fn marks(run: &Run) -> Vec<String> {
    let mark = |host: &kette_sim::world::Host| match host.node() {
        None => "-".to_owned(),
        Some(node) => {
            let stands = if host.paused { "~" } else { "" };
            format!("{}{stands}", node.tree().head().number)
        }
    };
    run.world.hosts.iter().map(mark).collect()
}

/// Puts together what one node did in one event: the input and what followed from it.
fn grouped(lines: Vec<TraceLine>) -> Vec<TraceLine> {
    let mut groups: Vec<(TraceLine, usize)> = Vec::new();
    for line in lines {
        match groups.last_mut() {
            Some((last, notes))
                if (last.event, last.host) == (line.event, line.host)
                    && line.text.starts_with('!') =>
            {
                *notes += 1;
                if *notes <= NOTES_MAX {
                    last.text.push_str("  ");
                    last.text.push_str(&line.text);
                }
            }
            _ => groups.push((line, 0)),
        }
    }
    groups.into_iter().map(|(line, _)| line).collect()
}

/// Writes nodes by their names, and long hashes as short as blocks are written.
fn readable(text: &str, names: &BTreeMap<String, String>) -> String {
    let word = |word: &str| -> String {
        let bare = word.trim_end_matches([':', ',', ';']);
        let rest = &word[bare.len()..];
        match (names.get(bare), bare.strip_prefix("0x")) {
            (Some(name), _) => format!("{name}{rest}"),
            (None, Some(hex)) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                format!("{}{rest}", &hex[..8])
            }
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Where things stand on a line.
struct Layout {
    names: Vec<String>,
    columns: bool,
    cell: usize,
    width: Option<usize>,
}

impl Layout {
    fn new(names: Vec<String>, width: Option<usize>) -> Self {
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(PREFIX + TEXT_MIN));
        let cell = longest.clamp(4, 8).min((room / names.len().max(1)).saturating_sub(1));
        let columns = names.len() <= COLUMNS_MAX && cell >= 4;
        let cell = if columns { cell } else { longest.clamp(4, 16) };
        Self { names, columns, cell, width }
    }

    fn head(&self) -> String {
        let mut text = format!("{:>9} {:>14}", "event", "time");
        if self.columns {
            for name in &self.names {
                text.push_str(&format!(" {:>1$}", ending(name, self.cell), self.cell));
            }
        } else {
            text.push_str(&format!(" {:<1$}", "node", self.cell));
        }
        text.push_str("  what");
        text
    }

    fn line(&self, line: &TraceLine, marks: &[String]) -> String {
        let mut text = format!("{:>9} {:>14}", line.event, line.at.to_string());
        if self.columns {
            for (index, mark) in marks.iter().enumerate() {
                let acted = if line.host == Some(index) { "*" } else { "" };
                text.push_str(&format!(" {:>1$}", format!("{mark}{acted}"), self.cell));
            }
        } else {
            let name = line.host.map_or("", |host| self.names[host].as_str());
            text.push_str(&format!(" {:<1$}", ending(name, self.cell), self.cell));
        }
        text.push_str("  ");
        text.push_str(&line.text);
        match self.width {
            Some(width) if text.chars().count() > width => text.chars().take(width).collect(),
            _ => text,
        }
    }
}

/// Number and time of an event, with their blanks.
const PREFIX: usize = 9 + 1 + 14 + 2;

/// Returns the last characters of a name: its number tells nodes of a group apart.
fn ending(name: &str, width: usize) -> &str {
    let skip = name.chars().count().saturating_sub(width);
    name.char_indices().nth(skip).map_or("", |(at, _)| &name[at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kette_sim::Moment;

    fn line(event: u64, host: Option<usize>, text: &str) -> TraceLine {
        TraceLine { event, at: Moment::from_micros(1_500_000), host, text: text.to_owned() }
    }

    #[test]
    fn one_line_holds_what_one_node_did_in_one_event() {
        let lines = vec![
            line(1, Some(0), "tick"),
            line(1, Some(0), "! head 2 ab"),
            line(1, Some(1), "! head 2 ab"),
            line(2, Some(1), "tick"),
            line(2, Some(1), "start"),
        ];
        let texts: Vec<String> = grouped(lines).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["tick  ! head 2 ab", "! head 2 ab", "tick", "start"]);
    }

    #[test]
    fn nodes_have_names_and_hashes_are_short() {
        let names = BTreeMap::from([("bb7fe23a".to_owned(), "bob".to_owned())]);
        let hash = format!("0x{}", "ab".repeat(32));
        let text = format!("submit {hash}: from bb7fe23a, 0x12 bb7fe23");
        assert_eq!(readable(&text, &names), "submit abababab: from bob, 0x12 bb7fe23");
    }

    #[test]
    fn a_column_per_node_if_they_fit() {
        let names = |count: usize| (0..count).map(|i| format!("node{i}")).collect::<Vec<_>>();
        let layout = Layout::new(names(3), None);
        let marks = ["5", "4", "-"].map(str::to_owned);
        assert_eq!(layout.head(), "    event           time node0 node1 node2  what");
        assert_eq!(
            layout.line(&line(7, Some(1), "tick"), &marks),
            "        7      1.500000s     5    4*     -  tick"
        );
        assert!(Layout::new(names(COLUMNS_MAX), None).columns);
        assert!(!Layout::new(names(COLUMNS_MAX + 1), None).columns);
        // Twenty columns of four and their blanks, the prefix and some text.
        assert!(!Layout::new(names(20), Some(100)).columns);
        let narrow = Layout::new(names(3), Some(75));
        assert!(narrow.columns);
        assert_eq!(narrow.line(&line(7, Some(1), &"x".repeat(90)), &marks).chars().count(), 75);
        let named = Layout::new(names(30), None).line(&line(7, Some(29), "tick"), &[]);
        assert_eq!(named, "        7      1.500000s node29  tick");
    }
}
