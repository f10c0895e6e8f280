//! Logs: text for people, JSON lines for programs; `RUST_LOG` filters per module.

use std::{fs::OpenOptions, path::Path, sync::Mutex};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize)]
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
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                anyhow::anyhow!("cannot open the log file {}: {error}", path.display())
            })?;
            boxed(format, Mutex::new(file), false)
        }
        None => boxed(format, std::io::stderr, std::io::IsTerminal::is_terminal(&std::io::stderr())),
    };
    tracing_subscriber::registry().with(filter).with(layer).try_init()?;
    // Root span: its field stands in every line, so merged logs stay attributable.
    let span = tracing::info_span!("node", name = node);
    std::mem::forget(span.entered());
    Ok(())
}

fn boxed<W>(
    format: LogFormat,
    writer: W,
    colour: bool,
) -> Box<dyn tracing_subscriber::Layer<tracing_subscriber::layer::Layered<EnvFilter, tracing_subscriber::Registry>> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(colour).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    }
}
