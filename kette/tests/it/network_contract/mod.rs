//! One contract for both networks under a core: the libp2p driver and the simulator's model keep the same promises.
//!
//! [`cases`] says what is promised; each case runs over [`real`] sockets and in the [`simulated`] world. What only one
//! of them promises is not tested here:
//! - real: a dialler to whom its own host says that a session exists is not told the peer's identity if the address
//!   named none; the model always tells it.
//! - real: only control frames are flushed before an ordered end; the model flushes all lanes.
//! - real: a cut ends sessions at once; in the model they fall silent, and what was sent meanwhile comes after it.
//! - real: a peer that does not read is reported to the sender as an overflow; the model has send queues
//!   for answers only, and a full one ends the session.
//! - model: of two dials at once the one that arrives first wins; in the driver also the order of identities counts.

mod cases;
mod charge;
mod real;
mod simulated;
mod watch;

use kette_types::{Direction, DisconnectReason, Message, PeerAddress, PeerId};

/// What a side is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Connected { peer: PeerId, address: PeerAddress, direction: Direction },
    Disconnected { peer: PeerId, reason: DisconnectReason },
    DialFailed(PeerAddress),
    Message(PeerId, Message),
}

/// Some sides that can reach each other, each by its place.
trait Net: Sized {
    /// Makes so many sides.
    fn of(sides: usize) -> Self;
    /// Returns a side's identity.
    fn id(&self, side: usize) -> PeerId;
    /// Returns where a side listens, with its identity.
    fn address(&self, side: usize) -> PeerAddress;
    /// Returns an address at which nobody listens.
    fn nobody(&self) -> PeerAddress;
    /// Dials.
    fn dial(&mut self, side: usize, address: PeerAddress);
    /// Sends, if there is a session.
    fn send(&mut self, side: usize, to: PeerId, message: Message);
    /// Ends a session.
    fn disconnect(&mut self, side: usize, peer: PeerId, reason: DisconnectReason);
    /// Ends a side without a word.
    fn crash(&mut self, side: usize);
    /// Starts a side again: same identity, same address.
    fn restart(&mut self, side: usize);
    /// Cuts the link between two sides, or heals it.
    fn cut(&mut self, a: usize, b: usize, cut: bool);
    /// Waits for what a side is told next; `None` if nothing comes for long.
    fn next(&mut self, side: usize) -> Option<Seen>;
}

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod over_sockets {
            $(#[test] fn $case() { super::cases::$case::<super::real::Real>(); })*
        }
        mod in_the_model {
            $(#[test] fn $case() { super::cases::$case::<super::simulated::Simulated>(); })*
        }
    };
}

contract! {
    a_dial_connects_both_sides_once,
    a_dial_to_nobody_fails_once,
    a_dial_to_another_identity_fails_once,
    a_dial_to_oneself_fails_once,
    a_dial_to_a_connected_peer_fails_and_names_it,
    an_address_without_identity_leads_to_whoever_is_there,
    two_dials_of_one_side_end_in_one_session,
    two_sides_that_dial_at_once_share_one_session,
    a_lane_keeps_order_and_loses_nothing,
    control_is_not_kept_waiting_by_bulk,
    what_was_said_before_an_ordered_end_arrives,
    nothing_arrives_from_a_session_that_ended,
    a_crash_ends_the_session_at_the_other_side,
    a_side_that_crashed_connects_again,
    a_side_that_comes_back_at_once_connects_again,
    a_cut_fails_dials_and_healing_ends_that,
    a_third_side_is_not_touched,
}
