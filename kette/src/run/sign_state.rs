//! What this node's validator signed last: a file of its own, so that a database restored from a backup takes no
//! signature back. And the lock on the key: two processes that sign with one key sign twice, and lose the stake.
//!
//! Each signature is in the file, and the file on the disk, before anything that depends on it leaves the node. The file
//! goes forward only: what goes back is refused, and the node stops.

use super::{ValidatorSettings, home::Home};
use crate::whole_file;
use anyhow::{Context as _, bail};
use kette_chain::Record;
use kette_consensus::bft::Identity;
use kette_types::{
    ChainSpec,
    bft::{Domain, PublicKey, SignRegression, SignState},
};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The file and the lock, held by one process.
#[derive(Debug)]
pub(super) struct Signer {
    path: PathBuf,
    chain: Domain,
    key: PublicKey,
    last: Option<SignState>,
    _lock: File,
}

impl Signer {
    /// Takes the key's lock and reads what was signed last.
    ///
    /// # Errors
    /// If another process has the key, the file is damaged or of another key or chain, or cannot be written.
    pub(super) fn open(
        home: &Home,
        settings: &ValidatorSettings,
        spec: &ChainSpec,
    ) -> anyhow::Result<Self> {
        let key = settings.key.identity(None).key();
        let lock = lock(&settings.path, key)?;
        let (path, chain) = (home.sign_state(), spec.domain());
        let last = read(&path)?;
        let signer = Self { path, chain, key, last, _lock: lock };
        signer.check().with_context(|| signer.shown())?;
        Ok(signer)
    }

    /// Returns what the engine signs with.
    pub(super) fn identity(&self, settings: &ValidatorSettings) -> Identity {
        let identity = settings.key.identity(self.last.clone());
        Identity { trust_missing: settings.trust_missing, ..identity }
    }

    /// Makes durable what these records say is signed.
    ///
    /// # Errors
    /// If it goes back, or cannot be written: then nothing may leave the node any more.
    pub(super) fn write(&mut self, records: &[Record]) -> anyhow::Result<()> {
        let next = self.newest(records)?;
        let Some(next) = next.filter(|next| self.last.as_ref() != Some(*next)) else {
            return Ok(());
        };
        replace(&self.path, next).with_context(|| self.shown())?;
        self.last = Some(next.clone());
        Ok(())
    }

    /// Looks whether these records may be written, without writing.
    ///
    /// # Errors
    /// If what they sign goes back.
    pub(super) fn may_write(&self, records: &[Record]) -> anyhow::Result<()> {
        self.newest(records).map(drop)
    }

    fn newest<'a>(&self, records: &'a [Record]) -> anyhow::Result<Option<&'a SignState>> {
        let mut next = None;
        for record in records {
            let Record::Sign(state) = record else { continue };
            self.allows(next.or(self.last.as_ref()), state).with_context(|| self.shown())?;
            next = Some(&**state);
        }
        Ok(next)
    }

    fn allows(&self, last: Option<&SignState>, next: &SignState) -> Result<(), SignRegression> {
        if (next.chain, next.key) != (self.chain.0, self.key) {
            return Err(SignRegression::OtherKey);
        }
        last.map_or(Ok(()), |last| last.allows(next))
    }

    /// Looks whether the file is ours and can be replaced, before anything is signed.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(last) = &self.last {
            self.allows(None, last).context(
                "move it away if this validator shall use the directory; the other one must not sign without it",
            )?;
        }
        let probe = temporary(&self.path);
        write_durably(&probe, b"")?;
        fs::remove_file(&probe).context("cannot remove a file beside it")
    }

    fn shown(&self) -> String {
        format!("what this validator signed last ({})", self.path.display())
    }
}

/// Tells whether any of these records signs.
pub(super) fn signs(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record, Record::Sign(_)))
}

/// Locks the file beside a key, for this process.
fn lock(key_file: &Path, key: PublicKey) -> anyhow::Result<File> {
    let path = beside(key_file, ".lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| {
            format!("cannot open {}, the lock of the validator's key", path.display())
        })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Whatever it says, the lock is what counts.
            let _ = (&file).take(PID_BYTES_MAX).read_to_string(&mut pid);
            bail!(
                "the validator key {key} is in use by another process ({}): one that signs with it as well \
                 would sign twice, which costs the stake; stop that node first",
                pid.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

fn read(path: &Path) -> anyhow::Result<Option<SignState>> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    let state = serde_json::from_str(&text).with_context(|| {
        format!(
            "{shown} does not say what this validator signed last: restore it; or move it away and start with \
             `--trust-missing-sign-state`, if no other process has the key and all that it signed is decided"
        )
    })?;
    Ok(Some(state))
}

/// Replaces the file as a whole: after a crash it is the old one or the new one.
fn replace(path: &Path, state: &SignState) -> anyhow::Result<()> {
    let temporary = temporary(path);
    write_durably(&temporary, &serde_json::to_vec_pretty(state)?)?;
    fs::rename(&temporary, path).context("cannot replace it")?;
    whole_file::sync_name(path).context("cannot sync its directory")
}

