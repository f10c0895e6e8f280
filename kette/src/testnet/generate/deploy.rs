//! What starts the nodes on other machines: commands, an inventory, systemd units, a Compose file.

use super::{Draft, hosts::with_port, kubernetes, yaml};
use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// `inventory.toml`.
#[derive(Serialize)]
struct Inventory<'a> {
    network: &'a str,
    insecure_keys: bool,
    node: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    host: &'a str,
    region: &'a str,
    tier: u32,
    p2p: u16,
    rpc: u16,
    peer_id: &'a str,
    validator: bool,
    account: String,
    /// What is to be copied to the host, and where to.
    copy: String,
}

/// Where a unit finds its node, on any machine.
fn state_directory(name: &str) -> String {
    format!("kette-{name}")
}

impl Draft {
    /// Writes everything that other programs start nodes with.
    pub(super) fn deploy(&self, path: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: String| {
            let path = path.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("inventory.toml", self.inventory()?)?;
        write("commands.txt", self.commands(path))?;
        fs::create_dir_all(path.join("systemd"))?;
        for index in 0..self.plan.nodes.len() {
            let name = &self.plan.nodes[index].name;
            write(&format!("systemd/kette-{name}.service"), self.unit(index))?;
        }
        write("compose.yaml", format!("{}{}", self.warning("#"), yaml::document(&self.compose())))?;
        write("Dockerfile", self.dockerfile())?;
        let objects = kubernetes::objects(self)?;
        write("kubernetes.yaml", format!("{}{}", self.warning("#"), yaml::documents(&objects)))
    }

    /// Returns a line that says whose keys these are, if everybody can compute them.
    fn warning(&self, sign: &str) -> String {
        match self.insecure {
            true => format!(
                "{sign} INSECURE: development keys, which everybody can compute. For this machine only; \
                 `kette net generate --fresh-keys` makes others.\n"
            ),
            false => String::new(),
        }
    }

    fn inventory(&self) -> anyhow::Result<String> {
        let entry = |index: usize| {
            let (node, ports) = (&self.plan.nodes[index], self.ports[index]);
            Entry {
                name: &node.name,
                host: self.hosts.of(index),
                region: &node.region,
                tier: node.tier,
                p2p: ports.p2p,
                rpc: ports.rpc,
                peer_id: &self.peer_ids[index],
                validator: node.stake > 0,
                account: self.accounts[index].to_string(),
                copy: format!(
                    "{}/ to /var/lib/private/{}/",
                    node.name,
                    state_directory(&node.name)
                ),
            }
        };
        let inventory = Inventory {
            network: &self.file.network.name,
            insecure_keys: self.insecure,
            node: (0..self.plan.nodes.len()).map(entry).collect(),
        };
        Ok(format!("{}{}", self.warning("#"), toml::to_string(&inventory)?))
    }

    /// Returns a command per node. On the machine of the node only: each home holds its keys.
    fn commands(&self, path: &Path) -> String {
        let mut text = self.warning("#");
        let special = |c: char| "\\\"$`}".contains(c).then_some('\\');
        let binary: String =
            self.binary.chars().flat_map(|c| special(c).into_iter().chain([c])).collect();
        text.push_str(&format!(
            "# A command per node, for a shell on the node's machine. The program is {}; if it is elsewhere there, say\n\
             # where first: export KETTE=/path/to/kette\n",
            self.binary
        ));
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let home = path.join(&node.name);
            let home = crate::commands::sim::words::shell(&home.display().to_string());
            text.push_str(&format!("# {} on {}\n", node.name, self.hosts.of(index)));
            text.push_str(&format!("\"${{KETTE:-{binary}}}\" node --home {home}\n"));
        }
        text
    }

    /// Returns a unit for systemd. `StateDirectory=` gives the directory to the unit's own user.
    fn unit(&self, index: usize) -> String {
        let name = &self.plan.nodes[index].name;
        let state = state_directory(name);
        format!(
            "{warning}# Copy {name}/ to /var/lib/private/{state}/, this file to /etc/systemd/system/, then\n\
             #   systemctl daemon-reload && systemctl enable --now kette-{name}\n\
             [Unit]\n\
             Description=Kette node {name} of {network}\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             StartLimitIntervalSec=0\n\n\
             [Service]\n\
             ExecStart={binary} node --home /var/lib/{state}\n\
             DynamicUser=yes\n\
             StateDirectory={state}\n\
             StateDirectoryMode=0700\n\
             UMask=0077\n\
             Restart=on-failure\n\
             RestartSec=2\n\
             TimeoutStopSec=30\n\
             LimitNOFILE=65536\n\
             NoNewPrivileges=yes\n\
             ProtectSystem=strict\n\
             ProtectHome=yes\n\
             PrivateTmp=yes\n\
             PrivateDevices=yes\n\
             ProtectKernelTunables=yes\n\
             ProtectControlGroups=yes\n\
             RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n\
             RestrictNamespaces=yes\n\
             LockPersonality=yes\n\
             SystemCallArchitectures=native\n\n\
             [Install]\n\
             WantedBy=multi-user.target\n",
            warning = self.warning("#"),
            network = self.file.network.name,
            binary = self.binary,
        )
    }

    fn compose(&self) -> Value {
        let mut services = serde_json::Map::new();
        for (index, node) in self.plan.nodes.iter().enumerate() {
            let ports = self.ports[index];
            // Names of services are names of hosts there.
            let peers = self.peers(index, |other| {
                with_port(&service_name(&self.plan.nodes[other].name), self.ports[other].p2p)
            });
            let mut command = vec![
                "node".to_owned(),
                "--home=/data".to_owned(),
                format!("--p2p=0.0.0.0:{}", ports.p2p),
                format!("--rpc-listen=0.0.0.0:{}", ports.rpc),
            ];
            if !peers.is_empty() {
                command.push(format!("--peers={}", peers.join(",")));
            }
            let first: Vec<String> =
                node.dials.iter().map(|dial| service_name(&self.plan.nodes[*dial].name)).collect();
            services.insert(
                service_name(&node.name),
                json!({
                    "image": self.image,
                    "build": ".",
                    "command": command,
                    "volumes": [format!("./{}:/data", node.name)],
                    // Clients on this machine only.
                    "ports": [format!("127.0.0.1:{0}:{0}", ports.rpc)],
                    "depends_on": first,
                    "restart": "unless-stopped",
                    "stop_grace_period": "30s",
                    "healthcheck": {
                        "test": ["CMD", "/usr/local/bin/kette", "status", "--rpc",
                                 format!("http://127.0.0.1:{}", ports.rpc)],
                        "interval": "10s",
                        "timeout": "5s",
                        "retries": 6,
                    },
                }),
            );
        }
        json!({ "name": kubernetes::label(&self.file.network.name), "services": services })
    }

    fn dockerfile(&self) -> String {
        format!(
            "# The program beside this file, as `{}`: docker build -t {} .\n\
             FROM debian:trixie-slim\n\
             COPY kette /usr/local/bin/kette\n\
             ENTRYPOINT [\"/usr/local/bin/kette\"]\n",
            "kette", self.image
        )
    }
}

/// A name that is one of a host as well.
fn service_name(name: &str) -> String {
    kubernetes::label(name)
}
