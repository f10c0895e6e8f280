//! What nodes say reached them, and when: one watcher per node, by WebSocket.
//!
//! A Kette node gives times by its own clock (`kette_subscribe` to `arrivals`), which counts if it runs on this machine.
//! Of any other endpoint the time is when its notice arrived here.

use super::endpoint::Endpoint;
use crate::{client::is_here, commands::exit::Exit, unix_time};
use alloy_primitives::B256;
use jsonrpsee::{
    core::client::{Subscription, SubscriptionClientT as _},
    rpc_params,
    ws_client::{WsClient, WsClientBuilder},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

/// What one node said. Times are microseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When each transaction of the load entered its pool; 0 for never.
    pub pool: Vec<u64>,
    /// When a block became canonical there, for the first time.
    pub heads: BTreeMap<B256, u64>,
    /// Final blocks: number, time.
    pub finals: Vec<(u64, u64)>,
    /// Blocks that it made: hash, number.
    pub produced: Vec<(B256, u64)>,
    /// The times are of its own clock.
    pub own_clock: bool,
    /// How often it could not be heard for a while.
    pub gaps: u32,
}

/// Which transactions are ours: their places by hash.
pub type Index = Arc<HashMap<B256, u32>>;

/// A node, heard.
#[derive(Debug)]
pub struct Watcher {
    endpoint: Endpoint,
    node: usize,
    index: Index,
    heads: mpsc::Sender<(usize, B256)>,
    with_pool: bool,
    stream: Stream,
    seen: Seen,
}

/// The subscriptions. The connection lives as long as they are kept with it.
#[derive(Debug)]
pub struct Stream(Source);

#[derive(Debug)]
enum Source {
    Own(#[expect(dead_code, reason = "keeps the connection")] WsClient, Subscription<Arrivals>),
    Foreign {
        _connection: WsClient,
        heads: Subscription<Head>,
        pending: Option<Subscription<B256>>,
    },
}

/// What reached a node. Times are microseconds since 1970 by its clock; 0 if the endpoint gives none.
#[derive(Debug, Default, Deserialize)]
pub struct Arrivals {
    /// Transactions that entered its pool: hash, time.
    pub pending: Vec<(B256, u64)>,
    /// Blocks that became canonical: hash, number, time.
    pub heads: Vec<(B256, u64, u64)>,
    /// Blocks that became final: hash, number, time.
    #[serde(rename = "final")]
    pub finals: Vec<(B256, u64, u64)>,
    /// Blocks that it made: hash, number, time.
    pub produced: Vec<(B256, u64, u64)>,
}

#[derive(Debug, Deserialize)]
struct Head {
    hash: B256,
}

/// Notices that wait for us.
const NOTICES_MAX: usize = 65_536;
/// After this time a broken connection is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// At the end, after this time without a notice none is under way;
const QUIET: Duration = Duration::from_millis(100);
/// or after this time, on chains that do not rest.
const REST_MAX: Duration = Duration::from_secs(1);

impl Watcher {
    /// Begins to listen; nothing that happens later is missed.
    ///
    /// # Errors
    /// If the endpoint has no WebSocket, or none of the subscriptions.
    pub async fn start(
        endpoint: Endpoint,
        node: usize,
        index: Index,
        heads: mpsc::Sender<(usize, B256)>,
        with_pool: bool,
    ) -> anyhow::Result<Self> {
        let stream = Stream::open(&endpoint, with_pool).await?;
        let own_clock = matches!(stream.0, Source::Own(..)) && is_here(&endpoint.url);
        let pool = vec![0; index.len()];
        let seen = Seen { pool, own_clock, ..Seen::default() };
        Ok(Self { endpoint, node, index, heads, with_pool, stream, seen })
    }

    /// Listens until told to stop, and returns what was heard.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Seen {
        loop {
            let heard = tokio::select! {
                _ = stop.changed() => return self.rest().await,
                heard = self.stream.next() => heard,
            };
            match heard {
                Some(arrivals) => self.note(arrivals).await,
                None => {
                    self.seen.gaps += 1;
                    tokio::select! {
                        _ = stop.changed() => return self.seen,
                        () = self.reconnect() => {}
                    }
                }
            }
        }
    }

