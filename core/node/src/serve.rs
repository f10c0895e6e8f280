//! Answers to peers' requests for stored blocks. Pure reads: the host calls it outside of the node's loop.

use alloy_rlp::Encodable;
use kette_chain::ChainReader;
use kette_ledger::ReadError;
use kette_types::{B256, Message, limits};
use std::collections::BTreeSet;

/// Answers a request for headers, bodies or transactions of a block; `None` for any other message.
///
/// # Errors
/// If the store fails.
pub fn serve(chain: &dyn ChainReader, request: &Message) -> Result<Option<Message>, ReadError> {
    Ok(match request {
        Message::GetHeaders { id, locator, limit } => {
            Some(Message::Headers { id: *id, headers: headers(chain, locator, *limit)? })
        }
        Message::GetBodies { id, hashes } => {
            let mut bodies = Vec::new();
            let mut bytes = 0;
            let mut read = BTreeSet::new();
            for hash in hashes.iter().take(limits::BODIES_MAX) {
                // Nobody needs a body twice; the answer ends where the question makes no sense.
                if !read.insert(*hash) {
                    break;
                }
                let Some(body) = chain.body(*hash)? else { break };
                bytes += body.length();
                if bytes > ANSWER_BYTES && !bodies.is_empty() {
                    break;
                }
                bodies.push(body);
            }
            Some(Message::Bodies { id: *id, bodies })
        }
        Message::GetBlockTransactions { block, indexes } => {
            // Ascending, as the protocol says: so no answer is larger than the body.
            let ascending = indexes.is_sorted_by(|a, b| a < b);
            let body = if ascending { chain.body(*block)? } else { None }.unwrap_or_default();
            let picked: Option<Vec<_>> = indexes
                .iter()
                .map(|index| body.transactions.get(*index as usize).cloned())
                .collect();
            Some(Message::BlockTransactions {
                block: *block,
                transactions: picked.unwrap_or_default(),
            })
        }
        _ => None,
    })
}

fn headers(
    chain: &dyn ChainReader,
    locator: &[B256],
    limit: u32,
) -> Result<Vec<kette_types::SealedHeader>, ReadError> {
    let mut next = None;
    for hash in locator.iter().take(limits::LOCATOR_MAX) {
        if let Some(header) = chain.header(*hash)?
            && chain.canonical(header.number)? == Some(*hash)
        {
            next = Some(header.number + 1);
            break;
        }
    }
    let Some(mut number) = next else { return Ok(Vec::new()) };
    let mut headers = Vec::new();
    let mut bytes = 0;
    while headers.len() < (limit as usize).min(limits::HEADERS_MAX) {
        let Some(hash) = chain.canonical(number)? else { break };
        let Some(header) = chain.header(hash)? else { break };
        bytes += header.length();
        if bytes > limits::HEADERS_BYTES_MAX {
            break;
        }
        headers.push(header);
        number += 1;
    }
    Ok(headers)
}

/// Bytes of bodies in one answer: well below a frame, so that many peers share the work.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
