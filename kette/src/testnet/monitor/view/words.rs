//! Numbers as short words.

/// Returns the time of day in UTC, `HH:MM:SS`.
pub fn clock(at_ms: u64) -> String {
    let seconds = at_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Returns a duration, e.g. `1h02m` or `2m05s`.
pub fn duration(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs}s"),
        60..3_600 => format!("{}m{:02}s", secs / 60, secs % 60),
        _ => format!("{}h{:02}m", secs / 3_600, secs / 60 % 60),
    }
}

/// Returns milliseconds, e.g. `45ms` or `1.25s`.
pub fn millis(ms: Option<u64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms @ 0..1_000) => format!("{ms}ms"),
        Some(ms) => format!("{:.2}s", ms as f64 / 1e3),
    }
}

/// Returns a number of bytes, e.g. `2.0k` or `35M`.
pub fn bytes(count: Option<f64>) -> String {
    let Some(mut count) = count else { return "-".to_owned() };
    let mut unit = "";
    for next in ["k", "M", "G"] {
        if count < 1_024.0 {
            break;
        }
        (count, unit) = (count / 1_024.0, next);
    }
    if unit.is_empty() || count >= 10.0 {
        format!("{count:.0}{unit}")
    } else {
        format!("{count:.1}{unit}")
    }
}

/// Returns a number with one decimal, or a dash.
pub fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

/// Returns the first eight digits of a hash.
pub fn hash(text: &str) -> String {
    text.trim_start_matches("0x").chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(clock(1_790_000_000_000), "14:13:20");
        assert_eq!([5, 125, 3_725].map(duration), ["5s", "2m05s", "1h02m"]);
        assert_eq!([None, Some(45), Some(1_250)].map(millis), ["-", "45ms", "1.25s"]);
        assert_eq!(
            [None, Some(7.0), Some(2_048.0), Some(36_700_160.0)].map(bytes),
            ["-", "7", "2.0k", "35M"]
        );
        assert_eq!(
            (hash("0x0123456789"), decimal(Some(1.25))),
            ("01234567".to_owned(), "1.2".to_owned())
        );
    }
}
