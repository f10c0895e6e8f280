//! The rules of one chain: which hardfork is active where, and the execution environment of a block.
//!
//! A Kette chain starts at Prague: whatever fork its genesis file does not name is active from block 0.
//! A plain Ethereum genesis means what it means to geth.

use alloy_eips::{eip7840::BlobParams, eip7892::BlobScheduleBlobParams};
use alloy_evm::{EvmEnv, eth::spec::EthExecutorSpec};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use kette_types::{
    Address, ChainSpec, Header, U256,
    bft::{BftSpec, Domain},
    spec::KetteConfig,
};
use std::sync::Arc;

/// Rules of one chain: hardforks, fees, rewards. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rules {
    spec: Arc<ChainSpec>,
    domain: Domain,
    blobs: Arc<BlobScheduleBlobParams>,
}

impl Rules {
    /// Reads the rules out of a chain specification.
    pub fn new(spec: Arc<ChainSpec>) -> Self {
        let blobs = Arc::new(spec.genesis.config.blob_schedule_blob_params());
        // The hash of a whole genesis file; only engines with validators need it.
        let domain = spec.bft().map_or_else(Domain::default, |_| spec.domain());
        Self { spec, domain, blobs }
    }

    /// Returns the specification that the rules come from.
    pub const fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Returns Kette's constants; `None` on a plain Ethereum chain.
    pub fn kette(&self) -> Option<&KetteConfig> {
        self.spec.kette.as_ref()
    }

    /// Returns the constants of `bft`, if that is the chain's engine.
    pub fn bft(&self) -> Option<&BftSpec> {
        self.spec.bft()
    }

    /// Returns what signatures of validators cover; zero if the engine has none.
    pub(crate) const fn domain(&self) -> Domain {
        self.domain
    }

    /// Returns the EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.spec.chain_id()
    }

    /// Returns the blob limits at a time; `None` before Cancun.
    pub(crate) fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        if let Some(params) = self.blobs.active_scheduled_params_at_timestamp(timestamp) {
            Some(*params)
        } else if self.is_osaka_active_at_timestamp(timestamp) {
            Some(self.blobs.osaka)
        } else if self.is_prague_active_at_timestamp(timestamp) {
            Some(self.blobs.prague)
        } else if self.is_cancun_active_at_timestamp(timestamp) {
            Some(self.blobs.cancun)
        } else {
            None
        }
    }

    /// Returns the rules as they are for one block.
    pub(crate) fn at(&self, header: &Header) -> BlockRules<'_> {
        BlockRules { rules: self, merged: self.is_merged(header) }
    }

    /// Returns the execution environment of a block. Kette chains and merged Ethereum blocks show the header's
    /// `mixHash` as PREVRANDAO; earlier Ethereum blocks show the difficulty.
    pub(crate) fn env(&self, header: &Header) -> EvmEnv {
        let blobs = self.blob_params(header.timestamp);
        EvmEnv::for_eth_block(header, self.at(header), self.chain_id(), blobs)
    }

    /// A Kette chain never had proof-of-work rewards of Ethereum's kind. On Ethereum, a block after the merge
    /// is known by its zero difficulty (EIP-3675), so that no total difficulty has to be carried along.
    fn is_merged(&self, header: &Header) -> bool {
        self.spec.kette.is_some()
            || (self.spec.genesis.config.terminal_total_difficulty.is_some()
                && header.difficulty.is_zero())
    }
}

impl EthereumHardforks for Rules {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        use EthereumHardfork as Fork;
        let config = &self.spec.genesis.config;
        let absent = self.spec.kette.as_ref().map(|_| 0);
        let block = |number: Option<u64>| {
            number.or(absent).map_or(ForkCondition::Never, ForkCondition::Block)
        };
        let time = |time: Option<u64>| {
            time.or(absent).map_or(ForkCondition::Never, ForkCondition::Timestamp)
        };
        let later = |time: Option<u64>| time.map_or(ForkCondition::Never, ForkCondition::Timestamp);
        match fork {
            Fork::Frontier => ForkCondition::ZERO_BLOCK,
            Fork::Homestead => block(config.homestead_block),
            Fork::Dao => match config.dao_fork_block {
                Some(number) if config.dao_fork_support => ForkCondition::Block(number),
                _ => ForkCondition::Never,
            },
            Fork::Tangerine => block(config.eip150_block),
            Fork::SpuriousDragon => block(config.eip158_block),
            Fork::Byzantium => block(config.byzantium_block),
            Fork::Constantinople => block(config.constantinople_block),
            // As geth: a file that names Constantinople only means both.
            Fork::Petersburg => block(config.petersburg_block.or(config.constantinople_block)),
            Fork::Istanbul => block(config.istanbul_block),
            Fork::MuirGlacier => block(config.muir_glacier_block),
            Fork::Berlin => block(config.berlin_block),
            Fork::London => block(config.london_block),
            Fork::ArrowGlacier => block(config.arrow_glacier_block),
            Fork::GrayGlacier => block(config.gray_glacier_block),
            Fork::Paris if self.spec.kette.is_some() => ForkCondition::ZERO_BLOCK,
            Fork::Paris => paris(config.terminal_total_difficulty, config.merge_netsplit_block),
            Fork::Shanghai => time(config.shanghai_time),
            Fork::Cancun => time(config.cancun_time),
            Fork::Prague => time(config.prague_time),
            Fork::Osaka => later(config.osaka_time),
            Fork::Bpo1 => later(config.bpo1_time),
            Fork::Bpo2 => later(config.bpo2_time),
            Fork::Bpo3 => later(config.bpo3_time),
            Fork::Bpo4 => later(config.bpo4_time),
            Fork::Bpo5 => later(config.bpo5_time),
            // Not executed by this version; `genesis` refuses a file that names them.
            _ => ForkCondition::Never,
        }
    }
}

fn paris(total_difficulty: Option<U256>, split: Option<u64>) -> ForkCondition {
    match total_difficulty {
        None => ForkCondition::Never,
        Some(U256::ZERO) => ForkCondition::ZERO_BLOCK,
        Some(total_difficulty) => ForkCondition::TTD {
            activation_block_number: split.unwrap_or(u64::MAX),
            fork_block: None,
            total_difficulty,
        },
    }
}

/// The rules as they are for one block: whether it is a merged one is known from its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockRules<'a> {
    rules: &'a Rules,
    merged: bool,
}

impl EthereumHardforks for BlockRules<'_> {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match fork {
            EthereumHardfork::Paris if self.merged => ForkCondition::ZERO_BLOCK,
            EthereumHardfork::Paris => ForkCondition::Never,
            fork => self.rules.ethereum_fork_activation(fork),
        }
    }
}

impl EthExecutorSpec for BlockRules<'_> {
    fn deposit_contract_address(&self) -> Option<Address> {
        self.rules.spec.genesis.config.deposit_contract_address
    }
}
