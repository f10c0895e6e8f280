//! The wire: round trips, canonical bytes, bounds, and bytes that are no message.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxLegacy};
use alloy_primitives::{Signature, TxKind};
use kette_types::{
    B256, Body, Bytes, DecodeError, DisconnectReason, Header, Hello, Lane, Message, PeerAddress,
    PeerId, SealedHeader, Transaction, U256, limits,
    message::{ChainStatus, CompactBlock},
};
use proptest::prelude::*;

fn header(number: u64) -> SealedHeader {
    let header = Header {
        number,
        base_fee_per_gas: Some(7),
        withdrawals_root: Some(B256::repeat_byte(1)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(B256::repeat_byte(2)),
        extra_data: Bytes::from_static(&[0; 8]),
        ..Header::default()
    };
    SealedHeader::new(header, Bytes::from_static(b"seal"))
}

fn transactions() -> Vec<Transaction> {
    let signature = Signature::new(U256::from(3), U256::from(4), true);
    let dynamic = TxEip1559 { chain_id: 1, to: TxKind::Create, ..TxEip1559::default() };
    let legacy = TxLegacy { chain_id: Some(1), nonce: 9, ..TxLegacy::default() };
    vec![dynamic.into_signed(signature).into(), legacy.into_signed(signature).into()]
}

fn hello() -> Hello {
    Hello {
        version: limits::PROTOCOL_VERSION,
        chain_id: 7_676,
        genesis: B256::repeat_byte(3),
        rules: B256::repeat_byte(4),
        nonce: u64::MAX,
        clock_ms: 1_766_000_000_000,
        listen: "127.0.0.1:20000".parse().unwrap(),
        agent: "kette/0.1.0".to_owned(),
        moniker: "node0".to_owned(),
        region: "US-EAST".to_owned(),
        status: ChainStatus { weight: U256::MAX, ..ChainStatus::default() },
    }
}

fn one_of_each() -> Vec<Message> {
    let hash = B256::repeat_byte(5);
    let body = Body {
        transactions: transactions(),
        withdrawals: Some(Default::default()),
        ..Body::default()
    };
    let peer: PeerAddress = "[::1]:9/quic".parse::<PeerAddress>().unwrap().with_peer(PeerId(hash));
    vec![
        Message::Hello(Box::new(hello())),
        Message::Ping(0),
        Message::Pong(u64::MAX),
        Message::Status(ChainStatus::default()),
        Message::Goodbye(DisconnectReason::WrongGenesis),
        Message::Engine(Bytes::from_static(&[1, 2, 3])),
        Message::NewBlock(Box::new(CompactBlock {
            header: header(1),
            short_ids: vec![0, 1 << 47],
        })),
        Message::GetBlockTransactions { block: hash, indexes: vec![0, 7] },
        Message::BlockTransactions { block: hash, transactions: transactions() },
        Message::GetBlock(hash),
        Message::NewTransactions(vec![hash]),
        Message::GetTransactions(vec![]),
        Message::Transactions(transactions()),
        Message::GetHeaders { id: 1, locator: vec![hash], limit: 9 },
        Message::Headers { id: 2, headers: vec![header(1), header(2)] },
        Message::GetBodies { id: 3, hashes: vec![hash] },
        Message::Bodies { id: 4, bodies: vec![body, Body::default()] },
        Message::GetPeers,
        Message::Peers(vec![peer]),
    ]
}

#[test]
fn every_message_comes_back_as_it_was_sent() {
    for message in one_of_each() {
        let bytes = message.encode();
        assert_eq!(
            Message::decode(message.lane(), &bytes),
            Ok(message.clone()),
            "{}",
            message.name()
        );
    }
}

#[test]
fn every_kind_has_its_own_number_and_name() {
    let all = one_of_each();
    let kinds: std::collections::BTreeSet<u8> = all.iter().map(Message::kind).collect();
    let names: std::collections::BTreeSet<&str> = all.iter().map(Message::name).collect();
    assert_eq!((kinds.len(), names.len()), (all.len(), all.len()));
}

#[test]
fn bytes_after_the_end_are_refused() {
    for message in one_of_each() {
        // An engine message is the engine's to read to its end.
        if matches!(message, Message::Engine(_)) {
            continue;
        }
        let mut bytes = message.encode();
        bytes.push(0);
        let error = Message::decode(message.lane(), &bytes).unwrap_err();
        assert_eq!(error, DecodeError::Trailing(message.kind()), "{}", message.name());
    }
}

#[test]
fn a_message_on_another_lane_is_refused() {
    for message in one_of_each() {
        for lane in Lane::ALL.into_iter().filter(|lane| *lane != message.lane()) {
            let error = Message::decode(lane, &message.encode()).unwrap_err();
            assert!(
                matches!(error, DecodeError::WrongLane { .. } | DecodeError::TooLarge { .. }),
                "{}: {error}",
                message.name()
            );
        }
    }
}

#[test]
fn lists_longer_than_their_bound_are_refused() {
    let hash = B256::ZERO;
    let cases = [
        Message::NewTransactions(vec![hash; limits::INVENTORY_MAX + 1]),
        Message::GetTransactions(vec![hash; limits::INVENTORY_MAX + 1]),
        Message::GetHeaders { id: 0, locator: vec![hash; limits::LOCATOR_MAX + 1], limit: 0 },
        Message::GetBodies { id: 0, hashes: vec![hash; limits::BODIES_MAX + 1] },
        Message::Bodies { id: 0, bodies: vec![Body::default(); limits::BODIES_MAX + 1] },
        Message::Peers(vec!["1.2.3.4:5000".parse().unwrap(); limits::PEERS_MAX + 1]),
        Message::GetBlockTransactions {
            block: hash,
            indexes: vec![0; limits::COMPACT_TRANSACTIONS_MAX + 1],
        },
    ];
    for message in cases {
        let error = Message::decode(message.lane(), &message.encode()).unwrap_err();
        assert!(matches!(error, DecodeError::TooMany { .. }), "{}: {error}", message.name());
    }
}

#[test]
fn a_hello_with_a_long_name_is_refused() {
    let long = Hello { moniker: "x".repeat(limits::NAME_BYTES_MAX + 1), ..hello() };
    let error = Message::decode(Lane::Control, &Message::Hello(Box::new(long)).encode());
    assert!(matches!(error, Err(DecodeError::TooMany { .. })), "{error:?}");
}

#[test]
fn a_control_frame_stays_below_one_kibibyte() {
    let largest = Hello {
        agent: "a".repeat(limits::NAME_BYTES_MAX),
        moniker: "m".repeat(limits::NAME_BYTES_MAX),
        region: "r".repeat(limits::NAME_BYTES_MAX),
        listen: PeerAddress { ..hello().listen.with_peer(PeerId(B256::repeat_byte(9))) },
        ..hello()
    };
    assert!(Message::Hello(Box::new(largest)).encode().len() <= limits::HELLO_BYTES_MAX);
    let frame = vec![1; limits::HELLO_BYTES_MAX + 1];
    let error = Message::decode(Lane::Control, &frame).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { .. }), "{error}");
}