    /// Takes the notices that are under way, and returns what was heard.
    async fn rest(mut self) -> Seen {
        let until = Instant::now() + REST_MAX;
        while let Ok(Some(arrivals)) =
            timeout_at(until.min(Instant::now() + QUIET), self.stream.next()).await
        {
            self.note(arrivals).await;
        }
        self.seen
    }

    async fn reconnect(&mut self) {
        loop {
            tokio::time::sleep(AGAIN).await;
            if let Ok(stream) = Stream::open(&self.endpoint, self.with_pool).await {
                self.stream = stream;
                return;
            }
        }
    }

    async fn note(&mut self, arrivals: Arrivals) {
        let here = unix_time::micros();
        let at = |theirs: u64| if self.seen.own_clock { theirs } else { here };
        if self.with_pool {
            for (hash, theirs) in arrivals.pending {
                if let Some(place) = self.index.get(&hash) {
                    let time = &mut self.seen.pool[*place as usize];
                    if *time == 0 {
                        *time = at(theirs);
                    }
                }
            }
        }
        self.seen
            .finals
            .extend(arrivals.finals.iter().map(|(_, number, time)| (*number, at(*time))));
        self.seen
            .produced
            .extend(arrivals.produced.iter().map(|(hash, number, _)| (*hash, *number)));
        for (hash, _, theirs) in arrivals.heads {
            let time = at(theirs);
            self.seen.heads.entry(hash).or_insert(time);
            // The follower ends only after the watchers.
            let _ = self.heads.send((self.node, hash)).await;
        }
    }
}

impl Stream {
    /// Listens to a Kette node.
    ///
    /// # Errors
    /// If nobody answers, or it is another endpoint.
    pub async fn own(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let connection = connect(&endpoint.socket()).await?;
        let arrivals = arrivals(&connection).await?;
        Ok(Self(Source::Own(connection, arrivals)))
    }

    async fn open(endpoint: &Endpoint, with_pool: bool) -> anyhow::Result<Self> {
        let url = endpoint.socket();
        let connection = connect(&url).await?;
        if let Ok(arrivals) = arrivals(&connection).await {
            return Ok(Self(Source::Own(connection, arrivals)));
        }
        let explain = |error| anyhow::anyhow!("{url}: eth_subscribe: {error}");
        let heads = connection
            .subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe")
            .await
            .map_err(explain)?;
        let pending = if with_pool {
            let params = rpc_params!["newPendingTransactions"];
            let pending = connection.subscribe("eth_subscribe", params, "eth_unsubscribe").await;
            Some(pending.map_err(explain)?)
        } else {
            None
        };
        Ok(Self(Source::Foreign { _connection: connection, heads, pending }))
    }

    /// Waits for what comes next; `None` if the connection or a subscription ended.
    pub async fn next(&mut self) -> Option<Arrivals> {
        match &mut self.0 {
            Source::Own(_, arrivals) => arrivals.next().await?.ok(),
            Source::Foreign { heads, pending, .. } => {
                let mut arrivals = Arrivals::default();
                let next_pending = async {
                    match pending {
                        Some(pending) => pending.next().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    head = heads.next() => arrivals.heads.push((head?.ok()?.hash, 0, 0)),
                    hash = next_pending => arrivals.pending.push((hash?.ok()?, 0)),
                }
                Some(arrivals)
            }
        }
    }
}

async fn connect(url: &str) -> anyhow::Result<WsClient> {
    let connection = WsClientBuilder::default()
        .max_buffer_capacity_per_subscription(NOTICES_MAX)
        .build(url)
        .await
        .map_err(|error| {
            Exit::NotUp(format!(
                "no WebSocket at {url}: {error}\nblocks and pools are watched by eth_subscribe on the port of JSON-RPC"
            ))
        })?;
    Ok(connection)
}

async fn arrivals(connection: &WsClient) -> anyhow::Result<Subscription<Arrivals>> {
    let params = rpc_params!["arrivals"];
    Ok(connection.subscribe("kette_subscribe", params, "kette_unsubscribe").await?)
}
