//! Pieces of an entry: canonical RLP items one after the other, without a list around them.

use alloy_rlp::{Decodable, Encodable, Error, Result};
use kette_types::{Address, Bytes};
use std::time::Duration;

/// Writes one item.
pub(super) fn put(out: &mut Vec<u8>, item: &impl Encodable) {
    item.encode(out);
}

/// Reads one item.
pub(super) fn take<T: Decodable>(buf: &mut &[u8]) -> Result<T> {
    T::decode(buf)
}

/// Holds that everything was read.
pub(super) fn done(buf: &[u8]) -> Result<()> {
    if buf.is_empty() { Ok(()) } else { Err(Error::Custom("bytes after the end")) }
}

/// Writes a number that a platform may make narrower.
pub(super) fn put_size(out: &mut Vec<u8>, size: usize) {
    put(out, &(size as u64));
}

/// Reads a number that a platform may make narrower.
pub(super) fn take_size(buf: &mut &[u8]) -> Result<usize> {
    usize::try_from(take::<u64>(buf)?).map_err(|_| Error::Overflow)
}

/// Writes a duration in nanoseconds; 584 years at most.
pub(super) fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put(out, &u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

/// Reads a duration.
pub(super) fn take_duration(buf: &mut &[u8]) -> Result<Duration> {
    take(buf).map(Duration::from_nanos)
}

/// Writes an optional item as a list of none or one.
pub(super) fn put_option(out: &mut Vec<u8>, item: Option<impl Encodable>) {
    put(out, &item.into_iter().collect::<Vec<_>>());
}

/// Reads an optional item.
pub(super) fn take_option<T: Decodable>(buf: &mut &[u8]) -> Result<Option<T>> {
    let mut items: Vec<T> = take(buf)?;
    let item = items.pop();
    if items.is_empty() { Ok(item) } else { Err(Error::Custom("more than one of at most one")) }
}

/// Writes addresses, each of which may be missing.
pub(super) fn put_senders(out: &mut Vec<u8>, senders: &[Option<Address>]) {
    let bytes: Vec<Bytes> = senders
        .iter()
        .map(|sender| sender.map(|address| Bytes::copy_from_slice(address.as_slice())))
        .map(Option::unwrap_or_default)
        .collect();
    put(out, &bytes);
}

/// Reads addresses, each of which may be missing.
pub(super) fn take_senders(buf: &mut &[u8]) -> Result<Vec<Option<Address>>> {
    let bytes: Vec<Bytes> = take(buf)?;
    bytes
        .iter()
        .map(|bytes| match bytes.len() {
            0 => Ok(None),
            20 => Ok(Some(Address::from_slice(bytes))),
            _ => Err(Error::Custom("an address has 20 bytes")),
        })
        .collect()
}
