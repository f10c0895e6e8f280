//! Exit codes: 0 ok, 1 assertion failed, 2 usage or input, 3 network not up, 4 time-out, 5 safety violated,
//! 130 interrupted.

use super::output;
use clap::error::ErrorKind;
use serde_json::json;
use std::{io::Write as _, process::ExitCode};

/// An error that ends with a code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// Something that was to hold does not.
    #[error("{0}")]
    Failed(String),
    /// The node or network does not answer.
    #[error("{0}")]
    NotUp(String),
    /// It took too long.
    #[error("{0}")]
    TimedOut(String),
    /// Nodes disagree about what is final.
    #[error("{0}")]
    Unsafe(String),
    /// Somebody pressed Ctrl-C.
    #[error("{0}")]
    Interrupted(String),
}

/// Returns the code that an error ends the process with.
pub fn code(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(number(error))
}

fn number(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Exit>() {
        Some(Exit::Failed(_)) => 1,
        Some(Exit::NotUp(_)) => 3,
        Some(Exit::TimedOut(_)) => 4,
        Some(Exit::Unsafe(_)) => 5,
        Some(Exit::Interrupted(_)) => 130,
        None => USAGE,
    }
}

/// The code of a wrong word or file.
const USAGE: u8 = 2;

/// Prints an error with its causes to standard error; with `--json` to standard output as well, as a document, unless a
/// result is there already.
pub fn report(error: &anyhow::Error, json: bool) {
    if is_broken_pipe(error) {
        return;
    }
    // Who reads standard error may be gone as well.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    if json {
        document(&format!("{error:#}"), number(error));
    }
}

/// Prints a command line that cannot be read as a document, as [`report`] does.
pub fn report_usage(error: &clap::Error) {
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // The text is a whole help page; its `Usage:` line names the command.
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        let words = usage.unwrap_or("kette").split_whitespace();
        let command: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<'])).collect();
        return document(
            &format!("a subcommand is missing: `{} --help` lists them", command.join(" ")),
            USAGE,
        );
    }
    // What follows the first empty line is how to use it, for people.
    let text = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    document(&text.split_whitespace().collect::<Vec<_>>().join(" "), USAGE);
}

fn document(error: &str, exit: u8) {
    if output::is_begun() {
        return;
    }
    // Who reads standard output may be gone.
    let _ = output::print(&json!({ "error": error, "exit": exit }), true);
}

/// Tells whether the reader of standard output went away (`kette peers | head`): that is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
