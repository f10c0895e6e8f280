//! Ed25519 keys of validators (RFC 8032).

use alloy_primitives::{B256, B512, hex};
use alloy_rlp::{RlpDecodableWrapper, RlpEncodableWrapper};
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An Ed25519 signature, 64 bytes.
pub type Signature = B512;

/// An Ed25519 public key, 32 bytes. It may be no point of the curve; then no signature verifies.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    RlpEncodableWrapper,
    RlpDecodableWrapper,
)]
#[serde(transparent)]
pub struct PublicKey(pub B256);

impl PublicKey {
    /// Tells whether the key signed `message`. Strict: small-order keys and malleable signatures are refused
    /// (RFC 8032 5.1.7, and section 9 of "Taming the many EdDSAs").
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0.0) else { return false };
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }

    /// Tells whether it is a point of the curve in its one encoding (RFC 8032 5.1.3), and none of small order: a
    /// key that can be proven with.
    pub fn is_usable(&self) -> bool {
        let [low, middle @ .., high] = &self.0.0;
        // The field's prime is 2^255 - 19.
        let reduced =
            *low < 0xed || *high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff);
        reduced
            && ed25519_dalek::VerifyingKey::from_bytes(&self.0.0).is_ok_and(|key| !key.is_weak())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An Ed25519 secret key. Its bytes are never shown.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// Builds a key from its 32-byte seed.
    pub fn from_seed(seed: &B256) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed.0))
    }

    /// Returns the seed, to write it to a key file.
    pub fn seed(&self) -> B256 {
        B256::new(self.0.to_bytes())
    }

    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        PublicKey(B256::new(self.0.verifying_key().to_bytes()))
    }

    /// Signs; the same message gives the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::new(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for SecretKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    /// RFC 8032 7.1, TEST 2.
    #[test]
    fn signs_as_the_rfc() {
        let seed = b256!("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SecretKey::from_seed(&seed);
        let public = b256!("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.public(), PublicKey(public));
        let signature = key.sign(&[0x72]);
        assert_eq!(
            hex::encode(signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert!(key.public().verify(&[0x72], &signature));
        assert!(!key.public().verify(&[0x73], &signature));
        assert!(!PublicKey::default().verify(&[0x72], &signature));
        assert!(key.public().is_usable());
        // The neutral element, of order 1, and a y that no point has.
        for y in [1, 2] {
            let mut bytes = B256::ZERO;
            bytes[0] = y;
            assert!(!PublicKey(bytes).is_usable(), "{y}");
        }
        // Not reduced: y = 18 + p.
        assert!(!PublicKey(B256::repeat_byte(0xff)).is_usable());
    }
}
