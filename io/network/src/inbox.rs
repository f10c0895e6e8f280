//! Merges what all peers say into the one channel of events, urgent lanes first.
//!
//! Readers push into one of three bounded channels by urgency and wait when it is full, which stops
//! the peer (TCP and QUIC flow control). One task takes from the most urgent channel that has
//! something and fills the host's channel, which is short so that order is decided late.

use crate::{
    event::{NetworkEvent, SessionNumber},
    stats::Counters,
};
use kette_types::{DisconnectReason, Lane, PeerId};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, Receiver, Sender, error::TrySendError},
};

/// Events the host's channel holds.
const EVENTS_MAX: usize = 8;
/// Facts about sessions, dials and addresses that wait.
const FACTS_MAX: usize = 1024;
/// Messages of the lanes control and consensus that wait.
const URGENT_MAX: usize = 256;
/// Messages of the lanes announce and inventory that wait.
const NORMAL_MAX: usize = 64;
/// Messages of the lane bulk that wait.
const BULK_MAX: usize = 16;
/// Urgent messages in a row before another lane gets a turn.
const URGENT_RUN_MAX: usize = 64;
/// Bytes of large frames being received or waiting, of all peers together. In KiB, so that a permit
/// count fits.
const BUDGET_KIB: usize = 64 * 1024;

enum Fact {
    Up(SessionNumber, PeerId, NetworkEvent),
    Other(NetworkEvent),
}

enum Said {
    Event(SessionNumber, PeerId, NetworkEvent, Option<OwnedSemaphorePermit>),
    Down(SessionNumber, PeerId, DisconnectReason),
}

/// Where readers and the driver push.
#[derive(Clone)]
pub(crate) struct Inbox {
    facts: Sender<Fact>,
    urgent: Sender<Said>,
    normal: Sender<Said>,
    bulk: Sender<Said>,
    budget: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// The merging task's end.
pub(crate) struct Merger {
    facts: Receiver<Fact>,
    urgent: Receiver<Said>,
    normal: Receiver<Said>,
    bulk: Receiver<Said>,
    events: Sender<NetworkEvent>,
    live: BTreeMap<PeerId, SessionNumber>,
}

/// Builds the three ends.
pub(crate) fn new(counters: Arc<Counters>) -> (Inbox, Merger, Receiver<NetworkEvent>) {
    let (facts, facts_end) = mpsc::channel(FACTS_MAX);
    let (urgent, urgent_end) = mpsc::channel(URGENT_MAX);
    let (normal, normal_end) = mpsc::channel(NORMAL_MAX);
    let (bulk, bulk_end) = mpsc::channel(BULK_MAX);
    let (events, events_end) = mpsc::channel(EVENTS_MAX);
    let budget = Arc::new(Semaphore::new(BUDGET_KIB));
    let inbox = Inbox { facts, urgent, normal, bulk, budget, counters };
    let merger = Merger {
        facts: facts_end,
        urgent: urgent_end,
        normal: normal_end,
        bulk: bulk_end,
        events,
        live: BTreeMap::new(),
    };
    (inbox, merger, events_end)
}

impl Inbox {
    /// Says that a session begins; before any message of it. Returns false if the host is too far
    /// behind to have another one.
    pub(crate) fn up(&self, number: SessionNumber, peer: PeerId, event: NetworkEvent) -> bool {
        self.facts.try_send(Fact::Up(number, peer, event)).is_ok()
    }

    /// Reports anything that belongs to no session.
    pub(crate) fn fact(&self, event: NetworkEvent) {
        if let Err(TrySendError::Full(_)) = self.facts.try_send(Fact::Other(event)) {
            Counters::bump(&self.counters.events_dropped);
        }
    }

    /// Says that a session ended; nothing of it is reported after that.
    pub(crate) async fn down(&self, number: SessionNumber, peer: PeerId, reason: DisconnectReason) {
        // Fails only when the host is gone.
        let _ = self.urgent.send(Said::Down(number, peer, reason)).await;
    }

