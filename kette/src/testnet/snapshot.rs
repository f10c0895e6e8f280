//! A network's data at one moment, kept beside the network: the list of its nodes, their databases, keys and links, what
//! validators signed last. It stays when the network is purged.
//!
//! All nodes are saved together, and go back together: a validator that went back alone would sign again what it signed.

use super::{
    control::Control,
    directory::{Directory, Manifest},
    live_links::LiveLinks,
    lock::lock,
    observe,
};
use crate::{run::home::Home, whole_file};
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Suffixes of the files of a database that a clean stop leaves.
const DATABASE: [&str; 3] = ["", "-wal", "-shm"];

/// Saves a network under a name. Nodes that run are stopped for it, and started again. Returns where it is and how many
/// bytes it has.
///
/// # Errors
/// If the name is taken or none, a node does not end, or a file cannot be copied.
pub fn save(control: &mut Control, name: &str) -> anyhow::Result<(PathBuf, u64)> {
    refuse_half(&control.directory)?;
    let place = place(&control.directory, name)?;
    if place.exists() {
        bail!(
            "there is a snapshot `{name}` already: take another name, or remove it with `kette net snapshot rm {name}`"
        );
    }
    let running = stop_all(control)?;
    // Whole or not at all: the name appears when everything is copied and on disk.
    let draft = place.with_extension("new");
    let copied = copy_out(&control.directory, &control.manifest, &draft).and_then(|bytes| {
        fs::rename(&draft, &place)
            .and_then(|()| whole_file::sync_name(&place))
            // The folder of snapshots may be new.
            .and_then(|()| whole_file::sync_name(&control.directory.path().join(FOLDER)))
            .with_context(|| format!("cannot make {}", place.display()))?;
        Ok(bytes)
    });
    start_all(control, &running)?;
    Ok((place, copied?))
}

/// What a network became when it went back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// All its nodes.
    pub nodes: Vec<String>,
    /// Nodes that had left since.
    pub back: Vec<String>,
    /// Nodes that had joined since: they are out, with their data and logs.
    pub gone: Vec<String>,
    /// Nodes that were started.
    pub started: Vec<String>,
    /// Into how many components it is cut, as it was when it was saved.
    pub cut_into: Option<usize>,
    /// The nodes heal that themselves after so many seconds.
    pub cut_for_seconds: Option<u64>,
    /// It was cut then for a time that is over.
    pub cut_ended: bool,
}

/// A load that has begun to replace what was there: written before, removed after. Whoever finds it begins anew with the
/// same snapshot, which still has everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Begun {
    snapshot: String,
    /// Nodes that ran before.
    running: Vec<String>,
}

fn begun_path(directory: &Directory) -> PathBuf {
    directory.path().join(FOLDER).join(BEGUN)
}

