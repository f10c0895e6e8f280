//! The chain specification: geth's `genesis.json`, with Kette's protocol constants under `config.kette`.
//!
//! A genesis without `config.kette` is a plain Ethereum one: it can be imported and executed, not extended.

use crate::bft::{BftSpec, Domain};
use alloy_genesis::Genesis;
use alloy_primitives::{B256, U256, keccak256};
use serde::{Deserialize, Serialize};

/// A parsed and checked genesis file.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// The file as geth understands it: chain id, forks, allocations, header fields.
    pub genesis: Genesis,
    /// Kette's constants; `None` in a plain Ethereum genesis.
    pub kette: Option<KetteConfig>,
}

/// `config.kette` of a genesis file. Unknown keys are refused, so that a misspelt rule is never ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KetteConfig {
    /// Name of the network, for people.
    #[serde(default = "default_name")]
    pub name: String,
    /// How strangers are treated.
    #[serde(default)]
    pub network: NetworkKind,
    /// Opens the `evm_` and `anvil_` methods that development tools call. Never on a chain with value.
    #[serde(default)]
    pub development: bool,
    /// How nodes agree.
    pub engine: EngineSpec,
    /// What a block pays its producer.
    pub reward: RewardPolicy,
    /// Where the EIP-1559 base fee goes.
    #[serde(default)]
    pub base_fee: BaseFee,
    /// Lowest base fee, wei per gas.
    #[serde(default)]
    pub base_fee_min: u64,
}

fn default_name() -> String {
    "kette".to_owned()
}

/// How strangers are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// One machine or one operator: many peers per address are normal.
    #[default]
    Local,
    /// The open internet: limits per address group apply.
    Public,
}

/// The engine and its constants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineSpec {
    /// Nakamoto proof of work.
    Pow(PowSpec),
    /// Weighted prepare and precommit voting with immediate finality.
    Bft(BftSpec),
}

impl EngineSpec {
    /// Returns the engine's name as it stands in genesis.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pow(_) => "pow",
            Self::Bft(_) => "bft",
        }
    }

    /// Returns how many blocks a reorganization may replace without an operator.
    pub const fn reorg_limit(&self) -> u64 {
        match self {
            Self::Pow(pow) => pow.reorg_limit,
            Self::Bft(_) => 1,
        }
    }

    /// Tells whether blocks spread before they are chosen: then a block is no sign that its sender is past it.
    pub const fn proposes_before_commit(&self) -> bool {
        match self {
            Self::Pow(_) => false,
            Self::Bft(_) => true,
        }
    }

    /// Returns the ideal time between blocks, milliseconds.
    pub const fn block_time_ms(&self) -> u64 {
        match self {
            Self::Pow(pow) => pow.block_time.saturating_mul(1_000),
            Self::Bft(bft) => bft.slot_ms,
        }
    }
}

/// Constants of `pow`. Times in seconds, the unit of Ethereum's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PowSpec {
    /// Ideal time between blocks, seconds.
    pub block_time: u64,
    /// How difficulty follows hash rate.
    #[serde(default)]
    pub retarget: Retarget,
    /// ASERT half-life, seconds: being this far behind schedule halves the difficulty.
    pub half_life: u64,
    /// Longest solve time that counts, seconds: after a pause the chain does not race to catch up.
    pub pause_limit: u64,
    /// Difficulty that the schedule starts from (block 2); block 1 has the genesis file's `difficulty`.
    pub anchor_difficulty: U256,
    /// Lowest difficulty ever, hashes.
    #[serde(default = "default_difficulty_min")]
    pub difficulty_min: U256,
    /// How far a timestamp may lie ahead of the receiver's clock, seconds.
    pub future_limit: u64,
    /// Depth at which a block is final.
    #[serde(default = "default_finality_depth")]
    pub finality_depth: u64,
    /// A deeper reorganization raises an alarm and waits for the operator.
    #[serde(default = "default_reorg_limit")]
    pub reorg_limit: u64,
}

