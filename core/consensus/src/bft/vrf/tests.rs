//! The vectors of RFC 9381, forgeries, bytes that are not what they should be, and points of small order.

use super::*;
use alloy_primitives::{B256, b256, hex};
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

/// RFC 9381 appendix B.3.
struct Vector {
    seed: B256,
    public: B256,
    alpha: &'static [u8],
    h: B256,
    nonce: B256,
    u: B256,
    v: B256,
    pi: [u8; 80],
    beta: [u8; 64],
}

const VECTORS: [Vector; 3] = [
    // Example 16
    Vector {
        seed: b256!("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
        public: b256!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
        alpha: &[],
        h: b256!("91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318"),
        nonce: b256!("8a49edbd1492a8ee09766befe50a7d563051bf3406cbffc20a88def030730f0f"),
        u: b256!("aef27c725be964c6a9bf4c45ca8e35df258c1878b838f37d9975523f09034071"),
        v: b256!("5016572f71466c646c119443455d6cb9b952f07d060ec8286d678615d55f954f"),
        pi: hex!(
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
            "26f8a57ccaed74ee1b190bed1f479d97"
            "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
        ),
        beta: hex!(
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
            "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    },
    // Example 17
    Vector {
        seed: b256!("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
        public: b256!("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
        alpha: &hex!("72"),
        h: b256!("5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551"),
        nonce: b256!("d8c3a66921444cb3427d5d989f9b315aa8ca3375e9ec4d52207711a1fdb44107"),
        u: b256!("1dcb0a4821a2c48bf53548228b7f170962988f6d12f5439f31987ef41f034ab3"),
        v: b256!("fd03c0bf498c752161bae4719105a074630a2aa5f200ff7b3995f7bfb1513423"),
        pi: hex!(
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
            "3bf0864a62558b3ed7f2fea45c92a465"
            "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02"
        ),
        beta: hex!(
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
            "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031"
        ),
    },
    // Example 18
    Vector {
        seed: b256!("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
        public: b256!("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
        alpha: &hex!("af82"),
        h: b256!("bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a"),
        nonce: b256!("5ffdbc72135d936014e8ab708585fda379405542b07e3bd2c0bd48437fbac60a"),
        u: b256!("2bae73e15a64042fcebf062abe7e432b2eca6744f3e8265bc38e009cd577ecd5"),
        v: b256!("88cba1cb0d4f9b649d9a86026b69de076724a93a65c349c988954f0961c5d506"),
        pi: hex!(
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
            "96bb474e53895c362d8628ee9f9ea3c0"
            "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        beta: hex!(
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
            "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f"
        ),
    },
];

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

#[test]
fn the_vectors_of_the_rfc() {
    for vector in &VECTORS {
        let secret = SecretKey::from_seed(&vector.seed.0);
        let public = PublicKey::from_bytes(vector.public.0).unwrap();
        assert_eq!(secret.public(), public);

        let h = encode_to_curve(&public, vector.alpha).unwrap();
        let nonce = hash_to_scalar(&secret.prefix, &vector.h.0);
        assert_eq!(h.compress().0, vector.h.0);
        assert_eq!(nonce.as_bytes(), &vector.nonce.0);
        assert_eq!(EdwardsPoint::mul_base(&nonce).compress().0, vector.u.0);
        assert_eq!((nonce * h).compress().0, vector.v.0);

        let proof = prove(&secret, vector.alpha);
        assert_eq!(proof.0, vector.pi);
        assert_eq!(verify(&public, vector.alpha, &proof).unwrap().0, vector.beta);
        assert_eq!(proof_to_hash(&proof).unwrap().0, vector.beta);
    }
}

#[test]
fn what_is_proven_verifies() {
    let mut outputs = Vec::new();
    for number in 0..20 {
        let secret = key(number);
        let public = PublicKey::from_bytes(secret.public().to_bytes()).unwrap();
        for length in [0, 1, 32, 127, 128, 1_000] {
            let alpha = vec![number; length];
            let proof = prove(&secret, &alpha);
            assert_eq!(prove(&secret, &alpha), proof);
            let output = verify(&public, &alpha, &proof).unwrap();
            assert!(!outputs.contains(&output));
            outputs.push(output);
        }
    }
}

#[test]
fn no_bit_of_a_proof_may_change() {
    for vector in &VECTORS {
        let public = PublicKey::from_bytes(vector.public.0).unwrap();
        for bit in 0..8 * PROOF_LENGTH {
            let mut proof = Proof(FixedBytes(vector.pi));
            proof.0[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&public, vector.alpha, &proof).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn a_proof_is_for_one_key_and_one_input() {
    let proof = prove(&key(1), b"seven");
    assert!(verify(&key(1).public(), b"seven", &proof).is_ok());
    for (number, alpha) in [(1, b"eight".as_slice()), (1, b""), (1, b"seven\0"), (2, b"seven")] {
        let verdict = verify(&key(number).public(), alpha, &proof);
        assert_eq!(verdict, Err(VrfError::Mismatch), "key {number}, {alpha:?}");
    }
    // Parts of two good proofs are no proof.
    let other = prove(&key(1), b"eight");
    for cut in [32, 48] {
        let mut mixed = proof;
        mixed.0[cut..].copy_from_slice(&other.0[cut..]);
        assert!(verify(&key(1).public(), b"seven", &mixed).is_err());
    }
}

#[test]
fn a_scalar_has_one_encoding() {
    // The order of the group, little-endian (RFC 8032 section 5.1): 2^252 + 277...493.
    let order = hex!("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    for number in 0..10 {
        let secret = key(number);
        let mut proof = prove(&secret, b"alpha");
        let mut carry = 0;
        for (byte, add) in proof.0[48..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(verify(&secret.public(), b"alpha", &proof), Err(VrfError::Scalar));
        assert_eq!(proof_to_hash(&proof), Err(VrfError::Scalar));
    }
}

#[test]
fn keys_of_small_order_are_refused() {
    for point in EIGHT_TORSION {
        let refused = PublicKey::from_bytes(point.compress().0);
        assert_eq!(refused, Err(VrfError::KeySmallOrder), "{point:?}");
    }
}

#[test]
fn a_point_has_one_encoding() {
    let little_endian = |low: u8, high: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, high);
        bytes
    };
    let mut refused = vec![
        // y = 2 is on no point.
        [[2].as_slice(), &[0; 31]].concat(),
        // y = 1 and y = -1 have x = 0, which has no sign.
        [[1].as_slice(), &[0; 30], &[0x80]].concat(),
        little_endian(0xec, 0xff).to_vec(),
    ];
    // The prime is 2^255 - 19: y from there on stands for y - prime.
    for low in 0xed..=0xff {
        refused.extend([little_endian(low, 0x7f).to_vec(), little_endian(low, 0xff).to_vec()]);
    }
    let proof = prove(&key(1), b"alpha");
    for bytes in refused {
        let bytes: [u8; 32] = bytes.try_into().unwrap();
        assert_eq!(PublicKey::from_bytes(bytes), Err(VrfError::KeyPoint), "{bytes:?}");
        let mut forged = proof;
        forged.0[..32].copy_from_slice(&bytes);
        assert_eq!(verify(&key(1).public(), b"alpha", &forged), Err(VrfError::Gamma));
    }
}

#[test]
fn another_length_is_no_proof() {
    let bytes = prove(&key(1), b"alpha").0.to_vec();
    assert!(Proof::try_from(bytes.as_slice()).is_ok());
    let long = [bytes.as_slice(), &[0]].concat();
    for length in (0..80).chain([81]) {
        assert_eq!(Proof::try_from(&long[..length]), Err(VrfError::Length(length)));
    }
}

/// The holder of a key may add a point of small order to Gamma: another proof, the same output.
#[test]
fn many_proofs_have_one_output() {
    let secret = key(1);
    let honest = prove(&secret, b"alpha");
    let h = encode_to_curve(&secret.public, b"alpha").unwrap();
    for torsion in &EIGHT_TORSION[1..] {
        let gamma = secret.scalar * h + torsion;
        let forge = |nonce: Scalar| {
            let points = [h, gamma, EdwardsPoint::mul_base(&nonce), nonce * h].map(compressed);
            let c = challenge(&[secret.public.bytes, points[0], points[1], points[2], points[3]]);
            c.is_multiple_of(8).then(|| (c, nonce + Scalar::from(c) * secret.scalar))
        };
        let (c, s) = (1_u64..).find_map(|nonce| forge(Scalar::from(nonce))).unwrap();
        let other = encode(&gamma, c, &s);
        assert_ne!(other, honest);
        assert_eq!(verify(&secret.public, b"alpha", &other), proof_to_hash(&honest));
    }
}

/// RFC 9381 accepts a key that is a point of prime order plus one of small order, and so must we, with the
/// RFC's result: c times the point, c an integer.
#[test]
fn a_key_of_mixed_order_is_judged_as_the_rfc_does() {
    let scalar = Scalar::from(7_u64);
    let torsion = EIGHT_TORSION[1];
    let point = scalar * ED25519_BASEPOINT_POINT + torsion;
    let public = PublicKey::from_bytes(compressed(point)).unwrap();
    let h = encode_to_curve(&public, b"alpha").unwrap();
    let gamma = scalar * h;
    // U = s B - c Y = k B - c T, and c mod 8 is known only after U: guess it.
    let forge = |nonce: u64| {
        let guess = u128::from(nonce % 8);
        let nonce = Scalar::from(nonce);
        let u = EdwardsPoint::mul_base(&nonce) - Scalar::from(guess) * torsion;
        let c = challenge(&[public.bytes, compressed(h), compressed(gamma), compressed(u), {
            compressed(nonce * h)
        }]);
        let odd = guess % 2 == 1;
        (odd && c % 8 == guess).then(|| encode(&gamma, c, &(nonce + Scalar::from(c) * scalar)))
    };
    let proof = (1..).find_map(forge).unwrap();
    assert!(verify(&public, b"alpha", &proof).is_ok());
}

#[test]
fn proofs_and_outputs_travel() {
    let proof = prove(&key(1), b"alpha");
    let output = proof_to_hash(&proof).unwrap();
    let encoded = (alloy_rlp::encode(proof), alloy_rlp::encode(output));
    assert_eq!((encoded.0.len(), encoded.1.len()), (82, 66));
    assert_eq!(alloy_rlp::decode_exact(&encoded.0), Ok(proof));
    assert_eq!(alloy_rlp::decode_exact(&encoded.1), Ok(output));
    assert!(alloy_rlp::decode_exact::<Proof>(&encoded.1).is_err());
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(json, format!("\"{}\"", proof.0));
    assert_eq!(serde_json::from_str::<Proof>(&json).unwrap(), proof);
}

#[test]
fn a_secret_is_not_shown() {
    let secret = key(1);
    let public = FixedBytes(secret.public().to_bytes());
    assert_eq!(format!("{secret:?}"), format!("SecretKey(of {public})"));
}

fn compressed(point: EdwardsPoint) -> [u8; 32] {
    point.compress().0
}

fn encode(gamma: &EdwardsPoint, c: u128, s: &Scalar) -> Proof {
    let bytes = [gamma.compress().as_bytes().as_slice(), &c.to_le_bytes(), s.as_bytes()].concat();
    Proof::try_from(bytes.as_slice()).unwrap()
}
