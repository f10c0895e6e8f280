//! The methods, namespace by namespace.

mod access;
mod bft;
mod blocks;
mod debug;
mod development;
mod eth;
mod fees;
mod kette;
mod links;
mod logs;
mod mining;
mod net;
mod observe;
mod transactions;
mod txpool;

use crate::table::Method;
use alloy_eips::BlockId;
use alloy_primitives::{B256, U64};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// Every table, in the order of the OpenRPC document.
pub(crate) const TABLES: &[&[Method]] = &[
    eth::METHODS,
    blocks::METHODS,
    transactions::METHODS,
    access::METHODS,
    fees::METHODS,
    logs::METHODS,
    net::METHODS,
    txpool::METHODS,
    debug::METHODS,
    kette::METHODS,
    links::METHODS,
    observe::METHODS,
    bft::METHODS,
    mining::METHODS,
    development::METHODS,
];

/// An integer as tools send it: hexadecimal, decimal text, or a plain JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Plain(number) => Ok(Self(number)),
            Form::Text(text) => {
                let number: U64 = text.parse().map_err(D::Error::custom)?;
                Ok(Self(number.to()))
            }
        }
    }
}

/// Returns the state of the miner.
///
/// # Errors
/// If blocks of this chain are not mined.
fn pow(
    view: &kette_node::View,
) -> Result<&kette_consensus::pow::PowStatus, crate::failure::Failure> {
    match &view.status.engine {
        kette_consensus::Status::Pow(pow) => Ok(pow),
        kette_consensus::Status::Bft(_) => Err(crate::failure::Failure::Unsupported(
            "this chain's engine is bft: validators make blocks by turns, nobody mines".to_owned(),
        )),
    }
}

/// A block by tag, number or hash; a plain JSON number is a block number.
#[derive(Clone, Copy, Debug)]
struct BlockName(BlockId);

impl<'de> Deserialize<'de> for BlockName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if let Some(number) = value.as_u64() {
            return Ok(Self(BlockId::number(number)));
        }
        // A hash of 66 characters is no number.
        if let Some(hash) = value.as_str().filter(|text| text.len() == 66) {
            return hash.parse::<B256>().map(|hash| Self(hash.into())).map_err(D::Error::custom);
        }
        BlockId::deserialize(value).map(Self).map_err(D::Error::custom)
    }
}
