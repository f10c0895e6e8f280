//! What Linux tells of this process; elsewhere nothing.

use serde::Serialize;

/// What the process uses.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Processor time since its start, seconds.
    pub(crate) cpu_seconds: Option<f64>,
    /// Memory in use, bytes.
    pub(crate) rss_bytes: Option<u64>,
    /// Threads.
    pub(crate) threads: Option<u64>,
    /// Open file descriptors.
    pub(crate) open_files: Option<u64>,
}

/// Reads what the process uses now.
pub(crate) fn usage() -> Usage {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let open = std::fs::read_dir("/proc/self/fd").ok();
    Usage {
        cpu_seconds: ticks(&stat).map(|ticks| ticks as f64 / TICKS_PER_SECOND),
        rss_bytes: field("VmRSS:").map(|kib| kib * 1024),
        threads: field("Threads:"),
        open_files: open.map(|open| u64::try_from(open.count()).unwrap_or(u64::MAX)),
    }
}

/// Returns user and system time, fields 14 and 15 of `/proc/PID/stat`. The name may hold spaces.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// USER_HZ: what `/proc` counts in on Linux, on every architecture that we run on (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ticks_behind_a_name_with_spaces() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 25 17 0 0 20 0 4 0 99 1 2";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks(""), None);
    }
}
