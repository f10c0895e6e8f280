//! The two transports: TCP with Noise and yamux, and QUIC. TCP connections that ask for a page never get to Noise.

use crate::{
    address::{from_multiaddr, is_global},
    config::{
        Config, QUIC_CONNECTION_WINDOW_BYTES, QUIC_IDLE, QUIC_KEEP_ALIVE, QUIC_STREAM_WINDOW_BYTES,
        STREAMS_MAX,
    },
    event::NetworkError,
    muxer::Yamux,
    pages::Door,
    wire::Wire,
};
use futures::future::Either;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{
            Boxed, DialOpts, ListenerId, PortUse, TransportError, TransportEvent, upgrade::Version,
        },
    },
    identity::Keypair,
    noise, quic, tcp,
};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Builds the transport of `config`.
pub(crate) fn build(
    config: &Config,
    keypair: &Keypair,
    policy: &DialPolicy,
    wire: Wire,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetworkError> {
    let noise =
        noise::Config::new(keypair).map_err(|error| NetworkError::Identity(error.to_string()))?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    let door = Door::new(config.pages.clone());
    let tcp = Guarded { inner: tcp, policy: policy.clone(), fresh_port: true }
        .and_then(move |stream, endpoint| door.open(stream, endpoint))
        .map(move |stream, _| wire.count(stream))
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(Yamux)
        .timeout(config.handshake_timeout);
    if !config.quic {
        return Ok(tcp.boxed());
    }
    let mut settings = quic::Config::new(keypair);
    settings.handshake_timeout = config.handshake_timeout;
    settings.max_idle_timeout =
        u32::try_from(QUIC_IDLE.as_millis()).expect("the constant is a few seconds");
    settings.keep_alive_interval = QUIC_KEEP_ALIVE;
    settings.max_concurrent_stream_limit =
        u32::try_from(STREAMS_MAX).expect("the constant is small");
    settings.max_stream_data = QUIC_STREAM_WINDOW_BYTES;
    settings.max_connection_data = QUIC_CONNECTION_WINDOW_BYTES;
    let quic = quic::tokio::Transport::new(settings);
    let quic = Guarded { inner: quic, policy: policy.clone(), fresh_port: false };
    Ok(quic
        .or_transport(tcp)
        .map(|either, _| match either {
            Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
            Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        })
        .boxed())
}

/// Where the node may dial: what the host asked for, and what Kademlia asks for unless strangers
/// could use that to make us probe private networks.
#[derive(Clone)]
pub(crate) struct DialPolicy {
    public: bool,
    wanted: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl DialPolicy {
    pub(crate) fn new(public: bool) -> Self {
        Self { public, wanted: Arc::default() }
    }

    /// Replaces the sockets that the host asked for.
    pub(crate) fn set_wanted(&self, sockets: BTreeSet<SocketAddr>) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = sockets;
    }

    fn allows(&self, address: &Multiaddr) -> bool {
        if !self.public {
            return true;
        }
        from_multiaddr(address).is_some_and(|address| {
            is_global(&address.socket)
                || self
                    .wanted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .contains(&address.socket)
        })
    }
}

/// A transport that dials only what the policy allows.
struct Guarded<T> {
    inner: T,
    policy: DialPolicy,
    /// Dials from a fresh port. With the listening port, two nodes that dial each other at once would
    /// meet in one TCP connection (simultaneous open), where both wait for the other's first word.
    fresh_port: bool,
}

impl<T: Transport + Unpin> Transport for Guarded<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        mut options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        if !self.policy.allows(&address) {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        if self.fresh_port {
            options.port_use = PortUse::New;
        }
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}
