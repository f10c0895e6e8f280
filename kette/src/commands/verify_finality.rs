//! `kette verify-finality`: is this block final? Checked with nothing but what its validators signed.
//!
//! A bundle holds headers with seals from the block after a trusted one up to the block in question, and its
//! certificate. Who votes in a height follows from the header before it, so genesis is enough to trust.

use super::output;
use crate::{client::Client, commands::exit::Exit, presets, run::home::read_genesis};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable as _;
use anyhow::{Context as _, bail};
use clap::Args;
use kette_chain::Headers;
use kette_consensus::bft::Verifier;
use kette_ledger::ReadError;
use kette_types::{
    ChainSpec, SealedHeader,
    bft::{Certificate, Validator, ValidatorSet},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};

/// Flags of `kette verify-finality`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// A bundle that `kette query certificate HEIGHT --bundle` wrote.
    #[arg(conflicts_with = "height", required_unless_present = "height")]
    file: Option<PathBuf>,
    /// Fetch the bundle of this height from a node instead. The node need not be trusted.
    #[arg(long)]
    height: Option<u64>,
    /// The node.
    #[arg(long, env = "KETTE_RPC_URL", default_value = "http://127.0.0.1:8545")]
    rpc: String,
    /// The chain that you trust: a preset or a genesis file. Without it the one in the bundle is used and its hash
    /// is printed, to be compared.
    #[arg(long)]
    genesis: Option<String>,
    /// Trust this hash of the validator set of the height instead of following headers from genesis.
    #[arg(long)]
    trusted_set: Option<B256>,
}

/// What proves that a block is final.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bundle {
    /// Version of this format: 1.
    pub schema: u32,
    /// The chain's genesis file.
    pub genesis: Value,
    /// RLP of [header, seal] of blocks 1 to the one that is certified.
    pub headers: Vec<Bytes>,
    /// RLP of the certificate.
    pub certificate: Bytes,
    /// Who voted.
    pub validators: Vec<Validator>,
}

/// Headers asked for at once.
const PAGE: u64 = 512;

/// What was found to hold.
#[derive(Debug)]
pub struct Verified {
    header: SealedHeader,
    certificate: Certificate,
    set: ValidatorSet,
    weight: u128,
    genesis: B256,
    checked: usize,
}

/// Carries out `kette verify-finality`.
///
/// # Errors
/// [`Exit::Failed`] if the block is not proven final.
pub fn run(args: &VerifyArgs, json: bool) -> anyhow::Result<()> {
    let bundle = match (&args.file, args.height) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_str(&text)
                .with_context(|| format!("{} is no finality bundle", path.display()))?
        }
        (None, height) => {
            let height = height.context("name a bundle, or --height")?;
            super::block_on(fetch(&Client::new(&args.rpc)?, height))?
        }
    };
    let trusted = args.genesis.as_deref().map(spec).transpose()?;
    let known = trusted.is_some();
    let found = verify(&bundle, trusted, args.trusted_set).map_err(|error| {
        anyhow::Error::from(Exit::Failed(format!("not proven final: {error:#}")))
    })?;
    let value = json!({
        "final": true,
        "height": found.header.number,
        "hash": found.header.hash(),
        "stateRoot": found.header.state_root,
        "round": found.certificate.round,
        "signers": found.certificate.signers.len(),
        "weight": found.weight.to_string(),
        "totalWeight": found.set.total().to_string(),
        "validatorsHash": found.set.hash(),
        "headersChecked": found.checked,
        "genesisHash": found.genesis,
    });
    output::print(&value, json)?;
    if !known && args.trusted_set.is_none() {
        eprintln!(
            "trusted: the genesis in the bundle; compare genesisHash, or name yours with --genesis"
        );
    }
    Ok(())
}

fn spec(name: &str) -> anyhow::Result<ChainSpec> {
    if presets::has_genesis(name) {
        return presets::genesis(name);
    }
    read_genesis(std::path::Path::new(name))
}

