//! A node is recorded by hand; then its recording is replayed, cut, damaged and changed.

mod codec;
mod live;

use super::*;
use kette_node::Input;
use live::Live;
use proptest::prelude::*;

/// Some blocks with transactions.
fn recorded() -> Vec<u8> {
    let mut live = Live::new();
    live.busy(6);
    live.stop()
}

fn quietly(bytes: &[u8]) -> Result<ReplayReport, ReplayError> {
    replay(bytes, &mut |_| {})
}

fn replayed(bytes: &[u8]) -> ReplayReport {
    quietly(bytes).unwrap()
}

/// Writes a recording again with entries changed; checksums are good.
fn rewritten(bytes: &[u8], mut change: impl FnMut(Entry) -> Option<Entry>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut recorder = Recorder::new(&mut out);
    for entry in Reader::new(bytes).unwrap() {
        if let Some(entry) = change(Entry::decode(entry).unwrap()) {
            recorder.write(&entry, &mut out).unwrap();
        }
    }
    out
}

#[test]
fn a_replay_does_what_the_recorded_node_did() {
    let mut live = Live::new();
    live.busy(6);
    let (head, inputs) = (live.head(), live.inputs);
    assert_eq!(head.number, 6);
    let report = replayed(&live.stop());
    assert_eq!(report.first_difference, None);
    assert!(report.matches() && report.stopped && report.tail == Tail::Whole);
    assert_eq!((report.head, report.inputs), (head, inputs));
    assert!(report.elapsed.as_secs() >= 6);
}

#[test]
fn a_node_that_starts_on_an_old_database_is_replayed_without_it() {
    let mut live = Live::new();
    live.busy(5);
    let mut again = live.restarted();
    again.busy(4);
    let head = again.head();
    assert_eq!(head.number, 9);
    let report = replayed(&again.stop());
    assert_eq!(report.first_difference, None);
    assert!(report.matches() && report.stopped);
    assert_eq!(report.head, head);
}

#[test]
fn a_killed_nodes_recording_is_replayed_up_to_its_last_whole_entry() {
    let mut live = Live::new();
    live.busy(6);
    let bytes = live.bytes();
    let whole = replayed(&bytes);
    assert!(whole.matches() && !whole.stopped);
    assert_eq!((whole.head, whole.tail), (live.head(), Tail::Whole));
    let cut = &bytes[..bytes.len() - 3];
    let torn = replayed(cut);
    assert!(torn.matches() && !torn.stopped);
    assert!(matches!(torn.tail, Tail::Torn { at } if at < cut.len()));
}

#[test]
fn an_input_that_was_changed_is_named() {
    let bytes = recorded();
    let mut inputs = 0;
    let mut changed = None;
    let other = rewritten(&bytes, |entry| {
        let Entry::Input(now, input) = entry else { return Some(entry) };
        inputs += 1;
        let input = match input {
            Input::Submit(ticket, transaction) if changed.is_none() => {
                changed = Some((inputs, now));
                Input::Submit(ticket + 1, transaction)
            }
            input => input,
        };
        Some(Entry::Input(now, input))
    });
    let difference = replayed(&other).first_difference.unwrap();
    assert_eq!(Some((difference.input, difference.at)), changed);
    assert!(difference.to_string().contains("another reply"), "{difference}");
}

#[test]
fn another_behaviour_is_noticed_where_it_begins() {
    // As if the recorded program had served somebody after its fourth input.
    let bytes = recorded();
    let mut lists = 0;
    let other = rewritten(&bytes, |entry| match entry {
        Entry::Outputs(mut digests) => {
            lists += 1;
            if lists == 4 {
                digests.push(Digest([2; 8]));
            }
            Some(Entry::Outputs(digests))
        }
        entry => Some(entry),
    });
    let difference = replayed(&other).first_difference.unwrap();
    assert_eq!(difference.input, 4);
    assert!(difference.difference.contains("was serve and is nothing"), "{difference}");
}

