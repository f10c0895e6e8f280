//! Pages on the port for peers (requirement X11): who opens a connection with `GET ` is answered as a web server
//! would, and the connection ends. Everybody else is a peer: their first byte is a length (multistream-select).

use futures::future::BoxFuture;
use libp2p::{core::ConnectedPoint, tcp::tokio::TcpStream};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    time::timeout,
};

/// Returns the text of a page, or `None` if there is no such page.
type Answer = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Answers a path with a JSON page, or `None` if there is no such page.
#[derive(Clone)]
pub struct Pages(pub Arc<Answer>);

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages")
    }
}

/// Pages that are written at the same time.
const ANSWERS_MAX: usize = 16;
/// Longest request that is read.
const REQUEST_BYTES_MAX: usize = 4_096;
/// Time for the whole exchange.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells visitors from peers.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pages: Option<Pages>,
    answering: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(pages: Option<Pages>) -> Self {
        Self { pages, answering: Arc::new(Semaphore::new(ANSWERS_MAX)) }
    }

    /// Hands a peer's connection on, or answers and ends a visitor's.
    pub(crate) fn open(
        self,
        stream: TcpStream,
        endpoint: ConnectedPoint,
    ) -> BoxFuture<'static, io::Result<TcpStream>> {
        Box::pin(async move {
            let Some(pages) = self.pages.filter(|_| endpoint.is_listener()) else {
                return Ok(stream);
            };
            let mut first = [0];
            // Waits for the first byte; the transport's own time limit ends it.
            stream.0.peek(&mut first).await?;
            if first != *b"G" {
                return Ok(stream);
            }
            if let Ok(_place) = self.answering.try_acquire() {
                // A visitor that does not read or ends early is let go.
                let _ = timeout(PATIENCE, answer(stream.0, &pages)).await;
            }
            Err(io::Error::other("a page was asked for"))
        })
    }
}

async fn answer(mut stream: tokio::net::TcpStream, pages: &Pages) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
        let mut part = [0; 512];
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..count]);
    }
    let line = String::from_utf8_lossy(&request);
    let path = line.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next());
    let (status, body) = match path.and_then(|path| (pages.0)(path)) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", "{\"error\":\"no such page: /status, /healthz\"}".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
