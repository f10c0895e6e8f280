//! Reads Rust and markdown as far as the checks need it: words, code without comments and strings, headings.

use std::collections::BTreeSet;

/// Applies a check to each line; problems get path and line number.
pub(super) fn lines(text: &str, path: &str, check: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let numbered = (1..).zip(text.lines());
    numbered
        .flat_map(|(number, line)| {
            let found = check(line).into_iter();
            found.map(move |problem| format!("{path}:{number}: {problem}")).collect::<Vec<_>>()
        })
        .collect()
}

/// Tells whether `word` stands in the line, not as part of a longer identifier.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let edge = |inside: Option<char>, outside: Option<char>| {
        !(inside.is_some_and(part) && outside.is_some_and(part))
    };
    line.match_indices(word).any(|(at, _)| {
        edge(word.chars().next(), line[..at].chars().next_back())
            && edge(word.chars().next_back(), line[at + word.len()..].chars().next())
    })
}

/// Blanks comments and the content of strings; lines keep their numbers.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest, code.chars().next_back());
        let (taken, left) = rest.split_at(skipped.max(first.len_utf8()));
        if skipped == 0 {
            code.push_str(taken);
        } else {
            code.push(' ');
            code.extend(taken.matches('\n'));
        }
        rest = left;
    }
    code
}

/// Returns the length of the comment or literal at the start of `rest`; 0 if there is none.
pub(super) fn skipped(rest: &str, before: Option<char>) -> usize {
    let until = |from: usize, end: &str| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if let Some(inside) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = inside.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map_or(rest.len(), |at| at + 2);
    }
    let raw = rest
        .strip_prefix('r')
        .filter(|_| before.is_none_or(|c| c == 'b' || !(c.is_alphanumeric() || c == '_')));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    let mut quoted = rest.strip_prefix('\'').unwrap_or_default().chars();
    match (quoted.next(), quoted.next()) {
        (Some('\\'), _) => until(3, "'"),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

/// Blanks fenced blocks; lines keep their numbers.
pub(super) fn without_fences(text: &str) -> String {
    let mut fenced = false;
    let keep = |line: &str| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fenced || fence { "\n".to_owned() } else { format!("{line}\n") }
    };
    text.lines().map(keep).collect()
}

/// Blanks fenced blocks and inline code.
pub(super) fn without_code(text: &str) -> String {
    let line = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join(" ") + "\n";
    without_fences(text).lines().map(line).collect()
}

/// Returns the names by which a page's headings are linked.
pub(super) fn headings(page: &str) -> BTreeSet<String> {
    let page = without_fences(page);
    let titles = page.lines().filter(|line| line.starts_with('#'));
    let name = |title: &str| -> String {
        let kept = title.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    titles.map(name).collect()
}

/// Resolves a link from a page to a path from the root.
pub(super) fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}
