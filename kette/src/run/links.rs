//! Links of a laboratory: between numbers, as RPC and `links.json` have them, and what the network does to frames. How
//! long a frame is on its way is drawn by the simulator's own model.

use super::home::Home;
use anyhow::{Context as _, bail};
use kette_network::{CutSet, Delay, LinkShape, LinkShapes, Network};
use kette_rpc::{Link, Links};
use kette_sim::world;
use kette_types::{ChainSpec, PeerId};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Reads what the ways to peers are like from a node's directory; none is shaped without that file.
///
/// # Errors
/// If the file cannot be used, or strangers take part in this chain.
pub fn load(home: &Home, spec: &ChainSpec) -> anyhow::Result<Links> {
    let path = home.links();
    if !path.exists() {
        return Ok(Links::default());
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let links: Links =
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    links.check().map_err(anyhow::Error::msg).with_context(|| format!("{}", path.display()))?;
    if links != Links::default() {
        only_local(spec, &path)?;
    }
    Ok(links)
}

/// Refuses a file that changes links where strangers take part in the chain.
///
/// # Errors
/// If they do.
pub(super) fn only_local(spec: &ChainSpec, path: &Path) -> anyhow::Result<()> {
    if !spec.is_local() {
        bail!(
            "{} changes links, which works only on chains whose genesis says `network: local`: remove the file",
            path.display()
        );
    }
    Ok(())
}

/// Translates numbers into what the network does to frames.
pub fn shapes(links: &Links) -> LinkShapes {
    let shape = |link: &Link| {
        let shape = LinkShape { delay: delay(link), bandwidth: link.bandwidth, held: link.cut };
        (link.peer, shape)
    };
    LinkShapes { uplink: links.uplink, links: links.list.iter().map(shape).collect() }
}

/// Returns the draw of the simulator's model. The bandwidth is left to the network, where frames queue for it.
fn delay(link: &Link) -> Option<Delay> {
    let shape = world::LinkShape {
        latency: millis(link.latency_ms),
        jitter: millis(link.jitter_ms),
        loss: link.loss,
        bandwidth: None,
    };
    if shape == world::LinkShape::default() {
        return None;
    }
    let rng = Mutex::new(ChaCha8Rng::from_rng(&mut rand::rng()));
    Some(Arc::new(move |bytes| {
        shape.delay(bytes, &mut rng.lock().unwrap_or_else(PoisonError::into_inner))
    }))
}

/// The numbers were checked: they are positive and small.
fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default()
}

/// What was set, and the network that does it.
pub struct Laboratory {
    network: Network,
    links: Mutex<Links>,
    /// Counts cuts, so that the end of one does not end a later one.
    cuts: Arc<Mutex<u64>>,
}

impl Laboratory {
    /// Begins with the links that the network was started with.
    pub fn new(network: Network, links: Links) -> Self {
        Self { network, links: Mutex::new(links), cuts: Arc::default() }
    }

    /// Replaces the set of peers whose links are cut; after some time, if said, none is.
    pub fn set_cut(&self, peers: Vec<PeerId>, lasts: Option<Duration>) {
        let turn = {
            let mut cuts = lock(&self.cuts);
            *cuts += 1;
            self.network.set_cut(CutSet::Peers(peers.into_iter().collect()));
            *cuts
        };
        let Some(lasts) = lasts else { return };
        let (network, cuts) = (self.network.clone(), self.cuts.clone());
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            let cuts = lock(&cuts);
            if *cuts == turn {
                tracing::info!("the cut ends");
                network.set_cut(CutSet::default());
            }
        });
    }

    /// Replaces what the ways to peers are like.
    pub fn set_links(&self, links: Links) {
        let mut known = lock(&self.links);
        self.network.set_links(shapes(&links));
        *known = links;
    }

    /// Returns what the ways to peers are like.
    pub fn links(&self) -> Links {
        lock(&self.links).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
