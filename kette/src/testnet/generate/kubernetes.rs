//! A network for Kubernetes: a StatefulSet with a place for each node, and the service by which its nodes find each other.
//!
//! Pods have numbers, nodes have names: an init container puts the files of the n-th node where its program reads them,
//! once. Keys stay what they were when a secret changes, because what a validator signed last lies beside them.

use super::Draft;
use crate::run::home::Home;
use anyhow::Context as _;
use serde_json::{Map, Value, json};

const P2P: u16 = 7676;
const RPC: u16 = 8545;
/// Nobody, as most images have it.
const USER: u32 = 65_534;

/// Returns all objects.
pub(super) fn objects(draft: &Draft) -> anyhow::Result<Vec<Value>> {
    let name = label(&draft.file.network.name);
    let labels = json!({ "app.kubernetes.io/name": "kette", "app.kubernetes.io/instance": name });
    let meta = |suffix: &str| json!({ "name": format!("{name}{suffix}"), "labels": labels });
    let count = draft.plan.nodes.len();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": meta("-keys"), "type": "Opaque",
        "stringData": files(draft, &name)?,
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("-genesis"),
        "data": { "genesis.json": draft.genesis },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": meta(""),
        "spec": {
            "clusterIP": "None",
            // Nodes look for each other before they are ready.
            "publishNotReadyAddresses": true,
            "selector": labels,
            "ports": [
                { "name": "p2p", "port": P2P, "targetPort": "p2p" },
                { "name": "rpc", "port": RPC, "targetPort": "rpc" },
            ],
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta(""),
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels } },
    });
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta(""),
        "spec": {
            "serviceName": name,
            "replicas": count,
            "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod(draft, &name) },
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } } },
            }],
        },
    });
    Ok(vec![secret, config, service, budget, set])
}

fn pod(draft: &Draft, name: &str) -> Value {
    let probe = |path: &str, seconds: u32| json!({ "httpGet": { "path": path, "port": "rpc" }, "periodSeconds": seconds, "timeoutSeconds": 5 });
    // A pod is called NAME-NUMBER; files are NUMBER.FILE. `-n` keeps what is there.
    let copy = "set -eu; n=${HOSTNAME##*-}; umask 077; cd /data; cp /genesis/genesis.json genesis.json; \
                cp /keys/$n.config.toml config.toml; \
                for f in node.key validator.json account.key; do \
                if [ -e /keys/$n.$f ] && [ ! -e $f ]; then cp /keys/$n.$f $f; chmod 600 $f; fi; done";
    let data = json!({ "name": "data", "mountPath": "/data" });
    json!({
        "securityContext": { "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                             "seccompProfile": { "type": "RuntimeDefault" } },
        "terminationGracePeriodSeconds": 30,
        "initContainers": [{
            "name": "files",
            "image": "busybox:1.37",
            "command": ["sh", "-c", copy],
            "volumeMounts": [data, { "name": "keys", "mountPath": "/keys" },
                             { "name": "genesis", "mountPath": "/genesis" }],
        }],
        "containers": [{
            "name": "kette",
            "image": draft.image,
            "args": ["node", "--home=/data"],
            "ports": [{ "name": "p2p", "containerPort": P2P }, { "name": "rpc", "containerPort": RPC }],
            "livenessProbe": probe("/healthz", 10),
            "readinessProbe": probe("/readyz", 5),
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            "volumeMounts": [data],
        }],
        "volumes": [
            { "name": "keys", "secret": { "secretName": format!("{name}-keys"), "defaultMode": 288 } },
            { "name": "genesis", "configMap": { "name": format!("{name}-genesis") } },
        ],
    })
}

/// Returns each node's own files, under `NUMBER.FILE`.
fn files(draft: &Draft, service: &str) -> anyhow::Result<Map<String, Value>> {
    let mut files = Map::new();
    for (index, node) in draft.plan.nodes.iter().enumerate() {
        let home = Home::new(draft.directory.node(&node.name));
        let mut config = draft.config(index, false);
        config.p2p = format!("0.0.0.0:{P2P}");
        // Probes and other pods ask at the pod's own address.
        config.rpc_listen = format!("0.0.0.0:{RPC}");
        config.peers = draft.peers(index, |other| format!("{service}-{other}.{service}:{P2P}"));
        files.insert(format!("{index}.config.toml"), toml::to_string(&config)?.into());
        let account = home.path().join("account.key");
        for (name, path) in [
            ("node.key", home.node_key()),
            ("validator.json", home.validator_key()),
            ("account.key", account),
        ] {
            if path.exists() {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                files.insert(format!("{index}.{name}"), text.into());
            }
        }
    }
    Ok(files)
}

/// Returns a name as Kubernetes takes it (RFC 1123 label, with room for a number).
pub(super) fn label(name: &str) -> String {
    const MAX: usize = 40;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(plain).take(MAX).collect();
    let text = text.trim_matches('-');
    match text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => text.to_owned(),
        false => format!("n{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for (name, wanted) in
            [("pow-10", "pow-10"), ("My.Net_1-", "my-net-1"), ("7", "n7"), ("", "n")]
        {
            assert_eq!(label(name), wanted);
        }
    }
}
