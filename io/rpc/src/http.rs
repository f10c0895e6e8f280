//! In front of JSON-RPC on the same port: the pages for operators, and the guard against foreign web pages.
//!
//! A browser lets any page send requests to a local port. So requests with a foreign `Origin`, or for a
//! foreign host name (DNS rebinding), are refused; local tools and browser wallets are let through.

use crate::{context::Context, health, middleware::PlainHttp, openrpc};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpRequest, HttpResponse},
};
use std::{
    net::IpAddr,
    sync::Arc,
    task::{self, Poll},
};

/// Wraps each connection's service.
#[derive(Clone, Debug)]
pub(crate) struct Layer(pub(crate) Arc<Context>);

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;
    fn layer(&self, inner: S) -> Service<S> {
        Service { cx: self.0.clone(), inner }
    }
}

/// One connection's service.
#[derive(Clone, Debug)]
pub(crate) struct Service<S> {
    cx: Arc<Context>,
    inner: S,
}

impl<S> tower::Service<HttpRequest> for Service<S>
where
    S: tower::Service<HttpRequest, Response = HttpResponse, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<HttpResponse, BoxError>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: HttpRequest) -> Self::Future {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN).cloned();
        if !host_allowed(headers, &self.cx.config.hosts) {
            let text = "host name not allowed: call the port by IP address or localhost, or allow the name";
            return ready(page(StatusCode::FORBIDDEN, TEXT, text.to_owned()));
        }
        if let Some(origin) = &origin
            && !origin_allowed(origin, &self.cx.config.origins)
        {
            let text = "origin not allowed: this page may not call the node; allow its origin to change that";
            return ready(page(StatusCode::FORBIDDEN, TEXT, text.to_owned()));
        }
        if request.method() == Method::OPTIONS {
            return ready(cors(page(StatusCode::NO_CONTENT, TEXT, String::new()), origin));
        }
        let upgrade = headers
            .get(header::UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if request.method() == Method::GET && !upgrade {
            return ready(cors(get(&self.cx, request.uri().path()), origin));
        }
        if self.cx.config.control_token.as_deref().is_some_and(|token| has_token(headers, token)) {
            request.extensions_mut().insert(HasToken);
        }
        if upgrade {
            return Box::pin(self.inner.call(request));
        }
        request.extensions_mut().insert(PlainHttp);
        let answer = self.inner.call(request);
        Box::pin(async move { Ok(cors(quiet(answer.await?).await?, origin)) })
    }
}

/// Set on requests that carry the node's token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HasToken;

/// Tells whether a request says the token, in a time that does not tell how much of it was right.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let said = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some(said) = said.strip_prefix(b"Bearer ") else { return false };
    let differs = said.iter().zip(token.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    said.len() == token.len() && differs == 0
}

fn ready(response: HttpResponse) -> BoxFuture<'static, Result<HttpResponse, BoxError>> {
    Box::pin(std::future::ready(Ok(response)))
}

/// Answers notifications with nothing, as JSON-RPC 2.0 asks, where the server below says `null`.
async fn quiet(response: HttpResponse) -> Result<HttpResponse, BoxError> {
    let (head, body) = response.into_parts();
    // The body is in memory already; collecting it copies nothing.
    let body = body.collect().await?.to_bytes();
    if head.status == StatusCode::OK && body.as_ref() == b"null" {
        return Ok(page(StatusCode::NO_CONTENT, JSON, String::new()));
    }
    Ok(HttpResponse::from_parts(head, HttpBody::new(Full::new(body))))
}

fn get(cx: &Context, path: &str) -> HttpResponse {
    let json = |status, value: serde_json::Value| page(status, JSON, value.to_string());
    let or_503 = |good| if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match path {
        "/healthz" => {
            let alive = health::alive(cx);
            json(or_503(alive), serde_json::json!({ "alive": alive }))
        }
        "/readyz" => {
            let (ready, reasons) = health::ready(cx);
            json(or_503(ready), reasons)
        }
        "/status" => json(StatusCode::OK, health::status(cx)),
        "/stats" => json(StatusCode::OK, health::stats(&cx.network.traffic())),
        "/metrics" => match cx.metrics.render(cx) {
            Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
        },
        "/openrpc.json" => page(StatusCode::OK, JSON, openrpc::document().to_owned()),
        "/" => page(StatusCode::OK, TEXT, WELCOME.to_owned()),
        _ => page(StatusCode::NOT_FOUND, TEXT, format!("no such page\n\n{WELCOME}")),
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Tells the browser that this origin, which was allowed before, may read the answer.
fn cors(mut response: HttpResponse, origin: Option<HeaderValue>) -> HttpResponse {
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Tells whether a page of this origin may call: local pages, browser extensions, and what is configured.
fn origin_allowed(origin: &HeaderValue, allowed: &[String]) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    if allowed.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(origin)) {
        return true;
    }
    match origin.split_once("://") {
        Some(("http" | "https", authority)) => is_loopback(host_of(authority)),
        Some((scheme, _)) => scheme.ends_with("-extension"),
        None => false,
    }
}

/// Tells whether the request names a host that cannot be a rebound one: a name without a dot (a container, a
/// machine of the same network) is nobody's on the internet. `allowed` are further names; `*` allows any.
pub fn host_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let host = host_of(host);
    is_local_name(host)
        || !host.contains('.')
        || address(host).is_some()
        || allowed.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(host))
}

/// Cuts the port off `host:port` or `[v6]:port`.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_local_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn is_loopback(host: &str) -> bool {
    is_local_name(host) || address(host).is_some_and(|ip| ip.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const WELCOME: &str = "Kette node. JSON-RPC 2.0: POST here, or connect by WebSocket.\n\
    Pages: /healthz /readyz /status /stats /metrics /openrpc.json\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_pages_and_wallets_may_call_and_strangers_may_not() {
        let configured = vec!["https://dapp.example".to_owned()];
        for (origin, expected) in [
            ("http://localhost:3000", true),
            ("http://127.0.0.1", true),
            ("https://[::1]:8443", true),
            ("http://app.localhost", true),
            ("chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn", true),
            ("moz-extension://a", true),
            ("https://dapp.example", true),
            ("https://evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://192.168.0.9", false),
            ("null", false),
        ] {
            let header = HeaderValue::from_static(origin);
            assert_eq!(origin_allowed(&header, &configured), expected, "{origin}");
        }
        assert!(origin_allowed(&HeaderValue::from_static("https://evil.example"), &["*".into()]));
    }

    #[test]
    fn rebound_host_names_are_refused() {
        for (host, expected) in [
            ("127.0.0.1:8545", true),
            ("10.0.0.4", true),
            ("[::1]:8545", true),
            ("LOCALHOST:8545", true),
            ("node.example", true),
            ("validator1:8545", true),
            ("evil.example:8545", false),
            ("127.0.0.1.evil.example", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            assert_eq!(host_allowed(&headers, &["node.example".into()]), expected, "{host}");
        }
    }
}
