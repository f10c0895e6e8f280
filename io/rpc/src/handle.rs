//! The RPC's way to a running node: a snapshot to read, a queue to ask, a stream of facts.

use kette_node::{Command, CommandError, Event, Reply, View};
use kette_types::{Block, Recovered, Transaction};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// A question that must pass through the node's loop.
#[derive(Debug)]
pub enum Ask {
    /// Take a transaction into the pool; its sender was recovered.
    Transaction(Box<Recovered<Transaction>>),
    /// Take a sealed block.
    Block(Box<Block>),
    /// Carry out a command.
    Command(Command),
}

/// A question with the way back for its answer.
pub type Question = (Ask, oneshot::Sender<Result<Reply, CommandError>>);

/// A running node, as RPC and monitor see it.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    /// The newest snapshot.
    pub view: watch::Receiver<Arc<View>>,
    /// Questions, answered in order. Bounded: a full queue makes the client wait.
    pub questions: mpsc::Sender<Question>,
    /// Facts as they happen; a slow subscriber loses the oldest.
    pub events: broadcast::Sender<Arc<Event>>,
}

impl NodeHandle {
    /// Returns the newest snapshot.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Asks the node and waits for the answer.
    ///
    /// # Errors
    /// What the node answered, or that it is stopping.
    pub async fn ask(&self, ask: Ask) -> Result<Reply, CommandError> {
        let stopping = || CommandError::Failed("the node is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.questions.send((ask, answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }
}