#[test]
fn another_end_is_noticed() {
    let bytes = recorded();
    type Change = fn(&mut u64, &mut kette_types::B256, &mut Head);
    let changes: [Change; 3] =
        [|inputs, _, _| *inputs += 1, |_, hash, _| hash.0[0] ^= 1, |_, _, head| head.number += 1];
    for change in changes {
        let other = rewritten(&bytes, |entry| match entry {
            Entry::End { mut inputs, mut outputs, mut head } => {
                change(&mut inputs, &mut outputs, &mut head);
                Some(Entry::End { inputs, outputs, head })
            }
            entry => Some(entry),
        });
        assert!(!replayed(&other).matches());
    }
}

#[test]
fn an_answer_that_is_missing_is_named() {
    let mut live = Live::new();
    live.busy(5);
    let mut again = live.restarted();
    again.busy(2);
    let bytes = again.stop();
    let mut dropped = false;
    let other = rewritten(&bytes, |entry| match entry {
        Entry::Answer(Question::Node(_), _) if !dropped => {
            dropped = true;
            None
        }
        entry => Some(entry),
    });
    assert!(dropped);
    // The core cannot be restored as it was, or does something else at once.
    let noticed = quietly(&other).map(|report| report.matches());
    assert!(!matches!(noticed, Ok(true)));
}

#[test]
fn entries_in_a_wrong_order_are_refused() {
    let bytes = recorded();
    let entries: Vec<Entry> =
        Reader::new(&bytes).unwrap().map(|entry| Entry::decode(entry).unwrap()).collect();
    let header = entries[0].clone();
    let write = |entries: &[Entry]| {
        let mut out = Vec::new();
        let mut recorder = Recorder::new(&mut out);
        entries.iter().for_each(|entry| recorder.write(entry, &mut out).unwrap());
        out
    };
    let mut after_end = entries.clone();
    after_end.push(Entry::Stop);
    let cases = [
        vec![],
        vec![Entry::Stop],
        vec![header.clone(), header.clone()],
        vec![header.clone(), Entry::Outputs(vec![])],
        vec![header, Entry::End { inputs: 0, outputs: Default::default(), head: Head::default() }],
        after_end,
    ];
    for case in cases {
        assert!(quietly(&write(&case)).is_err(), "{} entries", case.len());
    }
    assert!(matches!(quietly(b"KETTE"), Err(ReplayError::NotARecording)));
    let mut other_format = bytes.clone();
    other_format[MAGIC.len()] = FORMAT + 1;
    assert!(is_recording(&other_format));
    assert!(matches!(quietly(&other_format), Err(ReplayError::NotARecording)));
}

fn short() -> Vec<u8> {
    let mut live = Live::new();
    live.busy(2);
    live.stop()
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let bytes = short();
    assert!(replayed(&bytes).matches());
    // Every byte of the first and last entries, and some in between.
    let places = (0..bytes.len()).filter(|at| *at < 64 || at + 160 > bytes.len() || at % 97 == 0);
    for at in places {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let noticed = match quietly(&damaged) {
            Ok(report) => !report.matches(),
            Err(_) => true,
        };
        assert!(noticed, "byte {at} of {}", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_recording_cut_anywhere_is_replayed_as_far_as_it_goes(share in 0.0..1.0f64) {
        let bytes = short();
        let cut = &bytes[..(bytes.len() as f64 * share) as usize];
        match quietly(cut) {
            Ok(report) => prop_assert!(report.matches()),
            // Before the node could be restored there is nothing to replay.
            Err(error) => prop_assert!(cut.len() < 8_192, "{}: {error}", cut.len()),
        }
    }

    #[test]
    fn garbage_is_no_recording_and_no_entry(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(quietly(&bytes).is_err());
        let mut disguised = MAGIC.to_vec();
        disguised.push(FORMAT);
        disguised.extend_from_slice(&bytes);
        prop_assert!(quietly(&disguised).is_err());
        // Whatever is decoded is encoded as it was: there is one encoding of each entry.
        if let Ok(entry) = Entry::decode(&bytes) {
            let encoded = entry.encode();
            prop_assert_eq!(Entry::decode(&encoded).unwrap().encode(), encoded);
        }
    }
}
