//! A small HTTP server for Prometheus: `/metrics` of the network, `/targets` for `http_sd_configs`, `/status` as JSON.

use super::{metrics, targets};
use crate::testnet::{
    directory::Directory,
    monitor::{model::Model, poller},
};
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, Semaphore},
};

/// Connections at the same time; more wait.
const CONNECTIONS_MAX: usize = 32;
/// A client that sends no whole request for so long is let go.
const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// The nodes are asked again after this time at the earliest, however many ask us.
const FRESH: Duration = Duration::from_millis(500);

/// Serves until interrupted.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(
    directory: Directory,
    listen: SocketAddr,
    hosts: Vec<String>,
) -> anyhow::Result<()> {
    let socket = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}: choose another address with --listen")
    })?;
    eprintln!("serving http://{}/metrics, /targets and /status", socket.local_addr()?);
    let listen = socket.local_addr()?;
    let exporter = Arc::new(Exporter { directory, listen, hosts, last: Mutex::default() });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place?,
            _ = &mut interrupted => return Ok(()),
        };
        let stream = tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                // The client went away, or no file is left for it.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = &mut interrupted => return Ok(()),
        };
        let exporter = exporter.clone();
        tokio::spawn(async move {
            let _place = place;
            let service =
                hyper::service::service_fn(move |request| answer(exporter.clone(), request));
            // A client that breaks off is no error of ours.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_WITHIN)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Exporter {
    directory: Directory,
    listen: SocketAddr,
    /// Names of this machine with a dot in them: other such names may be rebound ones.
    hosts: Vec<String>,
    /// What was found out last, and when. Its lock lets one round run at a time.
    last: Mutex<Option<(Instant, Arc<Model>)>>,
}

impl Exporter {
    async fn model(&self) -> anyhow::Result<Arc<Model>> {
        let mut last = self.last.lock().await;
        if let Some((_, model)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(model.clone());
        }
        let model = Arc::new(Model::of(&poller::sample(&self.directory).await?, None));
        *last = Some((Instant::now(), model.clone()));
        Ok(model)
    }

    async fn page(&self, path: &str) -> anyhow::Result<Option<(&'static str, String)>> {
        Ok(Some(match path {
            "/metrics" => (OPEN_METRICS, metrics::render(&*self.model().await?)?),
            "/status" => (JSON, serde_json::to_string(&*self.model().await?)?),
            "/targets" => (JSON, targets(&self.directory.require()?, self.listen).to_string()),
            _ => return Ok(None),
        }))
    }
}

async fn answer(
    exporter: Arc<Exporter>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !kette_rpc::host_allowed(request.headers(), &exporter.hosts) {
        let text = "host name not allowed: ask by IP address or localhost, or start with --allow-host NAME\n";
        return Ok(response(StatusCode::FORBIDDEN, TEXT, text.to_owned()));
    }
    let page = if request.method() == Method::GET {
        exporter.page(request.uri().path()).await
    } else {
        Ok(None)
    };
    let (status, kind, text) = match page {
        Ok(Some((kind, text))) => (StatusCode::OK, kind, text),
        Ok(None) => (StatusCode::NOT_FOUND, TEXT, "pages: /metrics /targets /status\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{error:#}\n")),
    };
    Ok(response(status, kind, text))
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let value = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
