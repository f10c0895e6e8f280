//! Known bugs that a test may plant, to prove that the simulator's judges find them.
//!
//! Works in builds with debug assertions only; release builds contain neither the switch nor the bugs. The switch
//! belongs to a thread, so tests that run at the same time do not see each other's.

/// A bug that is planted on purpose, each one that a real chain has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// What a peer does not answer is never asked again elsewhere.
    NoReRequest,
    /// A block is announced, and a client answered, before the record of it is durable.
    SendBeforeDurable,
    /// Every eighth block pays its producer twice.
    DuplicateReward,
    /// Peers are gone through in the order of a randomly seeded hash.
    UnorderedMap,
    /// Of two equally heavy branches the one that came first stays.
    ArrivalTieBreak,
    /// Blocks whose parent is unknown are kept without bound.
    UnboundedOrphans,
    /// Transactions of replaced blocks are forgotten.
    ReorgDropsTransactions,
    /// Difficulty follows the miner's clock instead of the header's timestamp.
    LocalClockDifficulty,
    /// A node waits for the chain that a peer claims to have instead of the one it shows.
    TrustedClaim,
    /// A validator that restarts does not know any more what it was locked on.
    ForgetLock,
    /// A quorum is taken to be one vote less than it is.
    QuorumOffByOne,
    /// Whatever names a block as final is believed.
    CertificateUnchecked,
    /// Precommits for nil, which every failed round leaves, count as a certificate.
    NilCertificate,
    /// Of the validators that share a subsidy the first one gets a wei too much, at the producer's cost.
    RewardOffByOne,
    /// A validator that restarts neither knows what it signed nor where.
    VoteAgain,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::NoReRequest,
        Self::SendBeforeDurable,
        Self::DuplicateReward,
        Self::UnorderedMap,
        Self::ArrivalTieBreak,
        Self::UnboundedOrphans,
        Self::ReorgDropsTransactions,
        Self::LocalClockDifficulty,
        Self::TrustedClaim,
        Self::ForgetLock,
        Self::QuorumOffByOne,
        Self::CertificateUnchecked,
        Self::NilCertificate,
        Self::RewardOffByOne,
        Self::VoteAgain,
    ];

    /// Returns its name, as the environment variable `KETTE_PLANT` takes it (`kette sim`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoReRequest => "no-re-request",
            Self::SendBeforeDurable => "send-before-durable",
            Self::DuplicateReward => "duplicate-reward",
            Self::UnorderedMap => "unordered-map",
            Self::ArrivalTieBreak => "arrival-tie-break",
            Self::UnboundedOrphans => "unbounded-orphans",
            Self::ReorgDropsTransactions => "reorg-drops-transactions",
            Self::LocalClockDifficulty => "local-clock-difficulty",
            Self::TrustedClaim => "trusted-claim",
            Self::ForgetLock => "forget-lock",
            Self::QuorumOffByOne => "quorum-off-by-one",
            Self::CertificateUnchecked => "certificate-unchecked",
            Self::NilCertificate => "nil-certificate",
            Self::RewardOffByOne => "reward-off-by-one",
            Self::VoteAgain => "vote-again",
        }
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in everything that this thread runs from now on, or removes it.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Tells whether this thread runs with this bug.
#[cfg(debug_assertions)]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Tells that no bug is planted: a release build.
#[cfg(not(debug_assertions))]
pub const fn is_planted(_: Bug) -> bool {
    false
}
