//! `kette_`: who votes, who leads, and what makes blocks final, on chains with the engine `bft`.

use crate::{
    args::Args,
    context::Context,
    failure::Failure,
    table::{Access, Answer, Method, Run, optional, reply, required},
};
use alloy_primitives::{B256, Bytes, U64, hex};
use alloy_rlp::{Decodable as _, Encodable as _};
use kette_chain::Headers;
use kette_consensus::{
    SealError, Status as Engine,
    bft::{Verifier, leader},
};
use kette_ledger::{ReadError, State};
use kette_node::View;
use kette_types::{
    Address, SealedHeader,
    bft::{BftSpec, Certificate, PublicKey, ValidatorSet},
};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) const METHODS: &[Method] = &[
    Method::inline("kette_consensus", "Returns the state of the voting.", &[], "Object", consensus),
    Method::blocking(
        "kette_validators",
        "Returns who votes in a height (the next one if not said), and what the registry knows of all owners.",
        &[optional("height", "Number")],
        "Object",
        validators,
    ),
    Method::blocking(
        "kette_leader",
        "Returns the leaders of a height round by round, and of a decided one the leader's VRF proof.",
        &[optional("height", "Number"), optional("rounds", "Number")],
        "Object",
        leaders,
    ),
    Method::blocking(
        "kette_getCertificate",
        "Returns the precommits that made a block final.",
        &[required("block", "BlockId")],
        "Object?",
        certificate,
    ),
    Method::inline(
        "kette_finalityTimes",
        "Returns how long the newest blocks took to become final here, milliseconds from their time, at most 1024.",
        &[],
        "[Integer]",
        finality_times,
    ),
    Method::blocking(
        "kette_headers",
        "Returns canonical headers with their seals, RLP of [header, seal], at most 512.",
        &[required("from", "Number"), required("count", "Number")],
        "[Data]",
        headers,
    ),
    Method {
        name: "kette_subscribe",
        summary: "As eth_subscribe; `blockFinalized` tells of each block once, when it becomes final, `arrivals` when transactions and blocks reached this node.",
        params: &[required("kind", "String"), optional("argument", "Any")],
        result: "Quantity",
        access: Access::Open,
        run: Run::Subscription,
    },
    Method {
        name: "kette_unsubscribe",
        summary: "Ends a subscription; tells whether it was there.",
        params: &[required("subscription", "Quantity")],
        result: "Boolean",
        access: Access::Open,
        run: Run::Subscription,
    },
];

/// Headers of one answer.
const HEADERS_MAX: u64 = 512;
/// Rounds of one answer.
const ROUNDS_MAX: u64 = 1_024;

fn terms(cx: &Context) -> Result<&BftSpec, Failure> {
    cx.spec.bft().ok_or_else(|| {
        let engine = cx.spec.kette.as_ref().map_or("none", |kette| kette.engine.name());
        Failure::Unsupported(format!("this chain's engine is {engine}: it has no validators"))
    })
}

fn verifier(cx: &Context) -> Result<Verifier, Failure> {
    terms(cx)?;
    Verifier::new(&cx.spec).ok_or_else(|| Failure::Internal("no rules of bft".to_owned()))
}

/// Headers of the snapshot and of the store.
struct Chain<'a> {
    cx: &'a Context,
    view: &'a View,
}

impl Headers for Chain<'_> {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        match self.view.recent.get(&hash) {
            Some(live) => Ok(Some(live.block.header.clone())),
            None => kette_chain::ChainReader::header(&self.cx.reader, hash),
        }
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Read(error) => error.into(),
            SealError::UnknownAncestor(_) => Self::no_block(),
            other => Self::Internal(other.to_string()),
        }
    }
}

fn header_at(cx: &Context, view: &View, number: u64) -> Result<SealedHeader, Failure> {
    let hash = cx.canonical(view, number)?.ok_or_else(Failure::no_block)?;
    cx.header(view, hash)?.ok_or_else(Failure::no_block)
}

/// Returns the validators of a height: from headers where they are past, from the newest state where they are to come.
fn set_of(cx: &Context, view: &View, height: u64) -> Result<ValidatorSet, Failure> {
    let head = view.head.number();
    if height <= head + 1 {
        let parent = header_at(cx, view, height.saturating_sub(1))?;
        return Ok(verifier(cx)?.validators_after(&parent, &Chain { cx, view })?);
    }
    if height > head + 2 {
        return Err(Failure::NotFound(format!(
            "who votes in height {height} is not fixed yet: known up to {}",
            head + 2
        )));
    }
    let set = kette_ledger::staking::validators(&view.head.state, height)?;
    set.ok_or_else(|| Failure::Internal("the state has no validator registry".to_owned()))
}

