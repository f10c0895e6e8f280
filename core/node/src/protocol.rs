//! What peers say, and which part of the node answers.

use crate::{
    Command, CommandError, Event, Node, Output, Reply, Ticket,
    import::{HeaderVerdict, Source},
    mempool::Origin,
    node::Purpose,
    outbox::Outbox,
    peers::Gate,
    relay::{Rebuilt, compact},
    sync::HeadersAnswer,
};
use kette_chain::Record;
use kette_consensus::Job;
use kette_types::{
    Address, B256, Block, Body, Fault, Message, PeerId, Recovered, SealedHeader, Time, Transaction,
    U256,
    message::{ChainStatus, CompactBlock},
};
use std::sync::Arc;

impl Node {
    /// Takes a message: first past the gate (hello order, rate limits), then to the part it concerns.
    pub(crate) fn message(&mut self, now: Time, peer: PeerId, message: Message, out: &mut Outbox) {
        self.counters.messages += 1;
        match self.peers.gate(now, peer, &message, out.orders()) {
            Gate::Pass => {}
            Gate::Drop => return,
            Gate::Fault(fault) => return self.fault(now, peer, fault, out),
        }
        match message {
            Message::Hello(hello) => {
                let status = self.chain_status();
                let claim = hello.status;
                if self.peers.hello(now, peer, *hello, status, out.orders()) {
                    self.relay.connected(peer);
                    self.gossip.connected(peer);
                    self.inventory.connected(now, peer, &self.mempool, out.orders());
                    self.claimed(peer, claim);
                    if self.engine_started {
                        self.engine_input(now, kette_consensus::Input::PeerUp(peer), out);
                    }
                }
            }
            Message::Status(claim) => {
                self.peers.set_status(now, peer, claim);
                self.relay.knows(peer, claim.head);
                self.claimed(peer, claim);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Goodbye(_) => {
                self.peers.control(now, peer, &message, out.orders());
            }
            Message::GetPeers | Message::Peers(_) => {
                self.peers.exchange(now, peer, message, out.orders());
            }
            Message::Engine(bytes) => {
                self.gossip.knows(peer, &bytes);
                self.engine_input(now, kette_consensus::Input::Message(peer, bytes), out);
            }
            Message::NewBlock(compact) => self.new_block(now, peer, *compact, out),
            Message::GetBlock(hash) => self.show_block(peer, hash, out),
            Message::BlockTransactions { block, transactions } => {
                let rebuilt = self.relay.transactions(now, peer, block, transactions, out.orders());
                self.rebuilt(now, peer, rebuilt, out);
            }
            Message::NewTransactions(hashes) => {
                let fault =
                    self.inventory.announced(now, peer, hashes, &self.mempool, out.orders());
                self.faults(now, fault.into_iter().map(|fault| (peer, fault)).collect(), out);
            }
            Message::GetTransactions(hashes) => {
                let sent = self.inventory.requested(peer, &hashes, &self.mempool, out.orders());
                self.counters.transactions_sent += sent as u64;
            }
            Message::Transactions(transactions) => {
                self.counters.transactions_received += transactions.len() as u64;
                let fresh = self.inventory.received(now, peer, transactions, &self.mempool);
                if !fresh.is_empty() {
                    let fresh = Arc::new(fresh);
                    let purpose = Purpose::Transactions(peer, fresh.clone());
                    self.start_job(purpose, Job::Recover(fresh), out);
                }
            }
            Message::GetHeaders { .. }
            | Message::GetBodies { .. }
            | Message::GetBlockTransactions { .. } => out.order(Output::Serve(peer, message)),
            Message::Headers { id, headers } => self.headers(now, peer, id, headers, out),
            Message::Bodies { id, bodies } => self.bodies(now, peer, id, bodies, out),
        }
    }

    /// Notes what a peer says about its chain.
    fn claimed(&mut self, peer: PeerId, claim: ChainStatus) {
        let mut weight = claim.weight;
        if self.proposes && self.tree.contains(claim.head) {
            // Nothing to fetch: what its head lacks here to be ours is the engine's business.
            weight = weight.min(self.tree.head_weight());
        }
        self.sync.claimed(peer, claim.number, weight);
        self.sync_due = true;
    }

    /// Notes that a peer showed a block whose header is right.
    fn showed(&mut self, peer: PeerId, header: &SealedHeader, weight: U256, total_weight: U256) {
        if self.proposes {
            // It may still be but a proposal: its sender is past the parent, that is all.
            let (number, weight) =
                (header.number.saturating_sub(1), total_weight.saturating_sub(weight));
            self.sync.shown(peer, number, weight);
            self.peers.saw_head(&peer, header.parent_hash, number, weight);
        } else {
            self.sync.claimed(peer, header.number, total_weight);
            self.peers.saw_head(&peer, header.hash(), header.number, total_weight);
        }
    }

    /// Answers a request for a block that is held whole.
    fn show_block(&mut self, peer: PeerId, hash: B256, out: &mut Outbox) {
        if let Some(block) = self.tree.executed(hash) {
            self.relay.knows(peer, hash);
            let message = Message::NewBlock(Box::new(compact(&block.block)));
            out.order(Output::Send(vec![peer], Arc::new(message)));
        }
    }

    fn new_block(&mut self, now: Time, peer: PeerId, compact: CompactBlock, out: &mut Outbox) {
        let hash = compact.header.hash();
        self.counters.blocks_received += 1;
        self.relay.knows(peer, hash);
        if self.tree.contains(hash)
            || self.importer.is_staged(hash)
            || self.relay.rebuilding(now, hash, peer, out.orders())
        {
            return;
        }
        if self.proposes && compact.header.number <= self.tree.finalized().0 {
            // A proposal that comes late: its height is decided. Its parent may have left the tree, which does not
            // mean that its sender has more than we do.
            return;
        }
        match self.check_header(now, &compact.header) {
            Ok((weight, total_weight)) => {
                let header = compact.header.clone();
                self.showed(peer, &header, weight, total_weight);
                self.sync_due |= !self.tree.contains(header.parent_hash);
                let rebuilt = self.relay.begin(now, peer, compact, &self.mempool, out.orders());
                match rebuilt {
                    Rebuilt::Block(_) => self.counters.compact_hits += 1,
                    _ => {
                        self.counters.compact_misses += 1;
                        if !self.proposes {
                            self.sync.header_accepted(header, weight, total_weight, peer);
                        }
                    }
                }
                self.rebuilt(now, peer, rebuilt, out);
            }
            Err(HeaderVerdict::UnknownParent) => {
                self.sync.missing_parent(peer, &compact.header, self.tree.head_weight());
                self.sync_due = true;
            }
            Err(HeaderVerdict::Future(_)) if compact.short_ids.is_empty() => {
                // Its body is empty, so it is whole: hold it until its time.
                let rebuilt = self.relay.begin(now, peer, compact, &self.mempool, out.orders());
                self.rebuilt(now, peer, rebuilt, out);
            }
            Err(HeaderVerdict::Future(_)) if self.proposes => {
                tracing::debug!(%peer, %hash, "proposal from the future");
            }
            Err(HeaderVerdict::Future(_)) => {
                tracing::debug!(%peer, %hash, "block from the future: fetched when its time has come");
                self.sync.missing_parent(peer, &compact.header, self.tree.head_weight());
                self.sync_due = true;
            }
            Err(HeaderVerdict::InvalidSeal(reason)) => {
                self.fault(now, peer, Fault::InvalidHeader(reason), out);
            }
            Err(HeaderVerdict::Unwanted(reason)) => {
                tracing::debug!(%peer, %hash, reason, "unwanted")
            }
            Err(HeaderVerdict::Invalid(reason)) => {
                self.mark_invalid(now, hash, out);
                self.counters.blocks_invalid += 1;
                let event = Event::InvalidBlock { hash, reason: reason.clone(), peer: Some(peer) };
                out.order(Output::Event(event));
                self.fault(now, peer, Fault::InvalidHeader(reason), out);
            }
            Err(HeaderVerdict::Read(error)) => self.alarm(format!("store: {error}"), out),
        }
    }

    fn rebuilt(&mut self, now: Time, peer: PeerId, rebuilt: Rebuilt, out: &mut Outbox) {
        match rebuilt {
            Rebuilt::Block(block) => {
                if kette_types::block::body_matches(&block.header, &block.body) {
                    self.stage(now, *block, Source::Peer(peer), out);
                } else {
                    // A short id may stand for another transaction: nobody's fault. Take the body whole.
                    self.fetch(now, block.header, peer);
                }
            }
            Rebuilt::Fetch(header, from) => self.fetch(now, *header, from),
            Rebuilt::Waiting | Rebuilt::Dropped => {}
            Rebuilt::Unsolicited => {
                tracing::debug!(%peer, "block transactions that nobody waits for");
            }
        }
    }

    /// Lets sync fetch the body of a checked header.
    fn fetch(&mut self, now: Time, header: SealedHeader, from: PeerId) {
        if let Ok((weight, total_weight)) = self.check_header(now, &header) {
            self.showed(from, &header, weight, total_weight);
            self.sync.header_accepted(header, weight, total_weight, from);
            self.sync_due = true;
        }
    }

    fn headers(
        &mut self,
        now: Time,
        peer: PeerId,
        id: u64,
        headers: Vec<SealedHeader>,
        out: &mut Outbox,
    ) {
        self.sync_due = true;
        let headers = match self.sync.headers(now, peer, id, headers) {
            HeadersAnswer::Check(headers) => headers,
            HeadersAnswer::Nothing => return,
            HeadersAnswer::Fault(fault) => return self.fault(now, peer, fault, out),
        };
        let mut new = 0;
        for header in headers {
            if self.tree.contains(header.hash())
                || self.sync.pending(header.hash()).is_some()
                || self.is_canonical_below(&header)
            {
                continue;
            }
            match self.check_header(now, &header) {
                Ok((weight, total)) => {
                    // Who answers with it calls it canonical: where blocks are proposals, that is more than to show it.
                    self.sync.shown(peer, header.number, total);
                    if !self.sync.header_accepted(header, weight, total, peer) {
                        // No room: the rest is asked for again when there is.
                        break;
                    }
                    new += 1;
                }
                Err(HeaderVerdict::Future(_) | HeaderVerdict::Unwanted(_)) => break,
                Err(HeaderVerdict::InvalidSeal(reason)) => {
                    return self.fault(now, peer, Fault::InvalidHeader(reason), out);
                }
                Err(HeaderVerdict::Invalid(reason)) => {
                    self.mark_invalid(now, header.hash(), out);
                    self.fault(now, peer, Fault::InvalidHeader(reason), out);
                    return;
                }
                Err(HeaderVerdict::UnknownParent) => {
                    let fault = if self.forks_below(now, &header) {
                        // No branch of ours may follow it.
                        self.alarm_once(
                            format!(
                                "peer {} follows a branch that forks after block {}: \
                                 deeper than the reorganization limit",
                                peer.short(),
                                header.number.saturating_sub(1)
                            ),
                            out,
                        );
                        None
                    } else if self.sync.was_named(peer, header.parent_hash) {
                        None
                    } else {
                        Some(Fault::WrongAnswer("headers do not follow the locator"))
                    };
                    self.sync.headers_useless(now, peer);
                    self.faults(now, fault.into_iter().map(|f| (peer, f)).collect(), out);
                    return;
                }
                Err(HeaderVerdict::Read(error)) => {
                    return self.alarm(format!("store: {error}"), out);
                }
            }
        }
        if new == 0 {
            self.sync.headers_useless(now, peer);
        }
        out.order(Output::Event(self.progress_event()));
    }

    /// Tells whether a header is of our own chain, below what the tree holds.
    fn is_canonical_below(&self, header: &SealedHeader) -> bool {
        header.number < self.tree.horizon()
            && matches!(self.tree.canonical(header.number), Ok(Some(own)) if own == header.hash())
    }

    /// Tells whether a sealed header forks off below what the tree holds. The seal is looked at, so that an
    /// operator is not called for nothing.
    fn forks_below(&self, now: Time, header: &SealedHeader) -> bool {
        let known = self.reader.header(header.parent_hash).is_ok_and(|parent| parent.is_some());
        known && self.engine.check(now, header, &self.tree).is_ok()
    }

    fn bodies(&mut self, now: Time, peer: PeerId, id: u64, bodies: Vec<Body>, out: &mut Outbox) {
        self.sync_due = true;
        match self.sync.bodies(now, peer, id, bodies) {
            Ok(arrived) => {
                for arrived in arrived {
                    self.counters.blocks_received += 1;
                    let block = Block { header: arrived.header, body: arrived.body };
                    self.stage(now, block, Source::Peer(peer), out);
                }
            }
            Err(fault) => self.fault(now, peer, fault, out),
        }
    }

    /// Takes the recovered senders of transactions from a peer.
    pub(crate) fn peer_transactions(
        &mut self,
        now: Time,
        peer: PeerId,
        transactions: &[Transaction],
        senders: Vec<Option<Address>>,
        out: &mut Outbox,
    ) {
        for (transaction, sender) in transactions.iter().zip(senders) {
            let hash = *transaction.tx_hash();
            let Some(sender) = sender else {
                self.inventory.rejected(hash);
                let fault = Fault::InvalidTransaction("bad signature".to_owned());
                self.fault(now, peer, fault, out);
                continue;
            };
            let recovered = Recovered::new_unchecked(transaction.clone(), sender);
            if let Err(rejection) = self.admit(now, recovered, Origin::Peer, out) {
                self.inventory.rejected(hash);
                if rejection.is_fault() {
                    let fault = Fault::InvalidTransaction(rejection.to_string());
                    self.fault(now, peer, fault, out);
                }
            }
        }
    }

    /// Sync, relay and held blocks: asks for what is due.
    pub(crate) fn tick_blocks(&mut self, now: Time, out: &mut Outbox) {
        self.tick_orphans(now, out);
        for (header, other, late, fault) in self.relay.tick(now, out.orders()) {
            // Who is gone is neither late nor asked again.
            let here = self.peers.is_ready(&late);
            if here {
                self.fault(now, late, fault, out);
                self.sync.late(late);
            }
            if let (Some(header), Some(from)) = (header, other.or(here.then_some(late))) {
                self.fetch(now, header, from);
            }
        }
        if self.sync_due || self.sync.deadline().is_some_and(|due| due <= now) {
            self.sync_due = false;
            let ours = self.ours();
            let (tree, importer, relay) = (&self.tree, &self.importer, &self.relay);
            let faults = self.sync.tick(
                now,
                ours,
                &mut || tree.locator().unwrap_or_default(),
                &|hash| importer.is_staged(hash) || relay.is_rebuilding(hash),
                out.orders(),
            );
            self.forget_staged(out);
            self.faults(now, faults, out);
        }
        let syncing = self.sync.progress(self.ours()).is_some();
        if self.was_syncing && !syncing {
            let number = self.tree.head().number;
            out.order(Output::Event(Event::Synced { number }));
            self.tell_status_soon(now);
        }
        if syncing && !self.was_syncing {
            self.moved_at = now;
        }
        self.was_syncing = syncing;
    }

    fn progress_event(&self) -> Event {
        let number = self.tree.head().number;
        let target = self.sync.progress(self.ours()).map_or(number, |(_, best)| best);
        Event::SyncProgress { number, target }
    }

    pub(crate) fn fault(&mut self, now: Time, peer: PeerId, fault: Fault, out: &mut Outbox) {
        self.peers.fault(now, peer, fault, out.orders());
    }

    pub(crate) fn faults(&mut self, now: Time, faults: Vec<(PeerId, Fault)>, out: &mut Outbox) {
        for (peer, fault) in faults {
            self.fault(now, peer, fault, out);
        }
    }

    /// Carries out an operator's command and answers it.
    pub(crate) fn command(
        &mut self,
        now: Time,
        ticket: Ticket,
        command: Command,
        out: &mut Outbox,
    ) {
        let development = self.spec.kette.as_ref().is_some_and(|kette| kette.development);
        let result = match command {
            Command::AddPeer(address) => {
                self.peers.add(now, address, out.orders());
                Ok(Reply::Done)
            }
            Command::RemovePeer(peer) if !self.peers.is_known(peer) => {
                Err(CommandError::UnknownPeer(peer))
            }
            Command::RemovePeer(peer) => {
                self.peers.remove(now, peer, out.orders());
                Ok(Reply::Done)
            }
            Command::Ban(peer, secs) => {
                self.peers.ban(now, peer, std::time::Duration::from_secs(secs), out.orders());
                Ok(Reply::Done)
            }
            Command::Unban(peer) => {
                self.peers.unban(peer, out.orders());
                Ok(Reply::Done)
            }
            Command::Engine(
                kette_consensus::Command::AddTime(_)
                | kette_consensus::Command::NextTimestamp(_)
                | kette_consensus::Command::OnDemand(_),
            )
            | Command::Rollback(_)
                if !development =>
            {
                Err(CommandError::NotDevelopment)
            }
            Command::Engine(command) => self.engine_command(now, command, out),
            Command::Rollback(hash) => self.rollback(now, hash, out),
            Command::DropTransaction(hash) => {
                self.dropped(vec![(hash, "requested by the operator")], out);
                Ok(Reply::Done)
            }
        };
        out.order(Output::Reply(ticket, result));
    }

    fn engine_command(
        &mut self,
        now: Time,
        command: kette_consensus::Command,
        out: &mut Outbox,
    ) -> Result<Reply, CommandError> {
        self.begin_engine(now, out);
        let outputs = self.engine.handle(now, kette_consensus::Input::Command(command), &self.tree);
        let refused = match outputs.first() {
            Some(kette_consensus::Output::Rejected(error)) => Some(error.clone()),
            _ => None,
        };
        self.engine_outputs(now, outputs, out);
        match refused {
            Some(error) => Err(error.into()),
            None => Ok(Reply::Done),
        }
    }

    /// Development only: makes an earlier block the head and forgets what came after it.
    fn rollback(&mut self, now: Time, hash: B256, out: &mut Outbox) -> Result<Reply, CommandError> {
        if !self.tree.is_canonical(hash) {
            let error = kette_consensus::CommandError::UnknownBlock(hash);
            return Err(error.into());
        }
        self.set_head(now, hash, out);
        if self.tree.head().hash() != hash {
            return Err(CommandError::Failed(format!("the state after {hash} is gone")));
        }
        let gone = self.tree.forget_above(hash);
        for hash in &gone {
            self.recent.remove(hash);
        }
        self.sync.prune(self.tree.horizon(), &gone);
        self.forget_staged(out);
        out.record(Record::Prune(gone));
        self.engine_input(now, kette_consensus::Input::Block(hash), out);
        Ok(Reply::Done)
    }
}
