//! What a load consists of: shares of kinds, and the transaction of each kind.

use alloy_primitives::{Address, Bytes, U256, hex};
use serde::Serialize;
use std::{fmt, str::FromStr};

/// A kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Coins to another sender.
    Transfer,
    /// Units of an ERC-20 contract to another sender.
    Erc20,
    /// Deployment of that contract.
    Deploy,
}

/// Shares of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(Kind, u32)>);

/// Creation code of `token/Token.sol`: solc 0.8.30, EVM version london, optimizer with 200 runs, no metadata.
const TOKEN: &str = include_str!("token/Token.hex");
/// Gas allowed to each kind: what it uses at most, and some room.
const GAS: [u64; 3] = [21_000, 70_000, 450_000];
/// Selector of `transfer(address,uint256)`.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
/// Selector of `mint(address[],uint256)`.
const MINT: [u8; 4] = [0xea, 0x66, 0x69, 0x6c];
/// A share at most.
const SHARE_MAX: u32 = 10_000;

impl Kind {
    /// Returns the gas limit of its transactions.
    pub const fn gas(self) -> u64 {
        GAS[self as usize]
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfers",
            Self::Erc20 => "erc20",
            Self::Deploy => "deploy",
        }
    }
}

impl Mix {
    /// Returns the kind that owns this place of the circle of all shares; the same number is the same kind.
    pub fn pick(&self, draw: u64) -> Kind {
        let total: u64 = self.0.iter().map(|(_, share)| u64::from(*share)).sum();
        let mut place = draw % total.max(1);
        for (kind, share) in &self.0 {
            if place < u64::from(*share) {
                return *kind;
            }
            place -= u64::from(*share);
        }
        Kind::Transfer
    }

    /// Tells whether a kind has a share.
    pub fn has(&self, kind: Kind) -> bool {
        self.0.iter().any(|(known, _)| *known == kind)
    }

    /// Returns the highest gas limit of its kinds.
    pub fn gas_max(&self) -> u64 {
        self.0.iter().map(|(kind, _)| kind.gas()).max().unwrap_or(GAS[0])
    }
}

impl FromStr for Mix {
    type Err = String;

    /// Reads `transfers`, `transfers,erc20` (equal shares) or `transfers=80,erc20=15,deploy=5`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let kind = [Kind::Transfer, Kind::Erc20, Kind::Deploy]
                .into_iter()
                .find(|kind| kind.name() == name.trim())
                .ok_or_else(|| {
                    format!("no kind `{}`; there are transfers, erc20, deploy", name.trim())
                })?;
            let share: u32 = share.trim().parse().map_err(|_| {
                format!("`{}` is no share: expected a whole number, e.g. {}=80", share, kind.name())
            })?;
            if share == 0 || share > SHARE_MAX {
                return Err(format!("a share is 1 to {SHARE_MAX}, not {share}"));
            }
            if shares.iter().any(|(known, _)| *known == kind) {
                return Err(format!("`{}` stands twice", kind.name()));
            }
            shares.push((kind, share));
        }
        Ok(Self(shares))
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.0.iter().map(|(kind, share)| format!("{}={share}", kind.name())).collect();
        f.write_str(&parts.join(","))
    }
}

/// Returns the creation code of the token.
///
/// # Errors
/// None: the text is a constant that a test reads.
pub fn token_code() -> anyhow::Result<Bytes> {
    Ok(hex::decode(TOKEN.trim())?.into())
}

/// Returns the call data of a transfer of token units.
pub fn token_transfer(to: Address, value: u64) -> Bytes {
    let mut data = TRANSFER.to_vec();
    data.extend(to.into_word());
    data.extend(U256::from(value).to_be_bytes::<32>());
    data.into()
}

/// Returns the call data that gives `value` units to each of `to` (ABI: a dynamic array in the first place).
pub fn token_mint(to: &[Address], value: u64) -> Bytes {
    let mut data = MINT.to_vec();
    data.extend(U256::from(64).to_be_bytes::<32>());
    data.extend(U256::from(value).to_be_bytes::<32>());
    data.extend(U256::from(to.len()).to_be_bytes::<32>());
    for address in to {
        data.extend(address.into_word());
    }
    data.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read_and_picked_by_share() {
        let mix: Mix = "transfers=2, erc20,deploy=1".parse().unwrap();
        assert_eq!(mix.to_string(), "transfers=2,erc20=1,deploy=1");
        let kinds: Vec<Kind> = (0..5).map(|draw| mix.pick(draw)).collect();
        use Kind::{Deploy, Erc20, Transfer};
        assert_eq!(kinds, [Transfer, Transfer, Erc20, Deploy, Transfer]);
        assert_eq!((mix.has(Deploy), mix.gas_max()), (true, Deploy.gas()));
        for (bad, word) in [
            ("", "no kind"),
            ("swaps", "no kind"),
            ("erc20=x", "no share"),
            ("erc20=0", "a share is"),
            ("erc20,erc20", "twice"),
        ] {
            assert!(bad.parse::<Mix>().unwrap_err().contains(word), "{bad}");
        }
    }

    #[test]
    fn selectors_are_those_of_the_contract() {
        let selector = |text: &str| alloy_primitives::keccak256(text)[..4].to_vec();
        assert_eq!(selector("transfer(address,uint256)"), TRANSFER);
        assert_eq!(selector("mint(address[],uint256)"), MINT);
        assert!(token_code().unwrap().len() > 500);
        assert_eq!(token_mint(&[Address::ZERO; 3], 1).len(), 4 + 6 * 32);
    }
}
