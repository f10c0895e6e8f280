//! What a person installs once to watch a network with Prometheus and Grafana: scrape file, alert rules, boards,
//! a systemd unit; and the exporter of what only the network as a whole can say.

mod alerts;
mod boards;
pub mod exporter;
pub mod metrics;
mod unit;

use super::directory::{Directory, Manifest};
use crate::whole_file;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Directory of these files in a network's own.
pub const FOLDER: &str = "observability";

/// Which addresses to scrape.
const TARGETS: &str = "targets.json";

/// What is written.
#[derive(Clone, Debug)]
pub struct Files(Vec<(PathBuf, String)>);

impl Files {
    /// Makes all files for a network; `exporter` is where `kette net exporter` listens, `folder` where they will lie.
    ///
    /// # Errors
    /// If this program does not know its own path.
    pub fn of(manifest: &Manifest, exporter: SocketAddr, folder: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut files = vec![
            ("prometheus.yml".into(), PROMETHEUS.to_owned()),
            (TARGETS.into(), pretty(&targets(manifest, exporter))),
            ("rules.yml".into(), alerts::rules()),
            ("grafana/provisioning/datasources/kette.yml".into(), DATASOURCE.to_owned()),
            ("grafana/provisioning/dashboards/kette.yml".into(), provider(folder)),
            ("kette@.service".into(), unit::unit(&program)),
            ("README.md".into(), README.to_owned()),
        ];
        for (name, board) in boards::boards() {
            files.push((format!("grafana/boards/{name}.json").into(), pretty(&board)));
        }
        Ok(Self(files))
    }

    /// Writes them, replacing older ones.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        for (name, text) in &self.0 {
            let path = folder.join(name);
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::write(&path, text))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Returns the names of the files.
    pub fn names(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(name, _)| name.as_path())
    }
}

/// Writes whom to scrape after nodes joined or left. The exporter stays where it is, though its default address goes by the
/// first node.
///
/// # Errors
/// If the file cannot be written.
pub fn refresh(directory: &Directory, manifest: &Manifest) -> anyhow::Result<()> {
    let folder = directory.observability();
    let path = folder.join(TARGETS);
    let old: Option<Value> =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let known = old.as_ref().and_then(Value::as_array).into_iter().flatten();
    let mut known = known.filter(|target| target["labels"]["job"] == "kette_net");
    let exporter = known.find_map(|target| target["targets"][0].as_str()?.parse().ok());
    let exporter = exporter.unwrap_or_else(|| exporter_address(manifest));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    // Prometheus may read it at any moment.
    whole_file::write_unsynced(&path, &pretty(&targets(manifest, exporter)))
}

/// Returns where `kette net exporter` listens if nobody says: the port before the first node's RPC.
pub fn exporter_address(manifest: &Manifest) -> SocketAddr {
    let port = manifest.nodes.first().map_or(9_464, |node| node.ports.rpc.saturating_sub(1));
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Returns what to scrape, as files and pages for service discovery have it.
pub fn targets(manifest: &Manifest, exporter: SocketAddr) -> Value {
    let nodes = manifest.nodes.iter().map(|node| {
        json!({
            "targets": [format!("127.0.0.1:{}", node.ports.rpc)],
            "labels": {
                "job": "kette", "network": manifest.name, "node": node.plan.name,
                "region": node.plan.region, "tier": node.plan.tier.to_string(),
            },
        })
    });
    let network = json!({
        "targets": [exporter.to_string()],
        "labels": { "job": "kette_net", "network": manifest.name },
    });
    nodes.chain([network]).collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn provider(folder: &Path) -> String {
    let path = serde_json::to_string(&folder.join("grafana/boards")).unwrap_or_default();
    format!(
        "apiVersion: 1\nproviders:\n  - name: kette\n    folder: Kette\n    type: file\n    options:\n      path: {path}\n"
    )
}

/// Paths are relative to the file. Jobs come as labels of the targets.
const PROMETHEUS: &str = "\
# Written by `kette net observability`. Start: prometheus --config.file=prometheus.yml
global:
  scrape_interval: 5s
  evaluation_interval: 5s
rule_files:
  - rules.yml
scrape_configs:
  - job_name: kette
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: 10s
";

const DATASOURCE: &str = "\
apiVersion: 1
datasources:
  - name: Prometheus
    uid: kette-prometheus
    type: prometheus
    access: proxy
    url: http://127.0.0.1:9090
    isDefault: true
";

const README: &str = "\
# Watching this network

- `prometheus --config.file=prometheus.yml --storage.tsdb.path=data` scrapes all nodes; `targets.json` says where they
  are, `rules.yml` has the alerts.
- `kette net exporter --home ..` serves what only the whole network can say (health score, groups, conflicting
  finality) on the last address of `targets.json`. Without it these series are missing and the rest works.
- Grafana: set `paths.provisioning` to `grafana/provisioning`, or copy its two files to `/etc/grafana/provisioning`.
  They name the data source and the three boards in `grafana/boards`.
- `kette@.service` runs one node per instance: copy it to `/etc/systemd/system`, put a node's home to
  `/var/lib/kette/NAME`, then `systemctl enable --now kette@NAME`.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testnet::watch::links::tests::network;

    #[test]
    fn every_node_and_the_network_are_targets() {
        let (manifest, _) = network("atmn", &[]);
        let exporter = exporter_address(&manifest);
        let targets = targets(&manifest, exporter);
        let list = targets.as_array().unwrap();
        assert_eq!(list.len(), 11);
        assert_eq!(list[3]["labels"]["region"], "EU-CENTRAL");
        assert_eq!(list[10]["targets"][0], exporter.to_string());
        assert_eq!(exporter.port() + 1, manifest.nodes[0].ports.rpc);
    }

    #[test]
    fn all_files_are_written_where_they_belong() {
        let (manifest, _) = network("atmn", &[]);
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(&manifest, exporter_address(&manifest), dir.path()).unwrap();
        files.write(dir.path()).unwrap();
        files.write(dir.path()).unwrap();
        assert_eq!(files.names().count(), 10);
        assert!(files.names().all(|name| dir.path().join(name).is_file()));
        let boards = boards::boards();
        assert_eq!(
            boards.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            ["network", "consensus", "node"]
        );
    }
}
