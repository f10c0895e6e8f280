//! `kette net report`: what runs showed, as one HTML page and as Markdown.

use crate::{
    cli::default_home,
    commands::output,
    report::{document::Document, markdown, network},
    testnet::directory::Directory,
};
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Flags of `kette net report`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// What `kette net run --json`, `kette net test --out DIR` or `kette sim run --json` wrote.
    #[arg(value_name = "RUN.json")]
    runs: Vec<PathBuf>,
    /// Instead of files: the newest run in this network's directory.
    #[arg(long, value_name = "DIR", conflicts_with = "runs")]
    home: Option<PathBuf>,
    /// Where to write: the page as FILE.html, the Markdown as FILE.md; the suffix may be left out.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  kette net run fork2 && kette net report                 the run that just ended
  kette net test all --out runs && kette net report runs/*.json --out report.html
  kette --json sim run fork2 > sim.json                   the same file in the simulator,
  kette --json net run fork2 > net.json                   on processes,
  kette net report sim.json net.json                      and both side by side";

/// Writes a report.
///
/// # Errors
/// If a run cannot be read, or the files cannot be written.
pub fn run(args: &ReportArgs, json: bool) -> anyhow::Result<()> {
    let files = match (args.runs.as_slice(), &args.home) {
        ([], home) => {
            let home = home.clone().unwrap_or_else(|| default_home().join("run"));
            let path = Directory::new(home.clone()).run_file();
            if !path.exists() {
                bail!(
                    "no run in {}: `kette net run FILE` leaves one there; or name files that --json wrote",
                    home.display()
                );
            }
            vec![path]
        }
        (files, _) => files.to_vec(),
    };
    let mut runs = Vec::new();
    for file in &files {
        runs.extend(Document::read(file)?);
    }
    let (html, text) = write_documents(&args.out, &runs)?;
    let value = json!({ "html": html, "markdown": text, "runs": runs.len(),
        "ok": runs.iter().all(|run| run.ok) });
    output::print(&value, json)
}

/// Writes a report of runs as they were put together for `--json`.
///
/// # Errors
/// If the files cannot be written.
pub fn write(path: &Path, runs: &[Value]) -> anyhow::Result<()> {
    let mut documents = Vec::new();
    for run in runs {
        documents.extend(Document::from_value(run.clone())?);
    }
    write_documents(path, &documents).map(drop)
}

fn write_documents(path: &Path, runs: &[Document]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let sections = network::sections(runs);
    let (html, text) = both(path);
    for (path, content) in
        [(&html, network::html(runs, &sections)), (&text, markdown::document(runs, &sections))]
    {
        fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok((html, text))
}

/// Returns the names of page and Markdown. A suffix of another kind is part of the name.
fn both(path: &Path) -> (PathBuf, PathBuf) {
    let suffix = path.extension().map(|it| it.to_ascii_lowercase());
    let html = match suffix.as_ref().and_then(|it| it.to_str()) {
        Some("html" | "htm") => path.to_owned(),
        Some("md") => path.with_extension("html"),
        _ => {
            let mut name = path.as_os_str().to_owned();
            name.push(".html");
            name.into()
        }
    };
    let text = html.with_extension("md");
    (html, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_and_markdown_lie_side_by_side() {
        for (given, html, text) in [
            ("report.html", "report.html", "report.md"),
            ("a/report.md", "a/report.html", "a/report.md"),
            ("rep", "rep.html", "rep.md"),
            ("rep.v2", "rep.v2.html", "rep.v2.md"),
        ] {
            assert_eq!(both(Path::new(given)), (html.into(), text.into()), "{given}");
        }
    }
}