fn consensus(cx: &Context, _: &mut Args) -> Answer {
    terms(cx)?;
    if let Engine::Bft(status) = &cx.view().status.engine {
        return reply(status);
    }
    Err(Failure::Internal("the engine is not that of genesis".to_owned()))
}

/// A validator as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    address: Address,
    key: PublicKey,
    vrf_key: B256,
    weight: u64,
}

fn shown(terms: &BftSpec, set: &ValidatorSet, index: usize) -> Option<Shown> {
    let it = set.get(index)?;
    let place = terms.validators.iter().position(|first| first.address == it.address);
    let name = place.and_then(|place| terms.validator_names.get(place)).cloned();
    let (address, key, vrf_key, weight) = (it.address, it.key, it.vrf_key, it.weight);
    Some(Shown { index, name, address, key, vrf_key, weight })
}

fn validators(cx: &Context, args: &mut Args) -> Answer {
    let terms = terms(cx)?;
    let view = cx.view();
    let height: Option<super::Number> = args.optional()?;
    let height = height.map_or(view.head.number() + 1, |height| height.0);
    let set = set_of(cx, &view, height)?;
    let list: Vec<Shown> = (0..set.len()).filter_map(|index| shown(terms, &set, index)).collect();
    let total = set.total();
    reply(&json!({
        "height": height,
        "hash": set.hash(),
        "validators": list,
        "count": list.len(),
        "weight": number(total),
        "quorumRule": terms.quorum,
        "quorum": number(terms.quorum.threshold(total)),
        "safeWeight": number(terms.quorum.safe_weight(total)),
        "liveWeight": number(terms.quorum.live_weight(total)),
        "registry": registry(cx, &view.head.state, terms)?,
    }))
}

/// A sum of weights as a plain number where JSON has one, else as text.
fn number(weight: u128) -> Value {
    u64::try_from(weight).map_or_else(|_| json!(weight.to_string()), |weight| json!(weight))
}

/// Returns the stake that the registry holds in all.
fn registry(cx: &Context, state: &State, terms: &BftSpec) -> Result<Value, Failure> {
    let account = state.account(kette_ledger::staking::STAKING_ADDRESS)?;
    Ok(json!({
        "address": kette_ledger::staking::STAKING_ADDRESS,
        "balance": account.map(|account| account.balance),
        "weightUnit": terms.weight_unit,
        "blockNumber": U64::from(cx.view().head.number()),
    }))
}

fn leaders(cx: &Context, args: &mut Args) -> Answer {
    let terms = terms(cx)?;
    let view = cx.view();
    let height: Option<super::Number> = args.optional()?;
    let rounds: Option<super::Number> = args.optional()?;
    let head = view.head.number();
    let height = height.map_or(head + 1, |height| height.0);
    if height == 0 || height > head + 1 {
        return Err(Failure::NotFound(format!(
            "leaders are known for heights 1 to {}: the seed of a height comes from the block before it",
            head + 1
        )));
    }
    let set = set_of(cx, &view, height)?;
    let parent = header_at(cx, &view, height - 1)?;
    let seed = verifier(cx)?.seed_after(&parent)?;
    let rounds = rounds.map_or(set.len() as u64, |rounds| rounds.0.min(ROUNDS_MAX));
    let ranking: Vec<Value> = leader::leaders(&set, seed)
        .zip(0..rounds)
        .filter_map(|(index, round)| {
            let mut line = serde_json::to_value(shown(terms, &set, index)?).ok()?;
            line["round"] = json!(round);
            line["alpha"] = json!(leader::alpha(seed, height, u32::try_from(round).ok()?));
            Some(line)
        })
        .collect();
    let mut answer = json!({
        "height": height,
        "seed": seed,
        "validatorsHash": set.hash(),
        "weight": number(set.total()),
        "ranking": ranking,
        "decided": Value::Null,
    });
    if height <= head {
        let header = header_at(cx, &view, height)?;
        answer["decided"] = decided(&header, &set)?;
    }
    reply(&answer)
}

