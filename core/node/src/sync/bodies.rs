//! Who was asked for which bodies, and who had wrong ones.

use kette_types::{B256, PeerId, Time, limits::BODIES_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// Body requests in flight.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    requests: BTreeMap<(PeerId, u64), Request>,
    /// Asked for and not answered.
    in_flight: BTreeSet<B256>,
    /// Peers whose body did not fit the header.
    refused: BTreeMap<B256, BTreeSet<PeerId>>,
}

#[derive(Debug)]
struct Request {
    hashes: Vec<B256>,
    due: Time,
}

impl Bodies {
    pub(super) fn is_asked(&self, hash: B256) -> bool {
        self.in_flight.contains(&hash)
    }

    pub(super) fn in_flight(&self, peer: PeerId) -> usize {
        self.requests.range((peer, 0)..=(peer, u64::MAX)).count()
    }

    /// Splits off the next run of blocks that this peer may be asked for.
    pub(super) fn choose<'a>(
        &self,
        peer: PeerId,
        wanted: &'a [B256],
        window: usize,
    ) -> (Vec<B256>, &'a [B256]) {
        let refused = |hash: &B256| self.refused.get(hash).is_some_and(|by| by.contains(&peer));
        let run = wanted.iter().take(window).take_while(|hash| !refused(hash)).count();
        (wanted[..run].to_vec(), &wanted[run..])
    }

    pub(super) fn asked(&mut self, peer: PeerId, id: u64, due: Time, hashes: &[B256]) {
        self.in_flight.extend(hashes);
        self.requests.insert((peer, id), Request { hashes: hashes.to_vec(), due });
    }

    /// Takes a request off the list; its blocks may be asked for again.
    pub(super) fn answered(&mut self, peer: PeerId, id: u64) -> Option<Vec<B256>> {
        let request = self.requests.remove(&(peer, id))?;
        for hash in &request.hashes {
            self.in_flight.remove(hash);
        }
        Some(request.hashes)
    }

    pub(super) fn refused(&mut self, hash: B256, peer: PeerId) {
        self.refused.entry(hash).or_default().insert(peer);
    }

    #[cfg(test)]
    pub(super) fn refused_len(&self) -> usize {
        self.refused.len()
    }

    pub(super) fn done(&mut self, hash: B256) {
        self.refused.remove(&hash);
    }

    pub(super) fn peer_gone(&mut self, peer: PeerId) {
        let ids: Vec<u64> =
            self.requests.range((peer, 0)..=(peer, u64::MAX)).map(|((_, id), _)| *id).collect();
        for id in ids {
            self.answered(peer, id);
        }
    }

    /// Takes overdue requests off the list and returns who did not answer which.
    pub(super) fn expire(&mut self, now: Time) -> Vec<(PeerId, u64)> {
        let late: Vec<(PeerId, u64)> = self
            .requests
            .iter()
            .filter(|(_, request)| request.due <= now)
            .map(|(key, _)| *key)
            .collect();
        for (peer, id) in &late {
            self.answered(*peer, *id);
        }
        late
    }

    /// What is noted of a block is forgotten with its header.
    pub(super) fn loads(&self, peers: usize, headers: usize, loads: &mut crate::Loads) {
        let requests = peers * super::REQUESTS_PER_PEER;
        loads.note("body_requests", self.requests.len(), requests);
        loads.note("bodies_in_flight", self.in_flight.len(), requests * BODIES_MAX);
        loads.note("bodies_refused", self.refused.len(), headers);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.requests.values().map(|request| request.due).min()
    }
}
