//! What is written is read again, the same.

use super::*;
use proptest::prelude::*;
use step::*;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (10_000u64..10_000_000).prop_map(Duration::from_micros),
        (1u64..7_200).prop_map(Duration::from_secs),
        (1u64..100).prop_map(|hours| Duration::from_secs(hours * 3_600)),
    ]
}

/// What a link may add.
fn delay() -> impl Strategy<Value = Duration> {
    (0u64..=2_000_000).prop_map(Duration::from_micros)
}

fn some_time() -> impl Strategy<Value = Option<Duration>> {
    proptest::option::of(duration())
}

fn nodes() -> impl Strategy<Value = Vec<String>> {
    let pattern =
        prop_oneof![Just("*"), Just("miner"), Just("miner-2"), Just("miner-0..3"), Just("read*"),];
    proptest::collection::vec(pattern.prop_map(str::to_owned), 1..3)
}

fn link() -> impl Strategy<Value = Link> {
    let rate = prop_oneof![56_000u64..99_000, Just(20_000_000), Just(1 << 33)];
    (
        nodes(),
        nodes(),
        proptest::option::of(delay()),
        proptest::option::of(delay()),
        proptest::option::of(0.0..=0.5),
        proptest::option::of(rate),
        any::<bool>(),
    )
        .prop_map(|(from, to, latency, jitter, loss, bandwidth, one_way)| Link {
            from,
            to,
            latency,
            jitter,
            loss,
            bandwidth,
            one_way,
        })
}

fn partition() -> impl Strategy<Value = Partition> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(PartitionKind::Halves)),
        Just(Some(PartitionKind::Majority)),
        Just(Some(PartitionKind::Ring)),
        Just(Some(PartitionKind::Isolate)),
    ];
    (kind, any::<bool>(), some_time(), some_time()).prop_map(|(kind, one_way, lasts, flap)| {
        let group = |name: &str| vec![name.to_owned()];
        let groups =
            if kind.is_none() { vec![group("miner-0..1"), group("reader")] } else { vec![] };
        Partition { groups, kind, one_way, lasts, flap }
    })
}

