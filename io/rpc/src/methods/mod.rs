//! The methods, namespace by namespace.

mod access;
mod blocks;
mod debug;
mod development;
mod eth;
mod fees;
mod kette;
mod logs;
mod mining;
mod net;
mod transactions;
mod txpool;

use crate::table::Method;

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
    mining::METHODS,
    development::METHODS,
];
