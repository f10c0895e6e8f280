//! Finding blocks, transactions and states: in the node's snapshot first, then in the store.

use crate::{context::Context, failure::Failure};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use kette_chain::{ChainReader, ExecutedBlock, record::StoredBlock};
use kette_ledger::{BlockHashes, State};
use kette_node::View;
use kette_types::{Address, Body, Receipt, SealedHeader, U256};
use std::sync::Arc;

/// A block with everything that clients ask of it.
#[derive(Debug)]
pub(crate) enum Whole {
    /// Held by the node.
    Live(Arc<ExecutedBlock>),
    /// Read back.
    Stored {
        /// Block, senders, weight.
        stored: Box<StoredBlock>,
        /// One per transaction.
        receipts: Vec<Receipt>,
    },
}

impl Whole {
    pub(crate) fn header(&self) -> &SealedHeader {
        match self {
            Self::Live(live) => &live.block.header,
            Self::Stored { stored, .. } => &stored.block.header,
        }
    }

    pub(crate) fn body(&self) -> &Body {
        match self {
            Self::Live(live) => &live.block.body,
            Self::Stored { stored, .. } => &stored.block.body,
        }
    }

    pub(crate) fn senders(&self) -> &[Address] {
        match self {
            Self::Live(live) => &live.senders,
            Self::Stored { stored, .. } => &stored.senders,
        }
    }

    pub(crate) fn receipts(&self) -> &[Receipt] {
        match self {
            Self::Live(live) => &live.receipts,
            Self::Stored { receipts, .. } => receipts,
        }
    }

    pub(crate) fn total_weight(&self) -> U256 {
        match self {
            Self::Live(live) => live.total_weight,
            Self::Stored { stored, .. } => stored.total_weight,
        }
    }
}

impl Context {
    /// Returns the hash of the block that a tag or number names; `None` if there is none. `pending` is the
    /// head: what waits has no block yet.
    pub(crate) fn tagged(
        &self,
        view: &View,
        tag: BlockNumberOrTag,
    ) -> Result<Option<B256>, Failure> {
        match tag {
            BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => Ok(Some(view.head.hash())),
            BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => Ok(Some(view.finalized.1)),
            BlockNumberOrTag::Earliest => self.canonical(view, 0),
            BlockNumberOrTag::Number(number) => self.canonical(view, number),
        }
    }

    /// Returns the hash of the block that a client names; `None` if there is none.
    pub(crate) fn named(&self, view: &View, id: BlockId) -> Result<Option<B256>, Failure> {
        match id {
            BlockId::Number(tag) => self.tagged(view, tag),
            BlockId::Hash(named) => {
                let hash = named.block_hash;
                if named.require_canonical == Some(true) {
                    let Some(header) = self.header(view, hash)? else { return Ok(None) };
                    if self.canonical(view, header.number)? != Some(hash) {
                        return Err(Failure::Server("hash is not currently canonical".to_owned()));
                    }
                }
                Ok(Some(hash))
            }
        }
    }

    /// Returns the hash of the canonical block with this number, if it is not above the snapshot's head.
    pub(crate) fn canonical(&self, view: &View, number: u64) -> Result<Option<B256>, Failure> {
        let head = view.head.number();
        if number == head {
            return Ok(Some(view.head.hash()));
        }
        if number > head {
            return Ok(None);
        }
        Ok(ChainReader::canonical(&self.reader, number)?)
    }

    /// Returns a header by hash.
    pub(crate) fn header(&self, view: &View, hash: B256) -> Result<Option<SealedHeader>, Failure> {
        if let Some(live) = view.recent.get(&hash) {
            return Ok(Some(live.block.header.clone()));
        }
        Ok(ChainReader::header(&self.reader, hash)?)
    }

    /// Returns a block by hash, whole.
    pub(crate) fn whole(&self, view: &View, hash: B256) -> Result<Option<Whole>, Failure> {
        if let Some(live) = view.recent.get(&hash) {
            return Ok(Some(Whole::Live(live.clone())));
        }
        let Some(stored) = self.reader.block(hash)? else { return Ok(None) };
        let receipts = self.reader.receipts(hash)?.unwrap_or_default();
        Ok(Some(Whole::Stored { stored: Box::new(stored), receipts }))
    }

    /// Returns a block by name, whole; `None` if there is none.
    pub(crate) fn whole_named(&self, view: &View, id: BlockId) -> Result<Option<Whole>, Failure> {
        match self.named(view, id)? {
            Some(hash) => self.whole(view, hash),
            None => Ok(None),
        }
    }

    /// Returns the block and place of a canonical transaction.
    pub(crate) fn located(
        &self,
        view: &View,
        transaction: B256,
    ) -> Result<Option<(Whole, usize)>, Failure> {
        let Some(place) = self.reader.transaction(transaction)? else { return Ok(None) };
        let (hash, index) = (place.block, usize::try_from(place.index).unwrap_or(usize::MAX));
        let Some(whole) = self.whole(view, hash)? else { return Ok(None) };
        let found =
            whole.body().transactions.get(index).is_some_and(|t| *t.tx_hash() == transaction);
        let visible = self.canonical(view, whole.header().number)? == Some(hash);
        Ok((found && visible).then_some((whole, index)))
    }

    /// Returns the header and state that a client names; the head if it names none.
    pub(crate) fn state(
        &self,
        view: &View,
        id: Option<BlockId>,
    ) -> Result<(SealedHeader, State), Failure> {
        let id = id.unwrap_or_default();
        let hash = self.named(view, id)?.ok_or_else(Failure::no_block)?;
        if let Some(live) = view.recent.get(&hash) {
            return Ok((live.block.header.clone(), live.state.clone()));
        }
        let header = ChainReader::header(&self.reader, hash)?.ok_or_else(Failure::no_block)?;
        let state = State::open(Arc::new(self.reader.clone()), header.state_root);
        Ok((header, state))
    }
}

/// Ancestors of a block, for BLOCKHASH. Follows parents, so that a side branch sees its own.
pub(crate) struct Ancestors<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) view: &'a View,
    pub(crate) header: &'a SealedHeader,
}

impl BlockHashes for Ancestors<'_> {
    fn block_hash(&self, number: u64) -> Option<B256> {
        let mut header = self.header.clone();
        while header.number > number {
            let parent = header.parent_hash;
            if header.number == number + 1 {
                return Some(parent);
            }
            header = self.cx.header(self.view, parent).ok()??;
        }
        (header.number == number).then(|| header.hash())
    }
}
