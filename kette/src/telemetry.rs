//! Logs: text for people, JSON lines for programs; `RUST_LOG` filters per module.

use kette_rpc::ErrorLog;
use std::{
    fs::OpenOptions,
    io::{self, IsTerminal as _, Write},
    path::Path,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
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
/// many nodes can be merged.
///
/// # Errors
/// If the file cannot be opened.
pub fn start(format: LogFormat, file: Option<&Path>, node: &str) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let (writer, colour): (Box<dyn Write + Send>, bool) = match file {
        Some(path) => {
            let file =
                OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                    anyhow::anyhow!("cannot open the log file {}: {error}", path.display())
                })?;
            (Box::new(file), false)
        }
        None => (Box::new(io::stderr()), io::stderr().is_terminal()),
    };
    let prefix = match format {
        LogFormat::Text => String::new(),
        LogFormat::Json => format!("{{\"node\":{},", serde_json::to_string(node)?),
    };
    let lines = Lines { prefix, writer: Mutex::new(writer) };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    let started = match format {
        LogFormat::Text => builder.with_ansi(colour).finish().with(CountErrors).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(CountErrors).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Returns where this process counts its errors.
pub fn errors() -> &'static ErrorLog {
    static ERRORS: LazyLock<ErrorLog> = LazyLock::new(ErrorLog::default);
    &ERRORS
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

/// Writes whole lines; a prefix takes the place of the opening brace.
struct Lines {
    prefix: String,
    writer: Mutex<Box<dyn Write + Send>>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;
    fn make_writer(&'a self) -> Line<'a> {
        // A thread that panicked while writing left at worst half a line.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Line { prefix: &self.prefix, writer }
    }
}

struct Line<'a> {
    prefix: &'a str,
    writer: MutexGuard<'a, Box<dyn Write + Send>>,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The formatter hands over one line with each call.
        match line.strip_prefix(b"{") {
            Some(rest) if !self.prefix.is_empty() => {
                self.writer.write_all(&[self.prefix.as_bytes(), rest].concat())?;
            }
            _ => self.writer.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

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
    fn every_json_line_names_its_node() {
        let sink = Shared::default();
        let prefix = "{\"node\":\"node3\",".to_owned();
        let lines = Lines { prefix, writer: Mutex::new(Box::new(sink.clone())) };
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(text = "two\nlines", "first");
            tracing::warn!("second");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let parsed: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), 2);
        assert!(parsed.iter().all(|line| line["node"] == "node3"));
        assert_eq!(parsed[0]["text"], "two\nlines");
    }
}
