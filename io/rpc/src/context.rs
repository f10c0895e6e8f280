//! What every method can reach.

use crate::{
    config::{Config, NetworkControl, Sources},
    failure::Failure,
    filters::Filters,
    handle::NodeHandle,
    metrics::Metrics,
    recent::{HeadSeen, Recent, now_ms},
    table::Answer,
};
use kette_ledger::Rules;
use kette_node::View;
use kette_types::{B256, ChainSpec};
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::sync::Semaphore;

/// What every method can reach.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) node: NodeHandle,
    pub(crate) reader: kette_store::Reader,
    pub(crate) rules: Rules,
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) network: Arc<dyn NetworkControl>,
    pub(crate) metrics: Metrics,
    pub(crate) filters: Filters,
    /// What watchers of the network ask for.
    pub(crate) recent: Recent,
    /// Heads remembered by `evm_snapshot`, oldest first; the id is the place plus one.
    pub(crate) snapshots: Mutex<Vec<B256>>,
    pub(crate) started: Instant,
    workers: Arc<Semaphore>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Context {
    /// Gathers what methods need.
    pub(crate) fn new(config: Config, sources: Sources) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let engine = sources.spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
        let head = HeadSeen::of(&sources.node.view().head, now_ms());
        Arc::new(Self {
            recent: Recent::new(head, sources.errors),
            metrics: Metrics::new(&config.version, &config.commit, engine),
            config,
            node: sources.node,
            reader: sources.reader,
            rules: sources.rules,
            spec: sources.spec,
            network: sources.network,
            filters: Filters::default(),
            snapshots: Mutex::default(),
            started: Instant::now(),
            workers: Arc::new(Semaphore::new(cores * WORKERS_PER_CORE)),
        })
    }

    /// Returns the newest snapshot of the node.
    pub(crate) fn view(&self) -> Arc<View> {
        self.node.view()
    }

    /// Tells whether the genesis says `development`.
    pub(crate) fn development(&self) -> bool {
        self.spec.kette.as_ref().is_some_and(|kette| kette.development)
    }

    /// Tells whether links may be cut: only where no stranger takes part.
    pub(crate) fn may_cut(&self) -> bool {
        self.spec.is_local()
    }

    /// Runs heavy work on a blocking worker; at most a few at a time, the rest wait.
    pub(crate) async fn blocking(
        self: Arc<Self>,
        work: impl FnOnce() -> Answer + Send + 'static,
    ) -> Answer {
        let permit = self.workers.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.unwrap_or_else(|_| Err(Failure::Internal("the worker stopped".to_owned())))
    }
}

/// Calls on blocking workers at the same time, per processor: more than one, because some wait for the disk.
const WORKERS_PER_CORE: usize = 4;
