//! The processes of a run: what each is wanted to do, and what makes it so.
//!
//! A step changes what is wanted; [`Nodes::reconcile`] tells nodes that do not do it yet, as soon as they answer. So a
//! node that was away during a cut is cut off when it returns.

use super::{cuts::Cuts, facts::Answer};
use crate::{
    client::Client,
    run::home::Home,
    testnet::{
        directory::{Directory, Manifest},
        links::{self, LinkPlan},
        start::{self, Task},
    },
    whole_file,
};
use anyhow::Context as _;
use futures::future::join_all;
use kette_rpc::Links;
use kette_sim::scenario::{Facts, NetworkFile, NodeFacts, Plan};
use kette_types::PeerId;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

/// All processes of a run.
pub struct Nodes {
    /// Where their files are.
    pub directory: Directory,
    pub(super) manifest: Manifest,
    list: Vec<Node>,
    ids: Vec<PeerId>,
    /// Places of the nodes by identity.
    places: BTreeMap<String, usize>,
    /// The process of all nodes, if they share one.
    host: Option<Child>,
    /// Which links are cut.
    pub cuts: Cuts,
    /// What the others are like.
    pub links: LinkPlan,
    /// Another copy of this program, if some node is to run it.
    copy: Option<PathBuf>,
}

struct Node {
    name: String,
    client: Client,
    /// The same with its token, for orders about links.
    operator: Client,
    child: Option<Task>,
    /// It is to run.
    wanted: bool,
    /// It is to mine, in this process and later ones.
    mining: bool,
    /// It stands still (SIGSTOP).
    stopped: bool,
    /// Told to end at this moment.
    ending: Option<Instant>,
    /// Counts its processes.
    runs: u32,
    /// What this process said last.
    answer: Option<Answer>,
    /// What this process does about links and mining, as far as known.
    does: Does,
    /// Alarms of earlier processes.
    alarms: Vec<String>,
    /// Reorganizations and bans of earlier processes.
    before: (u64, u64),
}

#[derive(Clone, Debug, PartialEq)]
struct Does {
    cut: BTreeSet<usize>,
    links: Links,
    mining: bool,
}

/// One node's answer to a look.
#[derive(Debug)]
pub struct Said {
    node: usize,
    run: u32,
    answer: Answer,
}

/// A process that ended although nobody told it to.
#[derive(Debug)]
pub struct Ended {
    /// Whose.
    pub node: usize,
    /// How.
    pub how: String,
}

/// A node that does not answer within this time is asked again later.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A process that was told to stop gets this time before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// The same, when the run is over.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How often ending processes are looked at then.
const END_POLL: Duration = Duration::from_millis(20);

impl Nodes {
    /// Prepares processes; none is started.
    ///
    /// # Errors
    /// If an address or an identity is none, or a link of the file makes no sense.
    pub fn new(
        directory: &Directory,
        (file, plan): (&NetworkFile, &Plan),
        manifest: Manifest,
    ) -> anyhow::Result<Self> {
        let node = |node: &crate::testnet::directory::ManifestNode| {
            let token = Home::new(directory.node(&node.plan.name)).load_or_make_control_token()?;
            anyhow::Ok(Node {
                name: node.plan.name.clone(),
                client: Client::with_timeout(&node.rpc_url(), ANSWER_WITHIN)?,
                operator: Client::with_token(&node.rpc_url(), ANSWER_WITHIN, &token)?,
                child: None,
                wanted: false,
                mining: node.plan.miner,
                stopped: false,
                ending: None,
                runs: 0,
                answer: None,
                does: Does {
                    cut: BTreeSet::new(),
                    links: Links::default(),
                    mining: node.plan.miner,
                },
                alarms: Vec::new(),
                before: (0, 0),
            })
        };
        let list = manifest.nodes.iter().map(node).collect::<anyhow::Result<_>>()?;
        let places = manifest.nodes.iter().enumerate();
        let places = places.map(|(place, node)| (node.peer_id.clone(), place)).collect();
        let links = LinkPlan::new(file, plan).map_err(anyhow::Error::msg)?;
        let ids = manifest.peer_ids()?;
        let directory = directory.clone();
        let (host, cuts) = (None, Cuts::default());
        Ok(Self { directory, manifest, list, places, ids, host, cuts, links, copy: None })
    }

