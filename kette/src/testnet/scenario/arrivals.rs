//! Listens to the nodes of a run: each says by its own clock, which is this machine's, when blocks and transactions
//! reached it. The same source for every engine and every level of logs.

use super::{journal::Journal, nodes::Nodes};
use crate::{
    testnet::load::{endpoint::Endpoint, watch::Stream},
    unix_time,
};
use alloy_primitives::{Address, B256};
use futures::FutureExt as _;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Listeners, one per honest node. They end when this is dropped.
#[derive(Debug)]
pub struct Listeners {
    journal: Arc<Mutex<Journal>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A process that starts or is away is tried again after this time.
const AGAIN: Duration = Duration::from_millis(100);

/// The part of `kette_observe` that counts.
#[derive(Debug, Deserialize)]
struct Observed {
    heads: Vec<Head>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    at_ms: u64,
    hash: B256,
}

/// The part of `txpool_content` that counts: by sender and nonce.
#[derive(Debug, Deserialize)]
struct Waiting {
    pending: ByNonce,
    queued: ByNonce,
}

type ByNonce = BTreeMap<Address, BTreeMap<String, Hashed>>;

#[derive(Debug, Deserialize)]
struct Hashed {
    hash: B256,
}

impl Waiting {
    fn hashes(&self) -> impl Iterator<Item = B256> {
        let lists = self.pending.values().chain(self.queued.values());
        lists.flat_map(BTreeMap::values).map(|transaction| transaction.hash)
    }
}

impl Listeners {
    /// Begins to listen to all honest nodes, those that are still to start as well.
    ///
    /// # Errors
    /// If an address is none.
    pub fn start(nodes: &Nodes) -> anyhow::Result<Self> {
        let journal = Arc::new(Mutex::new(Journal::default()));
        let mut tasks = Vec::new();
        for node in nodes.honest() {
            let endpoint = Endpoint::new(nodes.name(node).to_owned(), nodes.client(node).url())?;
            tasks.push(tokio::spawn(listen(endpoint, node, journal.clone())));
        }
        Ok(Self { journal, tasks })
    }

    /// Returns what was heard so far.
    pub fn journal(&self) -> Journal {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn listen(endpoint: Endpoint, node: usize, journal: Arc<Mutex<Journal>>) {
    let note = |change: &mut dyn FnMut(&mut Journal)| {
        change(&mut journal.lock().unwrap_or_else(PoisonError::into_inner));
    };
    loop {
        if let Ok(mut stream) = Stream::own(&endpoint).await {
            // What this process had before somebody listened; what comes meanwhile waits in the stream.
            if let Ok(before) = endpoint.client.ask::<Observed>("kette_observe", []).await {
                note(&mut |journal| {
                    for head in &before.heads {
                        journal.had(node, head.hash, head.at_ms.saturating_mul(1_000));
                    }
                });
            }
            let mut waiting = pin!(endpoint.client.ask::<Waiting>("txpool_content", []).fuse());
            loop {
                let arrivals = tokio::select! {
                    // Pools do not tell since when: at the latest now.
                    waiting = &mut waiting => {
                        let at = unix_time::micros();
                        note(&mut |journal| {
                            for hash in waiting.iter().flat_map(Waiting::hashes) {
                                journal.pooled(node, hash, at);
                            }
                        });
                        continue;
                    }
                    arrivals = stream.next() => arrivals,
                };
                let Some(arrivals) = arrivals else { break };
                note(&mut |journal| {
                    for (hash, _, at) in &arrivals.heads {
                        journal.had(node, *hash, *at);
                    }
                    for (hash, _, at) in &arrivals.produced {
                        journal.produced(node, *hash, *at);
                    }
                    for (hash, at) in &arrivals.pending {
                        journal.pooled(node, *hash, *at);
                    }
                });
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
