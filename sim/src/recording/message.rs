//! Messages as on the wire, and why bytes were none.

use super::wire::{put, put_size, take, take_size};
use alloy_rlp::{Error, Result};
use kette_types::{Bytes, DecodeError, Lane, Message};

/// Writes a lane.
pub(super) fn put_lane(out: &mut Vec<u8>, lane: Lane) {
    let place = Lane::ALL.iter().position(|other| *other == lane).unwrap_or_default();
    put_size(out, place);
}

/// Reads a lane.
pub(super) fn take_lane(buf: &mut &[u8]) -> Result<Lane> {
    Lane::ALL.get(take_size(buf)?).copied().ok_or(Error::Custom("there are five lanes"))
}

/// Writes a message.
pub(super) fn put_message(out: &mut Vec<u8>, message: &Message) {
    put_lane(out, message.lane());
    put(out, &Bytes::from(message.encode()));
}

/// Reads a message.
pub(super) fn take_message(buf: &mut &[u8]) -> Result<Message> {
    let lane = take_lane(buf)?;
    let bytes: Bytes = take(buf)?;
    Message::decode(lane, &bytes).map_err(|_| Error::Custom("not a message"))
}

/// What decoders count, so that a recorded word becomes a static one again.
const COUNTED: [&str; 8] = [
    "bytes of a name",
    "short ids",
    "indexes",
    "transactions",
    "hashes",
    "locator hashes",
    "headers",
    "bodies",
];
/// Stands for a word that is not in the tables: it is for people and decides nothing.
const OTHER: &str = "other";

/// Writes why bytes were no message.
pub(super) fn put_decode_error(out: &mut Vec<u8>, error: &DecodeError) {
    match error {
        DecodeError::Empty => put(out, &0u8),
        DecodeError::UnknownKind(kind) => {
            put(out, &1u8);
            put(out, kind);
        }
        DecodeError::Rlp { kind, error } => {
            put(out, &2u8);
            put(out, kind);
            put_rlp_error(out, *error);
        }
        DecodeError::NotCanonical(kind) => {
            put(out, &3u8);
            put(out, kind);
        }
        DecodeError::Trailing(kind) => {
            put(out, &4u8);
            put(out, kind);
        }
        DecodeError::TooMany { what, got, max } => {
            put(out, &5u8);
            put_size(out, COUNTED.iter().position(|w| w == what).unwrap_or(COUNTED.len()));
            put_size(out, *got);
            put_size(out, *max);
        }
        DecodeError::WrongLane { kind, lane } => {
            put(out, &6u8);
            put(out, kind);
            let place = Lane::ALL.iter().position(|other| other.name() == *lane);
            put_size(out, place.unwrap_or_default());
        }
        DecodeError::TooLarge { got, max } => {
            put(out, &7u8);
            put_size(out, *got);
            put_size(out, *max);
        }
    }
}

/// Reads why bytes were no message.
pub(super) fn take_decode_error(buf: &mut &[u8]) -> Result<DecodeError> {
    Ok(match take::<u8>(buf)? {
        0 => DecodeError::Empty,
        1 => DecodeError::UnknownKind(take(buf)?),
        2 => DecodeError::Rlp { kind: take(buf)?, error: take_rlp_error(buf)? },
        3 => DecodeError::NotCanonical(take(buf)?),
        4 => DecodeError::Trailing(take(buf)?),
        5 => DecodeError::TooMany {
            what: COUNTED.get(take_size(buf)?).copied().unwrap_or(OTHER),
            got: take_size(buf)?,
            max: take_size(buf)?,
        },
        6 => DecodeError::WrongLane { kind: take(buf)?, lane: take_lane(buf)?.name() },
        7 => DecodeError::TooLarge { got: take_size(buf)?, max: take_size(buf)? },
        _ => return Err(Error::Custom("unknown kind of decode error")),
    })
}

const PLAIN: [Error; 8] = [
    Error::Overflow,
    Error::LeadingZero,
    Error::InputTooShort,
    Error::NonCanonicalSingleByte,
    Error::NonCanonicalSize,
    Error::UnexpectedLength,
    Error::UnexpectedString,
    Error::UnexpectedList,
];
const MISMATCH: usize = PLAIN.len();
const CUSTOM: usize = MISMATCH + 1;

fn put_rlp_error(out: &mut Vec<u8>, error: Error) {
    match error {
        Error::ListLengthMismatch { expected, got } => {
            put_size(out, MISMATCH);
            put_size(out, expected);
            put_size(out, got);
        }
        plain => put_size(out, PLAIN.iter().position(|e| *e == plain).unwrap_or(CUSTOM)),
    }
}

fn take_rlp_error(buf: &mut &[u8]) -> Result<Error> {
    Ok(match take_size(buf)? {
        MISMATCH => Error::ListLengthMismatch { expected: take_size(buf)?, got: take_size(buf)? },
        CUSTOM => Error::Custom(OTHER),
        place => *PLAIN.get(place).ok_or(Error::Custom("unknown kind of RLP error"))?,
    })
}
