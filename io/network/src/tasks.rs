//! The driver's tasks, so that stopping it leaves none behind.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinSet},
};

/// Every task of one driver. Dropping the last clone aborts them.
#[derive(Clone)]
pub(crate) struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    runtime: Handle,
}

impl Tasks {
    /// Builds an empty set that spawns on the current runtime.
    pub(crate) fn new() -> Self {
        Self { set: Arc::default(), runtime: Handle::current() }
    }

    /// Spawns a task; may be called from any thread.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        while set.try_join_next().is_some() {}
        set.spawn_on(task, &self.runtime)
    }

    /// Aborts all tasks and waits until they are gone.
    pub(crate) async fn stop(&self) {
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        set.shutdown().await;
    }
}
