//! Between transport and methods: measures calls, names unknown methods, and checks the signatures of a
//! batch of transactions in parallel before its calls run one after the other.

use crate::{context::Context, submit};
use jsonrpsee::{
    core::middleware::{Batch, BatchEntry, Notification, RpcServiceT},
    server::{BatchResponseBuilder, MethodResponse},
    types::{ErrorObjectOwned, Request},
};
use std::{sync::Arc, time::Instant};

/// Wraps each connection's service.
#[derive(Clone, Debug)]
pub(crate) struct Layer(pub(crate) Arc<Context>);

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;
    fn layer(&self, inner: S) -> Service<S> {
        Service { cx: self.0.clone(), inner }
    }
}

/// Set on requests that came by plain HTTP, where nothing can be pushed to the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainHttp;

/// One connection's service.
#[derive(Clone, Debug)]
pub(crate) struct Service<S> {
    cx: Arc<Context>,
    inner: S,
}

impl<S> Service<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    async fn one(self, request: Request<'_>) -> MethodResponse {
        let began = Instant::now();
        let Some(method) = self.cx.metrics.method(&request.method) else {
            let error = ErrorObjectOwned::owned::<()>(
                -32601,
                format!(
                    "the method {} does not exist/is not available",
                    request.method.chars().take(SHOWN_NAME_CHARS_MAX).collect::<String>()
                ),
                None,
            );
            self.cx.metrics.called(UNKNOWN, error.code(), began.elapsed());
            return MethodResponse::error(request.id, error);
        };
        let pushes = method.ends_with("_subscribe") || method.ends_with("_unsubscribe");
        if pushes && request.extensions.get::<PlainHttp>().is_some() {
            let text =
                "notifications not supported over HTTP: connect to the same port by WebSocket";
            let error = ErrorObjectOwned::owned::<()>(-32601, text, None);
            self.cx.metrics.called(method, error.code(), began.elapsed());
            return MethodResponse::error(request.id, error);
        }
        let response = self.inner.call(request).await;
        self.cx.metrics.called(method, response.as_error_code().unwrap_or(0), began.elapsed());
        response
    }

    async fn many(self, mut batch: Batch<'_>) -> MethodResponse {
        let mut transactions = Vec::new();
        for entry in batch.iter_mut() {
            if let Ok(BatchEntry::Call(call)) = entry
                && call.method == submit::METHOD
                && let Some(raw) = call.params.as_ref().and_then(|p| submit::raw(p.get()))
            {
                transactions.push((raw, &mut call.extensions));
            }
        }
        submit::all(&self.cx, transactions).await;

        let mut responses =
            BatchResponseBuilder::new_with_limit(self.cx.config.response_bytes_max as usize);
        let mut notified = false;
        for entry in batch {
            let response = match entry {
                Ok(BatchEntry::Call(request)) => self.clone().one(request).await,
                Ok(BatchEntry::Notification(_)) => {
                    notified = true;
                    continue;
                }
                Err(error) => {
                    let (error, id) = error.into_parts();
                    MethodResponse::error(id, error)
                }
            };
            if let Err(too_big) = responses.append(response) {
                return too_big;
            }
        }
        if responses.is_empty() && notified {
            return MethodResponse::notification();
        }
        // An empty batch is an invalid request, which `finish` says.
        MethodResponse::from_batch(responses.finish())
    }
}

impl<S> RpcServiceT for Service<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.clone().one(request)
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.clone().many(batch)
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

/// The label under which calls of methods that do not exist are counted.
pub(crate) const UNKNOWN: &str = "unknown";
/// Characters of an unknown method's name that are said back.
const SHOWN_NAME_CHARS_MAX: usize = 100;
