//! A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381, on edwards25519.
//!
//! Whoever holds a secret key can compute one output per input and prove it; nobody else can foretell it.
//! The *output* is unique for a key and an input. The *proof* is not: a holder who departs from the
//! protocol can make many proofs of the same output. So randomness, identities and "seen before" are taken
//! from the output, never from the proof's bytes.
//!
//! ```text
//! H     = 8 * point(SHA-512(3 || 1 || Y || alpha || counter || 0)[..32])   first counter that is a point
//! Gamma = x H,   U = k B = s B - c Y,   V = k H = s H - c Gamma
//! c     = SHA-512(3 || 2 || Y || H || Gamma || U || V || 0)[..16],   s = k + c x
//! pi    = Gamma || c || s                                                  32 + 16 + 32 bytes
//! beta  = SHA-512(3 || 3 || 8 Gamma || 0)                                  64 bytes
//! ```
//! Section numbers below are of RFC 9381 if nothing else is said.
//!
//! **A seed of its own.** The nonce `k` is made as Ed25519 makes its nonce, from the same bytes of the
//! secret. An Ed25519 signature of the 32 bytes of `H` by the same seed would give the secret away. A node
//! must not use its Ed25519 identity, or any signing key, as VRF key.

use alloy_primitives::FixedBytes;
use alloy_rlp::{RlpDecodableWrapper, RlpEncodableWrapper};
use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::{Scalar, clamp_integer},
    traits::VartimeMultiscalarMul,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A secret key; wiped from memory when dropped.
#[derive(Clone)]
pub struct SecretKey {
    /// `x`, the secret scalar (RFC 8032 section 5.1.5, step 2), reduced: it multiplies only points of
    /// prime order.
    scalar: Scalar,
    /// The second half of the hashed seed, from which nonces are made (section 5.4.2.2).
    prefix: [u8; 32],
    public: PublicKey,
}

impl SecretKey {
    /// Expands a seed of 32 random bytes (RFC 8032 section 5.1.5). Every seed is a key.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let hashed: Zeroizing<[u8; 64]> = Zeroizing::new(Sha512::digest(seed).into());
        let (low, high) = hashed.split_at(32);
        let mut clamped = Zeroizing::new([0; 32]);
        clamped.copy_from_slice(low);
        *clamped = clamp_integer(*clamped);
        let scalar = Scalar::from_bytes_mod_order(*clamped);
        let mut prefix = [0; 32];
        prefix.copy_from_slice(high);
        let point = EdwardsPoint::mul_base(&scalar);
        Self { scalar, prefix, public: PublicKey { bytes: point.compress().0, point } }
    }

    /// Returns the public key.
    pub const fn public(&self) -> PublicKey {
        self.public
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.scalar.zeroize();
        self.prefix.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", FixedBytes(self.public.bytes))
    }
}

/// A public key that passed section 5.4.5: a canonical point, not one of the eight of small order, for which
/// an output could have more than one value.
#[derive(Clone, Copy)]
pub struct PublicKey {
    bytes: [u8; 32],
    /// `Y`, decoded once.
    point: EdwardsPoint,
}

impl PublicKey {
    /// Decodes and validates a key (section 5.4.5, decoding as in RFC 8032 section 5.1.3).
    ///
    /// # Errors
    /// [`VrfError::KeyPoint`] or [`VrfError::KeySmallOrder`].
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, VrfError> {
        let point = decode_point(bytes).ok_or(VrfError::KeyPoint)?;
        if point.is_small_order() {
            return Err(VrfError::KeySmallOrder);
        }
        Ok(Self { bytes, point })
    }

    /// Returns the 32 bytes that [`Self::from_bytes`] takes.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.bytes
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", FixedBytes(self.bytes))
    }
}

/// `pi`, a proof as it travels: not decoded, not checked. In RLP a string of 80 bytes, in JSON hex.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    RlpEncodableWrapper,
    RlpDecodableWrapper,
)]
#[serde(transparent)]
pub struct Proof(pub FixedBytes<PROOF_LENGTH>);

impl TryFrom<&[u8]> for Proof {
    type Error = VrfError;

    fn try_from(bytes: &[u8]) -> Result<Self, VrfError> {
        FixedBytes::try_from(bytes).map(Self).map_err(|_| VrfError::Length(bytes.len()))
    }
}

/// `beta`, the output: 64 bytes that are the same for every proof by this key of this input. In RLP a string,
/// in JSON hex.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    RlpEncodableWrapper,
    RlpDecodableWrapper,
)]
#[serde(transparent)]
pub struct Output(pub FixedBytes<64>);

/// Why a key or a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VrfError {
    /// The key's bytes encode no point, or not in the one canonical way.
    #[error("the VRF key is not the canonical encoding of a point of edwards25519")]
    KeyPoint,
    /// The key is one of the eight points of small order.
    #[error("the VRF key is a point of small order")]
    KeySmallOrder,
    /// Not as long as a proof.
    #[error("a VRF proof of {0} bytes, expected {PROOF_LENGTH}")]
    Length(usize),
    /// Gamma's bytes encode no point, or not in the one canonical way.
    #[error("gamma of the VRF proof is not the canonical encoding of a point of edwards25519")]
    Gamma,
    /// The scalar `s` is not below the order of the group.
    #[error("s of the VRF proof is not below the order of the group")]
    Scalar,
    /// None of the 256 hashes of this input is a point. Happens once in about 2^256 inputs.
    #[error("the input of the VRF hashes to no point")]
    NoPoint,
    /// The challenge differs: the proof is for another key or another input, or forged.
    #[error("the VRF proof does not hold for this key and this input")]
    Mismatch,
}

