"""Reader of EVM chains over plain JSON-RPC: native transfers and ERC-20 logs of listed contracts.

Works on a node without archive state: it asks for blocks and receipts only. Value moved inside a
contract call emits nothing that such a node can tell, so it is not seen here.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from swapdesk.assets import Network, Registry
from swapdesk.chains import codec
from swapdesk.chains.reader import (
    Block,
    BlockRef,
    Identity,
    Inclusion,
    NodeTrouble,
    Placed,
    Transfer,
)
from swapdesk.chains.rpc import Caller, NodeRefused

#: keccak256("Transfer(address,address,uint256)"), first topic of every ERC-20 transfer.
TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
#: The event, sender and recipient. A log with a fourth topic moves one ERC-721 token.
TRANSFER_TOPICS: Final = 3
#: "0x" and the 64 digits of a 32-byte word.
WORD_CHARS: Final = 66
#: How the word of an address begins: twelve zero bytes.
ADDRESS_PAD: Final = "0x" + "00" * 12
#: Root of the empty trie: what a header says when its block has no transactions.
EMPTY_ROOT: Final = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
#: Position of a native transfer: a transaction has at most one at its top level.
NATIVE_POSITION: Final = "value"


class _Header(msgspec.Struct, rename="camel"):
    number: str
    parent_hash: str
    timestamp: str
    hash: str | None = None  #: a pending block may have none


class _Tx(msgspec.Struct, rename="camel"):
    hash: str
    value: str
    to: str | None = None  #: None creates a contract


class _FullBlock(_Header, kw_only=True, rename="camel"):
    transactions: list[_Tx]
    transactions_root: str


class _ThinBlock(_Header, kw_only=True, rename="camel"):
    transactions: list[str]


class _Log(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    log_index: str
    removed: bool = False


class _Receipt(msgspec.Struct, rename="camel"):
    transaction_hash: str
    gas_used: str
    logs: list[_Log]
    block_hash: str | None = None
    block_number: str | None = None
    status: str | None = None
    effective_gas_price: str | None = None
    l1_fee: str | None = None  #: what a rollup takes for its data


class EvmReader:
    """See Reader."""

    def __init__(self, network: Network, registry: Registry, rpc: Caller) -> None:
        self.network = network
        self._rpc = rpc
        self._tokens = registry.by_contract(network.key)

    async def identity(self) -> Identity:
        """See Reader.identity."""
        chain_id = _number(await self._rpc.call("eth_chainId", [], str))
        version = await self._rpc.call("web3_clientVersion", [], str)
        return Identity(chain=str(chain_id), subversion=version)

    async def tip(self) -> BlockRef:
        """See Reader.tip."""
        return _ref(await self._rpc.call("eth_getBlockByNumber", ["latest", False], _Header))

    async def ref(self, height: int) -> BlockRef | None:
        """See Reader.ref."""
        params = [hex(height), False]
        header = await self._rpc.maybe("eth_getBlockByNumber", params, _Header)
        return _ref(header) if header else None

    async def block(self, ref: BlockRef) -> Block:
        """See Reader.block. A block that was replaced is NodeTrouble."""
        full = await self._rpc.maybe("eth_getBlockByHash", [ref.hash, True], _FullBlock)
        if full is None or _ref(full) != ref:
            raise NodeTrouble(f"{self.network.key}: {ref.hash} is not block {ref.height}")
        if not full.transactions and full.transactions_root != EMPTY_ROOT:
            raise NodeTrouble(f"{self.network.key}: block {ref.hash} came without transactions")
        receipts = await self._receipts(ref, [tx.hash for tx in full.transactions])
        if await self.ref(ref.height) != ref:
            raise NodeTrouble(f"{self.network.key}: block {ref.hash} was replaced")
        return Block(
            ref, tuple(t for tx in full.transactions for t in self._moved(tx, receipts[tx.hash]))
        )

    async def pending(self) -> Sequence[Transfer]:
        """See Reader.pending: native transfers only, as far as the node tells.

        Which log a token transfer will be is not known before it is mined.
        """
        try:
            waiting = await self._rpc.maybe("eth_getBlockByNumber", ["pending", True], _FullBlock)
        except NodeRefused:
            return []
        tip = await self.tip()
        # Some nodes know no pending block and show the latest in its place.
        if waiting is None or waiting.hash == tip.hash or _number(waiting.number) < tip.height:
            return []
        return [transfer for tx in waiting.transactions for transfer in self._native(tx)]

    async def find(self, txid: str, position: str, block_hash: str) -> Placed | None:
        """See Reader.find."""
        thin = await self._rpc.maybe("eth_getBlockByHash", [block_hash, False], _ThinBlock)
        if thin is None or txid not in thin.transactions:
            return None
        receipt = await self._rpc.maybe("eth_getTransactionReceipt", [txid], _Receipt)
        tx = await self._rpc.maybe("eth_getTransactionByHash", [txid], _Tx)
        ref = _ref(thin)
        depth = await self._depth(ref)
        if depth is None:
            return None
        if tx is None or receipt is None or receipt.block_hash != ref.hash:
            raise NodeTrouble(f"{self.network.key}: {txid} is in {ref.hash} but has no receipt")
        found = next((t for t in self._moved(tx, receipt) if t.position == position), None)
        return Placed(found, ref, depth) if found else None

    async def locate(self, txid: str, since_height: int) -> Inclusion | None:
        """See Reader.locate."""
        receipt = await self._rpc.maybe("eth_getTransactionReceipt", [txid], _Receipt)
        if receipt is None or receipt.block_hash is None or receipt.block_number is None:
            return None
        ref = await self.ref(_number(receipt.block_number))
        if ref is None or ref.hash != receipt.block_hash or ref.height < since_height:
            return None
        depth = await self._depth(ref)
        if depth is None:
            return None
        fee = None
        if receipt.effective_gas_price is not None:
            fee = _number(receipt.gas_used) * _number(receipt.effective_gas_price)
            fee += _number(receipt.l1_fee or "0x0")
        return Inclusion(ref, depth, ok=_succeeded(receipt), fee_units=fee)

    async def close(self) -> None:
        """See Reader.close."""
        await self._rpc.close()

    async def _depth(self, ref: BlockRef) -> int | None:
        """Depth of a block, None when another one is at its height."""
        tip = await self.tip()
        if await self.ref(ref.height) != ref:
            return None
        return max(1, tip.height - ref.height + 1)

    async def _receipts(self, ref: BlockRef, txids: list[str]) -> dict[str, _Receipt]:
        """The receipt of every transaction of a block, all of them of this very block."""
        if not txids:
            return {}
        try:
            answers = await self._rpc.maybe("eth_getBlockReceipts", [ref.hash], list[_Receipt])
        except NodeRefused:  # an older node: one by one
            answers = []
            calls = [("eth_getTransactionReceipt", [txid]) for txid in txids]
            for answer in await self._rpc.batch(calls, _Receipt):
                if isinstance(answer, NodeRefused):
                    raise answer from None
                answers.append(answer)
        receipts = {r.transaction_hash: r for r in answers or [] if r.block_hash == ref.hash}
        if receipts.keys() != set(txids) or len(answers or []) != len(txids):
            raise NodeTrouble(f"{self.network.key}: receipts of block {ref.hash} are incomplete")
        return receipts

    def _moved(self, tx: _Tx, receipt: _Receipt) -> list[Transfer]:
        """What a mined transaction moved: nothing when it failed."""
        if not _succeeded(receipt):
            return []
        # Ordinals within the receipt: the node's logIndex counts through the block.
        logs = sorted(receipt.logs, key=lambda log: _number(log.log_index))
        tokens = (self._token(tx.hash, ordinal, log) for ordinal, log in enumerate(logs))
        return [*self._native(tx), *(transfer for transfer in tokens if transfer)]

    def _native(self, tx: _Tx) -> list[Transfer]:
        units = _number(tx.value)
        if tx.to is None or units == 0:
            return []
        return [Transfer(tx.hash, NATIVE_POSITION, self.network.native, _address(tx.to), units)]

    def _token(self, txid: str, ordinal: int, log: _Log) -> Transfer | None:
        """The transfer that a log tells of, if it is one of a listed contract."""
        asset = self._tokens.get(log.address.lower())
        if asset is None or log.removed:
            return None
        if len(log.topics) != TRANSFER_TOPICS or log.topics[0] != TRANSFER_TOPIC:
            return None
        to = log.topics[2]
        if len(log.data) != WORD_CHARS or not to.startswith(ADDRESS_PAD):
            return None
        units = _number(log.data)
        if units == 0:
            return None
        address = _address("0x" + to.removeprefix(ADDRESS_PAD))
        return Transfer(txid, f"log:{ordinal}", asset.code, address, units)


def _ref(header: _Header) -> BlockRef:
    if header.hash is None:
        raise NodeTrouble(f"block {header.number} came without a hash")
    time_ms = _number(header.timestamp) * 1000
    return BlockRef(_number(header.number), header.hash, header.parent_hash, time_ms)


def _succeeded(receipt: _Receipt) -> bool:
    if receipt.status not in ("0x0", "0x1"):
        raise NodeTrouble(f"{receipt.transaction_hash}: receipt without a status")
    return receipt.status == "0x1"


def _number(text: str) -> int:
    """A quantity or word of the wire, "0x" and hexadecimal digits, at most 32 bytes."""
    digits = text[2:]
    if not text.startswith("0x") or not digits.isalnum() or len(text) > WORD_CHARS:
        raise NodeTrouble(f"not a number: {text[:WORD_CHARS]!r}")
    try:
        return int(digits, 16)
    except ValueError:
        raise NodeTrouble(f"not a number: {text!r}") from None


def _address(text: str) -> str:
    try:
        return codec.evm_address(codec.evm_bytes(text.lower()))
    except codec.BadAddress as wrong:
        raise NodeTrouble(f"not an address: {wrong}") from None
