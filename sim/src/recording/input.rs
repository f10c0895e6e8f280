//! Inputs of a core, one kind byte and its items.

use super::{
    command::{put_command, take_command},
    message::{
        put_decode_error, put_lane, put_message, take_decode_error, take_lane, take_message,
    },
    wire::{put, put_senders, take, take_senders},
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_rlp::{Error, Result};
use kette_consensus::{JobId, JobResult};
use kette_node::Input;
use kette_types::{Bytes, Direction, DisconnectReason, Recovered, Transaction};

/// Writes an input.
pub(super) fn put_input(out: &mut Vec<u8>, input: &Input) {
    match input {
        Input::Start => put(out, &0u8),
        Input::Connected { peer, address, direction } => {
            put(out, &1u8);
            put(out, peer);
            put(out, address);
            put(out, &(*direction == Direction::Outbound));
        }
        Input::Disconnected { peer, reason } => {
            put(out, &2u8);
            put(out, peer);
            put(out, &(*reason as u8));
        }
        Input::DialFailed { address } => {
            put(out, &3u8);
            put(out, address);
        }
        Input::Discovered(addresses) => {
            put(out, &4u8);
            put(out, addresses);
        }
        Input::Message(peer, message) => {
            put(out, &5u8);
            put(out, peer);
            put_message(out, message);
        }
        Input::Malformed(peer, lane, error) => {
            put(out, &6u8);
            put(out, peer);
            put_lane(out, *lane);
            put_decode_error(out, error);
        }
        Input::Submit(ticket, transaction) => {
            put(out, &7u8);
            put(out, ticket);
            put(out, &transaction.signer());
            put(out, &Bytes::from(transaction.inner().encoded_2718()));
        }
        Input::SubmitBlock(ticket, block) => {
            put(out, &8u8);
            put(out, ticket);
            put(out, &**block);
        }
        Input::Command(ticket, command) => {
            put(out, &9u8);
            put(out, ticket);
            put_command(out, command);
        }
        Input::Done(id, result) => {
            put(out, &10u8);
            put(out, &id.0);
            match result {
                JobResult::Senders(senders) => {
                    put(out, &0u8);
                    put_senders(out, senders);
                }
                JobResult::Nonce(nonce) => {
                    put(out, &1u8);
                    put(out, nonce);
                }
            }
        }
        Input::Tick => put(out, &11u8),
    }
}

/// Reads an input.
pub(super) fn take_input(buf: &mut &[u8]) -> Result<Input> {
    Ok(match take::<u8>(buf)? {
        0 => Input::Start,
        1 => Input::Connected {
            peer: take(buf)?,
            address: take(buf)?,
            direction: if take(buf)? { Direction::Outbound } else { Direction::Inbound },
        },
        2 => Input::Disconnected {
            peer: take(buf)?,
            reason: DisconnectReason::from_code(take(buf)?)
                .ok_or(Error::Custom("unknown reason of a disconnection"))?,
        },
        3 => Input::DialFailed { address: take(buf)? },
        4 => Input::Discovered(take(buf)?),
        5 => Input::Message(take(buf)?, take_message(buf)?),
        6 => Input::Malformed(take(buf)?, take_lane(buf)?, take_decode_error(buf)?),
        7 => {
            let (ticket, signer, bytes) = (take(buf)?, take(buf)?, take::<Bytes>(buf)?);
            let transaction = Transaction::decode_2718_exact(&bytes)
                .map_err(|_| Error::Custom("not a transaction"))?;
            Input::Submit(ticket, Recovered::new_unchecked(transaction, signer))
        }
        8 => Input::SubmitBlock(take(buf)?, Box::new(take(buf)?)),
        9 => Input::Command(take(buf)?, take_command(buf)?),
        10 => {
            let id = JobId(take(buf)?);
            let result = match take::<u8>(buf)? {
                0 => JobResult::Senders(take_senders(buf)?),
                1 => JobResult::Nonce(take(buf)?),
                _ => return Err(Error::Custom("unknown kind of job result")),
            };
            Input::Done(id, result)
        }
        11 => Input::Tick,
        _ => return Err(Error::Custom("unknown kind of input")),
    })
}

/// Names an input for people.
pub(super) fn describe(input: &Input) -> String {
    match input {
        Input::Start => "start".to_owned(),
        Input::Connected { peer, direction, .. } => {
            format!("connected to {} ({direction:?})", peer.short())
        }
        Input::Disconnected { peer, reason } => {
            format!("disconnected from {}: {reason}", peer.short())
        }
        Input::DialFailed { address } => format!("dial to {address} failed"),
        Input::Discovered(addresses) => format!("{} addresses discovered", addresses.len()),
        Input::Message(peer, message) => format!("{} from {}", message.name(), peer.short()),
        Input::Malformed(peer, lane, _) => {
            format!("malformed {} frame from {}", lane.name(), peer.short())
        }
        Input::Submit(_, transaction) => format!("transaction {}", transaction.inner().tx_hash()),
        Input::SubmitBlock(_, block) => format!("block {} of a client", block.hash()),
        Input::Command(_, command) => format!("command {command:?}"),
        Input::Done(id, _) => format!("job {} done", id.0),
        Input::Tick => "tick".to_owned(),
    }
}
