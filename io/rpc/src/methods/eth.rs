//! `eth_`: what chain this is and how the node stands; and the methods that a node without keys refuses.

use crate::{
    args::Args,
    context::Context,
    failure::Failure,
    submit,
    table::{Access, Answer, Method, Run, optional, reply, required},
};
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{SyncInfo, SyncStatus};
use kette_consensus::Status as Engine;

pub(super) const METHODS: &[Method] = &[
    Method::inline("eth_chainId", "Returns the EIP-155 chain id.", &[], "Quantity", chain_id),
    Method::inline("eth_blockNumber", "Returns the head's number.", &[], "Quantity", block_number),
    Method::inline("eth_syncing", "Returns where sync stands.", &[], "Syncing", syncing),
    Method::inline(
        "eth_accounts",
        "Returns no accounts: the node holds no keys.",
        &[],
        "[Address]",
        accounts,
    ),
    Method::inline(
        "eth_coinbase",
        "Returns who is paid for blocks of this node.",
        &[],
        "Address",
        coinbase,
    ),
    Method::inline("eth_mining", "Tells whether the node mines.", &[], "Boolean", mining),
    Method::inline(
        "eth_hashrate",
        "Returns the hashes per second that the miner is held to.",
        &[],
        "Quantity",
        hashrate,
    ),
    Method::inline(
        "eth_protocolVersion",
        "Returns the version of the wire protocol.",
        &[],
        "Quantity",
        protocol_version,
    ),
    Method::waiting(
        submit::METHOD,
        "Hands in a signed transaction.",
        &[required("transaction", "Data")],
        "Hash",
        submit::send,
    ),
    Method::inline(
        "eth_sendTransaction",
        "Refused: the node holds no keys.",
        &[required("transaction", "Call")],
        "Hash",
        no_keys,
    ),
    Method::inline(
        "eth_signTransaction",
        "Refused: the node holds no keys.",
        &[required("transaction", "Call")],
        "Data",
        no_keys,
    ),
    Method::inline(
        "eth_sign",
        "Refused: the node holds no keys.",
        &[required("address", "Address"), required("message", "Data")],
        "Data",
        no_keys,
    ),
    Method {
        name: "eth_subscribe",
        summary: "Subscribes by WebSocket to newHeads, logs, newPendingTransactions or syncing.",
        params: &[required("kind", "String"), optional("argument", "Any")],
        result: "Quantity",
        access: Access::Open,
        run: Run::Subscription,
    },
    Method {
        name: "eth_unsubscribe",
        summary: "Ends a subscription; tells whether it was there.",
        params: &[required("subscription", "Quantity")],
        result: "Boolean",
        access: Access::Open,
        run: Run::Subscription,
    },
];

fn chain_id(cx: &Context, _: &mut Args) -> Answer {
    reply(&U64::from(cx.spec.chain_id()))
}

fn block_number(cx: &Context, _: &mut Args) -> Answer {
    reply(&U64::from(cx.view().head.number()))
}

fn syncing(cx: &Context, _: &mut Args) -> Answer {
    reply(&match cx.view().status.syncing {
        None => SyncStatus::None,
        Some(sync) => SyncStatus::Info(Box::new(SyncInfo {
            starting_block: alloy_primitives::U256::from(sync.starting),
            current_block: alloy_primitives::U256::from(sync.current),
            highest_block: alloy_primitives::U256::from(sync.highest),
            ..SyncInfo::default()
        })),
    })
}

fn accounts(_: &Context, _: &mut Args) -> Answer {
    reply::<[B256]>(&[])
}

fn coinbase(cx: &Context, _: &mut Args) -> Answer {
    reply(&cx.view().status.beneficiary)
}

fn mining(cx: &Context, _: &mut Args) -> Answer {
    let view = cx.view();
    reply(&matches!(&view.status.engine, Engine::Pow(pow) if pow.mining))
}

/// The miner's threads do not report; what is known is the rate it is held to.
fn hashrate(cx: &Context, _: &mut Args) -> Answer {
    let rate = match &cx.view().status.engine {
        Engine::Pow(pow) => pow.mine_rate.filter(|_| pow.mining).unwrap_or(0),
        Engine::Bft(_) => 0,
    };
    reply(&U64::from(rate))
}

fn protocol_version(_: &Context, _: &mut Args) -> Answer {
    reply(&U64::from(kette_types::limits::PROTOCOL_VERSION))
}

fn no_keys(_: &Context, _: &mut Args) -> Answer {
    Err(Failure::Unsupported(
        "the node holds no keys: sign with a wallet, or `kette tx send`, and use eth_sendRawTransaction"
            .to_owned(),
    ))
}
