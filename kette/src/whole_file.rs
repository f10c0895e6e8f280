//! Files that are there whole or not at all: written beside their place, then moved there.
//!
//! [`write`] and [`remove`] outlive the end of the process and that of power: the data is on disk before the name is, and
//! the name before the call returns. They are for what must hold when a machine comes back: markers, the list of a
//! network's nodes. [`write_unsynced`] and [`remove_unsynced`] outlive the end of the process only, and wait for no disk:
//! they are for what says nothing after the end of power, as which processes run and what is cut between them.

use anyhow::Context as _;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Writes a file, in the place of what is there, so that it outlives the end of power. Whoever reads meanwhile finds the
/// old one or the new one.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    put(path, text, true)
}

/// The same without waiting for the disk: after the end of power it is the old one, the new one, or an empty one.
///
/// # Errors
/// If it cannot be written.
pub fn write_unsynced(path: &Path, text: &str) -> anyhow::Result<()> {
    put(path, text, false)
}

fn put(path: &Path, text: &str, durable: bool) -> anyhow::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let put = || {
        let mut file = File::create(&draft)?;
        file.write_all(text.as_bytes())?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&draft, path)?;
        if durable { sync_name(path) } else { Ok(()) }
    };
    put().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the name of a new or moved file outlive the end of power: it is in the directory, not in the file.
///
/// # Errors
/// If the directory cannot be written.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Syncs all that is in a directory, and the directory: files that were copied there outlive the end of power.
///
/// # Errors
/// If something cannot be read or written.
pub fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(path)?.sync_all()
}

/// Removes a file, if it is there, so that it does not come back after the end of power.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    if remove_if_there(path)? {
        sync_name(path).with_context(|| format!("cannot remove {} for good", path.display()))?;
    }
    Ok(())
}

/// The same without waiting for the disk: after the end of power it may be there again.
///
/// # Errors
/// If it cannot be removed.
pub fn remove_unsynced(path: &Path) -> anyhow::Result<()> {
    remove_if_there(path).map(drop)
}

fn remove_if_there(path: &Path) -> anyhow::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        let nowhere = dir.path().join("none/links.json");
        for (write, remove) in
            [(write as fn(_, _) -> _, remove as fn(_) -> _), (write_unsynced, remove_unsynced)]
        {
            for text in ["one", "another"] {
                write(path.as_path(), text).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), text);
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            remove(path.as_path()).unwrap();
            remove(path.as_path()).unwrap();
            assert!(!path.exists());
            let error: anyhow::Error = write(nowhere.as_path(), "").unwrap_err();
            assert!(format!("{error:#}").contains("links.json"), "{error:#}");
        }
    }
}
