//! Exit codes: 0 ok, 1 assertion failed, 2 usage or input, 3 network not up, 4 time-out, 5 safety violated,
//! 130 interrupted.

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
    ExitCode::from(match error.downcast_ref::<Exit>() {
        Some(Exit::Failed(_)) => 1,
        Some(Exit::NotUp(_)) => 3,
        Some(Exit::TimedOut(_)) => 4,
        Some(Exit::Unsafe(_)) => 5,
        Some(Exit::Interrupted(_)) => 130,
        None => 2,
    })
}

/// Prints an error with its causes to standard error.
pub fn report(error: &anyhow::Error) {
    if is_broken_pipe(error) {
        return;
    }
    // Who reads standard error may be gone as well.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}

/// Tells whether the reader of standard output went away (`kette peers | head`): that is no failure.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
