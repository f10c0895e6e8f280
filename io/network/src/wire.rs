//! Bytes on the wire: what TCP connections carry, with encryption, multiplexing and libp2p's own protocols.
//!
//! The system counts the same bytes per socket (`tcpi_bytes_received` of tcp(7), `ss -ti`). QUIC's packets are made
//! below libp2p, out of reach: of its sessions the frames count.

use crate::stats::WireBytes;
use futures::io::{AsyncRead, AsyncWrite, IoSlice, IoSliceMut};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// The counters of all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wire(Arc<[AtomicU64; 2]>);

impl Wire {
    pub(crate) fn note_received(&self, bytes: usize) {
        self.0[0].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_sent(&self, bytes: usize) {
        self.0[1].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns what was counted so far.
    pub(crate) fn bytes(&self) -> WireBytes {
        let [received, sent] = &*self.0;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WireBytes { received: read(received), sent: read(sent) }
    }

    /// Counts what a stream carries.
    pub(crate) const fn count<S>(self, stream: S) -> Counted<S> {
        Counted { stream, wire: self }
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    stream: S,
    wire: Wire,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Ok(bytes)) = read {
            self.wire.note_received(bytes);
        }
        read
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read_vectored(cx, buffers);
        if let Poll::Ready(Ok(bytes)) = read {
            self.wire.note_received(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(bytes)) = written {
            self.wire.note_sent(bytes);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(bytes)) = written {
            self.wire.note_sent(bytes);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