/// Collects what proves that the block of a height is final.
///
/// # Errors
/// If the node does not answer, or has no certificate of that height.
pub async fn fetch(client: &Client, height: u64) -> anyhow::Result<Bundle> {
    let genesis: Value = client.ask("kette_genesis", []).await?;
    let shown: Value = client.ask("kette_getCertificate", [json!(height)]).await?;
    if shown.is_null() {
        bail!("the node has no certificate of height {height}");
    }
    let certificate: Bytes = serde_json::from_value(shown["raw"].clone())?;
    let validators: Vec<Validator> = serde_json::from_value(shown["validators"].clone())?;
    let mut headers: Vec<Bytes> = Vec::new();
    while (headers.len() as u64) < height {
        let from = headers.len() as u64 + 1;
        let count = PAGE.min(height - headers.len() as u64);
        let page: Vec<Bytes> = client.ask("kette_headers", [json!(from), json!(count)]).await?;
        if page.is_empty() {
            bail!("the node has no header {from}");
        }
        headers.extend(page);
    }
    Ok(Bundle { schema: 1, genesis, headers, certificate, validators })
}

/// Headers that were checked.
#[derive(Default)]
struct Known(BTreeMap<B256, SealedHeader>);

impl Headers for Known {
    fn header(&self, hash: B256) -> Result<Option<SealedHeader>, ReadError> {
        Ok(self.0.get(&hash).cloned())
    }
}

