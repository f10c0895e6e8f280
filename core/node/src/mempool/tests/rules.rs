//! One row per rule, and the gas that a transaction costs before it runs.

use super::*;
use alloy_consensus::{TxEip2930, TxEip4844, TxEip7702};
use alloy_primitives::{KECCAK256_EMPTY, keccak256};

fn access_list(addresses: u8, keys: u8) -> alloy_eips::eip2930::AccessList {
    use alloy_eips::eip2930::{AccessList, AccessListItem};
    let storage_keys: Vec<_> = (0..keys).map(B256::repeat_byte).collect();
    AccessList(
        (0..addresses)
            .map(|n| AccessListItem {
                address: address(n),
                storage_keys: if n == 0 { storage_keys.clone() } else { Vec::new() },
            })
            .collect(),
    )
}

fn authorizations(n: usize) -> Vec<alloy_eips::eip7702::SignedAuthorization> {
    use alloy_eips::eip7702::{Authorization, SignedAuthorization};
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: address(9), nonce: 0 };
    vec![SignedAuthorization::new_unchecked(authorization, 0, U256::ONE, U256::ONE); n]
}

fn sign<T: SignableTransaction<Signature>>(tx: T) -> Recovered<Transaction>
where
    alloy_consensus::Signed<T>: Into<Transaction>,
{
    Recovered::new_unchecked(tx.into_signed(Signature::test_signature()).into(), address(1))
}

/// Refused with this text; a fault or not.
#[track_caller]
fn refused(tx: Recovered<Transaction>, words: &str, fault: bool) -> Rejection {
    let mut pool = Mempool::new(Limits::default());
    let rejection = add(&mut pool, &rich(), &tx).unwrap_err();
    assert!(rejection.to_string().contains(words), "`{rejection}` does not contain `{words}`");
    assert_eq!(rejection.is_fault(), fault, "{rejection}");
    assert!(pool.is_empty());
    check_invariants(&pool);
    rejection
}

#[test]
fn refuses_what_is_invalid_by_itself() {
    let base = || transfer(1, 0, 100, 1);
    let blob = TxEip4844 { chain_id: CHAIN_ID, ..TxEip4844::default() };
    refused(sign(blob), "transaction type not supported", true);
    let other = TxEip1559 { chain_id: 1, ..base() };
    refused(signed(1, other), "invalid chain id for signer: have 1 want 1337", true);
    refused(signed(1, TxEip1559 { nonce: u64::MAX, ..base() }), "nonce has max value", true);
    let tip = TxEip1559 { max_priority_fee_per_gas: 101, ..base() };
    refused(signed(1, tip), "max priority fee per gas higher than max fee per gas", true);
    let gas = TxEip1559 { gas_limit: 20_999, ..base() };
    refused(signed(1, gas), "intrinsic gas too low: gas 20999, minimum needed 21000", true);
    let input = Bytes::from(vec![0; 131_072]);
    refused(
        signed(1, TxEip1559 { input, gas_limit: 30_000_000, ..base() }),
        "oversized data",
        true,
    );
    let input = Bytes::from(vec![0; check::INIT_CODE_BYTES_MAX + 1]);
    let create = TxEip1559 { to: TxKind::Create, input, gas_limit: 30_000_000, ..base() };
    refused(signed(1, create), "max initcode size exceeded: code size 49153, limit 49152", true);
    let set_code = TxEip7702 { chain_id: CHAIN_ID, gas_limit: 100_000, ..TxEip7702::default() };
    refused(sign(set_code), "empty auth list", true);
    // 100 non-zero bytes: 21,000 + 1,600 intrinsic, 21,000 + 4,000 floor (EIP-7623).
    let data = TxEip1559 { input: vec![1; 100].into(), gas_limit: 24_999, ..base() };
    let words = "insufficient gas for floor data gas cost: gas 24999, minimum needed 25000";
    refused(signed(1, data), words, true);
}

#[test]
fn refuses_what_the_head_or_the_account_does_not_allow() {
    let base = || transfer(1, 0, 100, 1);
    let gas = TxEip1559 { gas_limit: 30_000_001, ..base() };
    refused(signed(1, gas), "exceeds block gas limit", false);
    let free = transfer(1, 0, 0, 0);
    refused(signed(1, free), "max fee per gas less than block base fee", false);
    let value = TxEip1559 { value: U256::MAX, ..base() };
    refused(signed(1, value), "insufficient funds for gas * price + value", false);
    refused(signed(1, transfer(1, 1_001, 100, 1)), "nonce too high", false);
    refused(signed(99, base()), "insufficient funds for gas * price + value", false);

    let state = state(&[(1, 5, U256::from(GWEI))]);
    let mut pool = Mempool::new(Limits::default());
    assert_eq!(
        add(&mut pool, &state, &tx(1, 4, 100)),
        Err(Rejection::NonceTooLow { got: 4, expected: 5 })
    );
    let first = tx(1, 5, 100);
    add(&mut pool, &state, &first).unwrap();
    assert_eq!(add(&mut pool, &state, &first), Err(Rejection::AlreadyKnown(hash(&first))));
}

#[test]
fn takes_an_unprotected_legacy_transaction() {
    let legacy = TxLegacy {
        chain_id: None,
        gas_price: 100,
        gas_limit: 21_000,
        to: TxKind::Call(address(1)),
        ..TxLegacy::default()
    };
    let mut pool = Mempool::new(Limits::default());
    assert!(add(&mut pool, &rich(), &signed(1, legacy)).unwrap().executable);
}

