//! Subscriptions over WebSocket: new heads, logs, pending transactions, sync status, final blocks, arrivals.

use crate::{
    arrivals::{self, Arrivals},
    context::Context,
    convert,
    failure::Failure,
    filters::{check_criteria, matching},
    table::reply,
};
use alloy_rpc_types_eth::pubsub::{Params, PubSubSyncStatus, SubscriptionKind, SyncStatusMetadata};
use jsonrpsee::{
    PendingSubscriptionSink, RpcModule,
    core::SubscriptionError,
    server::{RegisterMethodError, SubscriptionSink},
};
use kette_consensus::bft;
use kette_node::Event;
use kette_types::{B256, U256};
use serde_json::{json, value::RawValue};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::broadcast::{self, error::RecvError};

/// Registers `eth_subscribe` and `eth_unsubscribe`, and the same under `kette_`.
///
/// # Errors
/// If the names are taken.
pub(crate) fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, cx, _| async move {
            accept(params.as_str(), pending, cx).await.map_err(SubscriptionError::from)
        },
    )?;
    module.register_subscription(
        "kette_subscribe",
        "kette_subscription",
        "kette_unsubscribe",
        |params, pending, cx, _| async move {
            accept(params.as_str(), pending, cx).await.map_err(SubscriptionError::from)
        },
    )?;
    Ok(())
}

async fn accept(
    params: Option<&str>,
    pending: PendingSubscriptionSink,
    cx: Arc<Context>,
) -> Result<(), String> {
    let topic = match Topic::parse(params) {
        Ok(topic) => topic,
        Err(failure) => {
            pending.reject(failure).await;
            return Ok(());
        }
    };
    // Subscribed before the client knows of it, so that nothing after its answer is missed.
    let events = cx.node.events.subscribe();
    let first = topic.first(&cx);
    let Ok(sink) = pending.accept().await else { return Ok(()) };
    if let Some(first) = first
        && sink.send(first).await.is_err()
    {
        return Ok(());
    }
    // The node ends before its clients; they must not keep it alive.
    drop(cx);
    forward(topic, events, sink).await
}