    /// Returns what the ways from a node are to be like.
    fn links_of(&self, index: usize) -> Links {
        self.links.of(index, &self.cuts.one_way(index), &self.ids)
    }

    /// Returns how many nodes there are.
    pub const fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns a node's name.
    pub fn name(&self, node: usize) -> &str {
        &self.list[node].name
    }

    /// Returns what a node can be asked with.
    pub fn client(&self, node: usize) -> &Client {
        &self.list[node].client
    }

    /// Returns what a node's process said last.
    pub fn answer(&self, node: usize) -> Option<&Answer> {
        self.list[node].answer.as_ref()
    }

    /// Returns all alarms of a node.
    pub fn alarms(&self, node: usize) -> Vec<String> {
        let node = &self.list[node];
        let now = node.answer.iter().flat_map(|answer| answer.alarms.clone());
        node.alarms.iter().cloned().chain(now).collect()
    }

    /// Returns reorganizations and bans of a node, all its processes together.
    pub fn totals(&self, node: usize) -> (u64, u64) {
        let node = &self.list[node];
        let now = node.answer.as_ref().map(|answer| answer.counters).unwrap_or_default();
        (node.before.0 + now.reorgs, node.before.1 + now.bans)
    }

    /// Tells whether a node follows the protocol.
    pub fn is_honest(&self, node: usize) -> bool {
        self.manifest.nodes[node].plan.byzantine.is_none()
    }