#[test]
fn a_sender_with_code_must_be_a_delegation() {
    let delegation = [&[0xef, 0x01, 0x00][..], address(7).as_slice()].concat();
    for (code, allowed) in [(delegation.clone(), true), (vec![0x60; 23], false)] {
        let code = Bytes::from(code);
        let account = AccountChange {
            balance: U256::from(GWEI),
            code_hash: keccak256(&code),
            ..AccountChange::default()
        };
        assert_ne!(account.code_hash, KECCAK256_EMPTY);
        let changes = StateChanges {
            codes: [(account.code_hash, code)].into(),
            accounts: [(address(1), Some(account))].into(),
        };
        let state = State::empty().apply(&changes).unwrap();
        let result = add(&mut Mempool::new(Limits::default()), &state, &tx(1, 0, 100));
        if allowed {
            assert!(result.is_ok());
        } else {
            assert_eq!(result, Err(Rejection::SenderNotEoa(address(1))));
        }
    }
}

#[test]
fn funds_must_cover_everything_that_a_sender_has_here() {
    let one = U256::from(21_000_u64 * 100);
    let state = state(&[(1, 0, one * U256::from(2))]);
    let mut pool = Mempool::new(Limits::default());
    add(&mut pool, &state, &tx(1, 0, 100)).unwrap();
    add(&mut pool, &state, &tx(1, 5, 100)).unwrap();
    let Err(Rejection::InsufficientFunds { needed, balance, .. }) =
        add(&mut pool, &state, &tx(1, 1, 1))
    else {
        panic!("three do not fit");
    };
    assert_eq!((needed, balance), (one * U256::from(2) + U256::from(21_000), one * U256::from(2)));
    // What is replaced is not counted twice, but the difference is.
    assert!(matches!(
        add(&mut pool, &state, &tx(1, 5, 110)),
        Err(Rejection::InsufficientFunds { .. })
    ));
    check_invariants(&pool);
}

#[test]
fn intrinsic_and_floor_gas_follow_the_eips() {
    // (transaction, intrinsic, floor): sums written out from the EIPs' constants.
    let call = |input: Vec<u8>| transfer(1, 0, 1, 1).with_input(input);
    let create = |input: Vec<u8>| TxEip1559 { to: TxKind::Create, ..call(input) };
    let listed = TxEip2930 { access_list: access_list(2, 3), ..TxEip2930::default() };
    let set_code = TxEip7702 { authorization_list: authorizations(2), ..TxEip7702::default() };
    let rows = [
        (signed(1, call(vec![])), 21_000, 21_000),
        (signed(1, call(vec![0; 10])), 21_000 + 40, 21_000 + 100),
        (signed(1, call(vec![7; 10])), 21_000 + 160, 21_000 + 400),
        (signed(1, call(vec![0, 7])), 21_000 + 4 + 16, 21_000 + 10 + 40),
        (signed(1, create(vec![])), 53_000, 21_000),
        (signed(1, create(vec![7; 33])), 53_000 + 33 * 16 + 2 * 2, 21_000 + 33 * 40),
        // A call to nobody is a creation in the type's default.
        (sign(listed), 53_000 + 2 * 2_400 + 3 * 1_900, 21_000),
        (sign(set_code), 21_000 + 2 * 25_000, 21_000),
    ];
    for (tx, intrinsic, floor) in rows {
        assert_eq!(check::intrinsic_gas(tx.inner()), intrinsic, "{tx:?}");
        assert_eq!(check::floor_data_gas(tx.inner()), floor, "{tx:?}");
    }
}

trait WithInput {
    fn with_input(self, input: Vec<u8>) -> Self;
}

impl WithInput for TxEip1559 {
    fn with_input(self, input: Vec<u8>) -> Self {
        Self { input: input.into(), ..self }
    }
}

#[test]
fn a_replacement_bumps_both_caps_by_a_tenth() {
    // Against fee cap 1,000 and tip 100.
    let rows = [
        (1_090, 109, false),
        (1_100, 109, false),
        (1_099, 110, false),
        (1_100, 110, true),
        (2_000, 100, false),
        (1_000, 1_000, false),
    ];
    for (fee_cap, tip, ok) in rows {
        let mut pool = Mempool::new(Limits::default());
        let state = rich();
        let old = signed(1, transfer(1, 0, 1_000, 100));
        add(&mut pool, &state, &old).unwrap();
        let later = tx(1, 1, 5);
        add(&mut pool, &state, &later).unwrap();
        let new = signed(1, transfer(1, 0, fee_cap, tip));
        match add(&mut pool, &state, &new) {
            Ok(added) => {
                assert!(ok, "{fee_cap} {tip}");
                assert_eq!(added.replaced, Some(hash(&old)));
                assert!(added.executable && added.promoted.is_empty());
                assert!(!pool.contains(hash(&old)));
            }
            Err(rejection) => {
                assert!(!ok, "{fee_cap} {tip}");
                assert_eq!(
                    rejection,
                    Rejection::ReplacementUnderpriced {
                        fee_cap,
                        tip,
                        fee_cap_needed: 1_100,
                        tip_needed: 110
                    }
                );
                assert!(pool.contains(hash(&old)));
            }
        }
        assert_eq!(pool.pending_count(), 2);
        check_invariants(&pool);
    }
}

#[test]
fn a_replacement_of_almost_nothing_still_costs_more() {
    let mut pool = Mempool::new(Limits::default());
    let state = rich();
    add(&mut pool, &state, &signed(1, transfer(1, 0, 1, 0))).unwrap();
    assert!(add(&mut pool, &state, &signed(1, transfer(1, 0, 2, 0))).is_err());
    assert!(add(&mut pool, &state, &signed(1, transfer(1, 0, 1, 1))).is_err());
    assert!(add(&mut pool, &state, &signed(1, transfer(1, 0, 2, 1))).is_ok());
    check_invariants(&pool);
}
