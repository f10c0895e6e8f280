//! A raw HTTP/1.1 client: what goes over the wire is what the test says.

use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }
}

/// Sends one request on its own connection and reads the answer whole.
pub(crate) async fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Response {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let host = if headers.to_ascii_lowercase().contains("host:") {
        String::new()
    } else {
        format!("Host: {at}\r\n")
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    // A server that refuses early closes before it read everything; what it said counts.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> Response {
    request(at, "GET", path, "", "").await
}

pub(crate) async fn post(at: SocketAddr, body: &str) -> Response {
    request(at, "POST", "/", "Content-Type: application/json\r\n", body).await
}

/// Calls a method; returns the whole answer.
pub(crate) async fn answer(at: SocketAddr, method: &str, params: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(at, &call.to_string()).await.json()
}

/// Calls a method that works; returns its result.
pub(crate) async fn call(at: SocketAddr, method: &str, params: Value) -> Value {
    let answer = answer(at, method, params).await;
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

/// Calls a method that fails; returns code and message.
pub(crate) async fn failure(at: SocketAddr, method: &str, params: Value) -> (i64, String) {
    let answer = answer(at, method, params).await;
    assert!(answer.get("result").is_none(), "{method}: {answer}");
    let error = &answer["error"];
    (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
}
