// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// `transfer` says false instead of reverting: a successful transaction that moves nothing.
contract FalseToken {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function transfer(address, uint256) external pure returns (bool) {
        return false;
    }

    /// Anybody can write such a log; only its contract tells whose token it is.
    function fake(address to, uint256 units) external {
        emit Transfer(msg.sender, to, units);
    }
}
