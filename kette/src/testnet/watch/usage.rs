//! What a process on this machine uses, as the system's own process table has it (proc(5)).

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Proportional set size, bytes: memory of its own plus its share of shared pages.
    pub pss_bytes: Option<u64>,
    /// Resident set size, bytes.
    pub rss_bytes: Option<u64>,
    /// Resident set size in percent of the machine's memory, as `ps` shows it.
    pub memory_percent: Option<f64>,
    /// Processor time in percent of the process's age, as `ps` shows it; 100 is one core.
    pub cpu_percent: Option<f64>,
}

/// USER_HZ: what `/proc` counts in on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

impl Usage {
    /// Reads what a process uses.
    pub fn of(pid: i32) -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let rss = read("status").ok().and_then(|text| kib(&text, "VmRSS:"));
        let memory =
            std::fs::read_to_string("/proc/meminfo").ok().and_then(|t| kib(&t, "MemTotal:"));
        let percent = |part: u64, whole: u64| round(part as f64 * 100.0 / whole.max(1) as f64);
        Self {
            pss_bytes: read("smaps_rollup").ok().and_then(|text| kib(&text, "Pss:")),
            rss_bytes: rss,
            memory_percent: rss.zip(memory).map(|(rss, memory)| percent(rss, memory)),
            cpu_percent: read("stat").ok().zip(uptime()).and_then(|(stat, up)| cpu(&stat, up)),
        }
    }
}

/// Returns the bytes of a line `Name:  12 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// Returns seconds since the machine started.
fn uptime() -> Option<f64> {
    std::fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()
}

/// Returns processor time over age from `/proc/PID/stat`: fields 14, 15 and 22.
fn cpu(stat: &str, up: f64) -> Option<f64> {
    // The name in parentheses may hold spaces: fields are counted after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    // Ages are as coarse as ticks: a process may seem to be born in a moment.
    let age = (up - field(22)? / TICKS_PER_SECOND).max(1.0 / TICKS_PER_SECOND);
    let used = (field(14)? + field(15)?) / TICKS_PER_SECOND;
    Some(round(used * 100.0 / age))
}

/// Rounds to hundredths.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_of_a_processor_is_time_over_age() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 1000 1 2";
        assert_eq!(cpu(stat, 20.0), Some(20.0));
        assert_eq!(
            cpu("7 (a) S 1 7 7 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 4 0 1000", 10.0),
            Some(0.0)
        );
        assert_eq!(cpu("7 (a) S", 20.0), None);
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = Usage::of(i32::try_from(std::process::id()).unwrap());
        assert!(usage.rss_bytes > Some(1 << 20) && usage.pss_bytes <= usage.rss_bytes);
        assert!(usage.memory_percent > Some(0.0) && usage.cpu_percent.is_some());
        assert_eq!(Usage::of(-1), Usage::default());
    }
}
