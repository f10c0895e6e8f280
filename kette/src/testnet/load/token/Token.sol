// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// What an ERC-20 transfer costs, and nothing more: the contract of `kette net load`.
contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);

    mapping(address => uint256) public balanceOf;
    uint256 public totalSupply;
    address private immutable owner = msg.sender;

    function transfer(address to, uint256 value) external returns (bool) {
        balanceOf[msg.sender] -= value;
        unchecked {
            balanceOf[to] += value;
        }
        emit Transfer(msg.sender, to, value);
        return true;
    }

    /// Makes coins for many at once.
    function mint(address[] calldata to, uint256 value) external {
        require(msg.sender == owner);
        for (uint256 i = 0; i < to.length; i++) {
            totalSupply += value;
            balanceOf[to[i]] += value;
            emit Transfer(address(0), to[i], value);
        }
    }
}
