//! Why a call failed, in the codes of JSON-RPC 2.0 and EIP-1474, and code 3 for reverts, with geth's wording
//! where clients look for it.

use alloy_primitives::{Bytes, U256};
use jsonrpsee::types::ErrorObjectOwned;
use kette_ledger::ReadError;
use kette_node::CommandError;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments are not what the method takes.
    #[error("{0}")]
    InvalidParams(String),
    /// What was asked for does not exist (EIP-1474).
    #[error("{0}")]
    NotFound(String),
    /// The method exists elsewhere but not here; says why (EIP-1474).
    #[error("{0}")]
    Unsupported(String),
    /// More was asked for than one call may take (EIP-1474).
    #[error("{0}")]
    Limit(String),
    /// The execution ended with REVERT.
    #[error("{}", revert_message(.0))]
    Reverted(Bytes),
    /// Anything else that the caller may read.
    #[error("{0}")]
    Server(String),
    /// The node itself is at fault.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Failure {
    /// The state of a block cannot be read any more, in geth's words.
    pub(crate) fn pruned(node: impl std::fmt::Display) -> Self {
        Self::Server(format!(
            "missing trie node {node} (path ) state is not available: it was pruned; ask for a newer block"
        ))
    }

    /// No such block, in geth's words.
    pub(crate) fn no_block() -> Self {
        Self::NotFound("header not found".to_owned())
    }

    const fn code(&self) -> i32 {
        match self {
            Self::InvalidParams(_) => -32602,
            Self::Internal(_) => -32603,
            Self::NotFound(_) => -32001,
            Self::Unsupported(_) => -32004,
            Self::Limit(_) => -32005,
            Self::Server(_) => -32000,
            Self::Reverted(_) => 3,
        }
    }
}

impl From<Failure> for ErrorObjectOwned {
    fn from(failure: Failure) -> Self {
        let data = match &failure {
            Failure::Reverted(data) => Some(data.clone()),
            _ => None,
        };
        Self::owned(failure.code(), failure.to_string(), data)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::MissingNode(hash) => Self::pruned(hash),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::UnknownPeer(_) => Self::NotFound(error.to_string()),
            CommandError::NotDevelopment => Self::Unsupported(error.to_string()),
            other => Self::Server(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Says what a revert says: the text of `Error(string)`, the code of `Panic(uint256)`, or nothing more.
fn revert_message(data: &Bytes) -> String {
    match revert_reason(data) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    }
}

/// Decodes the two revert encodings of the Solidity ABI.
fn revert_reason(data: &[u8]) -> Option<String> {
    let (selector, rest) = data.split_first_chunk::<4>()?;
    match *selector {
        ERROR_SELECTOR => {
            let word = |at: usize| -> Option<usize> {
                let word = U256::from_be_slice(rest.get(at..at.checked_add(32)?)?);
                usize::try_from(word).ok()
            };
            let offset = word(0)?;
            let length = word(offset)?;
            let start = offset.checked_add(32)?;
            let text = rest.get(start..start.checked_add(length)?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        PANIC_SELECTOR => {
            let code = U256::from_be_slice(rest.get(..32)?);
            let meaning =
                u8::try_from(code).ok().and_then(panic_meaning).unwrap_or("unknown panic code");
            Some(format!("{meaning} (0x{code:x})"))
        }
        _ => None,
    }
}

/// First four bytes of keccak256("Error(string)").
const ERROR_SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
/// First four bytes of keccak256("Panic(uint256)").
const PANIC_SELECTOR: [u8; 4] = [0x4e, 0x48, 0x7b, 0x71];

/// Panic codes of the Solidity documentation, "Panic via assert and Error via require".
const fn panic_meaning(code: u8) -> Option<&'static str> {
    Some(match code {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{hex, keccak256};

    #[test]
    fn selectors_are_the_hashes_of_their_signatures() {
        assert_eq!(keccak256("Error(string)")[..4], ERROR_SELECTOR);
        assert_eq!(keccak256("Panic(uint256)")[..4], PANIC_SELECTOR);
    }

    #[test]
    fn reverts_are_decoded_and_broken_ones_survive() {
        let text = "08c379a0\
            0000000000000000000000000000000000000000000000000000000000000020\
            0000000000000000000000000000000000000000000000000000000000000004\
            6e6f706500000000000000000000000000000000000000000000000000000000";
        let overflow = format!("4e487b71{:0>64}", "11");
        let lying = "08c379a0\
            ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
        for (data, expected) in [
            (text, "execution reverted: nope"),
            (overflow.as_str(), "execution reverted: arithmetic underflow or overflow (0x11)"),
            (lying, "execution reverted"),
            ("", "execution reverted"),
            ("deadbeef", "execution reverted"),
        ] {
            let data = Bytes::from(hex::decode(data).expect("test vector"));
            assert_eq!(revert_message(&data), expected);
            let object = ErrorObjectOwned::from(Failure::Reverted(data.clone()));
            assert_eq!((object.code(), object.message()), (3, expected));
            assert_eq!(object.data().map(|d| d.get().to_owned()), Some(format!("\"{data}\"")));
        }
    }
}
