//! Recordings of real nodes: everything that one core was told, so that the same core does the same again.
//!
//! A core is a function of its settings, of the times and inputs it is given, and of what its store answers. A
//! [`Recorder`] writes these three and a digest of each output; [`replay`] runs a core on them and compares. The
//! store's answers are part of the recording, so nothing is assumed about the database: neither what was in it when
//! the node started, nor when it deletes what. A recording that was cut off by a crash is good up to its last whole
//! entry. Nothing here touches a file: a host writes the bytes that a recorder makes.

mod answers;
mod command;
mod digest;
mod entry;
mod frame;
mod input;
mod message;
mod recorder;
mod replay;
mod settings;
#[cfg(test)]
mod tests;
mod wire;

pub use answers::{Answer, Overheard, Question};
pub use digest::Digest;
pub use entry::{Entry, Head};
pub use frame::{ENTRY_BYTES_MAX, Reader, Tail};
pub use recorder::{Recorder, TooLarge};
pub use replay::{Difference, Progress, ReplayError, ReplayReport, replay};
pub use settings::{Found, Header};

/// First bytes of every recording.
pub const MAGIC: &[u8; 8] = b"KETTEREC";
/// Version of the format below; another one is refused.
pub const FORMAT: u8 = 1;

/// Tells whether a file begins as a recording does.
pub fn is_recording(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}
