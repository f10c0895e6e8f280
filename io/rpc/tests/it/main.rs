//! A server over a small real store and a node that answers as the real one does, asked by raw HTTP and
//! WebSocket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod calls;
mod chain;
mod client;
mod control;
mod node;
mod openrpc;
mod pages;
mod protocol;
mod push;
