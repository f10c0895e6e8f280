//! Ctrl-C: the first asks to end, the second ends at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Returns a flag that the first Ctrl-C sets.
///
/// # Errors
/// If the process cannot listen for signals.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupts = {
        let _inside = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    let set = flag.clone();
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        runtime.block_on(async {
            while interrupts.recv().await.is_some() {
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    })?;
    Ok(flag)
}
