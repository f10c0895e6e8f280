//! Says in plain words why a dial failed.

use crate::{address::from_libp2p, gate::Refused};
use kette_types::PeerAddress;
use libp2p::{core::transport::TransportError, swarm::DialError};
use std::error::Error;

pub(super) const SELF_DIAL: &str = "the address is this node's own";
pub(super) const CUT: &str = "the link to this peer is cut";

/// Describes the failure of a dial.
pub(super) fn dial_error(error: &DialError, address: &PeerAddress) -> String {
    match error {
        DialError::LocalPeerId { .. } => SELF_DIAL.to_owned(),
        DialError::WrongPeerId { obtained, .. } => {
            let obtained =
                from_libp2p(obtained).map_or_else(|| obtained.to_string(), |peer| peer.to_string());
            match address.peer {
                Some(expected) => {
                    format!("identity differs: expected {expected}, found {obtained}")
                }
                None => format!("identity differs: found {obtained}"),
            }
        }
        DialError::Denied { cause } => match cause.downcast_ref::<Refused>() {
            Some(Refused::Cut) => CUT.to_owned(),
            Some(other) => other.to_string(),
            None => format!("refused by this node's limits: {}", deepest(cause)),
        },
        DialError::Transport(errors) => match errors.first() {
            Some((_, TransportError::MultiaddrNotSupported(_))) => {
                "this node cannot dial such an address".to_owned()
            }
            Some((_, TransportError::Other(error))) => deepest(error),
            None => "no address to dial".to_owned(),
        },
        DialError::NoAddresses => "no address to dial".to_owned(),
        DialError::Aborted => "the dial was aborted".to_owned(),
        DialError::DialPeerConditionFalse(_) => "the peer is being dialled".to_owned(),
    }
}

/// Returns the text of the innermost cause: libp2p wraps the system's word several times.
fn deepest(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}
