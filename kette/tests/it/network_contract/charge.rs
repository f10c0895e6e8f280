//! The model passes messages by reference and charges their size: both as if they had been encoded and decoded.

use super::{Net as _, Seen, simulated::Simulated};
use kette_types::{
    B256, Body, Bytes, DisconnectReason, Header, Message, PeerAddress, PeerId, SealedHeader, U256,
    message::{ChainStatus, CompactBlock},
};
use proptest::prelude::*;

fn message() -> impl Strategy<Value = Message> {
    let hash = any::<[u8; 32]>().prop_map(B256::from);
    let hashes = prop::collection::vec(any::<[u8; 32]>().prop_map(B256::from), 0..50);
    let seal = prop::collection::vec(any::<u8>(), 0..2_000);
    let header = (any::<u64>(), seal).prop_map(|(number, seal)| {
        SealedHeader::new(Header { number, ..Header::default() }, seal.into())
    });
    let headers = prop::collection::vec(header.clone(), 0..20);
    let status = (hash.clone(), any::<u64>(), any::<[u64; 4]>()).prop_map(|(head, n, weight)| {
        ChainStatus { head, number: n, weight: U256::from_limbs(weight), finalized: n / 2 }
    });
    let peer = |port| {
        PeerAddress::tcp(([10, 0, 0, 1], port).into()).with_peer(PeerId(B256::repeat_byte(3)))
    };
    prop_oneof![
        any::<u64>().prop_map(Message::Ping),
        any::<u64>().prop_map(Message::Pong),
        status.prop_map(Message::Status),
        Just(Message::Goodbye(DisconnectReason::Evicted)),
        prop::collection::vec(any::<u8>(), 0..5_000).prop_map(|b| Message::Engine(Bytes::from(b))),
        (header, prop::collection::vec(0..1u64 << 48, 0..100)).prop_map(|(header, short_ids)| {
            Message::NewBlock(Box::new(CompactBlock { header, short_ids }))
        }),
        (hash.clone(), prop::collection::vec(any::<u32>(), 0..50))
            .prop_map(|(block, indexes)| Message::GetBlockTransactions { block, indexes }),
        hash.prop_map(Message::GetBlock),
        hashes.clone().prop_map(Message::NewTransactions),
        hashes.clone().prop_map(Message::GetTransactions),
        (any::<u64>(), hashes.clone(), any::<u32>())
            .prop_map(|(id, locator, limit)| Message::GetHeaders { id, locator, limit }),
        (any::<u64>(), headers).prop_map(|(id, headers)| Message::Headers { id, headers }),
        (any::<u64>(), hashes).prop_map(|(id, hashes)| Message::GetBodies { id, hashes }),
        (any::<u64>(), 0..20usize)
            .prop_map(|(id, n)| Message::Bodies { id, bodies: vec![Body::default(); n] }),
        Just(Message::GetPeers),
        prop::collection::vec(any::<u16>().prop_map(peer), 0..20).prop_map(Message::Peers),
    ]
}

#[test]
fn the_model_charges_what_the_wire_carries() {
    let mut net = Simulated::of(2);
    let (from, to) = (net.id(0), net.id(1));
    net.dial(0, net.address(1));
    assert!(matches!(net.next(0), Some(Seen::Connected { .. })));
    assert!(matches!(net.next(1), Some(Seen::Connected { .. })));
    // The first word of a session is on the control lane.
    net.send(0, to, Message::Ping(0));
    assert_eq!(net.next(1), Some(Seen::Message(from, Message::Ping(0))));
    let net = std::cell::RefCell::new(net);
    let overhead = std::cell::Cell::new(None);
    proptest!(ProptestConfig::with_cases(200), |(message in message())| {
        let mut net = net.borrow_mut();
        let bytes = message.encode();
        prop_assert_eq!(&Message::decode(message.lane(), &bytes).unwrap(), &message);
        let before = net.traffic();
        net.send(0, to, message.clone());
        let after = net.traffic();
        prop_assert_eq!(after.1 - before.1, 1);
        // The transport's own share is the same for every frame.
        let share = after.0 - before.0 - bytes.len() as u64;
        prop_assert_eq!(*overhead.get().get_or_insert(share), share);
        overhead.set(Some(share));
        prop_assert_eq!(net.next(1), Some(Seen::Message(from, message)));
    });
}
