//! How results are printed: JSON as it is, or aligned lines for people.

use serde_json::Value;
use std::{
    fmt::Arguments,
    io::{Stdout, StdoutLock, Write},
    sync::atomic::{AtomicBool, Ordering},
};

/// Prints a value: JSON with `--json`, otherwise `key  value` lines.
///
/// # Errors
/// If standard output is closed.
pub fn print(value: &Value, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
        return Ok(());
    }
    match value {
        Value::Object(fields) => {
            let width = fields.keys().map(String::len).max().unwrap_or(0);
            for (key, value) in fields {
                writeln!(out, "{key:width$}  {}", plain(value))?;
            }
        }
        Value::Array(rows) => {
            for row in rows {
                writeln!(out, "{}", plain(row))?;
            }
        }
        other => writeln!(out, "{}", plain(other))?,
    }
    Ok(())
}

/// Standard output, for a result: what is an error after the first write is not said there again.
pub fn stdout() -> Begins<Stdout> {
    Begins(std::io::stdout())
}

/// A writer to standard output that says with its first write that the result has begun.
#[derive(Debug)]
pub struct Begins<W>(W);

impl Begins<Stdout> {
    /// Takes standard output for many writes.
    pub fn lock(&self) -> Begins<StdoutLock<'static>> {
        Begins(self.0.lock())
    }
}

impl<W: Write> Write for Begins<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        begin();
        self.0.write(bytes)
    }

    // As the writer itself does it: standard output takes its lock once for a whole text.
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        begin();
        self.0.write_all(bytes)
    }

    fn write_fmt(&mut self, text: Arguments<'_>) -> std::io::Result<()> {
        begin();
        self.0.write_fmt(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Says that something of a result may be on standard output.
pub fn begin() {
    BEGUN.store(true, Ordering::Relaxed);
}

/// Tells whether something of a result may be on standard output.
pub fn is_begun() -> bool {
    BEGUN.load(Ordering::Relaxed)
}

/// One for the process, as standard output is.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Counts things for people: `1 node`, `2 nodes`.
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Prints a line for people.
///
/// # Errors
/// If standard output is closed.
pub fn line(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(stdout().lock(), "{text}")?)
}

/// Prints text as it is.
///
/// # Errors
/// If standard output is closed.
pub fn raw(text: &str) -> anyhow::Result<()> {
    Ok(stdout().lock().write_all(text.as_bytes())?)
}

/// Prints rows under headings, columns aligned.
///
/// # Errors
/// If standard output is closed.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = stdout().lock();
    let mut line = |cells: Vec<&str>| -> std::io::Result<()> {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(headings.to_vec())?;
    for row in rows {
        line(row.iter().map(String::as_str).collect())?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