    /// Reserves memory for a large frame.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024).min(BUDGET_KIB)).expect("bounded above");
        Arc::clone(&self.budget).acquire_many_owned(kib).await.ok()
    }

    /// Pushes what came on `lane`; waits while the lane's channel is full. Returns false if the host
    /// is gone.
    pub(crate) async fn said(
        &self,
        number: SessionNumber,
        peer: PeerId,
        lane: Lane,
        event: NetworkEvent,
        permit: Option<OwnedSemaphorePermit>,
    ) -> bool {
        let channel = match lane {
            Lane::Control | Lane::Consensus => &self.urgent,
            Lane::Announce | Lane::Inventory => &self.normal,
            Lane::Bulk => &self.bulk,
        };
        channel.send(Said::Event(number, peer, event, permit)).await.is_ok()
    }

    /// Completes when the host is gone.
    pub(crate) async fn host_gone(&self) {
        self.facts.closed().await;
    }
}

impl Merger {
    /// Merges until the driver or the host is gone.
    pub(crate) async fn run(mut self) {
        let mut run = 0;
        loop {
            // Room first: what is chosen is then the most urgent at the moment it is handed over.
            let Ok(room) = self.events.clone().reserve_owned().await else { return };
            run = if run < URGENT_RUN_MAX { run + 1 } else { 0 };
            let said = if run == 0 {
                tokio::select! { biased;
                    Some(fact) = self.facts.recv() => { self.take_fact(fact, room).await; continue }
                    Some(said) = self.normal.recv() => said,
                    Some(said) = self.bulk.recv() => said,
                    Some(said) = self.urgent.recv() => said,
                    () = self.events.closed() => return,
                    else => return,
                }
            } else {
                tokio::select! { biased;
                    Some(fact) = self.facts.recv() => { self.take_fact(fact, room).await; continue }
                    Some(said) = self.urgent.recv() => said,
                    Some(said) = self.normal.recv() => { run = 0; said }
                    Some(said) = self.bulk.recv() => { run = 0; said }
                    () = self.events.closed() => return,
                    else => return,
                }
            };
            self.take_said(said, room).await;
        }
    }

    async fn take_fact(&mut self, fact: Fact, room: mpsc::OwnedPermit<NetworkEvent>) {
        match fact {
            Fact::Other(event) => {
                room.send(event);
            }
            Fact::Up(number, peer, event) => {
                // The old session's end may still wait in its channel; the host must see it first.
                let old = self.live.insert(peer, number);
                if old.is_some() {
                    let reason = DisconnectReason::ConnectionLost;
                    room.send(NetworkEvent::Disconnected { peer, reason });
                    let _ = self.events.send(event).await;
                } else {
                    room.send(event);
                }
            }
        }
    }

    async fn take_said(&mut self, said: Said, mut room: mpsc::OwnedPermit<NetworkEvent>) {
        let (number, peer) = match &said {
            Said::Event(number, peer, ..) | Said::Down(number, peer, _) => (*number, *peer),
        };
        // A session's beginning was pushed before anything it said, perhaps since we last looked.
        while !self.is_live(number, &peer)
            && let Ok(fact) = self.facts.try_recv()
        {
            self.take_fact(fact, room).await;
            let Ok(next) = self.events.clone().reserve_owned().await else { return };
            room = next;
        }
        if !self.is_live(number, &peer) {
            return;
        }
        match said {
            Said::Event(_, _, event, _permit) => {
                room.send(event);
            }
            Said::Down(_, _, reason) => {
                self.live.remove(&peer);
                room.send(NetworkEvent::Disconnected { peer, reason });
            }
        }
    }

    fn is_live(&self, number: SessionNumber, peer: &PeerId) -> bool {
        self.live.get(peer) == Some(&number)
    }
}
