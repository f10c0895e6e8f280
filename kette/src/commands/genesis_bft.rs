//! The bft part of `kette genesis new`: who votes in the first heights, and what that bears.

use crate::{presets::DEFAULT_NETWORK, validator_key::ValidatorKey};
use alloy_primitives::B256;
use anyhow::{Context as _, bail};
use clap::Args;
use kette_sim::scenario::validators::development_owner;
use kette_types::{
    Address,
    bft::{BftSpec, PublicKey, Quorum, Validator, ValidatorSet},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Flags of `kette genesis new` for the engine bft.
#[derive(Args, Clone, Debug)]
pub struct BftArgs {
    /// A number makes validator1, validator2, ... with INSECURE development keys; a file holds what
    /// `kette --json keys validator new --owner ADDRESS --stake N` printed, one after the other.
    #[arg(long, value_name = "N|FILE")]
    validators: Option<String>,
    /// Votes of each, where --validators is a number.
    #[arg(long, default_value_t = 100)]
    stake: u64,
    /// Weight that decides: 2/3 (w >= 2/3) or 2/3+ (w > 2/3).
    #[arg(long, value_parser = quorum)]
    quorum: Option<Quorum>,
    /// Least time between blocks, milliseconds.
    #[arg(long)]
    slot_ms: Option<u64>,
}

fn quorum(text: &str) -> Result<Quorum, String> {
    serde_json::from_value(json!(text)).map_err(|_| "expected 2/3 or 2/3+".to_owned())
}

impl BftArgs {
    /// Tells whether something was said that only bft has.
    pub const fn is_given(&self) -> bool {
        self.validators.is_some() || self.quorum.is_some() || self.slot_ms.is_some()
    }

    /// Writes what was said into a genesis file.
    ///
    /// # Errors
    /// If the genesis has another engine, or the validators cannot be read.
    pub fn write_into(&self, genesis: &mut Value) -> anyhow::Result<()> {
        let Some(bft) = genesis["config"]["kette"]["engine"].get_mut("bft") else {
            if self.is_given() {
                bail!(
                    "--validators, --quorum and --slot-ms are for the engine bft: \
                     start from `--preset {DEFAULT_NETWORK}`, or say `--engine bft`"
                );
            }
            return Ok(());
        };
        if let Some(quorum) = self.quorum {
            bft["quorum"] = json!(quorum);
        }
        if let Some(slot) = self.slot_ms {
            bft["slotMs"] = json!(slot);
        }
        let Some(text) = &self.validators else { return Ok(()) };
        let list = match text.parse::<usize>() {
            Ok(count) => development(count, self.stake)?,
            Err(_) => read(Path::new(text))?,
        };
        let (names, validators): (Vec<Option<String>>, Vec<Validator>) = list.into_iter().unzip();
        bft["validators"] = json!(validators);
        let names: Option<Vec<String>> = names.into_iter().collect();
        match names {
            Some(names) => bft["validatorNames"] = json!(names),
            None => drop(bft.as_object_mut().and_then(|bft| bft.remove("validatorNames"))),
        }
        // Another first seed for every genesis file: who writes it chooses the first leader.
        genesis["mixHash"] = json!(B256::new(rand::random()));
        Ok(())
    }
}

type Named = (Option<String>, Validator);

fn development(count: usize, weight: u64) -> anyhow::Result<Vec<Named>> {
    let most = kette_types::bft::VALIDATORS_MAX;
    anyhow::ensure!((1..=most).contains(&count), "--validators {count}: 1 to {most}");
    let named = (0..count).map(|index| {
        let name = format!("validator{}", index + 1);
        let identity = ValidatorKey::development(&name).identity(None);
        let address = development_owner(index, &name);
        let validator =
            Validator { address, key: identity.key(), vrf_key: identity.vrf_key(), weight };
        (Some(name), validator)
    });
    Ok(named.collect())
}

/// One validator in a file; other fields of what `kette keys validator` prints are not needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: Option<String>,
    address: Address,
    key: PublicKey,
    vrf_key: B256,
    weight: u64,
}

fn read(path: &Path) -> anyhow::Result<Vec<Named>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Part {
        Many(Vec<Line>),
        One(Line),
    }
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--validators: `{shown}` is neither a number nor a file"))?;
    let mut named = Vec::new();
    for part in serde_json::Deserializer::from_str(&text).into_iter::<Part>() {
        let part = part.with_context(|| {
            format!("--validators: {shown}: each needs address, key, vrfKey and weight")
        })?;
        let lines = match part {
            Part::Many(lines) => lines,
            Part::One(line) => vec![line],
        };
        named.extend(lines.into_iter().map(|line| {
            let Line { name, address, key, vrf_key, weight } = line;
            (name, Validator { address, key, vrf_key, weight })
        }));
    }
    Ok(named)
}

