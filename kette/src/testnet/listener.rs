//! Who listens on a port of this machine, from `/proc`: a socket's inode by its port, then the process that has it open.

use std::{fmt, fs, path::Path};

/// A process that listens. Of another user's no more is known than that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    port: u16,
    process: Option<(i32, String)>,
}

/// `st` of a socket that listens, in `/proc/net/tcp` (`TCP_LISTEN` in the kernel's tcp_states.h).
const LISTEN: &str = "0A";
/// A command line is shown up to so many characters.
const SHOWN_MAX: usize = 120;

impl Listener {
    /// Looks who listens on a TCP port, if anybody does. What is left of connections of a process that ended is nobody.
    pub fn on(port: u16) -> Option<Self> {
        let inodes = inodes(port);
        let process = inodes.iter().find_map(|inode| process(inode));
        (!inodes.is_empty()).then_some(Self { port, process })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.process {
            Some((pid, words)) => {
                write!(f, "port {port} is in use by process {pid} (`{words}`)")
            }
            None => write!(
                f,
                "port {port} is in use by a process of another user (`ss -tlnp 'sport = :{port}'` as root shows it)"
            ),
        }
    }
}

/// Returns the inodes of sockets that listen on a port.
fn inodes(port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    // sl, local_address, rem_address, st, queues, timer, retransmits, uid, timeout, inode (proc(5)).
    let listens = |fields: &Vec<&str>| {
        fields.get(1).is_some_and(|local| local.ends_with(&wanted))
            && fields.get(3) == Some(&LISTEN)
    };
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(listens)
        .filter_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

/// Returns the number and the command line of the process that has a socket open, if we may look.
fn process(inode: &str) -> Option<(i32, String)> {
    let socket = format!("socket:[{inode}]");
    let has = |directory: &Path| {
        let files = fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.as_os_str() == socket.as_str())
    };
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        if has(&entry.path()) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<String> = line
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty())
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            let line = words.join(" ");
            return Some((pid, line.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = Listener::on(port).unwrap();
        let (pid, words) = found.process.clone().unwrap();
        assert_eq!(pid.unsigned_abs(), std::process::id());
        let own = std::env::args().next().unwrap();
        assert!(words.starts_with(&own.chars().take(SHOWN_MAX).collect::<String>()), "{words}");
        assert!(found.to_string().contains(&format!("port {port} is in use by process {pid}")));
        drop(socket);
        assert_eq!(Listener::on(port), None);
    }
}
