//! What a node shows: an immutable snapshot for RPC, monitor and metrics, made after each change.
//!
//! Readers never enter the node's loop.

use crate::mempool::PoolView;
use kette_chain::ExecutedBlock;
use kette_ledger::State;
use kette_types::{Address, B256, Direction, PeerAddress, PeerId, U256};
use serde::Serialize;
use std::sync::Arc;

/// A consistent snapshot of a node.
#[derive(Clone, Debug)]
pub struct View {
    /// The head, whole.
    pub head: Arc<ExecutedBlock>,
    /// Number and hash of the newest final block: the tag `finalized`, and `safe`.
    pub finalized: (u64, B256),
    /// Blocks that are held whole, by hash: their states answer `eth_call` and proofs.
    pub recent: imbl::OrdMap<B256, Arc<ExecutedBlock>>,
    /// Pending and queued transactions.
    pub pool: PoolView,
    /// Numbers and lists.
    pub status: Arc<Status>,
}

impl View {
    /// Returns the state after a block, if the node still holds it in memory.
    pub fn state(&self, block: B256) -> Option<State> {
        self.recent.get(&block).map(|b| b.state.clone())
    }
}

/// Numbers and lists about a node. Serialized as is by `kette_status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// This node's identity.
    pub peer_id: PeerId,
    /// Name given by the operator.
    pub moniker: String,
    /// Region label.
    pub region: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis: B256,
    /// The head's number.
    pub height: u64,
    /// The head's hash.
    pub hash: B256,
    /// The head's state root.
    pub state_root: B256,
    /// The head's timestamp, seconds.
    pub timestamp: u64,
    /// Cumulative weight of the head.
    pub weight: U256,
    /// Number of the newest final block.
    pub finalized: u64,
    /// Hash of the newest final block.
    pub finalized_hash: B256,
    /// Where sync stands; `None` when caught up.
    pub syncing: Option<Syncing>,
    /// Transactions that can go into the next block.
    pub pending: usize,
    /// Transactions that wait for an earlier nonce.
    pub queued: usize,
    /// Bytes of both.
    pub pool_bytes: usize,
    /// Sessions whose hello is done.
    pub peers: Vec<PeerInfo>,
    /// Addresses in the address book.
    pub known_addresses: usize,
    /// The engine's own status.
    pub engine: kette_consensus::Status,
    /// Who is paid for this node's blocks.
    pub beneficiary: Address,
    /// Blocks in the tree and branches that may still win.
    pub tree_blocks: usize,
    /// How far peers' clocks are ahead of ours, milliseconds: the median of what they said in their hellos, given
    /// enough peers.
    pub clock_skew_ms: Option<i64>,
    /// Counters since start.
    pub counters: Counters,
    /// What an operator must see, newest last, bounded.
    pub alarms: Vec<String>,
}

/// Where sync stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Syncing {
    /// Number of the head when sync began.
    pub starting: u64,
    /// Number of the head.
    pub current: u64,
    /// Number of the best chain that was backed by headers.
    pub highest: u64,
}

/// A peer as shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    /// Identity.
    pub id: PeerId,
    /// Address of the session.
    pub address: PeerAddress,
    /// Where it says it listens.
    pub listen: Option<PeerAddress>,
    /// Who dialled.
    pub direction: Direction,
    /// Name given by its operator.
    pub moniker: String,
    /// Program and version.
    pub agent: String,
    /// Region label.
    pub region: String,
    /// The head it claims.
    pub height: u64,
    /// The weight it claims.
    pub weight: U256,
    /// Score, 100 is best.
    pub score: i32,
    /// Round trip of the last ping, milliseconds.
    pub rtt_ms: Option<u64>,
    /// Age of the session, seconds.
    pub age_secs: u64,
    /// Seconds since the last message.
    pub last_seen_secs: u64,
    /// Whether it is configured and kept connected.
    pub persistent: bool,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Blocks attached to the tree.
    pub blocks_imported: u64,
    /// Blocks this node produced.
    pub blocks_produced: u64,
    /// Blocks announced to peers (times peers).
    pub blocks_sent: u64,
    /// Blocks received from peers.
    pub blocks_received: u64,
    /// Blocks that broke a rule.
    pub blocks_invalid: u64,
    /// Compact blocks rebuilt without asking for anything.
    pub compact_hits: u64,
    /// Compact blocks for which transactions or the body had to be asked.
    pub compact_misses: u64,
    /// Transactions sent to peers (times peers).
    pub transactions_sent: u64,
    /// Transactions received from peers.
    pub transactions_received: u64,
    /// Reorganizations.
    pub reorgs: u64,
    /// Deepest reorganization, blocks.
    pub reorg_depth_max: u64,
    /// Sessions begun: dials that connected and peers that connected to us.
    pub handshakes_attempted: u64,
    /// Sessions whose hello was done.
    pub handshakes_completed: u64,
    /// Of these, ended by a peer that had no room.
    pub sessions_refused: u64,
    /// Dials that reached nobody.
    pub dials_failed: u64,
    /// Faults of peers.
    pub faults: u64,
    /// Bans.
    pub bans: u64,
    /// Messages handled.
    pub messages: u64,
}