#[test]
fn an_unknown_kind_says_so() {
    assert_eq!(Message::decode(Lane::Control, &[9]), Err(DecodeError::UnknownKind(9)));
    assert_eq!(Message::decode(Lane::Control, &[]), Err(DecodeError::Empty));
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_what_decodes_is_canonical(
        lane in 0usize..5, bytes in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        let lane = Lane::ALL[lane];
        if let Ok(message) = Message::decode(lane, &bytes) {
            // A reason that this version does not know is read as a lost connection.
            if !matches!(message, Message::Goodbye(_)) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }

    #[test]
    fn flipped_bits_never_panic(which in 0usize..18, position in 0usize..2_000, bit in 0u8..8) {
        let message = &one_of_each()[which];
        let mut bytes = message.encode();
        let index = position % bytes.len();
        bytes[index] ^= 1 << bit;
        for lane in Lane::ALL {
            if let Ok(other) = Message::decode(lane, &bytes) {
                prop_assert_ne!(&other, message);
            }
        }
    }

    #[test]
    fn cut_frames_never_decode_to_the_whole(which in 0usize..18, keep in 0usize..2_000) {
        let message = &one_of_each()[which];
        let bytes = message.encode();
        let cut = &bytes[..keep % bytes.len()];
        prop_assert_ne!(Message::decode(message.lane(), cut), Ok(message.clone()));
    }
}
