//! Logs: text for people, JSON lines for programs; `RUST_LOG` filters per module.

use kette_rpc::ErrorLog;
use std::{
    cell::RefCell,
    fs::OpenOptions,
    io::{self, IsTerminal as _, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer, fmt::MakeWriter, layer::Context, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How log lines look.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Deserialize,
    serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged without `RUST_LOG`.
const DEFAULT_FILTER: &str = "info,libp2p=error,jsonrpsee=warn,quinn=error";

/// Starts logging to standard error or to a file. `node` stands in every JSON line, so that the logs of
/// many nodes can be merged. Threads that [`Log::enter`]ed another log write there.
///
/// # Errors
/// If the file cannot be opened.
pub fn start(format: LogFormat, file: Option<&Path>, node: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let colour = file.is_none() && io::stderr().is_terminal();
    let log = Log::new(format, file, node)?;
    // Nobody started before: the subscriber below can be set only once.
    let _ = OF_PROCESS.set(log);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines);
    let started = match format {
        LogFormat::Text => builder.with_ansi(colour).finish().with(CountErrors).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(CountErrors).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Where a node's lines go, and where its errors are counted. Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    /// Takes the place of a JSON line's opening brace.
    prefix: String,
    writer: Mutex<Box<dyn Write + Send>>,
    errors: ErrorLog,
}

/// The log of threads that entered none.
static OF_PROCESS: OnceLock<Log> = OnceLock::new();

thread_local! {
    static OF_THREAD: RefCell<Option<Log>> = const { RefCell::new(None) };
}

impl Log {
    /// Opens a log: a file, or standard error.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn new(format: LogFormat, file: Option<&Path>, node: &str) -> anyhow::Result<Self> {
        let writer: Box<dyn Write + Send> = match file {
            None => Box::new(io::stderr()),
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Box::new(file.map_err(|error| {
                    anyhow::anyhow!("cannot open the log file {}: {error}", path.display())
                })?)
            }
        };
        let prefix = match format {
            LogFormat::Text => String::new(),
            LogFormat::Json => format!("{{\"node\":{},", serde_json::to_string(node)?),
        };
        Ok(Self::to(prefix, writer))
    }

    fn to(prefix: String, writer: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Inner { prefix, writer: Mutex::new(writer), errors: ErrorLog::default() }))
    }

    /// What this thread logs from now on goes here.
    pub fn enter(&self) {
        OF_THREAD.set(Some(self.clone()));
    }

    /// Writes a line that is no record, as a process does on standard error when it ends.
    pub fn say(&self, text: &str) {
        // A log that cannot be written has nobody to tell.
        let _ = self.lock().write_all(format!("{text}\n").as_bytes());
    }

    /// The log of this thread, or else of the process.
    pub fn current() -> Option<Self> {
        let of_thread = OF_THREAD.try_with(|log| log.borrow().clone()).ok().flatten();
        of_thread.or_else(Self::of_process)
    }

    /// The log of the process, if logging was started.
    pub fn of_process() -> Option<Self> {
        OF_PROCESS.get().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        // A thread that panicked while writing left at worst half a line.
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns where errors of this thread's log are counted.
pub fn errors() -> ErrorLog {
    Log::current().map_or_else(ErrorLog::default, |log| log.0.errors.clone())
}

/// Counts what is logged at level `error`.
struct CountErrors;

impl<S: tracing::Subscriber> Layer<S> for CountErrors {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            errors().note("log");
        }
    }
}

/// Writes whole lines to the current log; a prefix takes the place of the opening brace.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Line;
    fn make_writer(&self) -> Line {
        Line(Log::current())
    }
}

struct Line(Option<Log>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(log) = &self.0 else { return Ok(line.len()) };
        let (prefix, mut writer) = (&log.0.prefix, log.lock());
        // The formatter hands over one line with each call.
        match line.strip_prefix(b"{") {
            Some(rest) if !prefix.is_empty() => {
                writer.write_all(&[prefix.as_bytes(), rest].concat())?;
            }
            _ => writer.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |log| log.lock().flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_json_line_names_its_node_and_goes_to_its_log() {
        let subscriber = || {
            let builder = tracing_subscriber::fmt().json().flatten_event(true);
            builder.with_writer(Lines).finish().with(CountErrors)
        };
        let written = |node: &'static str| {
            std::thread::spawn(move || {
                let sink = Shared::default();
                let log = Log::to(format!("{{\"node\":\"{node}\","), Box::new(sink.clone()));
                log.enter();
                tracing::subscriber::with_default(subscriber(), || {
                    tracing::info!(text = "two\nlines", "first");
                    tracing::error!("second");
                });
                let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
                (text, log.0.errors.kinds()["log"])
            })
        };
        for (node, thread) in ["node3", "node4"].map(|node| (node, written(node))) {
            let (text, errors) = thread.join().unwrap();
            let parsed: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!((parsed.len(), errors), (2, 1));
            assert!(parsed.iter().all(|line| line["node"] == node));
            assert_eq!(parsed[0]["text"], "two\nlines");
        }
    }
}
