//! The end of a node's log, as lines for people; what is no JSON is shown as it is.

use serde_json::Value;
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// So many bytes at a log's end are read.
const BYTES: u64 = 256 * 1024;

/// Reads the last lines of a log.
pub fn tail(path: &Path) -> Vec<String> {
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
            String::from_utf8_lossy(&bytes).lines().filter(|l| !l.is_empty()).map(shown).collect()
        }
        Err(error) => vec![format!("cannot read {}: {error}", path.display())],
    }
}

/// Turns a JSON line into words: time, level, message, fields.
fn shown(line: &str) -> String {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return clean(line) };
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (timestamp, level, message) = (take("timestamp"), take("level"), take("message"));
    take("node");
    take("target");
    let time = timestamp.get(11..23).unwrap_or(&timestamp);
    let mut text = format!("{time} {level:5} {message}");
    // By name, in whichever order the line has them.
    let fields: std::collections::BTreeMap<String, Value> = fields.into_iter().collect();
    for (name, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text += &format!(" {name}={value}");
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_words_and_other_text_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let line = r#"{"node":"a","timestamp":"2026-11-21T21:37:16.123456Z","level":"INFO","message":"new\nhead","number":7,"hash":"0xab","target":"kette"}"#;
        std::fs::write(&path, format!("{line}\npanicked\u{1b}[31m\n")).unwrap();
        assert_eq!(tail(&path), ["21:37:16.123 INFO  newhead hash=0xab number=7", "panicked[31m"]);
        assert!(tail(&dir.path().join("none"))[0].starts_with("cannot read"));
    }

    #[test]
    fn only_the_end_of_a_long_log_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let text: String = (0..60_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let lines = tail(&path);
        assert!(text.len() as u64 > BYTES && lines.len() < 60_000);
        assert!(lines[0].starts_with("line ") && lines.last().unwrap() == "line 59999");
    }
}
