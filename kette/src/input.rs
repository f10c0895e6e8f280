//! Files that a user names: read whole, up to a limit, and told apart if they are not what was expected.

use anyhow::{Context as _, bail};
use kette_sim::{recording, scenario::NetworkFile};
use serde::{Deserialize, de::IgnoredAny};
use std::{fs, path::Path};

/// What a file is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network, as `docs/network-file.md` describes it.
    NetworkFile,
    /// A chain's genesis file.
    Genesis,
    /// What `kette sim run --json` prints.
    Results,
    /// What `kette net run --json` prints.
    NetResults,
    /// Links of a network, or hosts of its nodes.
    Links,
    /// What `kette node --record` writes.
    Recording,
}

const MEGABYTE: u64 = 1_000_000;

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::NetworkFile => "a network file",
            Self::Genesis => "a genesis file",
            Self::Results => "a result of `kette sim run --json`",
            Self::NetResults => "a result of `kette net run --json`",
            Self::Links => "a list of links or hosts",
            Self::Recording => "a recording of a node",
        }
    }

    /// Bytes read at most: a mistyped name is not a machine out of memory.
    const fn bytes_max(self) -> u64 {
        match self {
            // Ten thousand steps have less than 2 MB.
            Self::NetworkFile | Self::Links => 16 * MEGABYTE,
            Self::Genesis => 64 * MEGABYTE,
            // A run has some kilobytes; nightly ones are thousands.
            Self::Results | Self::NetResults => 1_000 * MEGABYTE,
            Self::Recording => 2_000 * MEGABYTE,
        }
    }
}

/// Reads a network file.
///
/// # Errors
/// If it cannot be read, is something else, or breaks a rule; says which key.
pub fn network(path: &Path) -> anyhow::Result<NetworkFile> {
    let text = text(path, Kind::NetworkFile)?;
    NetworkFile::parse(&text).with_context(|| path.display().to_string())
}

/// Reads a text file that should be of this kind.
///
/// # Errors
/// If it cannot be read, is too large, or is obviously something else.
pub fn text(path: &Path, kind: Kind) -> anyhow::Result<String> {
    let bytes = bytes(path, kind)?;
    let found = guess(&bytes);
    match String::from_utf8(bytes) {
        Ok(text) if found.is_none_or(|found| found.is(kind)) => Ok(text),
        _ => {
            let found = found.unwrap_or(Guess::Other("a binary file")).words();
            bail!("{} seems to be {found}; {} is expected", path.display(), kind.words())
        }
    }
}

/// Reads a file up to the limit of its kind.
///
/// # Errors
/// If it cannot be read, is no file, or is too large.
pub fn bytes(path: &Path, kind: Kind) -> anyhow::Result<Vec<u8>> {
    let (name, expected) = (path.display(), kind.words());
    let about = fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
    if about.is_dir() {
        bail!("{name} is a folder; {expected} is expected");
    }
    if !about.is_file() {
        bail!("{name} is no regular file; {expected} is expected");
    }
    if about.len() > kind.bytes_max() {
        let (has, most) = (about.len().div_ceil(MEGABYTE), kind.bytes_max() / MEGABYTE);
        bail!("{name} has {has} MB; {expected} has at most {most} MB");
    }
    fs::read(path).with_context(|| format!("cannot read {name}"))
}

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    Kind(Kind),
    Other(&'static str),
}

impl Guess {
    fn is(self, kind: Kind) -> bool {
        self == Self::Kind(kind)
    }

    fn words(self) -> String {
        match self {
            Self::Kind(Kind::Recording) => {
                format!("{} (`kette sim replay FILE` replays it)", Kind::Recording.words())
            }
            Self::Kind(kind) => kind.words().to_owned(),
            Self::Other(words) => words.to_owned(),
        }
    }
}

/// The keys that tell JSON files apart.
#[derive(Deserialize)]
struct Keys {
    schema: Option<String>,
    alloc: Option<IgnoredAny>,
}

/// Says what a file looks like; `None` if it may be anything.
fn guess(bytes: &[u8]) -> Option<Guess> {
    if recording::is_recording(bytes) {
        return Some(Guess::Kind(Kind::Recording));
    }
    if bytes.starts_with(b"SQLite format 3\0") {
        return Some(Guess::Other("a node's database"));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Some(Guess::Other("a binary file")) };
    let start = text.trim_start();
    if text.contains('\0') {
        return Some(Guess::Other("a binary file"));
    }
    if start.starts_with('{') {
        return json(text);
    }
    if start.starts_with("<!") || start.starts_with("<html") {
        return Some(Guess::Other("an HTML page"));
    }
    let mut words = start.split_whitespace();
    if (words.next(), words.next()) == (Some("event"), Some("time")) {
        return Some(Guess::Other("a trace of `kette sim run --trace`"));
    }
    let table: toml::Table = toml::from_str(text).ok()?;
    let is_network = table.contains_key("network") && table.contains_key("group");
    is_network.then_some(Guess::Kind(Kind::NetworkFile))
}

fn json(text: &str) -> Option<Guess> {
    let keys: Keys = serde_json::from_str(text).ok()?;
    match keys {
        Keys { schema: Some(schema), .. } if schema == "kette-sim-run" => {
            Some(Guess::Kind(Kind::Results))
        }
        Keys { schema: Some(schema), .. } if schema == "kette-net-run" => {
            Some(Guess::Kind(Kind::NetResults))
        }
        Keys { schema: Some(_), .. } => Some(Guess::Other("what another command prints as JSON")),
        Keys { alloc: Some(_), .. } => Some(Guess::Kind(Kind::Genesis)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        let rows: [(&[u8], Option<Guess>); 11] = [
            (b"", None),
            (b"schema = 1\n[network]\n[[group]]\n", Some(Guess::Kind(Kind::NetworkFile))),
            (b"schema = 1\n[network", None),
            (b" {\"config\":{},\"alloc\":{}}", Some(Guess::Kind(Kind::Genesis))),
            (b"{\"schema\":\"kette-sim-run\",\"runs\":[]}", Some(Guess::Kind(Kind::Results))),
            (b"{\"config\":", None),
            (
                b"    event           time alice\n",
                Some(Guess::Other("a trace of `kette sim run --trace`")),
            ),
            (b"<!doctype html>", Some(Guess::Other("an HTML page"))),
            (b"SQLite format 3\0..", Some(Guess::Other("a node's database"))),
            (b"\x7fELF\0", Some(Guess::Other("a binary file"))),
            (recording::MAGIC, Some(Guess::Kind(Kind::Recording))),
        ];
        for (bytes, found) in rows {
            assert_eq!(guess(bytes), found, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_large_file_is_not_read() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(17 * MEGABYTE).expect("a sparse file");
        let error = network(file.path()).unwrap_err().to_string();
        assert!(error.ends_with("has 17 MB; a network file has at most 16 MB"), "{error}");
        assert!(
            text(file.path(), Kind::Genesis).unwrap_err().to_string().contains("a binary file")
        );
    }
}
