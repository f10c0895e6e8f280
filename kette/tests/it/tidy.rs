//! The repository's own rules as tests: who may depend on whom, what the core must not name, what every
//! file looks like. Each rule is one test whose message says what to do, and each check is tried on bad input.

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// Who may depend on whom: nothing points to the left. A new arrow needs a record in `docs/decisions/`.
const ARROWS: [(&str, &[&str]); 9] = [
    ("kette-types", &[]),
    ("kette-ledger", &["kette-types"]),
    ("kette-chain", &["kette-types", "kette-ledger"]),
    ("kette-consensus", &["kette-types", "kette-ledger", "kette-chain"]),
    ("kette-node", &["kette-types", "kette-ledger", "kette-chain", "kette-consensus"]),
    ("kette-network", &["kette-types"]),
    ("kette-store", &["kette-types", "kette-ledger", "kette-chain"]),
    (
        "kette-rpc",
        &[
            "kette-types",
            "kette-ledger",
            "kette-chain",
            "kette-consensus",
            "kette-store",
            "kette-node",
        ],
    ),
    (
        "kette",
        &[
            "kette-types",
            "kette-ledger",
            "kette-chain",
            "kette-consensus",
            "kette-node",
            "kette-store",
            "kette-network",
            "kette-rpc",
        ],
    ),
];

/// Libraries that only some crates may name, so that replacing one touches one place.
const OWNERS: [(&str, &[&str]); 13] = [
    ("revm", &["kette-ledger"]),
    ("revm-inspectors", &["kette-ledger"]),
    ("alloy-evm", &["kette-ledger"]),
    ("rusqlite", &["kette-store"]),
    ("libp2p", &["kette-network"]),
    ("libp2p-stream", &["kette-network"]),
    ("yamux", &["kette-network"]),
    ("jsonrpsee", &["kette-rpc", "kette"]),
    ("tokio", &["kette-network", "kette-rpc", "kette"]),
    ("rayon", &["kette"]),
    ("clap", &["kette"]),
    ("anyhow", &["kette"]),
    ("nix", &["kette"]),
];

/// Libraries that perform what the core only orders: clocks, sockets, disks, threads, entropy.
const IMPURE: [&str; 29] = [
    "anyhow", "async-std", "chrono", "clap", "crossbeam", "fs4", "futures", "getrandom", "hyper",
    "jsonrpsee", "libp2p", "libp2p-stream", "memmap2", "mio", "nix", "num_cpus", "parking_lot",
    "quinn", "rayon", "reqwest", "rusqlite", "smol", "socket2", "tempfile", "time", "tokio",
    "tower", "web-time", "yamux",
];

/// What core code must not name, and what to use instead. Tests and examples of core crates may.
const IMPURE_NAMES: [(&str, &str); 17] = [
    ("Instant::now", "time is an argument: kette_types::Time"),
    ("SystemTime", "time is an argument: kette_types::Time"),
    ("std::fs", "order a Record from the host"),
    ("std::env", "settings arrive as values"),
    ("std::process", "the host starts and ends processes"),
    ("std::thread", "order a Job from the host"),
    ("TcpStream", "order an Output::Send from the host"),
    ("TcpListener", "the host listens"),
    ("UdpSocket", "order an Output::Send from the host"),
    ("UnixStream", "the host sends and receives"),
    ("HashMap", "its order differs from run to run: BTreeMap"),
    ("HashSet", "its order differs from run to run: BTreeSet"),
    ("tokio::", "the core is not asynchronous"),
    ("rayon::", "order a Job from the host"),
    ("rand::rng", "randomness comes from a seed: rand_chacha"),
    ("rand::random", "randomness comes from a seed: rand_chacha"),
    ("OsRng", "randomness comes from a seed: rand_chacha"),
];

/// Lines of a source file at most.
const LINES_MAX: usize = 600;
/// Longer files, each with its own bound and the reason why it is not split.
const LONG_FILES: [(&str, usize, &str); 1] =
    [("core/node/src/mempool/mod.rs", 650, "admission is one pass over one set of indexes")];

