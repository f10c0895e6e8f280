//! Frames around entries: a length, its complement, the entry, and eight bytes of a running SHA-256.
//!
//! The checksum of a frame covers all frames before it, so an entry that was changed, dropped or moved is noticed.
//! The complement tells a damaged length from a file that ends too early.

use super::{FORMAT, MAGIC};
use sha2::{Digest, Sha256};

/// Largest entry, bytes: a client's block, the largest input, is far smaller.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;
const LENGTHS: usize = 8;
const CHECKSUM: usize = 8;

/// The running checksum.
#[derive(Clone, Debug)]
pub(super) struct Chain([u8; CHECKSUM]);

impl Chain {
    pub(super) fn new() -> Self {
        Self([0; CHECKSUM])
    }

    fn next(&self, entry: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(self.0).chain_update(entry).finalize();
        Self(*digest.first_chunk().expect("a hash has 32 bytes"))
    }

    /// Appends one frame; tells whether the entry was small enough.
    pub(super) fn write(&mut self, entry: &[u8], out: &mut Vec<u8>) -> bool {
        if entry.len() > ENTRY_BYTES_MAX {
            return false;
        }
        let length = entry.len() as u32;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&(!length).to_be_bytes());
        out.extend_from_slice(entry);
        *self = self.next(entry);
        out.extend_from_slice(&self.0);
        true
    }
}

/// How a recording ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tail {
    /// With a whole entry.
    #[error("the file is whole")]
    Whole,
    /// In the middle of an entry: the node was killed, or its disk was full.
    #[error("the file ends in the middle of an entry, after byte {at}: the rest is lost")]
    Torn {
        /// Where the last whole entry ended.
        at: usize,
    },
    /// With bytes that were not written like this.
    #[error("the file is damaged at byte {at}: nothing after it was replayed")]
    Damaged {
        /// Where the first bad entry begins.
        at: usize,
    },
}

/// Reads entries one by one; stops at the first that is not whole.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    chain: Chain,
    tail: Tail,
}

impl<'a> Reader<'a> {
    /// Begins; `None` if these bytes are no recording of this format.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        if rest.first() != Some(&FORMAT) {
            return None;
        }
        Some(Self { bytes, at: MAGIC.len() + 1, chain: Chain::new(), tail: Tail::Whole })
    }

    /// Returns where the next entry begins.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Returns how the recording ends, once there is no next entry.
    pub const fn tail(&self) -> &Tail {
        &self.tail
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let at = self.at;
        let rest = &self.bytes[at..];
        if rest.is_empty() || self.tail != Tail::Whole {
            return None;
        }
        let Some((lengths, rest)) = rest.split_first_chunk::<LENGTHS>() else {
            self.tail = Tail::Torn { at };
            return None;
        };
        let word = |half: &[u8]| half.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
        let length = word(&lengths[..4]);
        if word(&lengths[4..]) != !length || length as usize > ENTRY_BYTES_MAX {
            self.tail = Tail::Damaged { at };
            return None;
        }
        let Some((entry, rest)) = rest.split_at_checked(length as usize) else {
            self.tail = Tail::Torn { at };
            return None;
        };
        let Some(checksum) = rest.first_chunk::<CHECKSUM>() else {
            self.tail = Tail::Torn { at };
            return None;
        };
        let chain = self.chain.next(entry);
        if chain.0 != *checksum {
            self.tail = Tail::Damaged { at };
            return None;
        }
        self.chain = chain;
        self.at += LENGTHS + entry.len() + CHECKSUM;
        Some(entry)
    }
}
