//! The repository as the checks see it: its files, what kind each is, and its workspace.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub(super) fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

pub(super) fn is_source(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default();
    ["rs", "toml", "sh"].contains(&ending) || path.ends_with("Makefile") || path == ".ci/run"
}

pub(super) fn is_page(path: &str) -> bool {
    path.ends_with(".md")
}

/// Published vectors stay as they were published.
pub(super) fn is_text(path: &str) -> bool {
    !path.contains("/vectors/")
}

/// Code of the layers, without tests and examples.
pub(super) fn is_layer_code(path: &str) -> bool {
    let layer = path.starts_with("core/") || path.starts_with("io/");
    layer && is_rust(path) && !is_test_or_example(path)
}

fn is_test_or_example(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("/examples/")
}

pub(super) fn is_core_code(path: &str) -> bool {
    let pure = path.starts_with("core/") || path.starts_with("sim/");
    pure && is_rust(path) && !is_test_or_example(path)
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads a text file, or says that there is a folder or another file with an empty text.
pub(super) fn read(path: &str) -> Option<String> {
    let path = root().join(path);
    path.exists().then(|| std::fs::read_to_string(path).unwrap_or_default())
}

/// Applies a check to all files of the repository, also those that wait to be committed.
pub(super) fn each(
    pick: impl Fn(&str) -> bool,
    check: impl Fn(&str, &str) -> Vec<String>,
) -> Vec<String> {
    let list = run(Command::new("git").args(["ls-files", "-z", "-co", "--exclude-standard"]));
    let paths: Vec<&str> = list.split('\0').filter(|path| !path.is_empty()).collect();
    assert!(paths.len() > 50, "git lists the repository's files");
    let picked = paths.into_iter().filter(|path| pick(path) && root().join(path).is_file());
    picked.flat_map(|path| check(path, &read(path).unwrap_or_default())).collect()
}

pub(super) fn metadata() -> Value {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    serde_json::from_str(&run(Command::new(env!("CARGO")).args(arguments)))
        .expect("cargo writes JSON")
}

pub(super) fn run(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("git and cargo are installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(super) fn report(problems: &[String], advice: &str) {
    assert!(problems.is_empty(), "{advice}:\n  {}", problems.join("\n  "));
}
