//! Processes that we started: alive or not, told to stop, never confused with somebody else's. Threads have numbers of the
//! same kind, and an entry in `/proc`.

use super::directory::ProcessId;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::time::{Duration, Instant};

impl ProcessId {
    /// Identifies a running process by its number.
    pub fn of(pid: i32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started, host: None })
    }

    /// Tells whether this very process runs (a zombie does not).
    pub fn is_alive(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Tells whether this very process stands still (SIGSTOP).
    pub fn is_paused(self) -> bool {
        state(self.pid).is_some_and(|(state, started)| state == 'T' && started == self.started)
    }

    /// Sends a signal, if this very process runs. A thread gets none: it would reach its whole process.
    pub fn signal(self, signal: Signal) -> bool {
        self.host.is_none() && self.is_alive() && kill(Pid::from_raw(self.pid), signal).is_ok()
    }

    /// Waits until the process is gone; tells whether it is.
    pub fn wait_gone(self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() >= until {
                return false;
            }
            reap(self.pid);
            std::thread::sleep(POLL);
        }
        true
    }
}

/// How often a process that is not our child is looked at; the kernel tells of children only.
const POLL: Duration = Duration::from_millis(10);

/// Takes the exit status of a child, so that it does not stay as a zombie.
fn reap(pid: i32) {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    // Not our child, or not ended: both are fine.
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

/// Returns when a process began, from `/proc/PID/stat` (field 22), or `None` if it does not run.
fn started(pid: i32) -> Option<u64> {
    state(pid).filter(|(state, _)| !matches!(state, 'Z' | 'X')).map(|(_, started)| started)
}

/// Returns a process's state (field 3 of the same file) and when it began.
fn state(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces: fields are counted after it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_running_process_from_an_ended_one() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32).unwrap();
        assert!(id.is_alive());
        assert!(!id.is_paused());
        assert!(id.signal(Signal::SIGSTOP));
        let until = Instant::now() + Duration::from_secs(5);
        while !id.is_paused() && Instant::now() < until {
            std::thread::sleep(POLL);
        }
        assert!(id.is_paused() && id.is_alive());
        assert!(id.signal(Signal::SIGCONT));
        assert!(!ProcessId { started: id.started + 1, ..id }.is_alive(), "another process");
        assert!(id.signal(Signal::SIGTERM));
        assert!(child.wait().is_ok());
        assert!(!id.is_alive());
        assert!(!id.signal(Signal::SIGTERM));
    }
}