fn begun(directory: &Directory) -> anyhow::Result<Option<Begun>> {
    let path = begun_path(directory);
    match fs::read_to_string(&path) {
        Ok(text) => {
            serde_json::from_str(&text).map(Some).with_context(|| path.display().to_string())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Refuses what must not be done to a network that is partly that of a snapshot.
///
/// # Errors
/// If a load of a snapshot was interrupted: says how to finish it.
pub fn refuse_half(directory: &Directory) -> anyhow::Result<()> {
    match begun(directory)? {
        None => Ok(()),
        Some(Begun { snapshot, .. }) => bail!(
            "`kette net snapshot load {snapshot}` was interrupted: repeat it, or `kette net up` finishes it"
        ),
    }
}

/// Returns the nodes of a snapshot whose load was interrupted: some of them may be in the directory.
///
/// # Errors
/// If the snapshot is there no more, or a file cannot be read.
pub fn half(directory: &Directory) -> anyhow::Result<Option<Manifest>> {
    let Some(Begun { snapshot: name, .. }) = begun(directory)? else { return Ok(None) };
    let mut saved = manifest(directory, &name)?;
    saved.forget_processes();
    Ok(Some(saved))
}

/// Finishes a load that was interrupted when it had begun to replace what was there, without starting nodes; returns the
/// snapshot's name. Removes what was copied for one that had not.
///
/// # Errors
/// As [`load`].
pub fn finish(directory: &Directory) -> anyhow::Result<Option<String>> {
    let draft = directory.path().join(FOLDER).join(DRAFT);
    let Some(Begun { snapshot: name, .. }) = begun(directory)? else {
        if draft.exists() {
            // Of a command that was killed, unless it still copies.
            let _lock = lock(directory)?;
            remove_draft(&draft)?;
        }
        return Ok(None);
    };
    let mut control = take(directory, &name)?;
    if begun(directory)?.is_none() {
        // Who had the lock has finished.
        return Ok(None);
    }
    put_back(&mut control, &name)?;
    Ok(Some(name))
}

/// Forgets a load that was interrupted: the network is removed.
///
/// # Errors
/// If a file cannot be removed.
pub fn forget(directory: &Directory) -> anyhow::Result<()> {
    remove_draft(&directory.path().join(FOLDER).join(DRAFT))?;
    whole_file::remove(&begun_path(directory))
}

fn remove_draft(draft: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", draft.display()))
        }
        _ => Ok(()),
    }
}

/// Takes a network, or the place of one that was purged while its snapshots stayed.
///
/// # Errors
/// If there is no such snapshot, or another command works there.
pub fn take(directory: &Directory, name: &str) -> anyhow::Result<Control> {
    match directory.load()? {
        Some(_) => Control::take(directory),
        None => Control::begin(directory, manifest(directory, name)?),
    }
}

/// Puts a network back to a snapshot as a whole: its nodes, their data, what they are told to be, their links. Nodes that
/// ran before run again, and with them those that come back.
///
/// # Errors
/// If there is no such snapshot, a node does not end or start, or a file cannot be copied.
pub fn load(control: &mut Control, name: &str) -> anyhow::Result<Restored> {
    let (mut restored, running) = put_back(control, name)?;
    let starts = |name: &str| {
        let ran = |list: &[String]| list.iter().any(|known| known == name);
        ran(&running) || (!running.is_empty() && ran(&restored.back))
    };
    let nodes: Vec<usize> =
        (0..control.manifest.nodes.len()).filter(|node| starts(control.name(*node))).collect();
    // Before nodes see it, and forget what is over.
    let links = LiveLinks::open(&control.directory)?;
    restored.cut_into = links.cut_into()?;
    let lasts = links.cut_lasts()?.filter(|_| restored.cut_into.is_some());
    restored.cut_for_seconds = lasts.map(|lasts| lasts.as_secs().max(1));
    restored.cut_ended = restored.cut_into.is_none() && links.cut_ended()?;
    start_all(control, &nodes)?;
    restored.started = nodes.iter().map(|node| control.name(*node).to_owned()).collect();
    Ok(restored)
}

/// Stops the nodes and puts a snapshot in the place of what is there. Returns also which nodes ran.
fn put_back(control: &mut Control, name: &str) -> anyhow::Result<(Restored, Vec<String>)> {
    let mut saved = manifest(&control.directory, name)?;
    if saved.genesis != control.manifest.genesis {
        bail!("snapshot `{name}` is of a network with another genesis");
    }
    // Copied before anything is stopped or removed: if the disk is full, the network goes on as it was.
    let draft = control.directory.path().join(FOLDER).join(DRAFT);
    let source = Directory::new(place(&control.directory, name)?);
    copy_out(&source, &saved, &draft).inspect_err(|_| drop(fs::remove_dir_all(&draft)))?;
    let running = control.running().into_iter().map(|node| control.name(node).to_owned());
    let mut running: Vec<String> = running.collect();
    running.extend(begun(&control.directory)?.into_iter().flat_map(|begun| begun.running));
    let begins = Begun { snapshot: name.to_owned(), running: running.clone() };
    stop_all(control)?;
    // Whoever is killed from here on leaves word. Before, all is as it was, and nodes that stopped can start.
    whole_file::write(&begun_path(&control.directory), &serde_json::to_string_pretty(&begins)?)?;
    let names = |manifest: &Manifest| -> Vec<String> {
        manifest.nodes.iter().map(|node| node.plan.name.clone()).collect()
    };
    let (now, then) = (names(&control.manifest), names(&saved));
    let without = |these: &[String], others: &[String]| -> Vec<String> {
        these.iter().filter(|name| !others.contains(name)).cloned().collect()
    };
    let (back, gone) = (without(&then, &now), without(&now, &then));
    replace(control, &gone, &saved, &draft).with_context(|| {
        format!("the network is half restored: repeat `kette net snapshot load {name}`")
    })?;
    saved.forget_processes();
    saved.remember(&control.manifest);
    saved.former.retain(|name| !gone.contains(name));
    (saved.in_process, saved.host) = (control.manifest.in_process, control.manifest.host);
    control.manifest = saved;
    control.save()?;
    observe::refresh(&control.directory, &control.manifest)?;
    forget(&control.directory)?;
    Ok((Restored { nodes: then, back, gone, ..Restored::default() }, running))
}

/// Puts what was saved, and lies in `draft`, in the place of what is there, so that it outlives the end of power.
fn replace(
    control: &Control,
    gone: &[String],
    saved: &Manifest,
    draft: &Path,
) -> anyhow::Result<()> {
    for name in gone {
        control.directory.remove_node(name)?;
    }
    for node in &saved.nodes {
        let name = &node.plan.name;
        control.directory.remove_database(name)?;
        // What was ordered or signed since is not so any more for anybody: the whole network goes back.
        let home = Home::new(control.directory.node(name));
        for path in [home.links(), home.cut(), home.byzantine(), home.sign_state()] {
            whole_file::remove_unsynced(&path)?;
        }
    }
    put_all(&Directory::new(draft.to_path_buf()), &control.directory, saved, rename)?;
    for node in &saved.nodes {
        // What its home is made of now has its name there.
        let file = Home::new(control.directory.node(&node.plan.name)).genesis();
        whole_file::sync_name(&file).with_context(|| file.display().to_string())?;
    }
    let file = control.directory.genesis();
    whole_file::sync_name(&file).with_context(|| file.display().to_string())
}

/// Reads which nodes a snapshot has.
///
/// # Errors
/// If there is no such snapshot.
pub fn manifest(directory: &Directory, name: &str) -> anyhow::Result<Manifest> {
    match Directory::new(place(directory, name)?).load()? {
        Some(saved) => Ok(saved),
        None => Err(missing(directory, name)),
    }
}

fn missing(directory: &Directory, name: &str) -> anyhow::Error {
    let there = match list(directory).unwrap_or_default() {
        known if known.is_empty() => "`kette net snapshot save NAME` makes one".to_owned(),
        known => {
            let names: Vec<String> = known.into_iter().map(|saved| saved.snapshot).collect();
            format!("there are {}", names.join(", "))
        }
    };
    anyhow::anyhow!("there is no snapshot `{name}`: {there}")
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Its name.
    pub snapshot: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// How many nodes it has.
    pub nodes: usize,
    /// When it was made, seconds since 1970.
    pub saved_at: u64,
}

/// Returns all snapshots of a directory, also after its network was purged.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(directory: &Directory) -> anyhow::Result<Vec<Saved>> {
    let folder = directory.path().join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let (path, snapshot) = (entry?.path(), String::new());
        let snapshot =
            path.file_name().map_or(snapshot, |name| name.to_string_lossy().into_owned());
        // One that is about to be made is none.
        let Ok(place) = place(directory, &snapshot) else { continue };
        let Some(manifest) = Directory::new(place.clone()).load()? else { continue };
        let time = fs::metadata(&place)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        found.push(Saved {
            snapshot,
            bytes: size(&path)?,
            path,
            nodes: manifest.nodes.len(),
            saved_at: time.as_secs(),
        });
    }
    found.sort_by(|a, b| a.snapshot.cmp(&b.snapshot));
    Ok(found)
}

