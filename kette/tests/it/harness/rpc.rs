//! A node's HTTP port: JSON-RPC and pages, by hand over a socket, so that tests share no code with what they test.

use serde_json::{Value, json};
use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A node's HTTP port on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rpc(pub(crate) u16);

/// Nothing here takes longer unless it is broken.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Rpc {
    /// Asks; an error is text: what the node answered, or why there was no answer.
    pub(crate) fn call(self, method: &str, params: Value) -> Result<Value, String> {
        self.call_with("", method, params)
    }

    /// Orders what needs the node's token.
    #[track_caller]
    pub(crate) fn order(self, token: &str, method: &str, params: Value) -> Value {
        let header = format!("Authorization: Bearer {token}\r\n");
        let answer = self.call_with(&header, method, params);
        answer.unwrap_or_else(|error| panic!("port {}: {error}", self.0))
    }

    fn call_with(self, header: &str, method: &str, params: Value) -> Result<Value, String> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{header}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.to_string().len()
        );
        let (_, text) = self.exchange(&request).map_err(|error| format!("{method}: {error}"))?;
        let answer: Value =
            serde_json::from_str(&text).map_err(|error| format!("{method}: {error}: {text}"))?;
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(format!("{method}: {}", answer["error"])),
        }
    }

    /// Asks a question that must be answered.
    #[track_caller]
    pub(crate) fn ask(self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("port {}: {error}", self.0))
    }

    /// Fetches a page: status code and body.
    pub(crate) fn page(self, path: &str) -> io::Result<(u16, String)> {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ))
    }

    fn exchange(self, request: &str) -> io::Result<(u16, String)> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.0));
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let answer = String::from_utf8_lossy(&bytes);
        let bad = |what: &str| io::Error::other(format!("{what}: {answer}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| bad("no HTTP"))?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunk(body).ok_or_else(|| bad("broken chunks"))?
        } else {
            body.to_owned()
        };
        Ok((code.ok_or_else(|| bad("no status"))?, body))
    }

    /// The address as the program takes it.
    pub(crate) fn url(self) -> String {
        format!("http://127.0.0.1:{}", self.0)
    }

    /// What the node says of itself.
    #[track_caller]
    pub(crate) fn status(self) -> Value {
        self.ask("kette_status", json!([]))
    }

    /// The head's number; an error while nobody answers.
    pub(crate) fn height(self) -> Result<u64, String> {
        let status = self.call("kette_status", json!([]))?;
        status["height"].as_u64().ok_or_else(|| format!("no height in {status}"))
    }

    /// How many sessions the node has.
    pub(crate) fn peers(self) -> Result<usize, String> {
        Ok(self.call("kette_peers", json!([]))?.as_array().map_or(0, Vec::len))
    }

    /// The hash of a canonical block; null becomes an error.
    pub(crate) fn hash_at(self, number: u64) -> Result<String, String> {
        let block = self.call("kette_block", json!([number]))?;
        let hash = block["hash"].as_str().map(str::to_owned);
        hash.ok_or_else(|| format!("port {}: no block {number}", self.0))
    }

    /// An account's balance at the head, wei.
    pub(crate) fn balance(self, address: &str) -> u128 {
        let text = self.ask("eth_getBalance", json!([address, "latest"]));
        quantity(&text)
    }
}

/// Reads a hexadecimal quantity.
#[track_caller]
pub(crate) fn quantity(value: &Value) -> u128 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    number.unwrap_or_else(|| panic!("no quantity: {value}"))
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(after.get(..size)?);
        rest = after.get(size + 2..)?;
    }
}
