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
        for (at, block) in section.blocks.iter().enumerate() {
            if !is_bare(&section.blocks[at..]) {
                write_block(&mut out, block);
            }
        }
    }
    out
}

/// Tells whether the first block is a heading over drawings only, which are not here.
fn is_bare(blocks: &[Block]) -> bool {
    let [Block::Heading(_), rest @ ..] = blocks else { return false };
    rest.iter()
        .take_while(|block| !matches!(block, Block::Heading(_)))
        .all(|block| matches!(block, Block::Figure { .. }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_over_drawings_alone_are_left_out() {
        let heading = || Block::Heading("run".to_owned());
        let drawing = || Block::Figure { title: "t", about: "a", svg: String::new() };
        assert!(is_bare(&[heading(), drawing(), heading(), Block::Words(String::new())]));
        assert!(!is_bare(&[heading(), drawing(), Block::Words(String::new())]));
        assert!(!is_bare(&[drawing()]));
    }
}