    /// Returns the nodes that follow the protocol.
    pub fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count()).filter(|node| self.is_honest(*node))
    }

    /// Tells whether a node has a process that is to go on.
    pub fn is_up(&self, node: usize) -> bool {
        let node = &self.list[node];
        node.child.is_some() && node.wanted && node.ending.is_none()
    }

    /// Tells whether a node can be talked to.
    pub fn is_reachable(&self, node: usize) -> bool {
        self.is_up(node) && !self.list[node].stopped && self.list[node].answer.is_some()
    }

    /// Returns all nodes that can be talked to.
    pub fn reachable(&self) -> Vec<usize> {
        (0..self.count()).filter(|node| self.is_reachable(*node)).collect()
    }

    /// Returns the honest node with the heaviest chain, of those that can be talked to.
    pub fn best(&self) -> Option<usize> {
        let weight = |node: &usize| self.list[*node].answer.as_ref().map(|answer| answer.weight);
        // Of equal ones the first.
        let honest = self.reachable().into_iter().filter(|node| self.is_honest(*node));
        honest.rev().max_by_key(weight)
    }

    /// Observes all nodes, from what they said last.
    pub fn facts(&self, at: Duration) -> Facts {
        let fact = |(index, node): (usize, &Node)| {
            let up = self.is_up(index) && !node.stopped;
            let honest = self.is_honest(index);
            match &node.answer {
                Some(answer) => answer.facts(&node.name, up, honest, &self.places),
                None => NodeFacts { name: node.name.clone(), up, honest, ..NodeFacts::default() },
            }
        };
        Facts { at, nodes: self.list.iter().enumerate().map(fact).collect() }
    }

    /// Returns a question to all nodes that run, to be awaited.
    pub fn look(&self) -> impl Future<Output = Vec<Said>> + use<> {
        let asked: Vec<(usize, u32, Client)> = (0..self.count())
            .filter(|node| self.is_up(*node) && !self.list[*node].stopped)
            .map(|node| (node, self.list[node].runs, self.list[node].client.clone()))
            .collect();
        async move {
            let ask = |(node, run, client): (usize, u32, Client)| async move {
                let answer: Answer = client.ask("kette_status", []).await.ok()?;
                Some(Said { node, run, answer })
            };
            join_all(asked.into_iter().map(ask)).await.into_iter().flatten().collect()
        }
    }

    /// Takes in what nodes said; the words of a process that ended meanwhile do not count.
    pub fn hear(&mut self, said: Vec<Said>) {
        for Said { node: index, run, answer } in said {
            let node = &mut self.list[index];
            // A process that cannot have its port is about to end; what answers there is another's.
            let is_ours = answer.peer_id == self.manifest.nodes[index].peer_id;
            if node.runs == run && node.child.is_some() && is_ours {
                node.answer = Some(answer);
            }
        }
    }

    /// Starts a node unless it runs; one that is still ending starts when it has ended.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(&mut self, index: usize) -> anyhow::Result<()> {
        let links = self.links_of(index);
        let node = &mut self.list[index];
        node.wanted = true;
        if node.child.is_some() {
            return Ok(());
        }
        // From its first session on; what is cut both ways is told when it answers.
        links::write(&Home::new(self.directory.node(&node.name)), &links)?;
        if let Some(host) = start::host(&self.directory, &mut self.manifest)? {
            self.host = Some(host);
        }
        node.child = Some(start::start(&self.directory, &mut self.manifest, index, node.mining)?);
        node.stopped = false;
        node.runs += 1;
        node.does = Does { cut: BTreeSet::new(), links, mining: node.mining };
        // Saved each time, so that a killed launcher leaves nothing unknown behind.
        self.directory.save_processes(&self.manifest)
    }

    /// Kills a node's process (SIGKILL).
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        let node = &mut self.list[index];
        node.wanted = false;
        if let Some(child) = &mut node.child {
            child.kill().with_context(|| format!("cannot wait for the end of {}", node.name))?;
            node.gone();
        }
        Ok(())
    }

    /// Tells a node's process to end.
    pub fn stop(&mut self, index: usize) {
        let node = &mut self.list[index];
        node.wanted = false;
        if let Some(task) = node.child.as_ref().filter(|_| node.ending.is_none()) {
            node.ending = Some(Instant::now());
            task.stop();
        }
    }

    /// Lets a node's next processes run another copy of this program, which is made for it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn upgrade(&mut self, index: usize) -> anyhow::Result<()> {
        let copy = match &self.copy {
            Some(copy) => copy.clone(),
            None => {
                let folder = self.directory.path().join("upgrade");
                let copy = folder.join("kette");
                whole_file::remove_unsynced(&copy)?;
                let made = fs::create_dir_all(&folder)
                    .and_then(|()| fs::copy(std::env::current_exe()?, &copy));
                made.with_context(|| format!("cannot write {}", copy.display()))?;
                self.copy.insert(copy).clone()
            }
        };
        self.manifest.nodes[index].binary = Some(copy);
        self.directory.save_processes(&self.manifest)
    }

    /// Says which program a node's process runs, if it is not the one that it is to run.
    pub fn runs_another(&self, index: usize) -> Option<String> {
        let node = &self.manifest.nodes[index];
        let wanted = node.binary.as_ref()?;
        let runs = fs::read_link(format!("/proc/{}/exe", node.process?.pid)).ok()?;
        let same = fs::canonicalize(wanted).is_ok_and(|wanted| wanted == runs);
        (!same).then(|| {
            format!("{} runs {}, not {}", node.plan.name, runs.display(), wanted.display())
        })
    }

    /// Kills a node's process and removes its database.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn wipe(&mut self, index: usize) -> anyhow::Result<()> {
        self.kill(index)?;
        self.directory.remove_database(&self.list[index].name)
    }

    /// Lets a node's process stand still, or go on.
    pub fn pause(&mut self, index: usize, still: bool) {
        let node = &mut self.list[index];
        if let Some(task) = &node.child {
            node.stopped = task.pause(still) && still;
        }
    }

    /// Says whether a node is to mine.
    pub fn mine(&mut self, index: usize, on: bool) {
        self.list[index].mining = on;
    }

    /// Tells whether a node is to mine.
    pub fn is_mining(&self, index: usize) -> bool {
        self.list[index].mining
    }

    /// Notices ended processes and starts again those that were waited for. Returns what ended by itself, and who did
    /// not end in time and was killed.
    ///
    /// # Errors
    /// If a process cannot be started.
    pub fn reap(&mut self) -> anyhow::Result<(Vec<Ended>, Vec<usize>)> {
        let (mut ended, mut stuck) = (Vec::new(), Vec::new());
        for index in 0..self.count() {
            let node = &mut self.list[index];
            let Some(child) = &mut node.child else { continue };
            let late = node.ending.is_some_and(|since| since.elapsed() > STOP_WITHIN);
            if late && !node.stopped {
                stuck.push(index);
                child.kill().with_context(|| format!("cannot wait for {}", node.name))?;
            }
            let Some(how) = child.ended().context("a child of ours")? else { continue };
            let told = node.ending.is_some();
            node.gone();
            if !told {
                ended.push(Ended { node: index, how });
                node.wanted = false;
            } else if node.wanted {
                self.start(index)?;
            }
        }
        Ok((ended, stuck))
    }

    /// Tells nodes what they do not do yet. Who does not answer is told later.
    pub async fn reconcile(&mut self) {
        let told: Vec<(usize, Does, Client)> = self
            .reachable()
            .into_iter()
            .filter_map(|index| {
                let node = &self.list[index];
                let wanted = Does {
                    cut: self.cuts.of(index),
                    links: self.links_of(index),
                    mining: node.mining,
                };
                (wanted != node.does).then(|| (index, wanted, node.operator.clone()))
            })
            .collect();
        let tell = |(index, wanted, client): (usize, Does, Client)| {
            let does = self.list[index].does.clone();
            let cut: Vec<&str> =
                wanted.cut.iter().map(|node| self.manifest.nodes[*node].peer_id.as_str()).collect();
            let cut = json!(cut);
            async move {
                let mut done = does;
                if wanted.cut != done.cut && set_cut(&client, cut).await {
                    done.cut = wanted.cut;
                }
                if wanted.links != done.links && set_links(&client, &wanted.links).await {
                    done.links = wanted.links;
                }
                if wanted.mining != done.mining {
                    let verb = if wanted.mining { "kette_startMining" } else { "kette_stopMining" };
                    if client.ask::<Value>(verb, []).await.is_ok() {
                        done.mining = wanted.mining;
                    }
                }
                (index, done)
            }
        };
        for (index, done) in join_all(told.into_iter().map(tell)).await {
            self.list[index].does = done;
        }
    }

    /// Ends all sessions of a node; they may be opened again.
    pub async fn reset(&mut self, index: usize) {
        if !self.is_reachable(index) {
            return;
        }
        let others = self.manifest.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        let all: Vec<&str> = others.map(|(_, node)| node.peer_id.as_str()).collect();
        if set_cut(&self.list[index].operator, json!(all)).await {
            // What was cut before is cut again, and nothing else, by the next `reconcile`.
            self.list[index].does.cut = (0..self.count()).filter(|it| *it != index).collect();
        }
    }

    /// Ends all processes: asks, waits, and kills what does not end.
    ///
    /// # Errors
    /// If the end cannot be written down.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        for index in 0..self.count() {
            // Who stands still does not hear that it is to end.
            self.pause(index, false);
            if let Some(task) = &self.list[index].child {
                task.stop();
            }
        }
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline && self.list.iter_mut().any(Node::runs) {
            tokio::time::sleep(END_POLL).await;
        }
        self.end_now();
        self.manifest.forget_processes();
        self.directory.save(&self.manifest)
    }

    /// Lets all processes go on without us.
    pub fn keep(mut self) {
        for node in &mut self.list {
            node.child = None;
        }
        self.host = None;
    }

    fn end_now(&mut self) {
        if let Some(mut host) = self.host.take() {
            // All nodes are its threads.
            let _ = host.kill();
            let _ = host.wait();
        }
        for mut task in self.list.iter_mut().filter_map(|node| node.child.take()) {
            // Already gone is fine.
            let _ = task.kill();
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.end_now();
    }
}

async fn set_cut(client: &Client, peers: Value) -> bool {
    client.ask::<Value>("kette_setCut", [peers]).await.is_ok()
}

async fn set_links(client: &Client, links: &Links) -> bool {
    client.ask::<Value>("kette_setLinks", [json!(links)]).await.is_ok()
}

impl Node {
    /// Tells whether there is a process.
    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.ended(), Ok(None)))
    }

    /// Forgets the process.
    fn gone(&mut self) {
        self.child = None;
        self.ending = None;
        self.stopped = false;
        if let Some(answer) = self.answer.take() {
            self.before.0 += answer.counters.reorgs;
            self.before.1 += answer.counters.bans;
            self.alarms.extend(answer.alarms);
        }
    }
}
