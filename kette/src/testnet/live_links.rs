//! Links of a network that runs: what nodes are told, and what their sessions show of it.

use super::{
    directory::{Directory, Manifest, ManifestNode},
    links,
};
use crate::{
    client::Client,
    commands::exit::Exit,
    run::{cut::Cut, home::Home},
};
use anyhow::Context as _;
use futures::future::join_all;
use kette_rpc::{Link, Links};
use kette_sim::scenario::edges;
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
        let ids = manifest.peer_ids()?;
        Ok(Self { directory: directory.clone(), manifest, ids })
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
        self.manifest.select(&patterns)
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
        let named = || format!("the way from {} to {}", self.name(from), self.name(to));
        links.check().map_err(anyhow::Error::msg).with_context(named)?;
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
        deaf(nodes, join_all(told).await)
    }

    /// Cuts each node from those of another side, for some time if said; returns who did not hear it. It finds the file at
    /// its next start.
    ///
    /// # Errors
    /// If a node refuses, or a directory cannot be written.
    pub async fn part(
        &self,
        sides: &[Option<usize>],
        lasts: Option<Duration>,
    ) -> anyhow::Result<Vec<usize>> {
        let nodes: BTreeSet<usize> = (0..sides.len()).collect();
        for node in &nodes {
            let peers = self.parted(*node, sides).map(|other| self.ids[other]).collect();
            Cut::new(peers, lasts).write(&self.home(*node))?;
        }
        self.tell_cuts(&nodes).await
    }

    /// Puts a node that joined on the side of another one, if that is cut off from anybody; returns whether it is.
    ///
    /// # Errors
    /// If a node refuses, or a directory cannot be written.
    pub async fn take_side(&self, newcomer: usize, of: usize) -> anyhow::Result<bool> {
        let cut = Cut::read(&self.home(of))?;
        if cut.peers.is_empty() {
            return Ok(false);
        }
        cut.write(&self.home(newcomer))?;
        let mut others = BTreeSet::new();
        for other in (0..self.ids.len()).filter(|other| cut.peers.contains(&self.ids[*other])) {
            let mut theirs = Cut::read(&self.home(other))?;
            theirs.peers.insert(self.ids[newcomer]);
            theirs.write(&self.home(other))?;
            others.insert(other);
        }
        self.tell_cuts(&others).await?;
        Ok(true)
    }

    /// Tells nodes from whom they are cut off, as their directories have it.
    async fn tell_cuts(&self, nodes: &BTreeSet<usize>) -> anyhow::Result<Vec<usize>> {
        let told = nodes.iter().map(|node| async move {
            let cut = Cut::read(&self.home(*node))?;
            // Nodes count seconds; a part of one is one.
            let seconds = cut.remaining().map(|left| left.as_millis().div_ceil(1_000).max(1));
            self.order(*node, "kette_setCut", vec![json!(cut.peers), json!(seconds)]).await
        });
        deaf(nodes, join_all(told).await)
    }

    /// Returns into how many components the network is cut, by what nodes' directories say of cuts; nothing if it is one.
    /// Two nodes without a cut between them can have a session, if the network looks for sessions or plans this one.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn cut_into(&self) -> anyhow::Result<Option<usize>> {
        self.parts(|_| true)
    }

    /// The same, of some nodes only: others pass nothing on.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn parts(&self, counts: impl Fn(usize) -> bool) -> anyhow::Result<Option<usize>> {
        let mut cut = self.cut_by_partition()?;
        for (peers, more) in cut.iter_mut().zip(self.cut_by_links()?) {
            peers.extend(more);
        }
        Ok(self.parts_of(&cut, counts))
    }

    /// Returns into how many components the partition alone cuts the network; nothing if it is one.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn partitioned_into(&self) -> anyhow::Result<Option<usize>> {
        Ok(self.parts_of(&self.cut_by_partition()?, |_| true))
    }

    /// Tells whether any link is cut by itself, whatever the partition.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn has_cut_links(&self) -> anyhow::Result<bool> {
        Ok(self.cut_by_links()?.iter().any(|peers| !peers.is_empty()))
    }

    fn cut_by_partition(&self) -> anyhow::Result<Vec<BTreeSet<PeerId>>> {
        (0..self.ids.len()).map(|node| Ok(Cut::read(&self.home(node))?.peers)).collect()
    }

    fn cut_by_links(&self) -> anyhow::Result<Vec<BTreeSet<PeerId>>> {
        let held = |node: usize| {
            let list = self.wanted(node)?.list;
            Ok(list.into_iter().filter(|link| link.cut).map(|link| link.peer).collect())
        };
        (0..self.ids.len()).map(held).collect()
    }

    /// Counts the components of some nodes, by whom each is cut off from.
    fn parts_of(&self, cut: &[BTreeSet<PeerId>], counts: impl Fn(usize) -> bool) -> Option<usize> {
        if cut.iter().all(BTreeSet::is_empty) {
            return None;
        }
        let planned = |a: usize, b: usize| {
            let dials = |from: usize, to| self.manifest.nodes[from].plan.dials.contains(&to);
            !self.manifest.planned_only || dials(a, b) || dials(b, a)
        };
        let is_open = |a: usize, b: usize| {
            planned(a, b) && !cut[a].contains(&self.ids[b]) && !cut[b].contains(&self.ids[a])
        };
        let mut left: BTreeSet<usize> = (0..self.ids.len()).filter(|node| counts(*node)).collect();
        let mut count = 0;
        while let Some(first) = left.pop_first() {
            count += 1;
            let mut reached = vec![first];
            while let Some(node) = reached.pop() {
                let next: Vec<usize> =
                    left.iter().copied().filter(|other| is_open(node, *other)).collect();
                left.retain(|other| !next.contains(other));
                reached.extend(next);
            }
        }
        (count > 1).then_some(count)
    }

    /// Returns for how long nodes are still cut off at most, if they heal it themselves.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn cut_lasts(&self) -> anyhow::Result<Option<Duration>> {
        let mut longest = None;
        for node in 0..self.ids.len() {
            longest = longest.max(Cut::read(&self.home(node))?.remaining());
        }
        Ok(longest)
    }

    /// Tells whether nodes' directories have a cut whose time is over.
    ///
    /// # Errors
    /// If a file is damaged.
    pub fn cut_ended(&self) -> anyhow::Result<bool> {
        for node in 0..self.ids.len() {
            if Cut::has_ended(&self.home(node))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes sure that a node runs.
    ///
    /// # Errors
    /// If none does.
    pub fn require_up(&self) -> anyhow::Result<()> {
        if self.manifest.nodes.iter().any(ManifestNode::is_alive) {
            return Ok(());
        }
        let text = format!("no node of `{}` runs: `kette net up` starts it", self.manifest.name);
        Err(Exit::NotUp(text).into())
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

    /// Names nodes that were not told, with what becomes of them; returns their names.
    pub fn say_deaf(&self, deaf: &[usize], then: &str) -> Vec<String> {
        for node in deaf {
            let name = self.name(*node);
            match self.manifest.nodes[*node].is_alive() {
                true => eprintln!("{name} runs and does not answer: tell it again when it does"),
                false => eprintln!("{name} is down: it {then}"),
            }
        }
        deaf.iter().map(|node| self.name(*node).to_owned()).collect()
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

/// Returns who was not reached.
fn deaf(nodes: &BTreeSet<usize>, told: Vec<anyhow::Result<bool>>) -> anyhow::Result<Vec<usize>> {
    let mut deaf = Vec::new();
    for (node, told) in nodes.iter().zip(told) {
        if !told? {
            deaf.push(*node);
        }
    }
    Ok(deaf)
}
