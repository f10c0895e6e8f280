//! A network's data at one moment, kept beside the network: databases, what validators signed last, the list of nodes.
//!
//! All nodes are saved together, and go back together: a validator that went back alone would sign again what it signed.

use super::{
    control::Control,
    directory::{Directory, Manifest},
};
use anyhow::{Context as _, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Suffixes of the files of a database that a clean stop leaves.
const DATABASE: [&str; 3] = ["", "-wal", "-shm"];

/// Saves a network under a name. Nodes that run are stopped for it, and started again. Returns where it is and how many
/// bytes it has.
///
/// # Errors
/// If the name is taken or none, a node does not end, or a file cannot be copied.
pub fn save(control: &mut Control, name: &str) -> anyhow::Result<(PathBuf, u64)> {
    let place = place(&control.directory, name)?;
    if place.exists() {
        bail!(
            "there is a snapshot `{name}` already: take another name, or remove {}",
            place.display()
        );
    }
    let running = stop_all(control)?;
    // Whole or not at all: the name appears when everything is copied.
    let draft = place.with_extension("new");
    let copied = copy_out(&control.directory, &control.manifest, &draft).and_then(|bytes| {
        Directory::new(draft.clone()).save(&control.manifest)?;
        fs::rename(&draft, &place).with_context(|| format!("cannot make {}", place.display()))?;
        Ok(bytes)
    });
    start_all(control, &running)?;
    Ok((place, copied?))
}

/// Puts a network back to a snapshot. Nodes that ran before run again; nodes that joined since are taken out,
/// with their data and logs. If it breaks off half-way, the same load again completes it.
///
/// # Errors
/// If there is no such snapshot, a node does not end, or a file cannot be copied.
pub fn load(control: &mut Control, name: &str) -> anyhow::Result<()> {
    let place = place(&control.directory, name)?;
    let Some(mut saved) = Directory::new(place).load()? else {
        bail!("there is no snapshot `{name}`: there are {}", names(&control.directory)?.join(", "));
    };
    if saved.genesis != control.manifest.genesis {
        bail!("snapshot `{name}` is of a network with another genesis");
    }
    // Copied before anything is stopped or removed: if the disk is full, the network goes on as it was.
    let draft = control.directory.path().join(FOLDER).join(DRAFT);
    let source = Directory::new(self::place(&control.directory, name)?);
    copy_out(&source, &saved, &draft).inspect_err(|_| drop(fs::remove_dir_all(&draft)))?;
    let running: Vec<String> =
        stop_all(control)?.into_iter().map(|node| control.name(node).to_owned()).collect();
    for node in &control.manifest.nodes {
        let name = &node.plan.name;
        control.directory.remove_database(name)?;
        if saved.nodes.iter().all(|known| known.plan.name != *name) {
            control.directory.remove_node(name)?;
        }
    }
    put_nodes(&Directory::new(draft.clone()), &control.directory, &saved, rename)?;
    fs::remove_dir_all(&draft).with_context(|| format!("cannot remove {}", draft.display()))?;
    for node in &mut saved.nodes {
        node.process = None;
    }
    control.manifest = saved;
    control.save()?;
    let nodes: Vec<usize> = (0..control.manifest.nodes.len())
        .filter(|node| running.iter().any(|name| name == control.name(*node)))
        .collect();
    start_all(control, &nodes)
}

/// Returns the names of all snapshots of a network.
///
/// # Errors
/// If the directory cannot be read.
pub fn names(directory: &Directory) -> anyhow::Result<Vec<String>> {
    let place = directory.path().join(FOLDER);
    if !place.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&place).with_context(|| place.display().to_string())? {
        let entry = entry?;
        if entry.path().join("network.json").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

const FOLDER: &str = "snapshots";
/// What is about to be loaded; no snapshot has this name.
const DRAFT: &str = ".loading";

fn place(directory: &Directory, name: &str) -> anyhow::Result<PathBuf> {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(inner) {
        bail!("`{name}` is no name of a snapshot: letters, digits, - and _, at most 64");
    }
    Ok(directory.path().join(FOLDER).join(name))
}

fn stop_all(control: &mut Control) -> anyhow::Result<Vec<usize>> {
    let running = control.running();
    for node in &running {
        control.stop(*node)?;
    }
    Ok(running)
}

fn start_all(control: &mut Control, nodes: &[usize]) -> anyhow::Result<()> {
    for node in nodes {
        control.start(*node)?;
    }
    Ok(())
}

fn copy_out(directory: &Directory, manifest: &Manifest, to: &Path) -> anyhow::Result<u64> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let target = Directory::new(to.to_path_buf());
    put_nodes(directory, &target, manifest, copy)
}

/// Puts databases and homes of all nodes elsewhere; not logs, which go on.
fn put_nodes(
    from: &Directory,
    to: &Directory,
    manifest: &Manifest,
    put: fn(&Path, &Path) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for node in &manifest.nodes {
        let name = &node.plan.name;
        for suffix in DATABASE {
            let with = |path: PathBuf| {
                let mut path = path.into_os_string();
                path.push(suffix);
                PathBuf::from(path)
            };
            bytes += put(&with(from.database(name)), &with(to.database(name)))?;
        }
        let home = to.node(name);
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        // What was signed since is not so any more for anybody: the whole network goes back.
        let state = crate::run::home::Home::new(home.clone()).sign_state();
        if state.exists() {
            fs::remove_file(&state)
                .with_context(|| format!("cannot remove {}", state.display()))?;
        }
        let source = from.node(name);
        let entries = fs::read_dir(&source).with_context(|| source.display().to_string())?;
        // All of them first: they may move.
        for entry in entries.collect::<Result<Vec<_>, _>>()? {
            if entry.file_type()?.is_file() {
                bytes += put(&entry.path(), &home.join(entry.file_name()))?;
            }
        }
    }
    Ok(bytes)
}

/// Copies a file if it is there, with its mode, replacing what stands there.
fn copy(from: &Path, to: &Path) -> anyhow::Result<u64> {
    match fs::copy(from, to) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !from.exists() => Ok(0),
        Err(error) => Err(error)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display())),
    }
}

/// Moves a file if it is there, replacing what stands there.
fn rename(from: &Path, to: &Path) -> anyhow::Result<u64> {
    match fs::rename(from, to) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !from.exists() => Ok(0),
        Err(error) => Err(error)
            .with_context(|| format!("cannot move {} to {}", from.display(), to.display())),
    }
}