/// What a validator set bears, in lines for people.
pub fn fault_table(bft: &BftSpec) -> anyhow::Result<String> {
    let set = bft.genesis_set()?;
    let (total, quorum) = (set.total(), bft.quorum);
    let (safe, live) = (quorum.safe_weight(total), quorum.live_weight(total));
    let rule = if quorum == Quorum::TwoThirds { "2/3" } else { "2/3+" };
    let mut text = format!(
        "{} validators, weight {total}; quorum {rule}: {} decide\n\
         may lie without two final blocks at one height: weight {safe} ({} of them)\n\
         may be silent without a stop:                   weight {live} ({} of them)\n",
        set.len(),
        quorum.threshold(total),
        members(&set, safe),
        members(&set, live),
    );
    if members(&set, safe) == 0 {
        text.push_str(
            "WARNING: a single validator that signs twice can make two final blocks at one height: the chain \
             FORKS.\nThese validators survive crashes, not lies. Four of equal weight survive one that lies.\n",
        );
    }
    if members(&set, live) == 0 {
        text.push_str("WARNING: the chain stops as soon as one validator is down.\n");
    }
    Ok(text)
}

/// Returns of how many members the sum is at most `weight`, whichever they are: the heaviest first.
fn members(set: &ValidatorSet, weight: u128) -> usize {
    let mut weights: Vec<u128> = set.validators().iter().map(|v| u128::from(v.weight)).collect();
    weights.sort_unstable_by(|a, b| b.cmp(a));
    let mut sum = 0;
    weights
        .into_iter()
        .take_while(|one| {
            sum += one;
            sum <= weight
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;
    use kette_types::ChainSpec;

    fn args(validators: &str, quorum: Option<Quorum>) -> BftArgs {
        BftArgs { validators: Some(validators.to_owned()), stake: 100, quorum, slot_ms: None }
    }

    fn made(args: &BftArgs) -> anyhow::Result<ChainSpec> {
        let mut genesis = serde_json::to_value(presets::genesis(DEFAULT_NETWORK)?.genesis)?;
        args.write_into(&mut genesis)?;
        Ok(ChainSpec::from_json(&genesis.to_string())?)
    }

    #[test]
    fn the_table_warns_where_one_liar_is_enough() {
        let table = |count: &str, quorum| {
            let spec = made(&args(count, Some(quorum))).unwrap();
            fault_table(spec.bft().unwrap()).unwrap()
        };
        let three = table("3", Quorum::TwoThirds);
        assert!(three.contains("200 decide") && three.contains("FORKS"), "{three}");
        assert!(three.contains("weight 100 (1 of them)") && !three.contains("stops as"), "{three}");
        let strict = table("3", Quorum::MoreThanTwoThirds);
        assert!(strict.contains("201 decide") && strict.contains("stops as soon"), "{strict}");
        let four = table("4", Quorum::MoreThanTwoThirds);
        assert!(four.contains("267 decide") && !four.contains("WARNING"), "{four}");
        assert_eq!(four.matches("weight 133 (1 of them)").count(), 2, "{four}");
        assert!(table("1", Quorum::TwoThirds).contains("FORKS"));
    }

    #[test]
    fn validators_come_from_a_number_or_a_file() {
        let spec = made(&args("5", None)).unwrap();
        let bft = spec.bft().unwrap();
        let preset = presets::genesis("timecoin5").unwrap();
        assert_eq!(
            bft.validators,
            preset.bft().unwrap().validators,
            "the same names, the same keys"
        );
        assert!(made(&args("0", None)).unwrap_err().to_string().contains("1 to 128"));

        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("validators.json");
        let line = |v: &Validator| {
            json!({ "address": v.address, "key": v.key, "vrfKey": v.vrf_key,
            "weight": v.weight, "proof": "0x", "file": "x" })
        };
        let [a, b, c] = [0, 1, 2].map(|index| line(&bft.validators[index]).to_string());
        std::fs::write(&path, format!("{a}\n[{b},{c}]")).unwrap();
        let spec = made(&args(path.to_str().unwrap(), None)).unwrap();
        assert_eq!(spec.bft().unwrap().validators, bft.validators[..3]);
        assert!(spec.bft().unwrap().validator_names.is_empty());
        std::fs::write(&path, "{}").unwrap();
        let error = format!("{:#}", made(&args(path.to_str().unwrap(), None)).unwrap_err());
        assert!(error.contains("needs address, key"), "{error}");
    }
}
