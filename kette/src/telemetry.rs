//! Logs: text for people, JSON lines for programs; `RUST_LOG` filters per module.

use std::{
    fs::OpenOptions,
    io::{IsTerminal as _, Write},
    path::Path,
    sync::{Arc, Mutex},
};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

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

/// Starts logging to standard error or to a file. `node` is put into every JSON line.
///
/// # Errors
/// If the file cannot be opened.
pub fn start(format: LogFormat, file: Option<&Path>, node: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,libp2p=warn,jsonrpsee=warn,quinn=warn"));
    let layer = match file {
        Some(path) => {
            let file =
                OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                    anyhow::anyhow!("cannot open the log file {}: {error}", path.display())
                })?;
            boxed(format, Mutex::new(file), false, node)
        }
        None => {
            let colour = std::io::stderr().is_terminal();
            boxed(format, std::io::stderr, colour, node)
        }
    };
    tracing_subscriber::registry().with(filter).with(layer).try_init()?;
    Ok(())
}

fn boxed<W>(
    format: LogFormat,
    writer: W,
    colour: bool,
    node: &str,
) -> Box<
    dyn tracing_subscriber::Layer<
            tracing_subscriber::layer::Layered<EnvFilter, tracing_subscriber::Registry>,
        > + Send
        + Sync,
>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(colour).boxed(),
        LogFormat::Json => {
            // A JSON string is quoted and escaped by `Value`'s own printing.
            let opening = format!("{{\"node\":{},", serde_json::Value::from(node));
            let writer = Named { writer, opening: opening.into() };
            fmt::layer().json().flatten_event(true).with_writer(writer).boxed()
        }
    }
}

/// Opens every JSON line with the node's name, so that merged logs stay attributable. (A span would have to
/// be entered on every thread.)
struct Named<W> {
    writer: W,
    opening: Arc<str>,
}

/// Where one line goes.
struct NamedLine<W> {
    writer: W,
    opening: Arc<str>,
}

impl<'a, W: fmt::MakeWriter<'a>> fmt::MakeWriter<'a> for Named<W> {
    type Writer = NamedLine<W::Writer>;
    fn make_writer(&'a self) -> Self::Writer {
        NamedLine { writer: self.writer.make_writer(), opening: self.opening.clone() }
    }
}

impl<W: Write> Write for NamedLine<W> {
    /// The subscriber writes each event as one line in one call.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match line.strip_prefix(b"{") {
            Some(rest) => self.writer.write_all(&[self.opening.as_bytes(), rest].concat())?,
            None => self.writer.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}