/// Files outside of an engine's own folder that may name an engine in code of `core/` and `io/`:
/// the choice in genesis, the choice of the engine, and what differs between engines for now.
const ENGINE_NAMES: [&str; 7] = [
    "core/types/src/spec.rs",
    "core/consensus/src/engine.rs",
    "core/node/src/node.rs",
    "io/rpc/src/health.rs",
    "io/rpc/src/methods/development.rs",
    "io/rpc/src/methods/eth.rs",
    "io/rpc/src/methods/mining.rs",
];

/// The only source that `Cargo.lock` may name.
const CARGO_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Hosts and settings of package registries: where packages come from is the user's own setting.
/// Written in pieces, so that this file does not break its own rule.
const REGISTRIES: [&str; 12] = [
    concat!("registry.", "npmjs", ".org"),
    concat!("registry.", "yarnpkg", ".com"),
    concat!("static.", "crates", ".io"),
    concat!("index.", "crates", ".io"),
    concat!("https://", "crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.", "pythonhosted", ".org"),
    concat!("proxy.", "golang", ".org"),
    concat!("sparse", "+http"),
    concat!("replace", "-with"),
    concat!("--index", "-url"),
    concat!("npm_config", "_registry"),
];

/// First folders of absolute paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 5] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
    concat!("/", "tmp/"),
];

/// Pages whose inline code names files as they are now; decisions may name files to come.
const PAGES_TRUE_NOW: [&str; 4] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "STYLE.md"];

#[test]
fn arrows_point_one_way() {
    let advice = "docs/decisions/0001-layers-and-the-pure-core.md says which crate may use which; \
                  move the code, or write a record and change ARROWS";
    report(&wrong_arrows(&packages(&metadata())), advice);
}

#[test]
fn libraries_have_one_home() {
    let advice = "use what the owning crate re-exports, or move the code there (OWNERS)";
    report(&wrong_owners(&packages(&metadata())), advice);
}

#[test]
fn core_crates_depend_on_nothing_impure() {
    let advice = "the core decides and the host performs: order it as an Output or a Job (IMPURE)";
    report(&impure_dependencies(&packages(&metadata())), advice);
}

#[test]
fn core_code_names_nothing_impure() {
    let advice = "the core is told time and order; see the hint behind each name (IMPURE_NAMES)";
    report(&each(is_core_code, impure_names), advice);
}

#[test]
fn engines_are_named_in_their_folder_only() {
    let advice = "ask the engine through `Engine` or its `Status`; if it must be named, add the file \
                  to ENGINE_NAMES and to the list in ARCHITECTURE.md";
    let elsewhere = |path: &str| {
        is_layer_code(path)
            && !path.starts_with("core/consensus/src/pow/")
            && !ENGINE_NAMES.contains(&path)
    };
    report(&each(elsewhere, engine_names), advice);
}

#[test]
fn source_files_say_what_they_are() {
    report(&each(is_rust, no_opening), "open the file with `//!`: what it is, and what it is not");
}

#[test]
fn source_files_are_ascii() {
    report(&each(is_source, not_ascii), "write ASCII; spell other characters as escapes");
}

#[test]
fn source_files_are_short() {
    let advice = "split the file by concept, tests into a sibling tests.rs; LONG_FILES is for files \
                  that are one thing, and shrinks with them";
    let mut problems = each(is_rust, too_long);
    problems.extend(stale_exceptions(&LONG_FILES, &|path| read(path)));
    report(&problems, advice);
}

#[test]
fn nothing_is_left_to_do() {
    let advice = "finish it or leave it out; what is missing belongs in the documentation";
    report(&each(is_source, unfinished), advice);
}

#[test]
fn no_path_of_one_machine() {
    report(&each(is_text, machine_paths), "name files relative to the repository");
}

#[test]
fn no_package_registry_is_named() {
    let advice = "leave the registry to the user's own settings; write lock files without hosts";
    report(&each(is_text, registries), advice);
}

#[test]
fn links_between_pages_resolve() {
    let advice = "correct the link: a file that exists, relative to the page, and a heading of it";
    report(&each(is_page, |path, text| broken_links(path, text, &|p| read(p))), advice);
}

