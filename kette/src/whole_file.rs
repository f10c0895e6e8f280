//! Files that are there whole or not at all: written beside their place, then moved there. This outlives the end of the
//! process and that of power: the data is on disk before the name is, and the name before the call returns.

use anyhow::Context as _;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Writes a file, in the place of what is there. Whoever reads meanwhile finds the old one or the new one.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    put(Path::new(&draft), path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn put(draft: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path)?;
    sync_name(path)
}

/// Makes the name of a new or moved file outlive the end of power: it is in the directory, not in the file.
///
/// # Errors
/// If the directory cannot be written.
pub fn sync_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Removes a file, if it is there.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.json");
        for text in ["one", "another"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        let error = write(&dir.path().join("none/links.json"), "").unwrap_err();
        assert!(format!("{error:#}").contains("links.json"), "{error:#}");
    }
}
