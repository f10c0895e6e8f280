//! Peer addresses and reasons: every spelling that people write, and nothing else.

use kette_types::{DisconnectReason, PeerAddress, PeerId, Transport};

#[test]
fn addresses_come_back_as_written() {
    let id = "07".repeat(32);
    for text in
        ["127.0.0.1:20000", "[::1]:20000", "10.0.0.1:1/quic", &format!("{id}@127.0.0.1:20000")]
    {
        let address: PeerAddress = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        let json = serde_json::to_string(&address).unwrap();
        assert_eq!(serde_json::from_str::<PeerAddress>(&json).unwrap(), address);
    }
    assert_eq!("1.2.3.4:5/quic".parse::<PeerAddress>().unwrap().transport, Transport::Quic);
}

#[test]
fn a_bad_address_says_what_was_expected() {
    for text in ["", "localhost", "1.2.3.4", "1.2.3.4:99999", "12@1.2.3.4:5"] {
        let error = text.parse::<PeerAddress>().unwrap_err().to_string();
        assert!(error.contains("expected"), "{text}: {error}");
    }
}

#[test]
fn an_identity_has_one_spelling_everywhere() {
    let id: PeerId = format!("0x{}", "ab".repeat(32)).parse().unwrap();
    assert_eq!(id.to_string(), "ab".repeat(32));
    assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{}\"", "ab".repeat(32)));
    assert_eq!(id.short(), "abababab");
}

#[test]
fn reasons_keep_their_numbers() {
    for code in 0..=16 {
        let reason = DisconnectReason::from_code(code).unwrap();
        assert_eq!(reason as u8, code);
    }
    assert_eq!(DisconnectReason::from_code(17), None);
}
