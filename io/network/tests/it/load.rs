//! Peers that send much or read little must not harm the others.

use crate::harness::{Node, anonymous_memory, bulk, connect, talk, vote, within};
use kette_network::{NetworkEvent, SendError};
use kette_types::{B256, Lane, Message, PeerId, Transport};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Bulk messages under way at a time: as many as the queue holds, less one in the writer's hands.
const UNDER_WAY: usize = 7;

/// Sends `count` bulk messages, keeping the queue full; the receiver returns the credit.
async fn pump(network: kette_network::Network, to: PeerId, count: usize, credit: Arc<Semaphore>) {
    let message = Arc::new(bulk(1, 1024));
    for _ in 0..count {
        credit.acquire().await.expect("open").forget();
        network.send(to, Arc::clone(&message)).expect("room");
    }
}

async fn votes_overtake_bulk(transport: Transport) {
    const BULK: usize = 200;
    const VOTES: u64 = 20;
    let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
    connect(&mut a, &mut b, transport).await;
    talk(&mut a, &mut b, &Message::Ping(0)).await;
    let credit = Arc::new(Semaphore::new(UNDER_WAY));
    let pumping = tokio::spawn(pump(a.network.clone(), b.id(), BULK, Arc::clone(&credit)));
    let (mut bulks, mut votes) = (0, 0);
    let mut sent = Instant::now();
    let mut worst = Duration::ZERO;
    while bulks < BULK {
        match b.message().await.1 {
            Message::Headers { .. } => {
                bulks += 1;
                credit.add_permits(1);
                // One vote at a time, all of them while bulk is under way.
                if bulks % 8 == 1 && votes < VOTES {
                    sent = Instant::now();
                    a.say(b.id(), vote(votes));
                }
            }
            Message::Engine(_) => {
                votes += 1;
                worst = worst.max(sent.elapsed());
            }
            other => panic!("unexpected {}", other.name()),
        }
    }
    within("the sender", pumping).await.expect("no panic");
    assert_eq!(votes, VOTES, "all votes came while bulk was under way");
    // An unoptimised build decodes one bulk message in some 10 ms; a queue of them is 100 ms and more.
    eprintln!("{transport:?}: slowest vote {worst:?}");
    assert!(worst < Duration::from_secs(1), "slowest vote took {worst:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_overtake_bulk_over_tcp() {
    votes_overtake_bulk(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_overtake_bulk_over_quic() {
    votes_overtake_bulk(Transport::Quic).await;
}

/// Both directions at once: the case in which yamux once stopped (rust-libp2p issue 5410).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_flows_in_both_directions_at_once() {
    const BULK: usize = 100;
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut b) = (Node::new(1).await, Node::new(2).await);
        connect(&mut a, &mut b, transport).await;
        talk(&mut a, &mut b, &Message::Ping(0)).await;
        let credits = [(); 2].map(|()| Arc::new(Semaphore::new(UNDER_WAY)));
        let pumps = [(&a, b.id(), 0), (&b, a.id(), 1)].map(|(from, to, i)| {
            tokio::spawn(pump(from.network.clone(), to, BULK, Arc::clone(&credits[i])))
        });
        let [to_b, to_a] = credits;
        let drain = async |node: &mut Node, credit: Arc<Semaphore>| {
            for _ in 0..BULK {
                node.message().await;
                credit.add_permits(1);
            }
        };
        tokio::join!(drain(&mut b, to_b), drain(&mut a, to_a));
        for pump in pumps {
            within("the sender", pump).await.expect("no panic");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_overflows_and_harms_nobody_else() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let (mut a, mut slow) = (Node::new(1).await, Node::new(2).await);
        let mut other = Node::new(3).await;
        connect(&mut a, &mut slow, transport).await;
        talk(&mut a, &mut slow, &Message::Ping(0)).await;
        connect(&mut a, &mut other, transport).await;
        talk(&mut a, &mut other, &Message::Ping(0)).await;

        let message = Arc::new(bulk(1, 1024));
        let before = anonymous_memory();
        // Nobody takes the events of `slow`.
        let overflow = within("overflow", async {
            let mut accepted = 0;
            loop {
                match a.network.send(slow.id(), Arc::clone(&message)) {
                    Ok(()) => accepted += 1,
                    Err(error) => {
                        // The writer may still move some into buffers; full is when it stays full.
                        if a.network.stats().peers[&slow.id()].traffic.overflows["bulk"] > 10_000 {
                            return (error, accepted);
                        }
                        tokio::task::yield_now().await;
                    }
                }
            }
        })
        .await;
        assert_eq!(overflow.0, SendError::Overflow(Lane::Bulk));
        assert!(overflow.1 < 150, "{} MiB were buffered", overflow.1);
        let grown = anonymous_memory().saturating_sub(before);
        assert!(grown < 250 << 20, "{} MiB more", grown >> 20);

        for n in 0..50 {
            a.say(other.id(), vote(n));
            other.heard(a.id(), &vote(n)).await;
            other.say(a.id(), vote(n));
            a.heard(other.id(), &vote(n)).await;
        }
        // The slow peer's other lanes still move, and it hears all once it reads.
        a.say(slow.id(), vote(1));
        slow.heard(a.id(), &vote(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_announcements_give_way_to_new_ones() {
    let (mut a, mut slow) = (Node::new(1).await, Node::new(2).await);
    connect(&mut a, &mut slow, Transport::Tcp).await;
    talk(&mut a, &mut slow, &Message::Ping(0)).await;
    let hashes =
        |n: u64| Message::NewTransactions(vec![B256::left_padding_from(&n.to_be_bytes()); 1000]);
    let mut last = 0;
    within("drops", async {
        while a.network.stats().total.overflows.get("inventory").is_none_or(|lost| *lost < 100) {
            last += 1;
            a.say(slow.id(), hashes(last));
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut heard = 0;
    slow.until("the newest", |event| match event {
        NetworkEvent::Message { message, .. } => {
            heard += 1;
            (message == hashes(last)).then_some(())
        }
        NetworkEvent::Disconnected { .. } => panic!("the session ended"),
        _ => None,
    })
    .await;
    assert!(heard < last, "{heard} of {last}");
}