/// Shows who made a block, with the proof that it was their turn.
fn decided(header: &SealedHeader, set: &ValidatorSet) -> Result<Value, Failure> {
    let seal = Verifier::seal(header)?;
    let index = set.position(&seal.key);
    let validator = index.and_then(|index| set.get(index));
    let output = validator.map(|it| Verifier::vrf_output(header, &seal, it.vrf_key));
    Ok(json!({
        "hash": header.hash(),
        "round": seal.round,
        "timeMs": seal.time_ms,
        "index": index,
        "address": validator.map(|it| it.address),
        "key": seal.key,
        "vrfKey": validator.map(|it| it.vrf_key),
        "alpha": leader::alpha(header.mix_hash, header.number, seal.round),
        "proof": seal.proof,
        "proofValid": matches!(output, Some(Ok(_))),
        "output": output.and_then(Result::ok).map(|output| hex::encode_prefixed(output.0)),
    }))
}

/// Returns the certificate of a canonical block: that of its child's seal, which holds late precommits too, or what
/// this node wrote when the block became final.
fn certificate_of(
    cx: &Context,
    view: &View,
    number: u64,
) -> Result<Option<(Certificate, &'static str)>, Failure> {
    if number == 0 {
        return Ok(None);
    }
    let stored = cx.reader.justification(number)?;
    let stored = stored.map(|bytes| Certificate::decode(&mut bytes.as_ref())).transpose();
    let stored = stored.map_err(|error| Failure::Internal(format!("certificate: {error}")))?;
    let child = match number < view.head.number() {
        true => Some(Verifier::seal(&header_at(cx, view, number + 1)?)?.last_commit),
        false => None,
    };
    Ok(match (stored, child) {
        (Some(stored), Some(child)) if stored.signers.len() > child.signers.len() => {
            Some((stored, "stored"))
        }
        (_, Some(child)) => Some((child, "child")),
        (stored, None) => stored.map(|stored| (stored, "stored")),
    })
}

fn certificate(cx: &Context, args: &mut Args) -> Answer {
    let terms = terms(cx)?;
    let id: super::BlockName = args.required()?;
    let view = cx.view();
    let Some(hash) = cx.named(&view, id.0)? else { return reply(&()) };
    let Some(header) = cx.header(&view, hash)? else { return reply(&()) };
    let number_of = header.number;
    if cx.canonical(&view, number_of)? != Some(hash) {
        return reply(&());
    }
    let Some((certificate, source)) = certificate_of(cx, &view, number_of)? else {
        return reply(&());
    };
    let set = set_of(cx, &view, number_of)?;
    let valid = verifier(cx)?.certificate(&certificate, number_of, hash, &set);
    let signers: Vec<Value> = certificate
        .signers
        .iter()
        .zip(&certificate.signatures)
        .filter_map(|(signer, signature)| {
            let mut line = serde_json::to_value(shown(terms, &set, usize::from(*signer))?).ok()?;
            line["signature"] = json!(signature);
            Some(line)
        })
        .collect();
    let weight: u128 = certificate
        .signers
        .iter()
        .filter_map(|signer| set.get(usize::from(*signer)))
        .map(|validator| u128::from(validator.weight))
        .sum();
    let mut raw = Vec::new();
    certificate.encode(&mut raw);
    reply(&json!({
        "height": certificate.height,
        "round": certificate.round,
        "block": certificate.block,
        "signers": signers,
        "weight": number(weight),
        "totalWeight": number(set.total()),
        "quorum": number(terms.quorum.threshold(set.total())),
        "validators": set.validators(),
        "validatorsHash": set.hash(),
        "source": source,
        "valid": valid.is_ok(),
        "raw": Bytes::from(raw),
    }))
}

fn finality_times(cx: &Context, _: &mut Args) -> Answer {
    terms(cx)?;
    reply(&cx.metrics.votes.finality_ms())
}

fn headers(cx: &Context, args: &mut Args) -> Answer {
    let from: super::Number = args.required()?;
    let count: super::Number = args.required()?;
    if count.0 > HEADERS_MAX {
        return Err(Failure::Limit(format!("{} headers, at most {HEADERS_MAX}", count.0)));
    }
    let view = cx.view();
    let last = from.0.saturating_add(count.0).min(view.head.number() + 1);
    let mut found = Vec::new();
    for number in from.0..last {
        let mut raw = Vec::new();
        header_at(cx, &view, number)?.encode(&mut raw);
        found.push(Bytes::from(raw));
    }
    reply(&found)
}
