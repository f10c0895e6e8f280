// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// An ERC-20 as wallets meet it, and one function for each way in which a call can fail.
contract Coin is ERC20 {
    error Refused(address who, uint256 code);

    uint256 public marker = 0x6b65747465;

    constructor(uint256 supply) ERC20("Client Coin", "COIN") {
        _mint(msg.sender, supply);
    }

    function refuseWithText() external pure {
        revert("no such luck");
    }

    function refuseWithError(uint256 code) external view {
        revert Refused(msg.sender, code);
    }

    function refuseWithPanic(uint256 zero) external pure returns (uint256) {
        return 1 / zero;
    }

    function setMarker(uint256 value) external {
        require(value != 0, "a marker is not zero");
        marker = value;
    }

    function clock() external view returns (uint256) {
        return block.timestamp;
    }
}