fn write_durably(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn temporary(path: &Path) -> PathBuf {
    beside(path, ".new")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A process id in decimal, with room.
const PID_BYTES_MAX: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{presets, validator_key::ValidatorKey};
    use kette_types::B256;

    struct Scene {
        dir: tempfile::TempDir,
        spec: ChainSpec,
        settings: ValidatorSettings,
    }

    fn scene() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let settings = ValidatorSettings {
            key: ValidatorKey::development("validator1"),
            path: dir.path().join("validator.json"),
            stake: None,
            trust_missing: false,
        };
        Scene { dir, spec: presets::genesis("dev").unwrap(), settings }
    }

    impl Scene {
        fn home(&self) -> Home {
            Home::new(self.dir.path().to_owned())
        }

        fn file(&self) -> PathBuf {
            self.home().sign_state()
        }

        fn open(&self) -> anyhow::Result<Signer> {
            Signer::open(&self.home(), &self.settings, &self.spec)
        }

        fn sign(&self, height: u64, what: u8) -> Record {
            Record::Sign(Box::new(SignState {
                chain: self.spec.domain().0,
                key: self.settings.key.identity(None).key(),
                height,
                round: 0,
                step: 2,
                block: B256::ZERO,
                digest: B256::repeat_byte(what),
                signature: Default::default(),
            }))
        }

        fn last(&self) -> Option<u64> {
            read(&self.file()).unwrap().map(|state| state.height)
        }
    }

    fn refused(result: anyhow::Result<impl Sized>) -> String {
        result.err().map(|error| format!("{error:#}")).expect("it is refused")
    }

    #[test]
    fn what_is_signed_is_found_again() {
        let scene = scene();
        let mut signer = scene.open().unwrap();
        assert_eq!(signer.identity(&scene.settings).signed, None, "a missing file is no error");
        signer.write(&[]).unwrap();
        assert!(!scene.file().exists());
        let batch = [scene.sign(1, 1), Record::EngineTruncate, scene.sign(2, 1)];
        assert!(signs(&batch) && !signs(&batch[1..2]));
        signer.write(&batch).unwrap();
        signer.write(&[scene.sign(2, 1)]).unwrap();
        drop(signer);
        let signed = scene.open().unwrap().identity(&scene.settings).signed;
        assert_eq!(signed.map(|state| state.height), Some(2));
        let names = fs::read_dir(scene.dir.path()).unwrap().count();
        assert_eq!(names, 2, "the file and the lock, nothing else");
    }

    #[test]
    fn what_goes_back_is_refused_and_leaves_the_file_as_it_is() {
        let scene = scene();
        let mut signer = scene.open().unwrap();
        signer.write(&[scene.sign(5, 1)]).unwrap();
        for (bad, why) in
            [(scene.sign(4, 1), "restored from a backup"), (scene.sign(5, 2), "another process")]
        {
            let error = refused(signer.write(&[scene.sign(6, 1), bad.clone()]));
            assert!(error.contains("lies behind") || error.contains(why), "{error}");
            let error = refused(signer.write(&[bad]));
            assert!(error.contains(why), "{error}");
            assert_eq!(scene.last(), Some(5));
        }
        signer.write(&[scene.sign(6, 1)]).unwrap();
        assert_eq!(scene.last(), Some(6));
    }

    #[test]
    fn a_file_of_another_key_or_chain_is_refused() {
        let mut scene = scene();
        scene.open().unwrap().write(&[scene.sign(1, 1)]).unwrap();
        let other = scene.sign(9, 1);
        scene.settings.key = ValidatorKey::development("validator2");
        let error = refused(scene.open());
        assert!(error.contains("another key or chain"), "{error}");
        fs::remove_file(scene.file()).unwrap();
        let error = refused(scene.open().unwrap().write(&[other]));
        assert!(error.contains("another key or chain"), "{error}");
        scene.open().unwrap().write(&[scene.sign(1, 1)]).unwrap();
        scene.spec = presets::genesis("atmn").unwrap();
        assert!(refused(scene.open()).contains("another key or chain"));
    }

    #[test]
    fn a_torn_file_is_refused_and_a_torn_replacement_does_not_matter() {
        let scene = scene();
        scene.open().unwrap().write(&[scene.sign(3, 1)]).unwrap();
        let whole = fs::read(scene.file()).unwrap();
        // A crash in the middle of a replacement.
        fs::write(temporary(&scene.file()), &whole[..20]).unwrap();
        scene.open().unwrap().write(&[scene.sign(4, 1)]).unwrap();
        assert_eq!(scene.last(), Some(4));
        for torn in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(scene.file(), &whole[..torn]).unwrap();
            let error = refused(scene.open());
            assert!(error.contains("--trust-missing-sign-state"), "{error}");
        }
        fs::write(scene.file(), whole).unwrap();
        assert!(scene.open().is_ok());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error_at_the_start_and_later() {
        let scene = scene();
        let mut signer = scene.open().unwrap();
        signer.write(&[scene.sign(1, 1)]).unwrap();
        // Who may do everything is stopped by this as well.
        fs::create_dir(temporary(&scene.file())).unwrap();
        assert!(refused(signer.write(&[scene.sign(2, 1)])).contains("cannot write"));
        assert_eq!(scene.last(), Some(1));
        drop(signer);
        assert!(refused(scene.open()).contains("cannot write"));
    }

    #[test]
    fn one_process_has_a_key_wherever_its_home_is() {
        let scene = scene();
        let first = scene.open().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Home::new(elsewhere.path().to_owned());
        let error = refused(Signer::open(&other, &scene.settings, &scene.spec));
        assert!(error.contains(&format!("another process ({})", std::process::id())), "{error}");
        drop(first);
        Signer::open(&other, &scene.settings, &scene.spec).unwrap();
    }
}
