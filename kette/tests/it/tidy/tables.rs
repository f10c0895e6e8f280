//! What is allowed and what is not, as data. A change here is a change of a rule: say why in the commit.

/// Who may depend on whom: nothing points to the left. A new arrow needs a record in `docs/decisions/`.
pub(super) const ARROWS: [(&str, &[&str]); 11] = [
    ("kette-types", &[]),
    ("kette-ledger", &["kette-types"]),
    ("kette-chain", &["kette-types", "kette-ledger"]),
    ("kette-consensus", &["kette-types", "kette-ledger", "kette-chain"]),
    ("kette-oracle", &["kette-types", "kette-consensus"]),
    ("kette-node", &["kette-types", "kette-ledger", "kette-chain", "kette-consensus"]),
    ("kette-sim", &["kette-types", "kette-ledger", "kette-chain", "kette-consensus", "kette-node"]),
    ("kette-network", &["kette-types"]),
    ("kette-store", &["kette-types", "kette-ledger", "kette-chain"]),
    (
        "kette-rpc",
        &[
            "kette-types",
            "kette-ledger",
            "kette-chain",
            "kette-consensus",
            "kette-store",
            "kette-node",
        ],
    ),
    (
        "kette",
        &[
            "kette-types",
            "kette-ledger",
            "kette-chain",
            "kette-consensus",
            "kette-node",
            "kette-sim",
            "kette-store",
            "kette-network",
            "kette-rpc",
        ],
    ),
];

/// Libraries that only some crates may name, so that replacing one touches one place.
pub(super) const OWNERS: [(&str, &[&str]); 18] = [
    ("revm", &["kette-ledger"]),
    ("revm-inspectors", &["kette-ledger"]),
    ("alloy-evm", &["kette-ledger"]),
    ("rusqlite", &["kette-store"]),
    ("libp2p", &["kette-network"]),
    ("libp2p-stream", &["kette-network"]),
    ("yamux", &["kette-network"]),
    ("jsonrpsee", &["kette-rpc", "kette"]),
    ("tokio", &["kette-network", "kette-rpc", "kette"]),
    ("rayon", &["kette"]),
    ("clap", &["kette"]),
    ("ratatui", &["kette"]),
    ("hyper", &["kette"]),
    ("prometheus-client", &["kette-rpc", "kette"]),
    ("anyhow", &["kette"]),
    ("nix", &["kette"]),
    ("arc-malachitebft-core-driver", &["kette-oracle"]),
    ("arc-malachitebft-core-types", &["kette-oracle"]),
];

/// Libraries that perform what the core only orders: clocks, sockets, disks, threads, entropy.
pub(super) const IMPURE: [&str; 29] = [
    "anyhow",
    "async-std",
    "chrono",
    "clap",
    "crossbeam",
    "fs4",
    "futures",
    "getrandom",
    "hyper",
    "jsonrpsee",
    "libp2p",
    "libp2p-stream",
    "memmap2",
    "mio",
    "nix",
    "num_cpus",
    "parking_lot",
    "quinn",
    "rayon",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tower",
    "web-time",
    "yamux",
];

/// What core code must not name, and what to use instead. Tests and examples of core crates may.
pub(super) const IMPURE_NAMES: [(&str, &str); 17] = [
    ("Instant::now", "time is an argument: kette_types::Time"),
    ("SystemTime", "time is an argument: kette_types::Time"),
    ("std::fs", "order a Record from the host"),
    ("std::env", "settings arrive as values"),
    ("std::process", "the host starts and ends processes"),
    ("std::thread", "order a Job from the host"),
    ("TcpStream", "order an Output::Send from the host"),
    ("TcpListener", "the host listens"),
    ("UdpSocket", "order an Output::Send from the host"),
    ("UnixStream", "the host sends and receives"),
    ("HashMap", "its order differs from run to run: BTreeMap"),
    ("HashSet", "its order differs from run to run: BTreeSet"),
    ("tokio::", "the core is not asynchronous"),
    ("rayon::", "order a Job from the host"),
    ("rand::rng", "randomness comes from a seed: rand_chacha"),
    ("rand::random", "randomness comes from a seed: rand_chacha"),
    ("OsRng", "randomness comes from a seed: rand_chacha"),
];

/// Lines of a source file at most.
pub(super) const LINES_MAX: usize = 600;
/// Longer files, each with its own bound and the reason why it is not split.
pub(super) const LONG_FILES: [(&str, usize, &str); 0] = [];

/// Files outside of an engine's own folder that may name an engine in code of `core/` and `io/`:
/// the choice in genesis, the choice of the engine, and what differs between engines for now.
pub(super) const ENGINE_NAMES: [&str; 7] = [
    "core/types/src/spec.rs",
    "core/consensus/src/engine.rs",
    "io/rpc/src/health.rs",
    "io/rpc/src/methods/development.rs",
    "io/rpc/src/methods/eth.rs",
    "io/rpc/src/methods/mining.rs",
    "io/rpc/src/methods/mod.rs",
];

/// The only source that `Cargo.lock` may name.
pub(super) const CARGO_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Hosts and settings of package registries: where packages come from is the user's own setting.
/// Written in pieces, so that this file does not break its own rule.
pub(super) const REGISTRIES: [&str; 12] = [
    concat!("registry.", "npmjs", ".org"),
    concat!("registry.", "yarnpkg", ".com"),
    concat!("static.", "crates", ".io"),
    concat!("index.", "crates", ".io"),
    concat!("https://", "crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.", "pythonhosted", ".org"),
    concat!("proxy.", "golang", ".org"),
    concat!("sparse", "+http"),
    concat!("replace", "-with"),
    concat!("--index", "-url"),
    concat!("npm_config", "_registry"),
];

/// First folders of absolute paths that exist on one machine only.
pub(super) const MACHINE_FOLDERS: [&str; 5] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
    concat!("/", "tmp/"),
];

/// Pages whose inline code names files as they are now; decisions may name files to come.
pub(super) const PAGES_TRUE_NOW: [&str; 6] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "STYLE.md",
    "docs/network-file.md",
    "docs/simulator.md",
];
