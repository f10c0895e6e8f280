//! Which accounts and slots a transaction touches, so that it can declare them (EIP-2930).

use super::{Call, CallError, CallOutcome, Simulation, overrides::Overridden};
use crate::staking::STAKING_ADDRESS;
use alloy_primitives::TxKind;
use kette_types::{Address, B256};
use revm::{
    bytecode::opcode,
    context::transaction::{AccessList, AccessListItem},
    database::State as Cache,
    inspector::Inspector,
    interpreter::{
        Interpreter,
        interpreter_types::{InputsTr as _, Jumps as _},
    },
    precompile::{PrecompileSpecId, Precompiles},
};
use std::collections::{BTreeMap, BTreeSet};

/// What declaring a list gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessListOutcome {
    /// Accounts and slots, ascending.
    pub access_list: AccessList,
    /// How the call ends with that list.
    pub outcome: CallOutcome,
}

impl Call<'_> {
    /// Returns the access list with which it touches nothing that is not declared: `eth_createAccessList`.
    ///
    /// # Errors
    /// If the request cannot be run at all.
    pub fn access_list(&self) -> Result<AccessListOutcome, CallError> {
        let simulation = Simulation::new(self)?;
        let mut list = self.request.access_list.clone().unwrap_or_default();
        simulation.with_cache(|cache| {
            let excluded = excluded(&simulation, cache)?;
            let mut rounds = 0;
            loop {
                let mut touched = Touched::new(&list, &excluded);
                let result = simulation.run(cache, self.gas(), Some(list.clone()), &mut touched)?;
                let next = touched.into_list();
                rounds += 1;
                // A program may do something else because of what its list made cheaper; it settles soon.
                if next == list || rounds == ROUNDS_MAX {
                    return Ok(AccessListOutcome { access_list: next, outcome: result.into() });
                }
                list = next;
            }
        })
    }
}

/// Returns what is warm anyway: sender, recipient, precompiles (EIP-2929).
fn excluded(
    simulation: &Simulation<'_>,
    cache: &mut Cache<Overridden<'_>>,
) -> Result<BTreeSet<Address>, CallError> {
    let spec = PrecompileSpecId::from_spec_id(simulation.env.cfg_env.spec);
    let mut excluded: BTreeSet<Address> = Precompiles::new(spec).addresses().copied().collect();
    if simulation.rules.bft().is_some() {
        excluded.insert(STAKING_ADDRESS);
    }
    let from = simulation.transaction.caller;
    excluded.insert(from);
    excluded.insert(match simulation.transaction.kind {
        TxKind::Call(to) => to,
        TxKind::Create => from.create(simulation.sender(cache)?.nonce),
    });
    Ok(excluded)
}

/// Collects what a run touches.
struct Touched<'a> {
    slots: BTreeMap<Address, BTreeSet<B256>>,
    excluded: &'a BTreeSet<Address>,
}

impl<'a> Touched<'a> {
    fn new(list: &AccessList, excluded: &'a BTreeSet<Address>) -> Self {
        let mut slots = BTreeMap::<Address, BTreeSet<B256>>::new();
        for item in &list.0 {
            slots.entry(item.address).or_default().extend(&item.storage_keys);
        }
        Self { slots, excluded }
    }

    fn touch(&mut self, address: Address) {
        if !self.excluded.contains(&address) {
            self.slots.entry(address).or_default();
        }
    }

    fn into_list(self) -> AccessList {
        let items = self.slots.into_iter().map(|(address, keys)| AccessListItem {
            address,
            storage_keys: keys.into_iter().collect(),
        });
        AccessList(items.collect())
    }
}

impl<C> Inspector<C> for Touched<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, _: &mut C) {
        let word = |n| interpreter.stack.peek(n).map(B256::from);
        match interpreter.bytecode.opcode() {
            opcode::SLOAD | opcode::SSTORE => {
                if let Ok(slot) = word(0) {
                    let address = interpreter.input.target_address();
                    self.slots.entry(address).or_default().insert(slot);
                }
            }
            opcode::EXTCODECOPY
            | opcode::EXTCODEHASH
            | opcode::EXTCODESIZE
            | opcode::BALANCE
            | opcode::SELFDESTRUCT => {
                if let Ok(word) = word(0) {
                    self.touch(Address::from_word(word));
                }
            }
            opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL => {
                if let Ok(word) = word(1) {
                    self.touch(Address::from_word(word));
                }
            }
            _ => {}
        }
    }
}

/// Runs at most, until a list settles.
const ROUNDS_MAX: usize = 16;