const fn default_finality_depth() -> u64 {
    6
}

const fn default_reorg_limit() -> u64 {
    100
}

fn default_difficulty_min() -> U256 {
    U256::from(1)
}

/// How difficulty follows hash rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retarget {
    /// Absolutely scheduled exponentially rising targets (aserti3-2d).
    #[default]
    Asert,
    /// The anchor difficulty for ever.
    Fixed,
}

/// What a block pays its producer, besides fees. Amounts in wei.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "policy", deny_unknown_fields)]
pub enum RewardPolicy {
    /// The same for every block.
    #[serde(rename_all = "camelCase")]
    Constant {
        /// Wei per block.
        amount: U256,
    },
    /// Halved every `interval` blocks, `halvings` times, and constant from then on.
    #[serde(rename_all = "camelCase")]
    Halving {
        /// Wei of block 1.
        initial: U256,
        /// Blocks between halvings.
        interval: u64,
        /// How often it halves.
        halvings: u32,
    },
    /// floor(10^8 * (1 + ln(argument))) units.
    #[serde(rename_all = "camelCase")]
    Log {
        /// What the logarithm is taken of.
        argument: LogArgument,
        /// Wei per unit; 10^10 if a coin has 10^8 units and 18 decimals.
        unit: U256,
    },
}

/// What the `log` reward takes the logarithm of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogArgument {
    /// The block's number.
    Height,
    /// A number written in genesis.
    Value(u64),
    /// The mean weight of the validators, rounded down; 1 if the engine has none.
    MeanStake,
    /// How many validators there are; 1 if the engine has none.
    Validators,
}

/// Where the EIP-1559 base fee goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BaseFee {
    /// Destroyed, as in Ethereum.
    #[default]
    Burn,
    /// Paid to the block's producer, so that supply is genesis plus rewards.
    Producer,
}

