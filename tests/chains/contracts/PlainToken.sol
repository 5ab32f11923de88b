// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// An ERC-20 as most are; anyone may mint. The demo's USDT and USDC.
contract PlainToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(string memory symbol, uint8 decimals_, uint256 supply) ERC20(symbol, symbol) {
        _decimals = decimals_;
        _mint(msg.sender, supply);
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function mint(address to, uint256 units) external {
        _mint(to, units);
    }

    /// Several transfers in one transaction.
    function transferMany(address[] calldata to, uint256[] calldata units) external {
        for (uint256 i = 0; i < to.length; i++) _transfer(msg.sender, to[i], units[i]);
    }
}
