//! Every kind of entry comes out as it went in, and costs what the wire says.

use super::live::{address, header, id, transfer};
use crate::recording::{Digest, Entry, Found, Head, Question};
use kette_chain::record::StoredBlock;
use kette_consensus::{Command as EngineCommand, JobId, JobResult};
use kette_ledger::ReadError;
use kette_node::{Command, Input};
use kette_types::{
    Address, B256, Block, Body, DecodeError, Direction, DisconnectReason, Header, Lane, Message,
    PeerAddress, SealedHeader, Time, Transport, U256, limits,
};

fn hash(n: u8) -> B256 {
    B256::repeat_byte(n)
}

fn sealed() -> SealedHeader {
    SealedHeader::new(Header { number: 3, ..Header::default() }, vec![1, 2, 3].into())
}

fn block() -> Block {
    let transactions = vec![transfer(0).into_inner(), transfer(1).into_inner()];
    Block { header: sealed(), body: Body { transactions, ..Body::default() } }
}

fn decode_errors() -> Vec<DecodeError> {
    use alloy_rlp::Error;
    vec![
        DecodeError::Empty,
        DecodeError::UnknownKind(200),
        DecodeError::Rlp { kind: 3, error: Error::InputTooShort },
        DecodeError::Rlp { kind: 3, error: Error::ListLengthMismatch { expected: 1, got: 2 } },
        DecodeError::NotCanonical(50),
        DecodeError::Trailing(1),
        DecodeError::TooMany { what: "hashes", got: 1_001, max: limits::INVENTORY_MAX },
        DecodeError::WrongLane { kind: 1, lane: "bulk" },
        DecodeError::TooLarge { got: 9, max: 8 },
    ]
}

fn commands() -> Vec<Command> {
    let quic = PeerAddress { transport: Transport::Quic, ..address(3) };
    let engine = [
        EngineCommand::Mining { on: true, threads: None },
        EngineCommand::Mining { on: false, threads: Some(3) },
        EngineCommand::OnDemand(true),
        EngineCommand::MineBlocks(7),
        EngineCommand::SubmitWork { preimage: hash(1), nonce: u64::MAX },
        EngineCommand::ApproveReorg(hash(2)),
        EngineCommand::AddTime(5),
        EngineCommand::NextTimestamp(6),
    ];
    let mut commands = vec![
        Command::AddPeer(quic),
        Command::RemovePeer(id(1)),
        Command::Ban(id(2), 60),
        Command::Unban(id(3)),
        Command::Rollback(hash(4)),
        Command::DropTransaction(hash(5)),
    ];
    commands.extend(engine.map(Command::Engine));
    commands
}

fn inputs() -> Vec<Input> {
    let v6 = PeerAddress::tcp("[2001:db8::1]:30000".parse().unwrap()).with_peer(id(9));
    let mut inputs = vec![
        Input::Start,
        Input::Connected { peer: id(1), address: v6, direction: Direction::Outbound },
        Input::Connected { peer: id(1), address: address(1), direction: Direction::Inbound },
        Input::Disconnected { peer: id(1), reason: DisconnectReason::Shutdown },
        Input::Disconnected { peer: id(1), reason: DisconnectReason::ConnectionLost },
        Input::DialFailed { address: address(1) },
        Input::Discovered(vec![]),
        Input::Discovered(vec![v6, address(2)]),
        Input::Submit(7, transfer(9)),
        Input::SubmitBlock(u64::MAX, Box::new(block())),
        Input::Done(JobId(1 << 63), JobResult::Senders(vec![None, Some(Address::ZERO)])),
        Input::Done(JobId(0), JobResult::Nonce(u64::MAX)),
        Input::Tick,
    ];
    inputs.extend(messages().into_iter().map(|message| Input::Message(id(1), message)));
    inputs.extend(decode_errors().into_iter().map(|e| Input::Malformed(id(1), Lane::Bulk, e)));
    inputs.extend(commands().into_iter().map(|command| Input::Command(1, command)));
    inputs
}

