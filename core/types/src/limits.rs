//! Named bounds. Everything that a peer can make us keep, read or compute has one here.

/// Version of the wire protocol, said in the hello.
pub const PROTOCOL_VERSION: u32 = 1;

/// Largest frame on any lane, bytes: the largest block plus its envelope.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024 + 4 * 1024;
/// Largest frame before the hello is done, bytes (as Zebra since GHSA-h72h-ppcx-998p).
pub const HELLO_BYTES_MAX: usize = 1024;
/// Largest engine message, bytes.
pub const ENGINE_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Largest block body, bytes of RLP: what one frame can carry.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest signed transaction, bytes of EIP-2718 encoding (as geth's transaction pool).
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;
/// Largest seal beside a header, bytes.
pub const SEAL_BYTES_MAX: usize = 16 * 1024;

/// Headers in one answer (as Bitcoin Core).
pub const HEADERS_MAX: usize = 2_000;
/// Bytes of headers in one answer.
pub const HEADERS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bodies in one request.
pub const BODIES_MAX: usize = 128;
/// Hashes in one locator.
pub const LOCATOR_MAX: usize = 64;
/// Transaction hashes in one announcement or request.
pub const INVENTORY_MAX: usize = 1_000;
/// Transactions in one answer.
pub const TRANSACTIONS_MAX: usize = 1_000;
/// Transactions in one compact block.
pub const COMPACT_TRANSACTIONS_MAX: usize = 65_536;
/// Peer addresses in one answer.
pub const PEERS_MAX: usize = 100;
/// Bytes of a human-readable name: agent, moniker, region.
pub const NAME_BYTES_MAX: usize = 64;

/// Seconds until an unfinished hello ends the session.
pub const HELLO_TIMEOUT_SECS: u64 = 5;