async fn forward(
    mut topic: Topic,
    mut events: broadcast::Receiver<Arc<Event>>,
    sink: SubscriptionSink,
) -> Result<(), String> {
    loop {
        let notices = tokio::select! {
            () = sink.closed() => return Ok(()),
            notices = topic.next(&mut events) => notices,
        };
        match notices {
            Ok(notices) => {
                for notice in notices.map_err(|failure| failure.to_string())? {
                    if sink.send(notice).await.is_err() {
                        return Ok(());
                    }
                }
            }
            Err(RecvError::Lagged(_)) => {
                return Err("subscription ended: the client reads too slowly".to_owned());
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// What a client subscribed to.
enum Topic {
    Heads,
    Logs(Box<alloy_rpc_types_eth::Filter>),
    Pending {
        full: bool,
    },
    Syncing,
    /// With what recent heads created: a block is head before it is said to be final.
    Final(VecDeque<(B256, U256)>),
    /// What reached this node, and when.
    Arrivals,
}

/// Heads whose reward is remembered for [`Topic::Final`].
const ISSUED_MAX: usize = 64;

impl Topic {
    fn parse(params: Option<&str>) -> Result<Self, Failure> {
        let invalid = |error: serde_json::Error| Failure::InvalidParams(error.to_string());
        let mut values: Vec<serde_json::Value> =
            serde_json::from_str(params.unwrap_or("[]")).map_err(invalid)?;
        if values.len() > 2 {
            let text = "too many arguments, want at most 2".to_owned();
            return Err(Failure::InvalidParams(text));
        }
        values.reverse();
        let kind = values.pop().unwrap_or_default();
        let argument = values.pop().unwrap_or_default();
        let text = kind.as_str().unwrap_or_default();
        if text == FINAL {
            return Ok(Self::Final(VecDeque::new()));
        }
        if text == arrivals::NAME {
            return Ok(Self::Arrivals);
        }
        let kind: SubscriptionKind = text.parse().map_err(|_| unknown(text))?;
        let argument = Params::from_json_value(argument).map_err(invalid)?;
        Ok(match (kind, argument) {
            (SubscriptionKind::NewHeads, _) => Self::Heads,
            (SubscriptionKind::Logs, Params::Logs(filter)) => {
                check_criteria(&filter)?;
                Self::Logs(filter)
            }
            (SubscriptionKind::Logs, Params::None) => Self::Logs(Box::default()),
            (SubscriptionKind::NewPendingTransactions, Params::None) => {
                Self::Pending { full: false }
            }
            (SubscriptionKind::NewPendingTransactions, Params::Bool(full)) => {
                Self::Pending { full }
            }
            (SubscriptionKind::Syncing, _) => Self::Syncing,
            (SubscriptionKind::TransactionReceipts, _) => return Err(unknown(text)),
            _ => return Err(Failure::InvalidParams(format!("invalid argument 1 for \"{text}\""))),
        })
    }

    /// Waits for what comes next, and returns what the client is told of it.
    async fn next(
        &mut self,
        events: &mut broadcast::Receiver<Arc<Event>>,
    ) -> Result<Result<Vec<Box<RawValue>>, Failure>, RecvError> {
        if let Self::Arrivals = self {
            return Ok(Arrivals::next(events).await?.notice().map(|notice| vec![notice]));
        }
        let event = events.recv().await?;
        Ok(self.notices(&event))
    }

    /// What the client is told at once.
    fn first(&self, cx: &Context) -> Option<Box<RawValue>> {
        let Self::Syncing = self else { return None };
        let status = match cx.view().status.syncing {
            None => PubSubSyncStatus::Simple(false),
            Some(sync) => syncing(sync.starting, sync.current, sync.highest),
        };
        reply(&status).ok()
    }

    fn notices(&mut self, event: &Event) -> Result<Vec<Box<RawValue>>, Failure> {
        match (self, event) {
            (Self::Final(issued), Event::Head { added, .. }) => {
                issued.extend(added.iter().map(|block| (block.hash(), block.issued)));
                issued.drain(..issued.len().saturating_sub(ISSUED_MAX));
                Ok(Vec::new())
            }
            (
                Self::Final(issued),
                Event::Engine(bft::Event::Final {
                    height,
                    round,
                    block,
                    signers,
                    weight,
                    total,
                    after_ms,
                    live,
                }),
            ) => {
                let reward = issued.iter().find(|(hash, _)| hash == block);
                Ok(vec![reply(&json!({
                    "hash": block,
                    "height": height,
                    "reward": reward.map(|(_, reward)| reward),
                    "round": round,
                    "signers": signers,
                    "weight": weight.to_string(),
                    "totalWeight": total.to_string(),
                    "finalityMs": after_ms,
                    "live": live,
                }))?])
            }
            (Self::Heads, Event::Head { added, .. }) => added
                .iter()
                .map(|block| {
                    let weight = Some(block.total_weight);
                    reply(&convert::header(&block.block.header, weight, None))
                })
                .collect(),
            (Self::Logs(criteria), Event::Head { .. }) => {
                matching(criteria, event).iter().map(reply).collect()
            }
            (Self::Pending { full: false }, Event::Pending(transaction)) => {
                Ok(vec![reply(transaction.tx_hash())?])
            }
            (Self::Pending { full: true }, Event::Pending(transaction)) => {
                Ok(vec![reply(&convert::pending(transaction))?])
            }
            (Self::Syncing, Event::SyncProgress { number, target }) => {
                Ok(vec![reply(&syncing(*number, *number, *target))?])
            }
            (Self::Syncing, Event::Synced { .. }) => {
                Ok(vec![reply(&PubSubSyncStatus::Simple(false))?])
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Each block once, when it becomes final (engine `bft`).
const FINAL: &str = "blockFinalized";

fn unknown(kind: &str) -> Failure {
    let shown: String = kind.chars().take(100).collect();
    Failure::InvalidParams(format!(
        "no \"{shown}\" subscription in eth namespace; there are newHeads, logs, newPendingTransactions, syncing, blockFinalized, arrivals"
    ))
}

const fn syncing(starting: u64, current: u64, highest: u64) -> PubSubSyncStatus {
    PubSubSyncStatus::Detailed(SyncStatusMetadata {
        syncing: true,
        starting_block: starting,
        current_block: current,
        highest_block: Some(highest),
    })
}
