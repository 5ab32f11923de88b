// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Like Tether on Ethereum: `transfer` returns nothing.
contract OldToken {
    mapping(address => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor(uint256 supply) {
        balanceOf[msg.sender] = supply;
    }

    function transfer(address to, uint256 units) external {
        balanceOf[msg.sender] -= units;
        balanceOf[to] += units;
        emit Transfer(msg.sender, to, units);
    }
}
