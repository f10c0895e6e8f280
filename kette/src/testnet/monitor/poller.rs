//! Asks the nodes again and again, one round at a time, and hands over what they said.

use super::model::Sample;
use crate::{
    testnet::{directory::Directory, status, watch::said},
    unix_time,
};
use std::time::Duration;
use tokio::sync::mpsc;

/// Asks all nodes once.
///
/// # Errors
/// If the network's directory cannot be read.
pub async fn sample(directory: &Directory) -> anyhow::Result<Sample> {
    // Read each time: nodes may be added, and processes change.
    let manifest = directory.require()?;
    let said = said::ask(&manifest).await;
    let status = status::judge(&manifest, &said, |name| directory.database(name)).await;
    // Nodes of one process would all say what the process uses.
    let own = !manifest.in_process;
    let cpu_seconds = said
        .iter()
        .map(|said| {
            said.as_ref().and_then(|said| said.observed.process.cpu_seconds.filter(|_| own))
        })
        .collect();
    Ok(Sample { manifest, said, status, cpu_seconds, at_ms: unix_time::millis() })
}

/// Samples until nobody listens. `refresh` asks at once; while a round runs, no other begins.
pub async fn poll(
    directory: Directory,
    interval: Duration,
    samples: mpsc::Sender<anyhow::Result<Sample>>,
    mut refresh: mpsc::Receiver<()>,
) {
    loop {
        let sample = sample(&directory).await;
        if samples.send(sample).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            asked = refresh.recv() => if asked.is_none() { return },
        }
    }
}
