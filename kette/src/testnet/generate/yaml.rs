//! A JSON value as YAML in block style (YAML 1.2): what other programs read must be valid whatever names are in it, so
//! strings are quoted as in JSON.

use serde_json::Value;
use std::fmt::Write as _;

/// Writes a document.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

/// Writes several documents into one file.
pub(super) fn documents(values: &[Value]) -> String {
    values.iter().map(document).collect::<Vec<_>>().join("---\n")
}

fn block(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let _ = write!(out, "{indent}{}:", plain_key(key));
                after(out, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(out, "{indent}-");
                after(out, item, depth);
            }
        }
        scalar => {
            let _ = writeln!(out, "{indent}{scalar}");
        }
    }
}

/// Writes a value after its key or dash: a scalar beside it, anything else below.
fn after(out: &mut String, value: &Value, depth: usize) {
    let nested = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        block(out, value, depth + 1);
    } else {
        let _ = writeln!(out, " {value}");
    }
}

fn plain_key(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let is_word = key.starts_with(|c: char| c.is_ascii_alphabetic());
    // Words that YAML reads as something else than text.
    let taken = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if is_word && key.chars().all(plain) && !taken.contains(&key.to_ascii_lowercase().as_str()) {
        return key.to_owned();
    }
    Value::from(key).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nests_and_quotes() {
        let value =
            json!({ "a": { "b": [1, "x: y", []], "on": true }, "c": {}, "d": [{ "e": "2\n" }] });
        let text = "a:\n  b:\n    - 1\n    - \"x: y\"\n    - []\n  \"on\": true\nc: {}\nd:\n  -\n    e: \"2\\n\"\n";
        assert_eq!(document(&value), text);
        assert_eq!(documents(&[json!(1), json!("a")]), "1\n---\n\"a\"\n");
    }
}