/// Checks a bundle against a trusted genesis (its own if none is given), or against a trusted validator set.
///
/// # Errors
/// What is wrong with it.
pub fn verify(
    bundle: &Bundle,
    trusted: Option<ChainSpec>,
    trusted_set: Option<B256>,
) -> anyhow::Result<Verified> {
    anyhow::ensure!(bundle.schema == 1, "schema {}: this program reads 1", bundle.schema);
    let spec = match trusted {
        Some(spec) => spec,
        None => ChainSpec::from_json(&bundle.genesis.to_string())?,
    };
    let verifier = Verifier::new(&spec).context("the chain's engine is not bft")?;
    let (genesis, _) = kette_ledger::genesis(&spec)?;
    let certificate =
        Certificate::decode(&mut bundle.certificate.as_ref()).context("certificate")?;
    let decode = |raw: &Bytes| SealedHeader::decode(&mut raw.as_ref());
    let last = decode(bundle.headers.last().context("no headers")?).context("header")?;
    let (set, checked) = match trusted_set {
        Some(hash) => {
            let set = ValidatorSet::from_sorted(bundle.validators.clone())?;
            anyhow::ensure!(set.hash() == hash, "the bundle's validators have hash {}", set.hash());
            (set, 0)
        }
        None => {
            let mut known = Known::default();
            let mut parent = genesis.clone();
            known.0.insert(genesis.hash(), genesis.clone());
            for (raw, number) in bundle.headers.iter().zip(1_u64..) {
                let header = decode(raw).with_context(|| format!("header {number}"))?;
                anyhow::ensure!(
                    (header.number, header.parent_hash) == (number, parent.hash()),
                    "header {number} does not follow block {}",
                    parent.hash()
                );
                verifier.header(&header, &known).with_context(|| format!("header {number}"))?;
                known.0.insert(header.hash(), header.clone());
                parent = header;
            }
            let before = known.0.get(&last.parent_hash).context("the block has no parent here")?;
            (verifier.validators_after(before, &known)?, bundle.headers.len())
        }
    };
    verifier.certificate(&certificate, last.number, last.hash(), &set)?;
    let signers = certificate.signers.iter().filter_map(|signer| set.get(usize::from(*signer)));
    let weight = signers.map(|validator| u128::from(validator.weight)).sum();
    Ok(Verified { header: last, certificate, set, weight, genesis: genesis.hash(), checked })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validator_key::ValidatorKey;
    use kette_consensus::bft::{leader, vrf};
    use kette_types::{
        Header,
        bft::{Seal, Vote, VoteKind},
    };

    /// Blocks 1 to `count` of `timecoin` with the certificate of the last one, by all three validators.
    fn bundle(count: u64) -> Bundle {
        let spec = presets::genesis("timecoin").unwrap();
        let verifier = Verifier::new(&spec).unwrap();
        let domain = verifier.domain();
        let set = spec.bft().unwrap().genesis_set().unwrap();
        let identity = |name: &str| ValidatorKey::development(name).identity(None);
        let keys = ["validator1", "validator2", "validator3"].map(identity);
        let certify = |header: &SealedHeader| {
            let mut certificate = Certificate {
                height: header.number,
                block: header.hash(),
                ..Certificate::default()
            };
            for (validator, index) in set.validators().iter().zip(0..) {
                let key = keys.iter().find(|key| key.key() == validator.key).unwrap();
                let (number, hash) = (header.number, header.hash());
                let vote = Vote::sign(domain, &key.secret, VoteKind::Precommit, number, 0, hash);
                certificate.signers.push(index);
                certificate.signatures.push(vote.signature);
            }
            certificate
        };
        let mut parent = kette_ledger::genesis(&spec).unwrap().0;
        let mut time_ms = parent.timestamp * 1_000;
        let mut headers = Vec::new();
        for number in 1..=count {
            let seed = verifier.seed_after(&parent).unwrap();
            let lead = set.validators()[leader::leader(&set, seed, 0)];
            let key = keys.iter().find(|key| key.key() == lead.key).unwrap();
            time_ms += 8_000;
            let mut header = Header {
                parent_hash: parent.hash(),
                number,
                timestamp: time_ms / 1_000,
                mix_hash: seed,
                ..Header::default()
            };
            let alpha = leader::alpha(seed, number, 0);
            let last_commit = if number == 1 { Certificate::default() } else { certify(&parent) };
            let mut seal = Seal {
                time_ms,
                proof: Bytes::copy_from_slice(vrf::prove(&key.vrf, alpha.as_slice()).0.as_slice()),
                next_hash: set.hash(),
                last_commit,
                key: key.key(),
                ..Seal::default()
            };
            seal.signature = key.secret.sign(&seal.signed_bytes(domain, &header));
            header.extra_data = seal.commitment();
            parent = SealedHeader::new(header, seal.encoded());
            headers.push(Bytes::from(alloy_rlp::encode(&parent)));
        }
        Bundle {
            schema: 1,
            genesis: serde_json::to_value(&spec.genesis).unwrap(),
            headers,
            certificate: alloy_rlp::encode(certify(&parent)).into(),
            validators: set.validators().to_vec(),
        }
    }

    #[test]
    fn a_certificate_proves_a_block_from_genesis_or_from_a_trusted_set() {
        let bundle = bundle(3);
        let found = verify(&bundle, None, None).unwrap();
        assert_eq!((found.header.number, found.checked, found.weight), (3, 3, 300));
        let timecoin = presets::genesis("timecoin").unwrap();
        let set = timecoin.bft().unwrap().genesis_set().unwrap().hash();
        verify(&bundle, Some(timecoin.clone()), None).unwrap();
        let alone = Bundle { headers: bundle.headers[2..].to_vec(), ..bundle.clone() };
        assert_eq!(verify(&alone, Some(timecoin), Some(set)).unwrap().checked, 0);
        assert!(verify(&alone, None, None).is_err(), "without its ancestors it follows nothing");
        assert!(verify(&alone, None, Some(B256::ZERO)).is_err());
    }

    #[test]
    fn what_was_changed_proves_nothing() {
        let good = bundle(2);
        let other = presets::genesis("timecoin5").unwrap();
        assert!(verify(&good, Some(other), None).is_err(), "another chain");
        let mut certificate = Certificate::decode(&mut good.certificate.as_ref()).unwrap();
        certificate.signers.truncate(1);
        certificate.signatures.truncate(1);
        let few = Bundle { certificate: alloy_rlp::encode(&certificate).into(), ..good.clone() };
        let error = format!("{:#}", verify(&few, None, None).unwrap_err());
        assert!(error.contains("quorum is 200"), "{error}");
        for index in 0..2 {
            let mut bad = good.clone();
            let mut raw = bad.headers[index].to_vec();
            let last = raw.len() - 1;
            raw[last] ^= 1;
            bad.headers[index] = raw.into();
            assert!(verify(&bad, None, None).is_err(), "header {}", index + 1);
        }
        let short = Bundle { headers: good.headers[..1].to_vec(), ..good };
        assert!(verify(&short, None, None).is_err(), "the certificate is for block 2");
    }
}
