//! One command at a time works on a network: a lock file in its directory, which says whose it is. The kernel lets go of
//! it when the process ends, however that ends, so nothing has to be cleaned up after a command that was killed.

use super::directory::Directory;
use crate::commands::exit::Exit;
use anyhow::Context as _;
use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// Another command that works on the network gets this time to end.
const WITHIN: Duration = Duration::from_secs(10);
/// Who waits longer than this says for whom.
const SILENT: Duration = Duration::from_secs(1);
/// How often the lock is tried: nobody tells when it is free.
const POLL: Duration = Duration::from_millis(50);
/// The lock file's mode.
const OWNER_ONLY: u32 = 0o600;
/// A command line is shown up to so many characters.
const SHOWN_MAX: usize = 200;

/// Takes the lock of a network's directory, which must be there. It ends with the value, or with the process.
///
/// # Errors
/// If another command has it for long: names it.
pub fn lock(directory: &Directory) -> anyhow::Result<File> {
    let path = directory.lock();
    let began = Instant::now();
    let mut said = false;
    loop {
        let mut options = File::options();
        // Whoever can read a file can lock it.
        options.create(true).truncate(false).write(true).mode(OWNER_ONLY);
        let file = options.open(&path);
        let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            // The file may have been removed with its network since it was opened: then nobody else sees our lock.
            Ok(()) if !is_at(&file, &path) => continue,
            Ok(()) => {
                // One that an older version made.
                file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))?;
                file.set_len(0)?;
                file.write_all(own_words().as_bytes())?;
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if began.elapsed() > WITHIN {
            let text = format!(
                "{} works on the network in {}: wait for its end, or end it",
                holder(&path),
                directory.path().display()
            );
            return Err(Exit::TimedOut(text).into());
        }
        if began.elapsed() > SILENT && !said {
            eprintln!("waiting for {}", holder(&path));
            said = true;
        }
        std::thread::sleep(POLL);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let id = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => id(ours) == id(there),
        _ => false,
    }
}

/// Returns who has the lock, in the words that it wrote there.
fn holder(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    match text.trim() {
        "" => "another command".to_owned(),
        words => words.to_owned(),
    }
}

fn own_words() -> String {
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let words: String = words.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    format!("`kette {words}` (process {})\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_its_holder_and_is_no_trap_when_that_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::new(dir.path().to_path_buf());
        let held = lock(&directory).unwrap();
        let other = File::open(directory.lock()).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        let words = holder(&directory.lock());
        assert!(words.contains(&format!("(process {})", std::process::id())), "{words}");
        drop(held);
        // What a dead process wrote there says nothing.
        fs::write(
            directory.lock(),
            "`kette net run fork2 --home somewhere far away` (process 1)\n",
        )
        .unwrap();
        fs::set_permissions(directory.lock(), fs::Permissions::from_mode(0o644)).unwrap();
        drop(lock(&directory).unwrap());
        assert_eq!(holder(&directory.lock()), own_words().trim());
        let mode = || fs::metadata(directory.lock()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), OWNER_ONLY, "another user who could read it could hold it");
        fs::remove_file(directory.lock()).unwrap();
        drop(lock(&directory).unwrap());
        assert_eq!(mode(), OWNER_ONLY);
    }
}
