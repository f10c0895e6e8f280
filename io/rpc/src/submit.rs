//! Transactions on their way in: strict decoding, recovery on blocking workers, then the node's queue.

use crate::{
    args::Args,
    context::Context,
    failure::Failure,
    handle::{Ask, Question},
    table::{Answer, reply},
};
use alloy_eips::Decodable2718;
use alloy_primitives::{B256, Bytes};
use futures::future::{BoxFuture, join_all};
use jsonrpsee::core::middleware::Extensions;
use kette_node::{CommandError, Reply};
use kette_types::{Recovered, Transaction, limits::TRANSACTION_BYTES_MAX};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// The method whose calls are prepared a batch at a time.
pub(crate) const METHOD: &str = "eth_sendRawTransaction";

type Waiting = Result<oneshot::Receiver<Result<Reply, CommandError>>, Failure>;

/// A transaction of a batch that was recovered and queued before its call runs. Taken once.
#[derive(Clone, Debug)]
pub(crate) struct Submission(Arc<Mutex<Option<Waiting>>>);

impl Submission {
    fn take(&self) -> Option<Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Takes the raw transaction out of a request's parameters; `None` leaves the error to the call itself.
pub(crate) fn raw(params: &str) -> Option<Bytes> {
    serde_json::from_str::<[Bytes; 1]>(params).ok().map(|[raw]| raw)
}

/// Recovers and queues the transactions of a batch; each call finds its own in its extensions.
pub(crate) async fn all(cx: &Context, transactions: Vec<(Bytes, &mut Extensions)>) {
    if transactions.len() < 2 {
        return;
    }
    let (raws, extensions): (Vec<_>, Vec<_>) = transactions.into_iter().unzip();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = raws.len().div_ceil(workers);
    let parts = raws.chunks(share).map(|part| {
        let part = part.to_vec();
        tokio::task::spawn_blocking(move || recover(&part))
    });
    let results = join_all(parts.collect::<Vec<_>>()).await;
    let mut results = results.into_iter().flat_map(Result::unwrap_or_default);
    for extensions in extensions {
        // A worker that died leaves no result; the call then does the work itself and reports.
        let Some(result) = results.next() else { return };
        let waiting = match result {
            Ok(transaction) => queue(cx, transaction).await,
            Err(failure) => Err(failure),
        };
        extensions.insert(Submission(Arc::new(Mutex::new(Some(waiting)))));
    }
}

/// `eth_sendRawTransaction`.
pub(crate) fn send(cx: Arc<Context>, mut args: Args) -> BoxFuture<'static, Answer> {
    Box::pin(async move {
        let hash = match args.submission.take().and_then(|submission| submission.take()) {
            Some(waiting) => verdict(&cx, waiting).await?,
            None => submit(&cx, args.required()?).await?,
        };
        reply(&hash)
    })
}

/// Hands a raw transaction to the node and waits for its verdict.
pub(crate) async fn submit(cx: &Context, raw: Bytes) -> Result<B256, Failure> {
    let recovered = tokio::task::spawn_blocking(move || recover(&[raw]).pop()).await;
    let stopped = || Failure::Internal("signature recovery stopped".to_owned());
    let transaction = recovered.ok().flatten().ok_or_else(stopped)??;
    verdict(cx, queue(cx, transaction).await).await
}

async fn verdict(cx: &Context, waiting: Waiting) -> Result<B256, Failure> {
    match waiting?.await {
        Ok(Ok(Reply::Transaction(hash))) => Ok(hash),
        Ok(Ok(other)) => Err(Failure::Internal(format!("unexpected answer {other:?}"))),
        Ok(Err(refused)) => {
            if let CommandError::Transaction(rejection) = &refused {
                cx.metrics.rejected(rejection);
            }
            Err(refused.into())
        }
        Err(_) => Err(stopping()),
    }
}

async fn queue(cx: &Context, transaction: Recovered<Transaction>) -> Waiting {
    let (answer, answered) = oneshot::channel();
    let question: Question = (Ask::Transaction(Box::new(transaction)), answer);
    cx.node.questions.send(question).await.map_err(|_| stopping())?;
    Ok(answered)
}

fn stopping() -> Failure {
    Failure::Server("the node is stopping".to_owned())
}

/// Decodes and recovers; one result per transaction, in order.
fn recover(raws: &[Bytes]) -> Vec<Result<Recovered<Transaction>, Failure>> {
    let mut results: Vec<_> = raws.iter().map(decode).collect();
    let decoded: Vec<Transaction> = results.iter().flatten().cloned().collect();
    let mut senders = kette_ledger::recover(&decoded).into_iter();
    results
        .drain(..)
        .map(|result| {
            let transaction = result?;
            let sender = senders.next().flatten();
            sender
                .map(|sender| Recovered::new_unchecked(transaction, sender))
                .ok_or_else(|| Failure::Server("invalid sender".to_owned()))
        })
        .collect()
}

fn decode(raw: &Bytes) -> Result<Transaction, Failure> {
    if raw.len() > TRANSACTION_BYTES_MAX {
        return Err(Failure::Server(format!(
            "oversized data: transaction size {}, limit {TRANSACTION_BYTES_MAX}",
            raw.len()
        )));
    }
    let mut rest = raw.as_ref();
    let transaction = Transaction::decode_2718(&mut rest).map_err(|error| {
        let blobs = raw.first() == Some(&BLOB_TYPE);
        Failure::Server(if blobs {
            "transaction type not supported: blob transactions (EIP-4844) are not part of this chain"
                .to_owned()
        } else {
            format!("rlp: {error}")
        })
    })?;
    if !rest.is_empty() {
        return Err(Failure::Server(format!("rlp: {} bytes after the transaction", rest.len())));
    }
    if matches!(transaction, Transaction::Eip4844(_)) {
        return Err(Failure::Server(
            "transaction type not supported: blob transactions (EIP-4844) are not part of this chain"
                .to_owned(),
        ));
    }
    Ok(transaction)
}

/// The transaction type of EIP-4844.
const BLOB_TYPE: u8 = 3;
