//! The proof: what is hashed, what wins, and what a win weighs.
//!
//! ```text
//! preimage = keccak256(RLP(header with nonce 0))                     32 bytes
//! hash     = SHA-256(SHA-256(preimage || nonce, big-endian))         read as a big-endian integer
//! target   = floor(2^256 / difficulty) - 1                           wins iff hash <= target
//! ```
//! Difficulty is the expected number of hashes of a win, and the weight of the block.

use crate::job::MineJob;
use kette_types::{B256, Header, SealedHeader, U256};
use sha2::block_api::compress256;

/// Returns what is hashed with the nonce: keccak256 of the header's RLP with nonce 0.
pub fn seal_hash(header: &Header) -> B256 {
    kette_types::block::preimage(header)
}

/// Returns the proof-of-work hash as the integer that is compared with the target.
pub fn pow_hash(preimage: B256, nonce: u64) -> U256 {
    U256::from_be_bytes(Hasher::new(preimage).hash(nonce))
}

/// Returns the header's nonce as an integer.
pub const fn nonce(header: &Header) -> u64 {
    u64::from_be_bytes(header.nonce.0)
}

/// Returns the proof-of-work hash of a sealed header.
pub fn header_pow_hash(header: &SealedHeader) -> U256 {
    pow_hash(header.preimage(), nonce(header))
}

/// Returns the highest hash that wins at this difficulty. Difficulty 0 counts as 1.
///
/// `work(target(d)) == d` for every `d` up to 2^128.
pub fn target(difficulty: U256) -> U256 {
    let difficulty = difficulty.max(U256::ONE);
    // 2^256 - d is `wrapping_neg`, and floor((2^256 - d) / d) = floor(2^256 / d) - 1.
    difficulty.wrapping_neg() / difficulty
}

/// Returns the expected number of hashes until one is at most `target`: floor(2^256 / (target + 1)),
/// at most 2^256 - 1.
pub fn work(target: U256) -> U256 {
    match target.checked_add(U256::ONE) {
        Some(divisor) => (!target / divisor).saturating_add(U256::ONE),
        None => U256::ONE,
    }
}

/// Searches `count` nonces from `from` on, wrapping around; returns the first that wins.
///
/// Pure and single-threaded: worker threads call it with chunks of the nonce space.
pub fn search(job: &MineJob, from: u64, count: u64) -> Option<u64> {
    let hasher = Hasher::new(job.preimage);
    let target: [u8; 32] = job.target.to_be_bytes();
    (0..count).map(|step| from.wrapping_add(step)).find(|nonce| hasher.hash(*nonce) <= target)
}

/// SHA-256d over 40 bytes: two compressions on prepared blocks, without the buffering of a streaming hasher.
struct Hasher {
    block: [u8; 64],
}

impl Hasher {
    fn new(preimage: B256) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(preimage.as_slice());
        pad(&mut block, 40);
        Self { block }
    }

    fn hash(&self, nonce: u64) -> [u8; 32] {
        let mut first = self.block;
        first[32..40].copy_from_slice(&nonce.to_be_bytes());
        let mut second = [0; 64];
        second[..32].copy_from_slice(&compress(first));
        pad(&mut second, 32);
        compress(second)
    }
}

/// Pads a message of `len` bytes, at most 55, that lies at the start of the block (FIPS 180-4, 5.1.1).
fn pad(block: &mut [u8; 64], len: u8) {
    block[usize::from(len)] = 0x80;
    block[56..].copy_from_slice(&(u64::from(len) * 8).to_be_bytes());
}

fn compress(block: [u8; 64]) -> [u8; 32] {
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    let mut out = [0; 32];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// Initial hash value of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
