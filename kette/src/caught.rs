//! Work whose panic ends only the work.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does some work. What it may have changed half must not be used after an error.
///
/// # Errors
/// With the panic's words, if it panics.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}
