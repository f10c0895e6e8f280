//! Nodes' logs in words for people, with nodes by their names.

use super::directory::{Manifest, ManifestNode};
use kette_types::PeerId;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// Names of a network's nodes by the short form of their identities, which is what logs and events have.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Takes the names of a network. An identity that cannot be read has none.
    pub fn of(manifest: &Manifest) -> Self {
        let name = |node: &ManifestNode| {
            let peer: PeerId = node.peer_id.parse().ok()?;
            Some((peer.short(), node.plan.name.clone()))
        };
        Self(manifest.nodes.iter().filter_map(name).collect())
    }

    /// Puts names in the place of identities.
    pub fn put(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for part in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let known = self.0.get(word);
            out += known.map_or(word, String::as_str);
            out += &part[word.len()..];
        }
        out
    }
}

/// Fields that are said elsewhere, or say nothing to people.
const HIDDEN: [&str; 6] = ["timestamp", "level", "message", "target", "node", "moniker"];

/// Returns level, message and fields of a JSON line, without control characters.
pub fn words(line: &Map<String, Value>, names: &Names) -> String {
    let word = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut text = format!("{:5} {}", word("level"), word("message"));
    // By name, in whichever order the line has them.
    let fields: BTreeMap<&String, &Value> =
        line.iter().filter(|(key, _)| !HIDDEN.contains(&key.as_str())).collect();
    for (key, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text += &format!(" {key}={}", names.put(&value));
    }
    plain(&text)
}

/// Returns the time of day of a JSON line, UTC, to the millisecond; empty if it has none.
pub fn time_of_day(timestamp: &str) -> &str {
    timestamp.get(11..23).unwrap_or_default()
}

/// Drops control characters, which a peer's words may have and a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// So many bytes at a log's end are read.
const BYTES: u64 = 256 * 1024;

/// Reads the last lines of a log, in words; what is no JSON is shown as it is.
pub fn tail(path: &Path, names: &Names) -> Vec<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // The first line may be cut.
        let begin = if from == 0 { 0 } else { bytes.iter().position(|b| *b == b'\n').unwrap_or(0) };
        Ok(bytes.split_off(begin))
    };
    match read() {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            text.lines().filter(|line| !line.is_empty()).map(|line| shown(line, names)).collect()
        }
        Err(error) => vec![format!("cannot read {}: {error}", path.display())],
    }
}

fn shown(line: &str, names: &Names) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return plain(line) };
    let timestamp = fields.get("timestamp").and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", time_of_day(timestamp), words(&fields, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Names {
        Names(BTreeMap::from([("0a1b2c3d".to_owned(), "node4".to_owned())]))
    }

    #[test]
    fn identities_become_names() {
        for (text, wanted) in [
            ("0a1b2c3d: too slow", "node4: too slow"),
            ("0x12 of 0a1b2c3d: bad, 0a1b2c3d", "0x12 of node4: bad, node4"),
            ("0a1b2c3d", "node4"),
            ("0a1b2c3d4e", "0a1b2c3d4e"),
            ("", ""),
        ] {
            assert_eq!(names().put(text), wanted);
        }
    }

    #[test]
    fn a_line_is_level_message_and_fields() {
        let line = json!({
            "timestamp": "2026-01-01T10:00:00.123456Z", "level": "INFO", "message": "new\nhead", "number": 7,
            "peer": "0a1b2c3d", "target": "kette", "node": "node1",
        });
        let line = line.as_object().unwrap();
        assert_eq!(words(line, &names()), "INFO  newhead number=7 peer=node4");
        assert_eq!(time_of_day(line["timestamp"].as_str().unwrap()), "10:00:00.123");
    }

    #[test]
    fn json_becomes_words_and_other_text_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let line = r#"{"node":"a","timestamp":"2026-11-21T21:37:16.123456Z","level":"INFO","message":"new\nhead","number":7,"hash":"0xab","target":"kette"}"#;
        std::fs::write(&path, format!("{line}\npanicked\u{1b}[31m\n")).unwrap();
        assert_eq!(
            tail(&path, &Names::default()),
            ["21:37:16.123 INFO  newhead hash=0xab number=7", "panicked[31m"]
        );
        assert!(tail(&dir.path().join("none"), &Names::default())[0].starts_with("cannot read"));
    }

    #[test]
    fn only_the_end_of_a_long_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let text: String = (0..60_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let lines = tail(&path, &Names::default());
        assert!(text.len() as u64 > BYTES && lines.len() < 60_000);
        assert!(lines[0].starts_with("line ") && lines.last().unwrap() == "line 59999");
    }
}
