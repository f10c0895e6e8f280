//! `kette node --record FILE`: writes all that the core is told, for `kette sim replay FILE`.
//!
//! A recording is a tool for finding errors, never a reason for one: if its file cannot be written any more, the node
//! says so once and goes on without it. It holds no keys.

use anyhow::{Context as _, bail};
use kette_chain::record::Restored;
use kette_node::{Config, Input, Output};
use kette_sim::{
    Machine,
    recording::{Answer, Head, Header, Overheard, Question, Recorder, TooLarge},
};
use kette_store::Reader;
use kette_types::{ChainSpec, Time};
use std::{
    collections::HashMap,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    io::{BufWriter, ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Answers of the store that are remembered, so that equal ones are written once; then all are forgotten.
const SAID_MAX: usize = 1 << 18;
/// Bytes gathered before they are handed to the system.
const BUFFER_BYTES: usize = 256 * 1024;

/// A recording on its way. Clones write to the same file.
#[derive(Clone)]
pub(super) struct Recording(Arc<Mutex<Inner>>);

struct Inner {
    path: PathBuf,
    recorder: Recorder,
    /// `None` after a failure, and after the end.
    file: Option<BufWriter<File>>,
    bytes: Vec<u8>,
    hasher: RandomState,
    /// The last answer to each question, both as hashes.
    said: HashMap<u64, u64>,
}

impl Recording {
    /// Begins a recording in a new file.
    ///
    /// # Errors
    /// If there is such a file already, or it cannot be written.
    pub(super) fn begin(
        path: &Path,
        began: Time,
        spec: &ChainSpec,
        config: &Config,
        restored: &Restored,
    ) -> anyhow::Result<Self> {
        let file = match File::options().write(true).create_new(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(
                "--record: {} is there already, perhaps the recording of a crash: \
                 move it away, or name another file",
                path.display()
            ),
            Err(error) => {
                return Err(error).with_context(|| format!("--record: {}", path.display()));
            }
        };
        let mut bytes = Vec::new();
        let mut recorder = Recorder::new(&mut bytes);
        let header = Header {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("KETTE_COMMIT").to_owned(),
            began,
            genesis: serde_json::to_string(&spec.genesis)?,
            config: config.clone(),
        };
        recorder.begin(header, restored.clone(), &mut bytes).context("--record")?;
        let mut inner = Inner {
            path: path.to_owned(),
            recorder,
            file: Some(BufWriter::with_capacity(BUFFER_BYTES, file)),
            bytes,
            hasher: RandomState::new(),
            said: HashMap::new(),
        };
        inner.write(|_, _| Ok(()));
        tracing::info!(path = %path.display(), "recording");
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Returns the store's reader, every answer of which is recorded.
    pub(super) fn reader(
        &self,
        store: Reader,
    ) -> Overheard<Reader, impl Fn(Question, Answer) + Send + Sync + use<>> {
        let recording = self.clone();
        Overheard::new(store, move |question, answer| {
            recording.with(|inner| inner.answer(&question, &answer));
        })
    }

    /// Lets a core take an input, between its record and that of what it leads to.
    pub(super) fn handle(&self, node: &mut dyn Machine, now: Time, input: Input) -> Vec<Output> {
        self.write(|recorder, bytes| recorder.input(now, &input, bytes));
        let outputs = node.handle(now, input);
        self.write(|recorder, bytes| recorder.outputs(&outputs, bytes));
        outputs
    }

    /// Lets a core stop, and ends the recording.
    pub(super) fn stop(&self, node: &mut dyn Machine) -> Vec<Output> {
        self.write(|recorder, bytes| recorder.stop(bytes));
        let outputs = node.stop();
        self.write(|recorder, bytes| recorder.outputs(&outputs, bytes));
        self.write(|recorder, bytes| recorder.end(Head::of(node.node()), bytes));
        self.flush();
        // Clients may still read states.
        self.with(|inner| inner.file = None);
        outputs
    }

    /// Hands what was gathered to the system: from then on it outlives this process.
    pub(super) fn flush(&self) {
        self.with(|inner| {
            let flushed = inner.file.as_mut().map_or(Ok(()), std::io::Write::flush);
            if let Err(error) = flushed {
                inner.give_up(&error);
            }
        });
    }

    fn write(&self, write: impl FnOnce(&mut Recorder, &mut Vec<u8>) -> Result<(), TooLarge>) {
        self.with(|inner| inner.write(write));
    }

    fn with(&self, act: impl FnOnce(&mut Inner)) {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    fn answer(&mut self, question: &Question, answer: &Answer) {
        let key = self.hasher.hash_one(question);
        let value = match answer {
            Ok(found) => self.hasher.hash_one((true, found)),
            Err(error) => self.hasher.hash_one((false, error.to_string())),
        };
        if self.said.len() >= SAID_MAX {
            self.said.clear();
        }
        if self.said.insert(key, value) != Some(value) {
            self.write(|recorder, bytes| recorder.answer(question, answer, bytes));
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Recorder, &mut Vec<u8>) -> Result<(), TooLarge>) {
        let Some(file) = &mut self.file else { return };
        let written = write(&mut self.recorder, &mut self.bytes)
            .map_err(std::io::Error::other)
            .and_then(|()| file.write_all(&self.bytes));
        self.bytes.clear();
        if let Err(error) = written {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &std::io::Error) {
        tracing::error!(path = %self.path.display(), %error, "the recording ends; the node goes on");
        if let Some(file) = self.file.take() {
            // Without another try to write what is left.
            drop(file.into_parts());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_cannot_be_written_ends_and_harms_nobody() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("recording");
        std::fs::write(&path, b"").expect("a file");
        let read_only = File::open(&path).expect("it is there");
        let mut bytes = Vec::new();
        let recorder = Recorder::new(&mut bytes);
        let recording = Recording(Arc::new(Mutex::new(Inner {
            path: path.clone(),
            recorder,
            file: Some(BufWriter::new(read_only)),
            bytes,
            hasher: RandomState::new(),
            said: HashMap::new(),
        })));
        for _ in 0..3 {
            recording.write(|recorder, bytes| recorder.input(Time::ZERO, &Input::Tick, bytes));
            recording.flush();
        }
        recording.with(|inner| assert!(inner.file.is_none()));
        assert_eq!(std::fs::read(&path).expect("it is there"), b"");
    }
}
