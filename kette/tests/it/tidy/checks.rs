//! The checks. Each looks at one file or at the workspace and returns one line per problem.

use super::{repository::is_rust, tables::*, text::*};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) struct Package {
    pub(super) name: String,
    pub(super) manifest: String,
    pub(super) dependencies: BTreeSet<String>,
}

pub(super) fn packages(metadata: &Value) -> Vec<Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let root = text(&metadata["workspace_root"]);
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            manifest: text(&package["manifest_path"]).replacen(&root, "", 1),
            dependencies: list(&package["dependencies"]).iter().map(|d| text(&d["name"])).collect(),
        })
        .collect()
}

pub(super) fn wrong_arrows(packages: &[Package]) -> Vec<String> {
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let known = ARROWS.iter().filter(|(name, _)| !ours.contains(name));
    let mut problems: Vec<String> =
        known.map(|(name, _)| format!("{name} is in ARROWS and not in the workspace")).collect();
    for package in packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            problems.push(format!("{} is not in ARROWS", package.name));
            continue;
        };
        let used = package.dependencies.iter().filter(|d| ours.contains(d.as_str()));
        let wrong = used.filter(|d| !allowed.contains(&d.as_str()));
        problems.extend(wrong.map(|d| format!("{} depends on {d}", package.name)));
    }
    problems
}

pub(super) fn wrong_owners(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        for (library, owners) in OWNERS {
            if package.dependencies.contains(library) && !owners.contains(&package.name.as_str()) {
                let owners = owners.join(", ");
                problems.push(format!("{} names {library}: only {owners} may", package.name));
            }
        }
    }
    problems
}

pub(super) fn impure_dependencies(packages: &[Package]) -> Vec<String> {
    let core = packages
        .iter()
        .filter(|package| ["/core/", "/sim/"].iter().any(|top| package.manifest.starts_with(top)));
    core.flat_map(|package| {
        let found = IMPURE.iter().filter(|library| package.dependencies.contains(**library));
        found.map(|library| format!("{} depends on {library}", package.name))
    })
    .collect()
}

pub(super) fn impure_names(path: &str, text: &str) -> Vec<String> {
    lines(&code_only(text), path, |line| {
        let found = IMPURE_NAMES.iter().filter(|(name, _)| has_word(line, name));
        found.map(|(name, instead)| format!("`{name}`: {instead}")).collect()
    })
}

pub(super) fn engine_names(path: &str, text: &str) -> Vec<String> {
    lines(&code_only(text), path, |line| {
        let found = ["::Pow", "pow::", "PowSpec", "PowStatus"].into_iter();
        found.filter(|name| has_word(line, name)).map(|name| format!("`{name}`")).collect()
    })
}

pub(super) fn no_opening(path: &str, text: &str) -> Vec<String> {
    if text.starts_with("//!") { Vec::new() } else { vec![format!("{path}:1: no `//!`")] }
}

pub(super) fn not_ascii(path: &str, text: &str) -> Vec<String> {
    lines(text, path, |line| {
        line.chars()
            .find(|c| !c.is_ascii())
            .map(|c| format!("U+{:04X}", u32::from(c)))
            .into_iter()
            .collect()
    })
}

pub(super) fn too_long(path: &str, text: &str) -> Vec<String> {
    let exception = LONG_FILES.iter().find(|(long, _, _)| *long == path);
    let max = exception.map_or(LINES_MAX, |(_, max, _)| *max);
    let got = text.lines().count();
    if got > max { vec![format!("{path}: {got} lines, at most {max}")] } else { Vec::new() }
}

pub(super) fn stale_exceptions(
    exceptions: &[(&str, usize, &str)],
    read: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let short = |text: &String| text.lines().count() <= LINES_MAX;
    exceptions
        .iter()
        .filter(|(path, _, _)| read(path).as_ref().is_none_or(short))
        .map(|(path, _, _)| format!("{path} needs no exception: take it off LONG_FILES"))
        .collect()
}

pub(super) fn unfinished(path: &str, text: &str) -> Vec<String> {
    const IN_CODE: [&str; 3] = ["todo!(", "unimplemented!(", "#[ignore"];
    // In pieces, so that this file does not break its own rule.
    const ANYWHERE: [&str; 4] =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
    let found = |words: &[&str], line: &str| -> Vec<String> {
        words.iter().filter(|w| has_word(line, w)).map(|w| format!("`{w}`")).collect()
    };
    let mut problems = lines(text, path, |line| found(&ANYWHERE, line));
    if is_rust(path) {
        problems.extend(lines(&code_only(text), path, |line| found(&IN_CODE, line)));
    }
    problems
}

pub(super) fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let starts = |line: &str, folder: &str| {
        line.match_indices(folder).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !(c.is_alphanumeric() || "._-/$}~".contains(c)))
        })
    };
    lines(text, path, |line| {
        let found = MACHINE_FOLDERS.iter().filter(|folder| starts(line, folder));
        found.map(|folder| format!("`{folder}...`")).collect()
    })
}

pub(super) fn registries(path: &str, text: &str) -> Vec<String> {
    if path == "Cargo.lock" {
        return lines(text, path, |line| match line.strip_prefix("source = ") {
            Some(source) if source.trim_matches('"') != CARGO_SOURCE => vec![source.to_owned()],
            _ => Vec::new(),
        });
    }
    lines(text, path, |line| {
        REGISTRIES.iter().filter(|r| line.contains(**r)).map(|r| format!("`{r}`")).collect()
    })
}

/// Finds links of a page whose file, or heading in it, is not there.
pub(super) fn broken_links(
    path: &str,
    text: &str,
    read: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    lines(&without_code(text), path, |line| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets
            .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
            .filter_map(|target| {
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = if file.is_empty() { path.to_owned() } else { resolve(path, file) };
                match read(&file) {
                    None => Some(format!("{target}: no {file}")),
                    Some(page) if !heading.is_empty() && !headings(&page).contains(heading) => {
                        Some(format!("{target}: no such heading"))
                    }
                    Some(_) => None,
                }
            })
            .collect()
    })
}

/// Finds inline code that looks like a file of the repository and is none.
pub(super) fn missing_files(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    const TOPS: [&str; 7] = ["core/", "io/", "kette/", "docs/", "scripts/", ".ci/", "sim/"];
    lines(&without_fences(text), path, |line| {
        let spans = line.split('`').skip(1).step_by(2);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        spans
            .filter(|span| TOPS.iter().any(|top| span.starts_with(top)) && span.chars().all(plain))
            .filter(|span| !exists(span))
            .map(|span| format!("no {span}"))
            .collect()
    })
}
