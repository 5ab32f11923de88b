"""ERC-20 tokens on a development node: deployed, minted and sent through its unlocked accounts.

`erc20.json` holds compiled contracts, so nobody needs a compiler; their sources and how they were
compiled are in tests/chains/contracts. Every function sends one transaction and does not wait for
it, except `deploy`, which mines a block to learn the address.
"""

import functools
from pathlib import Path
from typing import Any, Final

import msgspec

from swapdesk.chains import codec
from swapdesk.chains.rpc import Caller

_FILE: Final = Path(__file__).with_name("erc20.json")
#: Enough for every call of these contracts; anvil refunds the rest.
CALL_GAS: Final = 500_000
DEPLOY_GAS: Final = 3_000_000
WORD_BYTES: Final = 32


class _Contract(msgspec.Struct):
    source: str
    bytecode: str
    methods: dict[str, str]  #: signature -> selector


class _Artifacts(msgspec.Struct):
    solc: str
    contracts: dict[str, _Contract]


async def deploy_token(rpc: Caller, owner: str, symbol: str, decimals: int, supply: int) -> str:
    """A plain ERC-20 whose whole `supply` (units) `owner` holds; its address, EIP-55.

    `owner` is an unlocked account of the node. Anybody may mint more.
    """
    name = symbol.encode()
    assert len(name) <= WORD_BYTES
    head = [3 * WORD_BYTES, decimals, supply, len(name)]  # the string comes after the three heads
    return await deploy(rpc, owner, "PlainToken", words(*head) + name.ljust(WORD_BYTES, b"\0"))


async def deploy(rpc: Caller, owner: str, contract: str, arguments: bytes = b"") -> str:
    """Deploy a contract of erc20.json with ABI-encoded constructor arguments; its address."""
    data = "0x" + _artifacts().contracts[contract].bytecode + arguments.hex()
    txid = await send(rpc, owner, data=data, gas=DEPLOY_GAS)
    await rpc.call("evm_mine", [], str)
    receipt = await rpc.call("eth_getTransactionReceipt", [txid], dict[str, Any])
    assert receipt["status"] == "0x1", f"{contract} was not deployed"
    return codec.evm_address(codec.evm_bytes(receipt["contractAddress"]))


async def mint(rpc: Caller, owner: str, token: str, to: str, units: int) -> str:
    """New units of a PlainToken for `to`; the transaction id."""
    return await call(rpc, owner, token, "mint(address,uint256)", _word(to), units)


async def transfer(rpc: Caller, owner: str, token: str, to: str, units: int) -> str:
    """Units of any ERC-20 from an unlocked account to `to`; the transaction id."""
    return await call(rpc, owner, token, "transfer(address,uint256)", _word(to), units)


async def transfer_many(rpc: Caller, owner: str, token: str, payments: dict[str, int]) -> str:
    """Several transfers of a PlainToken in one transaction; the transaction id."""
    count = len(payments)
    places = [2 * WORD_BYTES, (3 + count) * WORD_BYTES]
    to = [count, *map(_word, payments)]
    method = "transferMany(address[],uint256[])"
    return await call(rpc, owner, token, method, *places, *to, count, *payments.values())


async def balance(rpc: Caller, token: str, address: str) -> int:
    """Units of a token at an address, as of the newest block."""
    data = "0x" + _selector("balanceOf(address)") + words(_word(address)).hex()
    return int(await rpc.call("eth_call", [{"to": token, "data": data}, "latest"], str), 16)


async def call(rpc: Caller, owner: str, contract: str, method: str, *arguments: int) -> str:
    """Call a method of erc20.json with arguments as numbers; the transaction id."""
    data = "0x" + _selector(method) + words(*arguments).hex()
    return await send(rpc, owner, to=contract, data=data)


async def send(
    rpc: Caller,
    owner: str,
    *,
    to: str | None = None,
    units: int = 0,
    data: str = "0x",
    gas: int = CALL_GAS,
) -> str:
    """A transaction of an unlocked account with `units` wei; its id. `to` None creates."""
    tx = {"from": owner, "value": hex(units), "data": data, "gas": hex(gas)}
    return await rpc.call("eth_sendTransaction", [tx | ({"to": to} if to else {})], str)


def words(*numbers: int) -> bytes:
    """Numbers as 32-byte words, the way ABI encodes them."""
    return b"".join(number.to_bytes(WORD_BYTES) for number in numbers)


def _word(address: str) -> int:
    return int.from_bytes(codec.evm_bytes(address))


def _selector(method: str) -> str:
    contracts = _artifacts().contracts.values()
    return next(c.methods[method] for c in contracts if method in c.methods)


@functools.cache
def _artifacts() -> _Artifacts:
    return msgspec.json.decode(_FILE.read_bytes(), type=_Artifacts)
