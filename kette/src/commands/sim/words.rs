//! Numbers, times and command lines as people read them.

use std::time::Duration;

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 violation`, `2 violations`: a number with what is counted.
pub fn counted(number: u64, what: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{} {what}{many}", grouped(number))
}

/// `950`, `12.3 k`, `4.56 M`.
pub fn short_number(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// Milliseconds as `0.25 ms`, `120 ms` or `3.42 s`.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{:.2} s", ms / 1_000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// Seconds as `12.3 s`, `5 m 04 s` or `2 h 03 m`.
pub fn seconds(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.max(0.0)).as_secs();
    match whole {
        0..120 => format!("{seconds:.1} s"),
        120..7_200 => format!("{} m {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} m", whole / 3_600, whole / 60 % 60),
    }
}

/// Bytes in MB.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// A word of a command line, quoted for a shell if it needs it.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The command line of this process, as a shell would take it.
pub fn command_line() -> String {
    let mut words = vec![format!("{}kette", super::plant::prefix())];
    words.extend(std::env::args_os().skip(1).map(|word| shell(&word.to_string_lossy())));
    words.join(" ")
}

/// `ok` or `FAIL`.
pub const fn verdict(ok: bool) -> &'static str {
    if ok { "ok" } else { "FAIL" }
}

/// The commit that this binary was built from.
pub const COMMIT: &str = env!("KETTE_COMMIT");

/// How many processors this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The most memory that this process had so far, bytes.
pub fn peak_memory() -> Option<u64> {
    // Linux counts per program here, and across `exec` in getrusage.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    if let Some(kib) = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()) {
        return Some(kib * 1_024);
    }
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).ok()?;
    let unit = if cfg!(target_os = "macos") { 1 } else { 1_024 };
    u64::try_from(usage.max_rss()).ok().map(|rss| rss * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_and_times() {
        let rows = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in rows {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(
            (short_number(950.0), short_number(4_560_000.0)),
            ("950".into(), "4.56 M".into())
        );
        assert_eq!((millis(0.25), millis(3_420.0)), ("0.25 ms".into(), "3.42 s".into()));
        assert_eq!((seconds(12.34), seconds(304.0)), ("12.3 s".into(), "5 m 04 s".into()));
        assert_eq!(seconds(7_380.0), "2 h 03 m");
        assert_eq!(
            [0, 1, 1_200].map(|number| counted(number, "run")),
            ["0 runs", "1 run", "1,200 runs"]
        );
    }

    #[test]
    fn quotes_what_a_shell_would_split() {
        assert_eq!(shell("a/b-1.toml"), "a/b-1.toml");
        assert_eq!(shell("my file"), "'my file'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn a_running_process_has_a_peak() {
        assert!(peak_memory().is_some_and(|bytes| bytes > 100_000));
    }
}