/// Every kind of action, with and without what may be left out.
fn action() -> impl Strategy<Value = Action> {
    let stop = |upgrade| {
        (nodes(), some_time()).prop_map(move |(nodes, restart_after)| Stop {
            nodes,
            restart_after,
            upgrade,
        })
    };
    let side = prop_oneof![Just(None), Just(Some(Side::Before)), Just(Some(Side::After))];
    let fault = prop_oneof![
        Just(DiskFault::LostFsync),
        Just(DiskFault::BitRot),
        Just(DiskFault::Full),
        Just(DiskFault::Slow)
    ];
    prop_oneof![
        partition().prop_map(Action::Partition),
        (nodes(), nodes(), any::<bool>(), some_time())
            .prop_map(|(from, to, one_way, lasts)| Action::Cut(Cut { from, to, one_way, lasts })),
        Just(Action::Heal(Heal {})),
        nodes().prop_map(|nodes| Action::Reset(Nodes { nodes })),
        (nodes(), side, some_time()).prop_map(|(nodes, at_write, restart_after)| {
            Action::Crash(Crash { nodes, at_write, restart_after })
        }),
        any::<bool>().prop_flat_map(stop).prop_map(Action::Stop),
        nodes().prop_map(|nodes| Action::Start(Nodes { nodes })),
        stop(false).prop_map(Action::Wipe),
        (nodes(), some_time()).prop_map(|(nodes, lasts)| Action::Pause(Span { nodes, lasts })),
        (nodes(), 0.1..90.0, some_time()).prop_map(|(nodes, factor, lasts)| Action::Slow(Slow {
            nodes,
            factor,
            lasts
        })),
        (nodes(), duration(), duration(), some_time()).prop_map(|(nodes, every, down, lasts)| {
            Action::Churn(Churn { nodes, every, down, lasts })
        }),
        (nodes(), 1i64..9_999, -500_000i64..=500_000).prop_map(|(nodes, jump_ms, drift_ppm)| {
            Action::Clock(Clock { nodes, jump_ms, drift_ppm })
        }),
        (nodes(), fault, some_time()).prop_map(|(nodes, fault, lasts)| Action::Disk(Disk {
            nodes,
            fault,
            lasts
        })),
        (link(), some_time()).prop_map(|(link, lasts)| Action::Link(LinkChange { link, lasts })),
        (nodes(), 0.01..=1.0, 0.0..=1.0, some_time()).prop_map(
            |(nodes, duplicate, corrupt, lasts)| {
                Action::Frames(Frames {
                    nodes,
                    duplicate,
                    replay: 0.0,
                    reorder: 0.5,
                    corrupt,
                    lasts,
                })
            }
        ),
        (nodes(), any::<bool>(), proptest::option::of(0u64..1_000_000))
            .prop_map(|(nodes, on, rate)| Action::Mine(Mine { nodes, on, rate })),
        (0.0..500.0, some_time()).prop_map(|(rate, lasts)| Action::Load(Load { rate, lasts })),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let at = prop_oneof![
        (0u64..86_400_000_000).prop_map(|micros| At::Time(Duration::from_micros(micros))),
        (0u64..1_000_000).prop_map(At::Height),
    ];
    (at, action(), any::<bool>()).prop_map(|(at, action, optional)| Step { at, action, optional })
}

fn check() -> impl Strategy<Value = Check> {
    use crate::scenario::check::*;
    prop_oneof![
        Just(Check::Agreement(Agreement { after: None, within: None })),
        some_time().prop_map(|within| Check::Agreement(Agreement {
            after: Some("heal".to_owned()),
            within
        })),
        (any::<u32>(), some_time())
            .prop_map(|(min, within)| Check::Height(Height { min: u64::from(min), within })),
        (0u64..9, 9u64..20).prop_map(|(min, max)| {
            Check::Reorg(Reorg { min_depth: Some(min), max_depth: Some(max) })
        }),
        (0usize..9, some_time())
            .prop_map(|(min_peers, within)| Check::Connected(Connected { min_peers, within })),
        (0.0..=1.0).prop_map(|max| Check::StaleRate(StaleRate { max })),
        (0.1..=100.0, proptest::option::of(0.1..=100.0), duration()).prop_map(
            |(percent, of_blocks, max)| Check::Propagation(Propagation {
                percent,
                of_blocks,
                after: max,
                max
            })
        ),
        (proptest::option::of(0usize..9), some_time())
            .prop_map(|(min, within)| Check::Running(Running { min, within })),
        (1usize..9, some_time()).prop_map(|(is, within)| Check::Components(Components {
            is,
            after: Some("heal".to_owned()),
            within
        })),
        (proptest::option::of(0usize..9), some_time())
            .prop_map(|(min, within)| Check::Bootstrap(Bootstrap { min, within })),
        (any::<u32>(), 0.0..=1.0).prop_map(|(min, min_success)| Check::Handshakes(Handshakes {
            min: u64::from(min),
            min_success
        })),
        (duration(), 0u64..9, 0u64..9).prop_map(|(after, max_lost, max_failed_dials)| {
            Check::Steady(Steady { after, max_lost, max_failed_dials })
        }),
        (0u64..99).prop_map(|max| Check::Errors(Errors { max })),
        (duration(), 0u64..99, some_time())
            .prop_map(|(after, blocks, within)| Check::Growth(Growth { after, blocks, within })),
        (0u64..99, 0.0..=1.0, 0.0..=99.0, some_time()).prop_map(
            |(min, min_included, min_per_second, over)| {
                Check::Transactions(Transactions { min, min_included, min_per_second, over })
            }
        ),
        (0.0..=1.0, duration()).prop_map(|(min_share, max)| Check::Pools(Pools { min_share, max })),
        (0u64..99).prop_map(|min| Check::Conflicts(Conflicts { min })),
    ]
}

fn group() -> impl Strategy<Value = Group> {
    let byzantine = prop_oneof![
        Just(None),
        Just(Some(Misbehaviour::Equivocator)),
        Just(Some(Misbehaviour::InvalidBlockMaker)),
        Just(Some(Misbehaviour::Twin)),
    ];
    let numbers =
        (-86_400_000i64..=86_400_000, -500_000i64..=500_000, proptest::option::of(0.1..9.0));
    let start_at = proptest::option::of((0u64..=86_400).prop_map(secs));
    (start_at, byzantine, 1u32..4, proptest::option::of(0u64..=1_000_000), numbers).prop_map(
        |(start_at, byzantine, tier, mine_rate, (offset, drift, slow))| Group {
            names: vec!["x".to_owned(), "y".to_owned()],
            name: None,
            count: None,
            tier,
            regions: vec!["AFRICA".to_owned()],
            roles: vec![Role::Full, Role::Miner],
            stake: mine_rate.filter(|stake| *stake > 0),
            mine_rate,
            byzantine,
            start_at,
            clock_offset_ms: offset,
            clock_drift_ppm: drift,
            slow,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_written_file_is_read_again(
        seed: u64,
        settle in some_time(),
        shape in (
            proptest::option::of(delay()),
            proptest::option::of(0.0..=0.5),
            proptest::option::of(56_000u64..1 << 40),
        ),
        (link, group) in (proptest::option::of(link()), proptest::option::of(group())),
        steps in proptest::collection::vec(step(), 0..6),
        checks in proptest::collection::vec(check(), 0..4),
    ) {
        let mut file = file("[genesis]\ngasLimit = \"0x5\"\nconfig.kette.engine.pow.blockTime = 2");
        (file.network.seed, file.network.settle) = (seed, settle);
        file.network.duration = secs(86_400);
        (file.shape.latency, file.shape.loss, file.shape.bandwidth) = shape;
        file.link.extend(link);
        file.group.extend(group);
        (file.step, file.check) = (steps, checks);
        let text = file.to_toml().unwrap();
        let again = NetworkFile::parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(again, file, "{}", text);
    }
}
