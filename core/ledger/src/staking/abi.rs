//! The registry as a Solidity interface.

use alloy_sol_types::{SolInterface as _, sol};

sol! {
    /// The validator registry of a chain with the engine `bft`.
    #[derive(Debug, PartialEq, Eq)]
    interface Staking {
        /// One owner's stake and standing.
        struct Info {
            address owner;
            bytes32 key;
            bytes32 vrfKey;
            /// What the stake counts in a set that is made now; 0 while jailed or below the minimum.
            uint64 weight;
            uint256 stake;
            bool jailed;
            /// First block in which unjail() is accepted; 2^64 - 1 is never.
            uint64 jailedUntil;
            /// Of the last blocks, those it was absent from.
            uint64 missed;
        }

        /// One validator as it counts in one height.
        struct Member {
            address owner;
            bytes32 key;
            bytes32 vrfKey;
            uint64 weight;
        }

        /// Stake on its way out.
        struct Unbonding {
            uint256 amount;
            /// First block in which withdraw() pays it.
            uint64 release;
        }

        /// Returns all owners that have stake.
        function validators() external view returns (Info[] memory);
        /// Returns one owner; all zero if it never registered.
        function validator(address owner) external view returns (Info memory);
        /// Returns who votes in a height: up to the one after this block, back to the last few changes.
        function validatorsAt(uint64 height) external view returns (Member[] memory);
        /// Returns the weight of all who vote in this height; of a call without a transaction, in the next one.
        function totalWeight() external view returns (uint256);
        /// Returns the weight that decides in this height; of a call without a transaction, in the next one.
        function quorum() external view returns (uint256);
        /// Returns an owner's stake on its way out.
        function unbonding(address owner) external view returns (Unbonding[] memory);

        /// Makes the caller a validator with the value sent as its stake.
        function register(bytes32 key, bytes32 vrfKey, bytes calldata proof) external payable;
        /// Adds the value sent to the caller's stake.
        function bond() external payable;
        /// Takes stake off; it can be withdrawn after the unbonding time.
        function unbond(uint256 amount) external;
        /// Pays what has been unbonded for long enough.
        function withdraw() external;
        /// Comes back after having been jailed for absence.
        function unjail() external;
        /// Changes the caller's keys.
        function rotate(bytes32 key, bytes32 vrfKey, bytes calldata proof) external;

        event Registered(address indexed owner, bytes32 key, bytes32 vrfKey, uint256 stake);
        event Bonded(address indexed owner, uint256 amount, uint256 stake);
        event Unbonded(address indexed owner, uint256 amount, uint64 release);
        event Withdrawn(address indexed owner, uint256 amount);
        event Rotated(address indexed owner, bytes32 key, bytes32 vrfKey);
        event Unjailed(address indexed owner);
        /// By the protocol, at the end of a block.
        event Jailed(address indexed owner, uint64 until);
        /// By the protocol, at the end of a block.
        event Slashed(address indexed owner, uint256 amount);

        /// No function has this selector.
        error UnknownFunction();
        /// The arguments are not those of the function.
        error BadArguments();
        /// The function takes no value.
        error NotPayable();
        /// The registry runs only as itself: no DELEGATECALL, no CALLCODE.
        error NotDirect();
        /// A static call cannot change anything.
        error StaticCall();
        /// The caller has stake already.
        error AlreadyRegistered();
        /// The caller has no stake.
        error NotRegistered();
        /// The caller signed twice and is out for ever.
        error Tombstoned();
        /// The key is, or was, another owner's.
        error KeyTaken(address owner);
        /// A key is no usable point of the curve.
        error BadKey();
        /// The key did not sign for this owner and VRF key.
        error BadProof();
        /// Less stake than a validator must have.
        error BelowMinimum(uint256 least);
        /// More stake than the registry can count.
        error StakeTooLarge(uint256 most);
        /// More than the caller's stake, or nothing.
        error BadAmount(uint256 stake);
        /// All seats are taken by owners with at least this stake.
        error RegistryFull(uint256 stake);
        /// Withdraw first.
        error TooManyUnbondings();
        /// Nothing has been unbonded for long enough.
        error NothingToWithdraw();
        /// The caller is not jailed.
        error NotJailed();
        /// The caller is jailed until a later block.
        error StillJailed(uint64 until);
        /// The set of this height is not known.
        error UnknownHeight(uint64 first, uint64 last);
    }
}

/// Says in the registry's words why a call reverted; `None` if the data is not of the registry.
pub fn explain(revert: &[u8]) -> Option<String> {
    let error = Staking::StakingErrors::abi_decode(revert).ok()?;
    Some(format!("{error:?}"))
}
