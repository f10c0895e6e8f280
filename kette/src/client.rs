//! A client of a node's JSON-RPC, for the commands.

use crate::{commands::exit::Exit, run::home::Home};
use http::header::AUTHORIZATION;
use jsonrpsee::{
    core::{
        ClientError,
        client::ClientT as _,
        params::{ArrayParams, BatchRequestBuilder},
    },
    http_client::{HeaderMap, HeaderValue, HttpClient, HttpClientBuilder},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// A node, as seen over HTTP.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    http: HttpClient,
}

/// Tells whether an address is one of this machine that others cannot take.
pub fn is_here(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let Ok(uri) = authority.parse::<http::uri::Authority>() else { return false };
    let host = uri.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A question is given up after this time.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    /// Prepares a client; connects with the first question.
    ///
    /// # Errors
    /// If `url` is no HTTP address.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Self::with_timeout(url, TIMEOUT)
    }

    /// Prepares a client whose questions are given up after `timeout`.
    ///
    /// # Errors
    /// If `url` is no HTTP address.
    pub fn with_timeout(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        Self::build(url, timeout, HeaderMap::new())
    }

    /// Prepares a client that shows a node's token, for methods that need it.
    ///
    /// # Errors
    /// If `url` is no HTTP address, or the token no text.
    pub fn with_token(url: &str, timeout: Duration, token: &str) -> anyhow::Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        Self::build(url, timeout, HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    /// Prepares a client for who steers a node: it shows the token that lies in the node's directory, if it asks a node of
    /// this machine. Nobody else is shown a token.
    ///
    /// # Errors
    /// If `url` is no HTTP address, or the token cannot be read.
    pub fn of_operator(url: &str, home: &Home) -> anyhow::Result<Self> {
        match is_here(url) && home.control_token().exists() {
            true => Self::with_token(url, TIMEOUT, &home.read_control_token()?),
            false => Self::new(url),
        }
    }

    fn build(url: &str, timeout: Duration, headers: HeaderMap) -> anyhow::Result<Self> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let http = HttpClientBuilder::default()
            .request_timeout(timeout)
            .max_response_size(RESPONSE_BYTES_MAX)
            .set_headers(headers)
            .build(&url)
            .map_err(|error| anyhow::anyhow!("`{url}` is no HTTP address: {error}"))?;
        Ok(Self { url, http })
    }

    /// Returns the address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`Exit::NotUp`] if nobody answers, otherwise what the node answered.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        params: impl IntoIterator<Item = Value>,
    ) -> anyhow::Result<T> {
        let mut list = ArrayParams::new();
        for param in params {
            list.insert(param)?;
        }
        self.http.request(method, list).await.map_err(|error| self.explain(method, error))
    }

    /// Asks one method many times in one batch; returns what the node said of each, in order.
    ///
    /// # Errors
    /// As [`Self::ask`], if there is no answer to the batch.
    pub async fn ask_many<T, P>(
        &self,
        method: &str,
        calls: &[Vec<P>],
    ) -> anyhow::Result<Vec<Result<T, String>>>
    where
        T: DeserializeOwned + std::fmt::Debug + 'static,
        P: serde::Serialize,
    {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = BatchRequestBuilder::new();
        for call in calls {
            let mut list = ArrayParams::new();
            for param in call {
                list.insert(param)?;
            }
            batch.insert(method, list)?;
        }
        let answers =
            self.http.batch_request(batch).await.map_err(|error| self.explain(method, error))?;
        let answers = answers.into_iter();
        Ok(answers.map(|answer| answer.map_err(|error| error.message().to_owned())).collect())
    }

    fn explain(&self, method: &str, error: ClientError) -> anyhow::Error {
        match error {
            ClientError::Call(answer) => match answer.data() {
                Some(data) => anyhow::anyhow!("{}: {} ({data})", method, answer.message()),
                None => anyhow::anyhow!("{}: {}", method, answer.message()),
            },
            ClientError::RequestTimeout => {
                Exit::TimedOut(format!("{} did not answer {method} in time", self.url)).into()
            }
            ClientError::Transport(error) => Exit::NotUp(format!(
                "no node answers at {}: {error}\nstart one with `kette node` or `kette net up`, or name another with --rpc",
                self.url
            ))
            .into(),
            other => anyhow::anyhow!("{method}: {other}"),
        }
    }
}

/// Longest answer read.
const RESPONSE_BYTES_MAX: u32 = 128 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_on_this_machine() {
        for url in [
            "http://127.0.0.1:8545",
            "localhost:1",
            "http://[::1]:8545",
            "http://[::1]:8545/",
            "127.0.0.2",
        ] {
            assert!(is_here(url), "{url}");
        }
        for url in [
            "http://10.0.0.1:8545",
            "https://example.org",
            "http://localhost.example",
            "http://localhost@far.example:1",
            "http://far.example/127.0.0.1",
            "",
        ] {
            assert!(!is_here(url), "{url}");
        }
    }
}
