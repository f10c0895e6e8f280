//! Starting and stopping the one port.

use crate::{
    config::{Config, RpcError, Sources},
    context::Context,
    filters, health, http, middleware, table,
};
use alloy_primitives::U128;
use jsonrpsee::{
    core::middleware::RpcServiceBuilder,
    server::{BatchRequestConfig, IdProvider, Server, ServerConfig, ServerHandle as Inner},
    types::SubscriptionId,
};
use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};
use tokio::task::AbortHandle;

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub struct ServerHandle {
    cx: Arc<Context>,
    inner: Inner,
    pump: AbortHandle,
}

impl ServerHandle {
    /// Stops taking connections and ends the open ones. Stopping twice is fine.
    pub fn stop(&self) {
        // An error says that it was stopped before.
        let _ = self.inner.stop();
        self.pump.abort();
    }

    /// Returns how to read the pages that another port may show as well: `/status` and `/healthz`, as JSON. Nothing of
    /// a server that stopped.
    pub fn pages(&self) -> impl Fn(&str) -> Option<String> + Send + Sync + 'static {
        let cx = Arc::downgrade(&self.cx);
        move |path| {
            let cx = cx.upgrade()?;
            match path {
                "/status" => Some(health::status(&cx).to_string()),
                "/healthz" => Some(serde_json::json!({ "alive": health::alive(&cx) }).to_string()),
                _ => None,
            }
        }
    }

    /// Waits until every connection is closed.
    pub async fn stopped(self) {
        self.inner.clone().stopped().await;
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts serving JSON-RPC (HTTP and WebSocket) and the operator's pages on one port. Returns the address
/// that it listens on.
///
/// # Errors
/// The port is in use, or the address cannot be listened on.
pub async fn serve(
    config: Config,
    sources: Sources,
) -> Result<(SocketAddr, ServerHandle), RpcError> {
    let address = config.listen;
    let listen = |error: std::io::Error| match error.kind() {
        ErrorKind::AddrInUse => RpcError::PortInUse(address),
        _ => RpcError::Listen { address, error },
    };
    let socket = bind(address).map_err(listen)?;
    let limits = ServerConfig::builder()
        .max_connections(config.connections_max)
        .max_request_body_size(config.request_bytes_max)
        .max_response_body_size(config.response_bytes_max)
        .max_subscriptions_per_connection(SUBSCRIPTIONS_MAX)
        .set_message_buffer_capacity(QUEUED_NOTICES_MAX)
        .set_batch_request_config(BatchRequestConfig::Limit(config.batch_max))
        .set_id_provider(HexIds)
        .set_tcp_no_delay(true)
        .build();
    let cx = Context::new(config, sources);
    let module = table::module(&cx)?;
    let server = Server::builder()
        .set_config(limits)
        .set_http_middleware(tower::ServiceBuilder::new().layer(http::Layer(cx.clone())))
        .set_rpc_middleware(RpcServiceBuilder::new().layer(middleware::Layer(cx.clone())))
        .build_from_tcp(socket)
        .map_err(listen)?;
    let local = server.local_addr().map_err(listen)?;
    // Subscribed before the first client can come, so that no filter misses an event.
    let events = cx.node.events.subscribe();
    let pump = tokio::spawn(filters::pump(cx.clone(), events)).abort_handle();
    let inner = server.start(module);
    tracing::info!(address = %local, "rpc listens");
    Ok((local, ServerHandle { cx, inner, pump }))
}

/// Binds without stealing: on Unix the standard library sets SO_REUSEADDR, which there only skips the wait for
/// old connections.
fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Subscription ids as Ethereum clients know them: unguessable quantities.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        SubscriptionId::Str(random_id().into())
    }
}

/// Returns a random id for a subscription or filter.
pub(crate) fn random_id() -> String {
    format!("{:#x}", U128::from_be_bytes(alloy_primitives::B128::random().0))
}

/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: u32 = 1_024;
/// Notices that wait for a slow client; then its subscription ends.
const QUEUED_NOTICES_MAX: u32 = 1_024;
