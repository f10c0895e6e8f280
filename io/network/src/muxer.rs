//! yamux as a libp2p multiplexer with bounded windows.
//!
//! libp2p's own adapter does not let its user lower yamux's window of 1 GiB per connection, which a
//! peer could fill; this one does.

use futures::{AsyncRead, AsyncWrite, ready};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use std::{
    collections::VecDeque,
    future::{Future, Ready, ready as now},
    io, iter,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::config::{CLOSE_GRACE, CONNECTION_WINDOW_BYTES, STREAMS_MAX};
use tokio::time::{Sleep, sleep};

/// The upgrade from an encrypted connection to a multiplexed one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Yamux;

impl Yamux {
    fn settings() -> yamux::Config {
        let mut config = yamux::Config::default();
        // Streams first: yamux insists on 256 KiB of window for each.
        config.set_max_num_streams(STREAMS_MAX);
        config.set_max_connection_receive_window(Some(CONNECTION_WINDOW_BYTES));
        config
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        now(Ok(Muxer::new(io, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        now(Ok(Muxer::new(io, yamux::Mode::Client)))
    }
}

/// One multiplexed connection.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<C>,
    /// yamux only works while it is asked for inbound streams, so those that come while libp2p does
    /// not ask wait here; at most [`STREAMS_MAX`], which yamux itself enforces.
    waiting: VecDeque<yamux::Stream>,
    asker: Option<Waker>,
    closing: Option<Pin<Box<Sleep>>>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn new(io: C, mode: yamux::Mode) -> Self {
        Self {
            connection: yamux::Connection::new(io, Yamux::settings(), mode),
            waiting: VecDeque::new(),
            asker: None,
            closing: None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<yamux::Stream, Error>> {
        let next = ready!(self.connection.poll_next_inbound(cx));
        Poll::Ready(next.unwrap_or(Err(yamux::ConnectionError::Closed)).map_err(Error))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = yamux::Stream;
    type Error = Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.asker = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.connection.poll_new_outbound(cx).map_err(Error)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A peer that does not read would otherwise keep the connection, and a cut link, alive.
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSE_GRACE)));
        if closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.connection.poll_close(cx).map_err(Error)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let stream = ready!(self.poll_next(cx))?;
        if self.waiting.len() < STREAMS_MAX {
            self.waiting.push_back(stream);
            if let Some(asker) = self.asker.take() {
                asker.wake();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A broken multiplexed connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct Error(yamux::ConnectionError);
