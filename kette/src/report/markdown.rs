//! A report as Markdown: the same parts as the page, without drawings.

use super::{
    document::Document,
    network::{self, Block, Section},
};
use std::fmt::Write as _;

/// Writes a report.
pub fn document(runs: &[Document], sections: &[Section]) -> String {
    let word = if runs.iter().all(|run| run.ok) { "ok" } else { "NOT OK" };
    let mut out = format!("# {}\n\nAll in all: {word}.\n", plain(&network::title(runs)));
    for section in sections {
        let _ = write!(out, "\n## {}\n\n", plain(&section.title));
        for block in &section.blocks {
            write_block(&mut out, block);
        }
    }
    out
}

fn write_block(out: &mut String, block: &Block) {
    // Writing to a string does not fail.
    let _ = match block {
        Block::Heading(text) => write!(out, "### {}\n\n", plain(text)),
        Block::Words(text) => write!(out, "{}\n\n", plain(text)),
        Block::List(items) => {
            for item in items {
                let _ = writeln!(out, "- {}", plain(item));
            }
            writeln!(out)
        }
        Block::Table { heads, rows } => {
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            out.push_str(&line(heads.iter().map(|head| plain(head)).collect()));
            out.push_str(&line(vec!["---".to_owned(); heads.len()]));
            for row in rows {
                out.push_str(&line(row.iter().map(|cell| plain(cell)).collect()));
            }
            writeln!(out)
        }
        // The page has it.
        Block::Figure { .. } => Ok(()),
    };
}

/// Text that ends no cell and begins nothing.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|").replace('<', "&lt;")
}