fn messages() -> Vec<Message> {
    let transactions = vec![transfer(0).into_inner()];
    vec![
        Message::Ping(1),
        Message::Goodbye(DisconnectReason::Evicted),
        Message::Engine(vec![1, 2, 3].into()),
        Message::Status(Default::default()),
        Message::BlockTransactions { block: hash(1), transactions: transactions.clone() },
        Message::Transactions(transactions),
        Message::Headers { id: 1, headers: vec![sealed()] },
        Message::Bodies { id: 1, bodies: vec![block().body] },
        Message::GetPeers,
        Message::Peers(vec![address(1)]),
    ]
}

fn entries() -> Vec<Entry> {
    let stored =
        StoredBlock { block: block(), senders: vec![Address::ZERO; 2], total_weight: U256::MAX };
    let found = [
        Found::Points { checkpoint: (1, hash(1)), weight: U256::ONE, finalized: (2, hash(2)) },
        Found::Canonical(stored.clone()),
        Found::Side(stored),
        Found::Engine(vec![1].into()),
        Found::Pending(vec![].into()),
        Found::Address(address(1), Time::ZERO, 3),
        Found::Ban(id(1), Time::MAX),
    ];
    let questions = [
        Question::Header(hash(1)),
        Question::Body(hash(2)),
        Question::Canonical(3),
        Question::TotalWeight(hash(4)),
        Question::Node(vec![1; 70].into()),
        Question::Code(hash(5)),
    ];
    let answers = [
        Ok(None),
        Ok(Some(vec![].into())),
        Ok(Some(vec![1; 100].into())),
        Err(ReadError::MissingNode(hash(1))),
        Err(ReadError::MissingCode(hash(2))),
        Err(ReadError::Damaged(hash(3))),
        Err(ReadError::Store("disk".to_owned())),
    ];
    let answered = questions.iter().flat_map(|question| {
        answers.iter().map(|answer| Entry::Answer(question.clone(), answer.clone()))
    });
    let head = Head { number: 1, hash: hash(1), state_root: hash(2) };
    let mut entries = vec![
        Entry::Header(header(Time::from_secs(1))),
        Entry::Stop,
        Entry::Outputs(vec![]),
        Entry::Outputs(vec![Digest([1; 8]), Digest([0; 8])]),
        Entry::End { inputs: 5, outputs: hash(9), head },
    ];
    entries.extend(found.map(Entry::Found));
    entries.extend(answered);
    entries.extend(inputs().into_iter().map(|input| Entry::Input(Time::from_millis(1), input)));
    entries
}

/// Shows an entry without hashes that a transaction may have computed already or not.
fn shown(entry: &Entry) -> String {
    let text = format!("{entry:?}");
    let mut parts = text.split("OnceLock(");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |shown, part| shown + part.split_once(')').unwrap().1)
}

#[test]
fn every_kind_of_entry_comes_out_as_it_went_in() {
    for entry in entries() {
        let bytes = entry.encode();
        let decoded = Entry::decode(&bytes).unwrap_or_else(|error| panic!("{error}: {entry:?}"));
        assert_eq!(shown(&decoded), shown(&entry));
        assert_eq!(decoded.encode(), bytes);
    }
}

#[test]
fn an_entry_cut_or_prolonged_is_none() {
    for entry in entries() {
        let bytes = entry.encode();
        for length in 0..bytes.len().min(300) {
            assert!(Entry::decode(&bytes[..length]).is_err(), "{length} bytes of {entry:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Entry::decode(&longer).is_err(), "{entry:?}");
    }
}

#[test]
fn a_word_that_only_people_read_may_become_another() {
    let error = DecodeError::Rlp { kind: 1, error: alloy_rlp::Error::Custom("a new rule") };
    let entry = Entry::Input(Time::ZERO, Input::Malformed(id(1), Lane::Control, error));
    let decoded = Entry::decode(&entry.encode()).unwrap();
    assert!(format!("{decoded:?}").contains("Custom(\"other\")"));
}