/// Removes a snapshot.
///
/// # Errors
/// If there is none, or a file cannot be removed.
pub fn remove(directory: &Directory, name: &str) -> anyhow::Result<()> {
    manifest(directory, name)?;
    if begun(directory)?.is_some_and(|begun| begun.snapshot == name) {
        refuse_half(directory)?;
    }
    let path = place(directory, name)?;
    fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    // Goes away with the last one.
    let _ = fs::remove_dir(directory.path().join(FOLDER));
    Ok(())
}

fn size(path: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}

const FOLDER: &str = "snapshots";
/// What is about to be loaded; no snapshot has this name.
const DRAFT: &str = ".loading";
/// That it is about to take the place of what is there.
const BEGUN: &str = ".loading.json";

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

/// Copies everything into a new directory, and sees to it that it is on disk.
fn copy_out(directory: &Directory, manifest: &Manifest, to: &Path) -> anyhow::Result<u64> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let target = Directory::new(to.to_path_buf());
    let bytes = put_all(directory, &target, manifest, copy)?;
    target.save(manifest)?;
    // Before a name or a marker says that it is there.
    whole_file::sync_tree(to).with_context(|| format!("cannot sync {}", to.display()))?;
    Ok(bytes)
}

/// Puts databases and homes of all nodes elsewhere, and the network's own files; not logs, which go on.
fn put_all(
    from: &Directory,
    to: &Directory,
    manifest: &Manifest,
    put: fn(&Path, &Path) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let mut bytes = put(&from.network_file(), &to.network_file())?;
    bytes += put(&from.genesis(), &to.genesis())?;
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
        Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => Ok(0),
        Err(error) => Err(error)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display())),
    }
}

/// Moves a file if it is there, replacing what stands there.
fn rename(from: &Path, to: &Path) -> anyhow::Result<u64> {
    match fs::rename(from, to) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => Ok(0),
        Err(error) => Err(error)
            .with_context(|| format!("cannot move {} to {}", from.display(), to.display())),
    }
}
