//! What the monitor does to a network when the user said yes: the verbs of `kette net`.

use super::keys::Verb;
use crate::testnet::{
    directory::{Directory, Manifest, ManifestNode},
    launch,
};
use anyhow::{Context as _, bail};
use std::process::Stdio;

/// Does it; returns what was done, in words.
///
/// # Errors
/// If it could not be done.
pub async fn perform(directory: &Directory, verb: Verb) -> anyhow::Result<String> {
    let manifest = directory.require()?;
    match verb {
        Verb::Pause(node) => on_node(directory, &manifest, "pause", node, "is paused").await,
        Verb::Resume(node) => on_node(directory, &manifest, "resume", node, "goes on").await,
        Verb::Restart(node) => on_node(directory, &manifest, "restart", node, "began anew").await,
        Verb::SplitInHalves => {
            let (left, right) = manifest.nodes.split_at(manifest.nodes.len() / 2);
            part(directory, left, right).await
        }
        Verb::Isolate(node) => {
            let (one, rest): (Vec<_>, Vec<_>) =
                manifest.nodes.iter().cloned().enumerate().partition(|(index, _)| *index == node);
            let nodes = |list: Vec<(usize, ManifestNode)>| -> Vec<ManifestNode> {
                list.into_iter().map(|(_, node)| node).collect()
            };
            part(directory, &nodes(rest), &nodes(one)).await
        }
        Verb::Heal => {
            kette(directory, &["heal".to_owned()]).await?;
            Ok("all links are whole".to_owned())
        }
        Verb::ShutDown => {
            let directory = directory.clone();
            // It waits for processes.
            let done = tokio::task::spawn_blocking(move || launch::down(&directory, false));
            let (stopped, killed) = done.await??;
            Ok(format!("{stopped} nodes stopped, {killed} killed"))
        }
    }
}

async fn on_node(
    directory: &Directory,
    manifest: &Manifest,
    verb: &str,
    node: usize,
    done: &str,
) -> anyhow::Result<String> {
    let name = manifest.nodes.get(node).context("the node left the network")?.plan.name.clone();
    kette(directory, &[verb.to_owned(), name.clone()]).await?;
    Ok(format!("{name} {done}"))
}

async fn part(
    directory: &Directory,
    one: &[ManifestNode],
    other: &[ManifestNode],
) -> anyhow::Result<String> {
    if one.is_empty() || other.is_empty() {
        bail!("there is nothing to cut: the network has one node");
    }
    let names = |nodes: &[ManifestNode]| {
        nodes.iter().map(|node| node.plan.name.as_str()).collect::<Vec<_>>().join(",")
    };
    let groups = format!("{}/{}", names(one), names(other));
    kette(directory, &["partition".to_owned(), "--groups".to_owned(), groups]).await?;
    Ok(format!("cut into {} and {}", one.len(), other.len()))
}

/// Runs a verb of `kette net` on the network, as the user would, and returns its error if it fails.
async fn kette(directory: &Directory, arguments: &[String]) -> anyhow::Result<()> {
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--json", "net"])
        .args(arguments)
        .arg("--home")
        .arg(directory.path())
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot start kette")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{}", text.lines().last().unwrap_or("it failed"));
    }
    Ok(())
}
