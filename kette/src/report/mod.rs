//! A report as one HTML file: tables and inline SVG, nothing from elsewhere, light and dark.

pub mod chart;
pub mod document;
pub mod junit;
pub mod markdown;
pub mod network;
mod plots;
mod style;
mod topology;

use crate::commands::sim::{
    source::Setting,
    tally::{Cost, Row, Tally},
    words::{self, grouped, millis, seconds},
};
use chart::escape;
use kette_sim::run::RunReport;

/// What a report shows.
pub struct Page<'a> {
    /// All runs.
    pub tally: &'a Tally,
    /// The run whose plots are drawn.
    pub first: &'a RunReport,
    /// What the runs cost.
    pub cost: &'a Cost,
    /// Which network.
    pub setting: &'a Setting,
}

/// Runs listed at most; those in which something is wrong come in any case, up to as many again.
const ROWS_MAX: usize = 500;

impl Page<'_> {
    /// Returns the whole page.
    pub fn html(&self) -> String {
        let title = escape(&format!("kette sim: {}", self.setting.source));
        let sections = [
            self.head(),
            self.figures(),
            self.violations(),
            self.checks(),
            self.plots(),
            self.runs(),
            self.origin(),
        ];
        page(&title, &sections.concat())
    }

    fn head(&self) -> String {
        let (class, word) = if self.tally.is_good() { ("good", "ok") } else { ("bad", "not ok") };
        format!(
            "<header><h1>{}</h1><span class=\"badge {class}\">{word}</span>\n\
             <p><code>{}</code></p></header>\n",
            escape(&self.setting.source),
            escape(&words::command_line()),
        )
    }

    fn figures(&self) -> String {
        let tally = self.tally;
        let stale = tally.median(|row| row.blocks.stale_rate) * 100.0;
        let events = tally.events();
        let figures = [
            ("runs", tally.rows.len().to_string()),
            ("nodes", self.first.nodes.to_string()),
            ("virtual time", seconds(tally.median(|row| row.virtual_seconds))),
            ("violations", tally.violations.to_string()),
            ("failed checks", tally.failed_checks.to_string()),
            ("block reach 50 %", millis(tally.median(|row| row.reach.p50_ms))),
            ("block reach 90 %", millis(tally.median(|row| row.reach.p90_ms))),
            ("block reach 99 %", millis(tally.median(|row| row.reach.p99_ms))),
            ("stale blocks", format!("{stale:.2} %")),
            (
                "deepest reorganization",
                format!("{}", tally.max(|row| row.blocks.reorg_depth_max as f64)),
            ),
            ("block interval", format!("{:.1} s", tally.median(|row| row.blocks.interval_seconds))),
            (
                "transaction inclusion",
                millis(tally.median(|row| row.transactions.inclusion_p50_ms)),
            ),
            ("events", grouped(events)),
            (
                "events per second",
                words::short_number(events as f64 / self.cost.wall_seconds.max(1e-6)),
            ),
        ];
        let cell = |(name, value): &(&str, String)| {
            format!("<div><b>{}</b><span>{}</span></div>", escape(value), escape(name))
        };
        let note = if tally.rows.len() > 1 { "<p>Medians over runs.</p>" } else { "" };
        format!(
            "<section class=\"figures\">{}</section>{note}\n",
            figures.iter().map(cell).collect::<String>()
        )
    }

    fn violations(&self) -> String {
        let failures = &self.tally.failures;
        if failures.is_empty() {
            return "<h2>Violations</h2><p>No checker objected, and every run that was made twice \
                    repeats.</p>\n"
                .to_owned();
        }
        let mut rows = String::new();
        for failure in failures {
            for violation in &failure.violations {
                rows.push_str(&table_row(&[
                    failure.seed.to_string(),
                    violation.checker.to_owned(),
                    violation.what.clone(),
                    grouped(violation.event),
                    format!("{:.3} s", violation.at_micros as f64 / 1e6),
                    self.setting.replay(failure.seed, violation.event),
                ]));
            }
            if let Some(difference) = &failure.difference {
                let what = difference.words();
                let cells = ["repeat", &what, "", "", ""].map(str::to_owned);
                rows.push_str(&table_row(&[&[failure.seed.to_string()], &cells[..]].concat()));
            }
        }
        let heads = ["Seed", "Invariant", "What", "Event", "At", "Show it"];
        format!("<h2>Violations</h2>{}\n", table(&heads, &rows))
    }

    fn checks(&self) -> String {
        if self.tally.checks.is_empty() {
            return String::new();
        }
        let row = |count: &crate::commands::sim::tally::CheckCount| {
            let ok = count.held == count.runs;
            let class = if ok { "good" } else { "bad" };
            format!(
                "<tr><td class=\"{class}\">{}</td><td>{} of {}</td><td>{}</td><td>{}</td></tr>",
                words::verdict(ok),
                count.held,
                count.runs,
                escape(&count.check),
                escape(&count.seen)
            )
        };
        let rows: String = self.tally.checks.iter().map(row).collect();
        format!("<h2>Checks</h2>{}\n", table(&["", "Runs", "Check", "Seen"], &rows))
    }

    fn plots(&self) -> String {
        let seed = self.first.seed;
        let mut text = String::new();
        let mut figure = |title: &str, about: &str, svg: Option<String>| {
            if let Some(svg) = svg {
                let (title, about) = (escape(title), escape(about));
                text.push_str(&format!(
                    "<figure><figcaption><b>{title}</b> {about}</figcaption>{svg}</figure>\n"
                ));
            }
        };
        figure(
            "Block propagation",
            "Share of (node, block) pairs by time since the block was made.",
            plots::propagation(&self.first.propagation),
        );
        figure(
            "Heights",
            "Head of each node over virtual time; bands are faults.",
            plots::heights(&self.first.into()),
        );
        figure(
            "Behind the highest",
            "Blocks that each node lacks; hatched while it is down.",
            plots::lag(&self.first.into()),
        );
        figure(
            "Block interval",
            "Mean time between blocks of the highest chain, per stretch of the run.",
            plots::intervals(&self.first.into()),
        );
        let points = |row: &Row| (row.seed, row.blocks.stale_rate * 100.0, row.is_good());
        let rates: Vec<(u64, f64, bool)> = self.tally.rows.iter().map(points).collect();
        figure(
            "Stale blocks over seeds",
            "Percent of the blocks produced; red where something is wrong.",
            plots::over_seeds(&rates),
        );
        match text.is_empty() {
            true => text,
            false => format!("<h2>Plots of seed {seed}</h2><div class=\"plots\">\n{text}</div>\n"),
        }
    }

    fn runs(&self) -> String {
        let rows = &self.tally.rows;
        let listed = rows.iter().take(ROWS_MAX);
        let wrong = rows.iter().skip(ROWS_MAX).filter(|row| !row.is_good()).take(ROWS_MAX);
        let row = |row: &Row| {
            let class = if row.is_good() { "" } else { " class=\"bad\"" };
            format!(
                "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2} %</td>\
                 <td>{}</td><td>{}</td><td><code>{}</code></td></tr>\n",
                row.seed,
                row.state(),
                grouped(row.events),
                seconds(row.virtual_seconds),
                row.height,
                row.blocks.stale_rate * 100.0,
                row.blocks.reorg_depth_max,
                millis(row.reach.p90_ms),
                row.hash,
            )
        };
        let body: String = listed.chain(wrong).map(row).collect();
        let heads = [
            "Seed",
            "Result",
            "Events",
            "Virtual time",
            "Height",
            "Stale",
            "Reorg",
            "Reach 90 %",
            "Trace hash",
        ];
        let more = match rows.len().checked_sub(ROWS_MAX) {
            Some(more @ 1..) => {
                format!("<p>{more} more runs; only failed ones of them are listed.</p>")
            }
            _ => String::new(),
        };
        format!("<h2>Runs</h2>{}{more}\n", table(&heads, &body))
    }

    fn origin(&self) -> String {
        let memory = self.cost.peak_memory.map_or_else(|| "unknown".to_owned(), words::megabytes);
        let machine = format!(
            "{} cores, {} {}; {} threads, {} wall, {memory} at most",
            words::cores(),
            std::env::consts::OS,
            std::env::consts::ARCH,
            self.cost.threads,
            seconds(self.cost.wall_seconds),
        );
        let rows = [
            ("Machine", machine),
            ("Commit", words::COMMIT.to_owned()),
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("Command", words::command_line()),
        ];
        let row = |(name, value): &(&str, String)| table_row(&[(*name).to_owned(), value.clone()]);
        format!("<h2>Made by</h2>{}", table(&["", ""], &rows.iter().map(row).collect::<String>()))
    }
}

/// Returns a page around its sections; `title` is escaped.
fn page(title: &str, sections: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{}</style></head>\n<body><main>\n{sections}</main></body></html>\n",
        style::CSS
    )
}

fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
    format!(
        "<div class=\"wide\"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

fn table_row(cells: &[String]) -> String {
    let cell = |text: &String| {
        let class = if text == words::verdict(false) { " class=\"bad\"" } else { "" };
        format!("<td{class}>{}</td>", escape(text))
    };
    let cells: String = cells.iter().map(cell).collect();
    format!("<tr>{cells}</tr>")
}
