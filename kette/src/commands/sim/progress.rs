//! The progress line on standard error: only for a terminal, redrawn a few times a second.

use super::words;
use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Instant,
};

/// What workers tell while they run. Each has a slot.
#[derive(Debug)]
pub struct Meters {
    /// Events of all runs.
    pub events: AtomicU64,
    slots: Vec<AtomicU32>,
}

/// A slot's full scale.
const FULL: f64 = 1e6;

impl Meters {
    /// Meters of so many workers.
    pub fn new(workers: usize) -> Self {
        let slots = (0..workers).map(|_| AtomicU32::new(0)).collect();
        Self { events: AtomicU64::new(0), slots }
    }

    /// A worker's run is so far, 0 to 1.
    pub fn set(&self, slot: usize, share: f64) {
        self.slots[slot].store((share.clamp(0.0, 1.0) * FULL) as u32, Ordering::Relaxed);
    }

    fn under_way(&self) -> f64 {
        self.slots.iter().map(|slot| f64::from(slot.load(Ordering::Relaxed)) / FULL).sum()
    }
}

/// The line.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    started: Instant,
    drawn: bool,
}

impl Progress {
    /// Begins now; silent if standard error is no terminal, or if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { shown, started: Instant::now(), drawn: false }
    }

    /// Returns seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Draws how far a number of runs is.
    pub fn runs(&mut self, meters: &Meters, done: u64, total: u64, violations: u64) {
        if !self.shown {
            return;
        }
        let share = ((done as f64 + meters.under_way()) / total.max(1) as f64).min(1.0);
        let events = meters.events.load(Ordering::Relaxed) as f64;
        let rate = words::short_number(events / self.seconds().max(0.001));
        let seeds = if total > 1 { format!("  {done} of {total} seeds") } else { String::new() };
        let left = match share {
            share if share > 0.02 => {
                format!("  {} left", words::seconds(self.seconds() * (1.0 - share) / share))
            }
            _ => String::new(),
        };
        self.draw(&format!(
            "{} {:5.1} %{seeds}  {rate} events/s  {}{left}",
            bar(share),
            share * 100.0,
            words::counted(violations, "violation"),
        ));
    }

    /// Draws a line of words.
    pub fn draw(&mut self, text: &str) {
        if self.shown {
            self.drawn = true;
            let width = trace_width();
            let text: String = text.chars().take(width.saturating_sub(1)).collect();
            let mut err = std::io::stderr().lock();
            // A terminal that went away is no reason to stop a run.
            let _ = write!(err, "\r\u{1b}[K{text}");
            let _ = err.flush();
        }
    }

    /// Takes the line away, before something else is printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn trace_width() -> usize {
    super::trace::terminal_width().unwrap_or(80)
}

fn bar(share: f64) -> String {
    const WIDTH: usize = 20;
    let full = (share * WIDTH as f64) as usize;
    format!("[{}{}]", "#".repeat(full.min(WIDTH)), "-".repeat(WIDTH - full.min(WIDTH)))
}