/// A genesis file that cannot be used, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not JSON of the expected shape.
    #[error("genesis file: {0}")]
    Json(#[from] serde_json::Error),
    /// `config.kette` is not what this version reads.
    #[error("genesis file, config.kette: {0}")]
    Kette(serde_json::Error),
    /// The engine is one that this version does not have.
    #[error("genesis file: engine `{0}` is not part of this version; available: {list}", list = ENGINES.join(", "))]
    UnknownEngine(String),
    /// The first validators are no set.
    #[error("genesis file: config.kette.engine.bft.validators: {0}")]
    Validators(crate::bft::SetError),
    /// A constant is out of range.
    #[error("genesis file: {field} {problem}")]
    Range {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl ChainSpec {
    /// Reads and checks a genesis file.
    ///
    /// # Errors
    /// Bad JSON, unknown keys under `config.kette`, an unknown engine, a constant out of range.
    pub fn from_json(json: &str) -> Result<Self, SpecError> {
        Self::from_genesis(serde_json::from_str(json)?)
    }

    /// Checks a parsed genesis and reads `config.kette` from it.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn from_genesis(genesis: Genesis) -> Result<Self, SpecError> {
        let kette = match genesis.config.extra_fields.get("kette") {
            None => None,
            Some(value) => {
                if let Some(name) = unknown_engine(value) {
                    return Err(SpecError::UnknownEngine(name));
                }
                Some(serde_json::from_value(value.clone()).map_err(SpecError::Kette)?)
            }
        };
        let spec = Self { genesis, kette };
        spec.check()?;
        Ok(spec)
    }

    /// Tells whether no stranger takes part: links may be cut, clocks wrong and nodes liars on such a chain.
    pub fn is_local(&self) -> bool {
        let is_local =
            |kette: &KetteConfig| kette.development || kette.network == NetworkKind::Local;
        self.kette.as_ref().is_some_and(is_local)
    }

    /// Returns the EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.genesis.config.chain_id
    }

    /// Returns the hash of all protocol constants, so that equal allocations under different rules never connect.
    pub fn rules_hash(&self) -> B256 {
        let config = serde_json::to_value(&self.genesis.config).expect("a config is plain JSON");
        keccak256(config.to_string())
    }

    /// Returns what every signature of this chain's validators covers: the hash of the whole genesis file.
    pub fn domain(&self) -> Domain {
        let genesis = serde_json::to_value(&self.genesis).expect("a genesis is plain JSON");
        Domain(keccak256(genesis.to_string()))
    }

    /// Returns the constants of `pow`, if that is the chain's engine.
    pub fn pow(&self) -> Option<&PowSpec> {
        match self.kette.as_ref().map(|kette| &kette.engine) {
            Some(EngineSpec::Pow(pow)) => Some(pow),
            _ => None,
        }
    }

    /// Returns the constants of `bft`, if that is the chain's engine.
    pub fn bft(&self) -> Option<&BftSpec> {
        match self.kette.as_ref().map(|kette| &kette.engine) {
            Some(EngineSpec::Bft(bft)) => Some(bft),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), SpecError> {
        let range = |field, problem| Err(SpecError::Range { field, problem });
        if self.genesis.config.chain_id == 0 {
            return range("config.chainId", "must not be 0");
        }
        if self.genesis.gas_limit < 5_000 {
            return range("gasLimit", "must be at least 5000, Ethereum's lowest");
        }
        let Some(kette) = &self.kette else { return Ok(()) };
        match &kette.engine {
            EngineSpec::Pow(pow) => self.check_pow(pow)?,
            EngineSpec::Bft(bft) => bft.check()?,
        }
        if matches!(kette.reward, RewardPolicy::Halving { interval: 0, .. }) {
            return range("config.kette.reward.interval", "must be at least 1 block");
        }
        if matches!(kette.reward, RewardPolicy::Log { argument: LogArgument::Value(0), .. }) {
            return range("config.kette.reward.argument", "must be at least 1");
        }
        Ok(())
    }

    fn check_pow(&self, pow: &PowSpec) -> Result<(), SpecError> {
        let range = |field, problem| Err(SpecError::Range { field, problem });
        if pow.block_time == 0 {
            return range("config.kette.engine.pow.blockTime", "must be at least 1 second");
        }
        if pow.half_life == 0 {
            return range("config.kette.engine.pow.halfLife", "must be at least 1 second");
        }
        if pow.difficulty_min.is_zero() || pow.anchor_difficulty < pow.difficulty_min {
            return range(
                "config.kette.engine.pow.difficultyMin",
                "must be at least 1 and at most anchorDifficulty",
            );
        }
        if self.genesis.difficulty < pow.difficulty_min {
            return range("difficulty", "must be at least config.kette.engine.pow.difficultyMin");
        }
        if pow.pause_limit <= pow.future_limit {
            return range(
                "config.kette.engine.pow.pauseLimit",
                "must exceed futureLimit, or timestamps could fake a pause",
            );
        }
        if pow.finality_depth == 0 || pow.reorg_limit < pow.finality_depth {
            return range(
                "config.kette.engine.pow.reorgLimit",
                "must be at least finalityDepth, and that at least 1",
            );
        }
        if pow.reorg_limit > REORG_LIMIT_MAX {
            return range("config.kette.engine.pow.reorgLimit", "must be at most 1000");
        }
        Ok(())
    }
}

/// Highest reorganization limit that a genesis may ask for: states of that many blocks are kept.
pub const REORG_LIMIT_MAX: u64 = 1_000;

fn unknown_engine(kette: &serde_json::Value) -> Option<String> {
    let engine = kette.get("engine")?.as_object()?;
    engine.keys().find(|name| !ENGINES.contains(&name.as_str())).cloned()
}

/// Engines of this version, as they are named in genesis.
const ENGINES: &[&str] = &["pow", "bft"];
