//! Links of a network that runs: what nodes are told, and what their sessions show of it.

use super::{
    directory::{Directory, Manifest, ManifestNode},
    file, links,
};
use crate::{client::Client, commands::exit::Exit, run::home::Home};
use anyhow::Context as _;
use futures::future::join_all;
use kette_rpc::{Link, Links};
use kette_sim::scenario::{Plan, edges, select};
use kette_types::PeerId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A network with what is needed to speak of its links.
pub struct LiveLinks {
    directory: Directory,
    manifest: Manifest,
    plan: Plan,
    ids: Vec<PeerId>,
}

/// What one node says of its links.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    /// Bits per second of all that it sends.
    pub uplink: Option<u64>,
    /// Its ways that are shaped.
    pub list: Vec<Link>,
    /// From whom it is cut off.
    pub cut: BTreeSet<PeerId>,
    /// Its sessions.
    pub sessions: Vec<SeenSession>,
}

/// A session, as one end sees it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenSession {
    /// With whom.
    pub peer: PeerId,
    /// Round trip of the last ping, milliseconds.
    pub rtt_ms: Option<u64>,
}

/// A node that does not answer within this time is not up.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often sessions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl LiveLinks {
    /// Reads a network's directory.
    ///
    /// # Errors
    /// If there is no network, or its files are damaged.
    pub fn open(directory: &Directory) -> anyhow::Result<Self> {
        let manifest = directory.require()?;
        // Groups are named only in the network's file, which may be gone: nodes then go by their own names.
        let groups = file::load(&manifest.source)
            .and_then(|file| Ok(Plan::new(&file).map_err(anyhow::Error::msg)?.groups));
        let nodes = manifest.nodes.iter().map(|node| node.plan.clone()).collect();
        let plan = Plan { nodes, groups: groups.unwrap_or_default(), discovery: true };
        let ids = manifest.peer_ids()?;
        Ok(Self { directory: directory.clone(), manifest, plan, ids })
    }

    /// Returns the nodes, in their order.
    pub fn nodes(&self) -> &[ManifestNode] {
        &self.manifest.nodes
    }

    /// Returns a node's name.
    pub fn name(&self, node: usize) -> &str {
        &self.manifest.nodes[node].plan.name
    }

    /// Returns the place of an identity.
    pub fn place(&self, id: &PeerId) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    /// Returns the nodes that comma-separated patterns mean.
    ///
    /// # Errors
    /// If one means no node.
    pub fn select(&self, patterns: &str) -> anyhow::Result<Vec<usize>> {
        let patterns: Vec<String> =
            patterns.split(',').map(|text| text.trim().to_owned()).collect();
        select::select(&self.plan, &patterns).map_err(anyhow::Error::msg)
    }

    /// Returns what a node's ways are to be like, as its directory has it.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn wanted(&self, node: usize) -> anyhow::Result<Links> {
        let path = self.home(node).links();
        if !path.exists() {
            return Ok(Links::default());
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
    }

    fn home(&self, node: usize) -> Home {
        Home::new(self.directory.node(self.name(node)))
    }

    /// Changes one way; what is not said stays.
    ///
    /// # Errors
    /// If a number is out of its bounds, or the directory cannot be read or written.
    pub fn change(
        &self,
        from: usize,
        to: usize,
        change: &impl Fn(&mut Link),
    ) -> anyhow::Result<()> {
        let mut links = self.wanted(from)?;
        let peer = self.ids[to];
        let place = links.list.iter().position(|link| link.peer == peer).unwrap_or_else(|| {
            let plain = Link {
                peer,
                latency_ms: 0.0,
                jitter_ms: 0.0,
                loss: 0.0,
                bandwidth: None,
                cut: false,
            };
            links.list.push(plain);
            links.list.len() - 1
        });
        change(&mut links.list[place]);
        links.check().map_err(anyhow::Error::msg)?;
        links::write(&self.home(from), &links)
    }

    /// Removes every shape of a node.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn clear(&self, node: usize) -> anyhow::Result<()> {
        links::write(&self.home(node), &Links::default())
    }

    /// Tells nodes what their directories say; returns who did not hear it. It finds the file at its next start.
    ///
    /// # Errors
    /// If a node refuses.
    pub async fn tell(&self, nodes: &BTreeSet<usize>) -> anyhow::Result<Vec<usize>> {
        let told = nodes.iter().map(|node| async move {
            let links = self.wanted(*node)?;
            self.order(*node, "kette_setLinks", vec![json!(links)]).await
        });
        self.deaf(nodes, join_all(told).await)
    }

    /// Cuts each node from those of another side, for some time if said; returns who did not hear it.
    ///
    /// # Errors
    /// If a node refuses.
    pub async fn part(
        &self,
        sides: &[Option<usize>],
        lasts: Option<Duration>,
    ) -> anyhow::Result<Vec<usize>> {
        let nodes: BTreeSet<usize> = (0..sides.len()).collect();
        let told = nodes.iter().map(|node| {
            let cut: Vec<PeerId> = self.parted(*node, sides).map(|other| self.ids[other]).collect();
            let seconds = lasts.map(|lasts| lasts.as_secs());
            self.order(*node, "kette_setCut", vec![json!(cut), json!(seconds)])
        });
        let told = join_all(told).await;
        self.deaf(&nodes, told)
    }

    /// Returns who is on another side than a node.
    pub fn parted<'a>(
        &self,
        node: usize,
        sides: &'a [Option<usize>],
    ) -> impl Iterator<Item = usize> + use<'a> {
        let own = sides[node];
        (0..sides.len()).filter(move |other| *other != node && sides[*other] != own)
    }

    /// Gives an order; `false` if the node is down.
    async fn order(&self, node: usize, method: &str, params: Vec<Value>) -> anyhow::Result<bool> {
        if !self.home(node).control_token().exists() {
            // It was never started.
            return Ok(false);
        }
        let token = self.home(node).read_control_token()?;
        let url = self.manifest.nodes[node].rpc_url();
        let client = Client::with_token(&url, ANSWER_WITHIN, &token)?;
        match client.ask::<Value>(method, params).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.downcast_ref(), Some(Exit::NotUp(_))) => Ok(false),
            Err(error) => Err(error.context(self.name(node).to_owned())),
        }
    }

    fn deaf(
        &self,
        nodes: &BTreeSet<usize>,
        told: Vec<anyhow::Result<bool>>,
    ) -> anyhow::Result<Vec<usize>> {
        let mut deaf = Vec::new();
        for (node, told) in nodes.iter().zip(told) {
            if !told? {
                deaf.push(*node);
            }
        }
        if deaf.len() == nodes.len() {
            let text =
                format!("no node of `{}` answers: `kette net up` starts it", self.manifest.name);
            return Err(Exit::NotUp(text).into());
        }
        Ok(deaf)
    }

    /// Asks all nodes; who does not answer says nothing.
    pub async fn look(&self) -> Vec<Option<Seen>> {
        let asked = self.manifest.nodes.iter().map(|node| async move {
            let client = Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN).ok()?;
            client.ask("kette_links", []).await.ok()
        });
        join_all(asked).await
    }

    /// Looks until `is` holds; returns how long that took since `begin`, or nothing if it took longer than `within`.
    pub async fn until(
        &self,
        begin: Instant,
        within: Duration,
        is: impl Fn(&[Option<Seen>]) -> bool,
    ) -> Option<Duration> {
        loop {
            let looked = begin.elapsed();
            if is(&self.look().await) {
                return Some(begin.elapsed());
            }
            if looked > within {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Returns how many components the graph of sessions has, of nodes that answer.
    pub fn components(&self, seen: &[Option<Seen>]) -> usize {
        let sessions = seen.iter().enumerate().flat_map(|(node, seen)| {
            let others = seen.iter().flat_map(|seen| &seen.sessions);
            others.filter_map(move |session| Some((node, self.place(&session.peer)?)))
        });
        let lowest = edges::components(seen.len(), &sessions.collect::<Vec<_>>());
        let up = seen.iter().zip(lowest).filter(|(seen, _)| seen.is_some());
        up.map(|(_, lowest)| lowest).collect::<BTreeSet<_>>().len()
    }
}
