//! Everything libp2p does on our connections, put together.

use crate::{
    config::{
        CONNECTIONS_PER_PEER_MAX, Config, DIALS_MAX, IDENTIFY_INTERVAL, PING_INTERVAL,
        SPARE_CONNECTIONS, WALK_INTERVAL_LOCAL, WALK_INTERVAL_PUBLIC,
    },
    gate, lanes,
};
use libp2p::{
    PeerId, StreamProtocol,
    connection_limits::{self, ConnectionLimits},
    identify,
    identity::Keypair,
    kad::{self, store::MemoryStore},
    ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

/// The behaviours, those that refuse connections first.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) gate: gate::Behaviour,
    pub(crate) lanes: lanes::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) kademlia: Toggle<kad::Behaviour<MemoryStore>>,
}

impl Behaviour {
    /// Builds the behaviours of `config`.
    pub(crate) fn new(config: &Config, keypair: &Keypair) -> Self {
        let prefix = config.protocol_prefix();
        let count = |n: usize| Some(u32::try_from(n).unwrap_or(u32::MAX));
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(count(config.pending_inbound_max))
            .with_max_pending_outgoing(count(DIALS_MAX + SPARE_CONNECTIONS))
            .with_max_established(count(config.sessions_max.saturating_add(SPARE_CONNECTIONS)))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX));
        let identify = identify::Config::new(prefix.clone(), keypair.public())
            .with_agent_version(config.agent.clone())
            .with_interval(IDENTIFY_INTERVAL)
            .with_cache_size(0);
        let kademlia =
            config.kademlia.then(|| kademlia(config, keypair.public().to_peer_id(), &prefix));
        Self {
            limits: connection_limits::Behaviour::new(limits),
            gate: gate::Behaviour::new(config.per_ip_max, !config.public),
            lanes: lanes::Behaviour::new(lanes::Protocols::new(&prefix)),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL)),
            kademlia: kademlia.into(),
        }
    }
}

/// Returns the id of Kademlia's protocol in the network with this prefix.
pub(crate) fn kademlia_protocol(prefix: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("{prefix}/kad/1")).expect("it begins with a slash")
}

fn kademlia(config: &Config, own: PeerId, prefix: &str) -> kad::Behaviour<MemoryStore> {
    let mut settings = kad::Config::new(kademlia_protocol(prefix));
    let walk = if config.public { WALK_INTERVAL_PUBLIC } else { WALK_INTERVAL_LOCAL };
    settings
        .set_periodic_bootstrap_interval(Some(walk))
        // Only the routing table is used: nobody may store anything here.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None);
    let mut kademlia = kad::Behaviour::with_config(own, MemoryStore::new(own), settings);
    kademlia.set_mode(Some(kad::Mode::Server));
    kademlia
}