#[test]
fn pages_name_files_that_exist() {
    let advice = "the page names a file that is gone or was renamed: say where it is now";
    let now = |path: &str| PAGES_TRUE_NOW.contains(&path);
    report(&each(now, |path, text| missing_files(path, text, &|p| root().join(p).exists())), advice);
}

// The checks. Each returns one line per problem.

struct Package {
    name: String,
    manifest: String,
    dependencies: BTreeSet<String>,
}

fn packages(metadata: &Value) -> Vec<Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            manifest: text(&package["manifest_path"]),
            dependencies: list(&package["dependencies"]).iter().map(|d| text(&d["name"])).collect(),
        })
        .collect()
}

fn wrong_arrows(packages: &[Package]) -> Vec<String> {
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

fn wrong_owners(packages: &[Package]) -> Vec<String> {
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

fn impure_dependencies(packages: &[Package]) -> Vec<String> {
    let core = packages.iter().filter(|package| package.manifest.contains("/core/"));
    core.flat_map(|package| {
        let found = IMPURE.iter().filter(|library| package.dependencies.contains(**library));
        found.map(|library| format!("{} depends on {library}", package.name))
    })
    .collect()
}

fn impure_names(path: &str, text: &str) -> Vec<String> {
    lines(&code_only(text), path, |line| {
        let found = IMPURE_NAMES.iter().filter(|(name, _)| has_word(line, name));
        found.map(|(name, instead)| format!("`{name}`: {instead}")).collect()
    })
}

fn engine_names(path: &str, text: &str) -> Vec<String> {
    lines(&code_only(text), path, |line| {
        let found = ["::Pow", "pow::", "PowSpec", "PowStatus"].into_iter();
        found.filter(|name| has_word(line, name)).map(|name| format!("`{name}`")).collect()
    })
}

fn no_opening(path: &str, text: &str) -> Vec<String> {
    if text.starts_with("//!") { Vec::new() } else { vec![format!("{path}:1: no `//!`")] }
}

fn not_ascii(path: &str, text: &str) -> Vec<String> {
    lines(text, path, |line| {
        line.chars().find(|c| !c.is_ascii()).map(|c| format!("U+{:04X}", u32::from(c))).into_iter().collect()
    })
}

fn too_long(path: &str, text: &str) -> Vec<String> {
    let exception = LONG_FILES.iter().find(|(long, _, _)| *long == path);
    let max = exception.map_or(LINES_MAX, |(_, max, _)| *max);
    let got = text.lines().count();
    if got > max { vec![format!("{path}: {got} lines, at most {max}")] } else { Vec::new() }
}

fn stale_exceptions(
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

fn unfinished(path: &str, text: &str) -> Vec<String> {
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

fn machine_paths(path: &str, text: &str) -> Vec<String> {
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

fn registries(path: &str, text: &str) -> Vec<String> {
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
fn broken_links(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
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
fn missing_files(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
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

// Reading Rust and markdown.

/// Applies a check to each line; problems get path and line number.
fn lines(text: &str, path: &str, check: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let numbered = (1..).zip(text.lines());
    numbered
        .flat_map(|(number, line)| {
            let found = check(line).into_iter();
            found.map(move |problem| format!("{path}:{number}: {problem}")).collect::<Vec<_>>()
        })
        .collect()
}

/// Tells whether `word` stands in the line, not as part of a longer identifier.
fn has_word(line: &str, word: &str) -> bool {
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
fn code_only(text: &str) -> String {
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
fn skipped(rest: &str, before: Option<char>) -> usize {
    let until = |from: usize, end: &str| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if rest.starts_with('"') {
        let mut escaped = false;
        let end = rest[1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return end.map_or(rest.len(), |at| at + 2);
    }
    let raw = rest.strip_prefix('r').filter(|_| {
        before.is_none_or(|c| c == 'b' || !(c.is_alphanumeric() || c == '_'))
    });
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
fn without_fences(text: &str) -> String {
    let mut fenced = false;
    let keep = |line: &str| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fenced || fence { "\n".to_owned() } else { format!("{line}\n") }
    };
    text.lines().map(keep).collect()
}

/// Blanks fenced blocks and inline code.
fn without_code(text: &str) -> String {
    let line = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join(" ") + "\n";
    without_fences(text).lines().map(line).collect()
}

/// Returns the names by which a page's headings are linked.
fn headings(page: &str) -> BTreeSet<String> {
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
fn resolve(page: &str, target: &str) -> String {
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

// Reading the repository.

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_source(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ["rs", "toml", "sh"].contains(&ending) || path.ends_with("Makefile") || path == ".ci/run"
}

fn is_page(path: &str) -> bool {
    path.ends_with(".md")
}

/// Published vectors stay as they were published.
fn is_text(path: &str) -> bool {
    !path.contains("/vectors/")
}

/// Code of the layers, without tests and examples.
fn is_layer_code(path: &str) -> bool {
    let layer = path.starts_with("core/") || path.starts_with("io/");
    let apart = path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/examples/");
    layer && is_rust(path) && !apart
}

fn is_core_code(path: &str) -> bool {
    path.starts_with("core/") && is_layer_code(path)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads a text file, or says that there is a folder or another file with an empty text.
fn read(path: &str) -> Option<String> {
    let path = root().join(path);
    path.exists().then(|| std::fs::read_to_string(path).unwrap_or_default())
}

/// Applies a check to all files of the repository, also those that wait to be committed.
fn each(pick: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let list = run(Command::new("git").args(["ls-files", "-z", "-co", "--exclude-standard"]));
    let paths: Vec<&str> = list.split('\0').filter(|path| !path.is_empty()).collect();
    assert!(paths.len() > 50, "git lists the repository's files");
    let picked = paths.into_iter().filter(|path| pick(path) && root().join(path).is_file());
    picked.flat_map(|path| check(path, &read(path).unwrap_or_default())).collect()
}

fn metadata() -> Value {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    serde_json::from_str(&run(Command::new(env!("CARGO")).args(arguments))).expect("cargo writes JSON")
}

fn run(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("git and cargo are installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn report(problems: &[String], advice: &str) {
    assert!(problems.is_empty(), "{advice}:\n  {}", problems.join("\n  "));
}

// Every check can fail.

fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
    let dependencies: Vec<Value> = dependencies.iter().map(|d| json!({ "name": d })).collect();
    let manifest = format!("/there/{folder}/Cargo.toml");
    let package = json!({ "name": name, "manifest_path": manifest, "dependencies": dependencies });
    packages(&json!({ "packages": [package] })).remove(0)
}

#[test]
fn finds_wrong_dependencies() {
    let all = |wrong: Package| {
        let mut all: Vec<Package> = ARROWS.iter().map(|(name, _)| package(name, "x", &[])).collect();
        all.retain(|package| package.name != wrong.name);
        all.push(wrong);
        all
    };
    let allowed = all(package("kette-store", "io/store", &["kette-chain", "rusqlite"]));
    assert_eq!(wrong_arrows(&allowed), [""; 0]);
    let back = all(package("kette-types", "core/types", &["kette-ledger"]));
    assert_eq!(wrong_arrows(&back), ["kette-types depends on kette-ledger"]);
    let extra = all(package("kette-new", "core/new", &[]));
    assert_eq!(wrong_arrows(&extra), ["kette-new is not in ARROWS"]);
    assert_eq!(wrong_arrows(&allowed[1..]), ["kette-types is in ARROWS and not in the workspace"]);

    assert_eq!(wrong_owners(&allowed), [""; 0]);
    let revm = [package("kette-rpc", "io/rpc", &["revm"])];
    assert_eq!(wrong_owners(&revm), ["kette-rpc names revm: only kette-ledger may"]);

    assert_eq!(impure_dependencies(&allowed), [""; 0]);
    let tokio = [package("kette-node", "core/node", &["tokio", "serde"])];
    assert_eq!(impure_dependencies(&tokio), ["kette-node depends on tokio"]);
}

#[test]
fn finds_impure_names_in_code_only() {
    let bad = "//! HashMap\nuse std::collections::HashMap; // HashSet\nlet t = Instant::now();\n";
    let found = impure_names("a.rs", bad);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("a.rs:2: `HashMap`") && found[1].starts_with("a.rs:3: `Instant"));
    let good = "/* std::fs */ let a = \"std::fs \\\" HashMap\"; let b = r#\"a \"tokio::\" b\"#;\n\
                let c: &'static str = MyHashMap::x('\"', '\\'', b'x'); use std::net::SocketAddr;";
    assert_eq!(impure_names("a.rs", good), [""; 0]);
    assert_eq!(impure_names("a.rs", "let q = '\"'; HashSet::new()").len(), 1);
    assert_eq!(engine_names("a.rs", "EngineSpec::Pow(p) => pow::target(p)").len(), 2);
    assert_eq!(engine_names("a.rs", "let power = x.pow(2); // pow::"), [""; 0]);
}

#[test]
fn finds_files_that_look_wrong() {
    assert_eq!(no_opening("a.rs", "use std::fmt;\n//! late"), ["a.rs:1: no `//!`"]);
    assert_eq!(no_opening("a.rs", "//! What it is.\n"), [""; 0]);
    assert_eq!(not_ascii("a.rs", "ok\nna\u{ef}ve"), ["a.rs:2: U+00EF"]);
    let long = "x\n".repeat(LINES_MAX + 1);
    assert_eq!(too_long("a.rs", &long).len(), 1);
    assert_eq!(too_long("a.rs", &long[2..]), [""; 0]);
    let exceptions = [("gone.rs", 700, "why"), ("short.rs", 700, "why"), ("long.rs", 700, "why")];
    let texts = |path: &str| match path {
        "short.rs" => Some("x\n".to_owned()),
        "long.rs" => Some(long.clone()),
        _ => None,
    };
    assert_eq!(stale_exceptions(&exceptions, &texts).len(), 2);
    for bad in ["// FIX\u{4d}E later", "todo!(\"x\")", "unimplemented!()", "#[ignore]", "// XX\u{58}"] {
        assert_eq!(unfinished("a.rs", bad).len(), 1, "{bad}");
    }
    assert_eq!(unfinished("a.rs", "// a todo list\nlet a = \"todo!()\";"), [""; 0]);
}

#[test]
fn finds_places_of_one_machine() {
    let home = MACHINE_FOLDERS[2];
    assert_eq!(machine_paths("a.md", &format!("see `{home}me/x`")).len(), 1);
    assert_eq!(machine_paths("a.md", &format!("see https://host{home}me, $HOME{home}")), [""; 0]);
    for registry in REGISTRIES {
        assert_eq!(registries("a.md", &format!("from {registry}/x")).len(), 1, "{registry}");
    }
    let lock = |source: &str| registries("Cargo.lock", &format!("name = \"a\"\nsource = \"{source}\"\n"));
    assert_eq!(lock(CARGO_SOURCE), [""; 0]);
    assert_eq!(lock("registry+https://mirror.example/index").len(), 1);
}

#[test]
fn finds_broken_links() {
    let read = |path: &str| (path == "docs/b.md").then(|| "# Two words, `x`\n".to_owned());
    let page = "[a](../docs/b.md#two-words-x) [b](https://x.y/z) `[c](none.md)`\n```\n[d](none)\n```\n";
    assert_eq!(broken_links("docs/a.md", page, &read), [""; 0]);
    let page = "[a](gone.md)\n\n[b](b.md#three-words)\n";
    let found = broken_links("docs/a.md", page, &read);
    assert_eq!(found, ["docs/a.md:1: gone.md: no docs/gone.md", "docs/a.md:3: b.md#three-words: no such heading"]);

    let page = "`core/a.rs` and `core/gone.rs`, not `core/<engine>/` nor\n```\n`core/x.rs`\n```\n";
    let found = missing_files("README.md", page, &|path| path == "core/a.rs");
    assert_eq!(found, ["README.md:1: no core/gone.rs"]);
}
