//! Users of real nodes: the simulator's workload, handed in by JSON-RPC.

use super::nodes::Nodes;
use crate::client::Client;
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, U256};
use futures::{
    future::{BoxFuture, join_all},
    stream::{FuturesUnordered, StreamExt as _},
};
use kette_sim::{Moment, workload::Desk};
use kette_types::{Recovered, Transaction};
use serde_json::{Value, json};
use std::time::Duration;

/// What users see, as of the last look.
#[derive(Default)]
pub struct Counter {
    now: Moment,
    hosts: Vec<usize>,
    clients: Vec<Client>,
    nonces: Option<(Vec<Address>, Vec<Option<u64>>)>,
    tickets: u64,
    answers: Vec<(u64, bool)>,
    under_way: FuturesUnordered<BoxFuture<'static, Option<(u64, bool)>>>,
    /// Why nobody can send.
    pub trouble: Option<String>,
}

/// Transactions that wait for an answer; users wait when there are more.
const UNDER_WAY_MAX: usize = 1_000;

impl Counter {
    /// Shows users the network as it is now.
    pub fn show(&mut self, now: Duration, nodes: &Nodes) {
        self.now = Moment::START + now;
        self.hosts = nodes.reachable();
        self.hosts.retain(|node| nodes.is_honest(*node));
        if self.clients.is_empty() {
            self.clients = (0..nodes.count()).map(|node| nodes.client(node).clone()).collect();
        }
    }

    /// Waits for the next answer; never if none is to come.
    pub async fn answered(&mut self) {
        match self.under_way.next().await {
            Some(answer) => self.answers.extend(answer),
            None => std::future::pending().await,
        }
    }

    /// Asks a node how far the chain is with these accounts.
    pub async fn ask_nonces(&mut self, client: &Client, accounts: &[Address]) {
        let ask = |address: &Address| {
            let arguments = [json!(address), json!("latest")];
            async move {
                let nonce: U256 = client.ask("eth_getTransactionCount", arguments).await.ok()?;
                u64::try_from(nonce).ok()
            }
        };
        let nonces = join_all(accounts.iter().map(ask)).await;
        self.nonces = Some((accounts.to_vec(), nonces));
    }
}

impl Desk for Counter {
    fn now(&self) -> Moment {
        self.now
    }

    fn hosts(&self) -> Vec<usize> {
        if self.under_way.len() < UNDER_WAY_MAX { self.hosts.clone() } else { Vec::new() }
    }

    fn submit(&mut self, host: usize, transaction: Recovered<Transaction>) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let raw = Bytes::from(transaction.inner().encoded_2718());
        let client = self.clients[host].clone();
        self.under_way.push(Box::pin(async move {
            match client.ask::<Value>("eth_sendRawTransaction", [json!(raw)]).await {
                Ok(_) => Some((ticket, true)),
                // A node that does not answer says neither yes nor no.
                Err(error) if error.is::<crate::commands::exit::Exit>() => None,
                Err(error) => Some((ticket, error.to_string().contains(KNOWN))),
            }
        }));
        ticket
    }

    fn take_answers(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.answers)
    }

    fn nonces(&self, accounts: &[Address]) -> Option<Vec<Option<u64>>> {
        let (known, nonces) = self.nonces.as_ref()?;
        (known == accounts).then(|| nonces.clone())
    }

    fn object(&mut self, what: String) {
        self.trouble = Some(what);
    }
}

/// What a node says of a transaction that it has.
const KNOWN: &str = "already known";
