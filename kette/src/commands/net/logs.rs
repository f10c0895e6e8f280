//! `kette net logs`: the logs of all nodes as one, in the order of time.

use super::Where;
use crate::{
    commands::output,
    testnet::{
        directory::{Directory, Manifest},
        logs::{self, Names},
    },
};
use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};
use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    time::Duration,
};

/// Flags of `kette net logs`.
#[derive(Args, Debug)]
pub struct Logs {
    /// Nodes: a name, a group, `*`, `node*`, `miner-0..3` [default: all].
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// Go on with what is written from now on, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// Only lines that hold this text, whatever its case.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Only so many lines, the newest.
    #[arg(short = 'n', long, value_name = "COUNT")]
    lines: Option<usize>,
    #[command(flatten)]
    place: Where,
}

/// How often followed files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A longer line is shown in pieces: a file without an end of line must not fill memory.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Shows logs. With `json` each line is an object with the node's name.
///
/// # Errors
/// If there is no network, a pattern means no node, or a log cannot be read.
pub fn run(args: &Logs, json: bool) -> anyhow::Result<()> {
    let directory = args.place.directory()?;
    let manifest = directory.require()?;
    let all = ["*".to_owned()];
    let patterns = if args.nodes.is_empty() { &all[..] } else { &args.nodes };
    let nodes = manifest.select(patterns)?;
    let mut merged = Merged::open(&directory, &manifest, &nodes)?;
    let wanted = args.grep.as_ref().map(|text| text.to_lowercase());
    let is_wanted = |line: &Line| {
        wanted.as_ref().is_none_or(|wanted| line.text.to_lowercase().contains(wanted.as_str()))
    };
    let width = merged.sources.iter().map(|source| source.name.len()).max().unwrap_or(0);
    let mut out = output::stdout().lock();
    let names = Names::of(&manifest);
    let mut show = |line: &Line| {
        writeln!(out, "{}", line.shown(width, &names, json)).and_then(|()| out.flush())
    };
    let mut newest = VecDeque::new();
    while let Some(line) = merged.next()? {
        if !is_wanted(&line) {
            continue;
        }
        match args.lines {
            None => show(&line)?,
            Some(count) => {
                newest.push_back(line);
                if newest.len() > count {
                    newest.pop_front();
                }
            }
        }
    }
    for line in newest {
        show(&line)?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(LOOK_EVERY);
        merged.reopen(&directory);
        while let Some(line) = merged.next()? {
            if is_wanted(&line) {
                show(&line)?;
            }
        }
    }
}

/// Logs of nodes, from which the oldest line is taken first.
struct Merged {
    sources: Vec<Source>,
}

struct Source {
    name: String,
    /// `None` for a node that never ran.
    file: Option<BufReader<File>>,
    /// What was read of a line that has no end yet.
    partial: Vec<u8>,
    head: Option<Line>,
    /// Time of the newest line that had one: what a crash writes has none and belongs to what was before it.
    time: String,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    node: String,
    time: String,
    text: String,
    value: Option<Map<String, Value>>,
}

impl Merged {
    fn open(directory: &Directory, manifest: &Manifest, nodes: &[usize]) -> anyhow::Result<Self> {
        let source = |node: &usize| {
            let name = manifest.nodes[*node].plan.name.clone();
            let file = match File::open(directory.log(&name)) {
                Ok(file) => Some(BufReader::new(file)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    return Err(error).with_context(|| directory.log(&name).display().to_string());
                }
            };
            Ok(Source { name, file, partial: Vec::new(), head: None, time: String::new() })
        };
        Ok(Self { sources: nodes.iter().map(source).collect::<anyhow::Result<_>>()? })
    }

    /// Opens logs that were not there before.
    fn reopen(&mut self, directory: &Directory) {
        for source in self.sources.iter_mut().filter(|source| source.file.is_none()) {
            source.file = File::open(directory.log(&source.name)).ok().map(BufReader::new);
        }
    }

    fn next(&mut self) -> anyhow::Result<Option<Line>> {
        for source in &mut self.sources {
            source.fill().with_context(|| source.name.clone())?;
        }
        let with_line = self.sources.iter_mut().filter(|source| source.head.is_some());
        let oldest = with_line.min_by(|a, b| a.time.cmp(&b.time));
        Ok(oldest.and_then(|source| source.head.take()))
    }
}

impl Source {
    fn fill(&mut self) -> std::io::Result<()> {
        let Some(file) = self.file.as_mut().filter(|_| self.head.is_none()) else { return Ok(()) };
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len() as u64);
        std::io::Read::take(&mut *file, room).read_until(b'\n', &mut self.partial)?;
        let whole = self.partial.last() == Some(&b'\n');
        if !whole && (self.partial.len() as u64) < LINE_BYTES_MAX {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let value: Option<Map<String, Value>> = serde_json::from_str(&text).ok();
        if let Some(time) = value.as_ref().and_then(|value| value.get("timestamp")?.as_str()) {
            self.time = time.to_owned();
        }
        self.head = Some(Line { node: self.name.clone(), time: self.time.clone(), text, value });
        Ok(())
    }
}

impl Line {
    fn shown(&self, width: usize, names: &Names, json: bool) -> String {
        if json {
            let mut value = self.value.clone().unwrap_or_else(|| {
                Map::from_iter([("message".to_owned(), Value::from(self.text.clone()))])
            });
            value.insert("node".to_owned(), Value::from(self.node.clone()));
            return Value::Object(value).to_string();
        }
        let words = self.value.as_ref().map(|value| logs::words(value, names));
        let words = words.unwrap_or_else(|| logs::plain(&self.text));
        format!("{:12} {:width$} {words}", logs::time_of_day(&self.time), self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_the_order_of_time_and_what_has_none_stays_behind_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let line = |time: u32, text: &str| {
            format!(
                "{{\"timestamp\":\"2026-01-01T00:00:0{time}.000000Z\",\"level\":\"INFO\",\"message\":\"{text}\"}}\n"
            )
        };
        let source = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            Source {
                name: name.to_owned(),
                file: Some(BufReader::new(File::open(path).unwrap())),
                partial: Vec::new(),
                head: None,
                time: String::new(),
            }
        };
        let a = line(1, "one") + "panicked at\n" + &line(4, "four");
        let b = line(2, "two") + &line(3, "three") + "{\"timestamp\":\"2026";
        let mut merged = Merged { sources: vec![source("a", &a), source("b", &b)] };
        let mut shown = Vec::new();
        while let Some(line) = merged.next().unwrap() {
            shown.push(line.shown(1, &Names::default(), false));
        }
        let said: Vec<&str> = shown.iter().map(|line| line.rsplit_once(' ').unwrap().1).collect();
        assert_eq!(said, ["one", "at", "two", "three", "four"], "{shown:?}");
        // The rest of a line that was not whole comes later.
        let mut file = std::fs::OpenOptions::new().append(true).open(dir.path().join("b")).unwrap();
        writeln!(file, "-01-01T00:00:05.000000Z\",\"message\":\"five\"}}").unwrap();
        assert!(
            merged
                .next()
                .unwrap()
                .unwrap()
                .shown(1, &Names::default(), true)
                .contains("\"message\":\"five\"")
        );
    }
}