/// Proves the output of this input (section 5.1). Deterministic.
///
/// Only `alpha` influences how long it takes: it must not be secret.
///
/// # Panics
/// If none of 256 hashes of the input is a point; the chance is about 2^-256.
pub fn prove(key: &SecretKey, alpha: &[u8]) -> Proof {
    let public = &key.public;
    let h = encode_to_curve(public, alpha).expect("256 hashes that are no point: 2^-256");
    let h_bytes = h.compress().0;
    let gamma = key.scalar * h;
    let nonce: Zeroizing<Scalar> = Zeroizing::new(hash_to_scalar(&key.prefix, &h_bytes));
    let points = [gamma, EdwardsPoint::mul_base(&nonce), *nonce * h];
    let [gamma, u, v] = EdwardsPoint::compress_batch(&points).map(|point| point.0);
    let c = challenge(&[public.bytes, h_bytes, gamma, u, v]);
    let s = *nonce + Scalar::from(c) * key.scalar;

    let mut pi = [0; PROOF_LENGTH];
    pi[..32].copy_from_slice(&gamma);
    pi[32..48].copy_from_slice(&c.to_le_bytes());
    pi[48..].copy_from_slice(s.as_bytes());
    Proof(FixedBytes(pi))
}

/// Checks a proof and returns the output that it proves (section 5.3, the key already validated).
///
/// # Errors
/// What is wrong with the proof; every error means that it proves nothing.
pub fn verify(key: &PublicKey, alpha: &[u8], proof: &Proof) -> Result<Output, VrfError> {
    let Decoded { gamma, c, s } = decode(proof)?;
    let h = encode_to_curve(key, alpha)?;
    // c times the negated point, not -c times the point: -c is reduced by the prime order, which would be
    // another result for a point that has a part of small order.
    let factor = Scalar::from(c);
    let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&factor, &-key.point, &s);
    let v = EdwardsPoint::vartime_multiscalar_mul([s, factor], [h, -gamma]);
    let [h, gamma_bytes, u, v] =
        EdwardsPoint::compress_batch(&[h, gamma, u, v]).map(|point| point.0);
    if challenge(&[key.bytes, h, gamma_bytes, u, v]) != c {
        return Err(VrfError::Mismatch);
    }
    Ok(output(&gamma))
}

/// Returns the output that a proof claims (section 5.2). Only for a proof that was verified: this proves nothing.
///
/// # Errors
/// If the proof cannot be decoded.
pub fn proof_to_hash(proof: &Proof) -> Result<Output, VrfError> {
    Ok(output(&decode(proof)?.gamma))
}

struct Decoded {
    gamma: EdwardsPoint,
    c: u128,
    s: Scalar,
}

/// Section 5.4.4.
fn decode(Proof(FixedBytes(pi)): &Proof) -> Result<Decoded, VrfError> {
    let mut gamma = [0; 32];
    let mut c = [0; 16];
    let mut s = [0; 32];
    gamma.copy_from_slice(&pi[..32]);
    c.copy_from_slice(&pi[32..48]);
    s.copy_from_slice(&pi[48..]);
    Ok(Decoded {
        gamma: decode_point(gamma).ok_or(VrfError::Gamma)?,
        c: u128::from_le_bytes(c),
        s: Option::from(Scalar::from_canonical_bytes(s)).ok_or(VrfError::Scalar)?,
    })
}

/// RFC 8032 section 5.1.3. The library decodes more than the RFC does: `y` not below the field's prime, and
/// `x = 0` with a sign. Encoding again finds both.
fn decode_point(bytes: [u8; 32]) -> Option<EdwardsPoint> {
    CompressedEdwardsY(bytes).decompress().filter(|point| point.compress().0 == bytes)
}

/// Try and increment (section 5.4.1.1), salted with the key: about two hashes on average.
fn encode_to_curve(key: &PublicKey, alpha: &[u8]) -> Result<EdwardsPoint, VrfError> {
    let start = Sha512::new().chain_update([SUITE, 1]).chain_update(key.bytes).chain_update(alpha);
    (0..=u8::MAX)
        .find_map(|counter| {
            let hash = start.clone().chain_update([counter, 0]).finalize();
            let mut candidate = [0; 32];
            candidate.copy_from_slice(&hash[..32]);
            let point = decode_point(candidate)?;
            (!point.is_small_order()).then(|| point.mul_by_cofactor())
        })
        .ok_or(VrfError::NoPoint)
}

/// Nonce generation (section 5.4.2.2).
fn hash_to_scalar(prefix: &[u8; 32], h: &[u8; 32]) -> Scalar {
    let hash = Sha512::new().chain_update(prefix).chain_update(h).finalize();
    let hash: Zeroizing<[u8; 64]> = Zeroizing::new(hash.into());
    Scalar::from_bytes_mod_order_wide(&hash)
}

/// Challenge generation (section 5.4.3) over Y, H, Gamma, U and V.
fn challenge(points: &[[u8; 32]; 5]) -> u128 {
    let hash = Sha512::new()
        .chain_update([SUITE, 2])
        .chain_update(points.as_flattened())
        .chain_update([0])
        .finalize();
    let mut c = [0; 16];
    c.copy_from_slice(&hash[..16]);
    u128::from_le_bytes(c)
}

fn output(gamma: &EdwardsPoint) -> Output {
    let cleared = gamma.mul_by_cofactor().compress().0;
    let hash =
        Sha512::new().chain_update([SUITE, 3]).chain_update(cleared).chain_update([0]).finalize();
    Output(FixedBytes(hash.into()))
}

/// Bytes of a proof: a point, a challenge of 16 bytes, a scalar (section 5.5).
pub const PROOF_LENGTH: usize = 80;

/// ECVRF-EDWARDS25519-SHA512-TAI (section 5.5).
const SUITE: u8 = 3;

#[cfg(test)]
mod tests;
