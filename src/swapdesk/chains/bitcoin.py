"""Reader of Bitcoin Core and its relatives (Knots, Litecoin, Dogecoin) over their own RPC.

Needs no wallet, no txindex and no scan of the coin set, and works on a pruned node for as far back
as its blocks go. What old versions lack is asked for in an older way.
"""

from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from swapdesk import money
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

#: Error codes of Core (src/rpc/protocol.h).
MISC_ERROR: Final = -1  #: also: wrong number of parameters, pruned block
NOT_FOUND: Final = -5
OUT_OF_RANGE: Final = -8
#: Mempool transactions decoded in one poll; a node just started is caught up over a few polls.
PENDING_NEW_MAX: Final = 2_000
#: Blocks whose transaction ids are kept for `locate`; 3,000 of them take about 100 kB.
BLOCKS_KEPT: Final = 1_000
#: Farthest `locate` looks back; a payout is final or given up long before.
LOCATE_BLOCKS_MAX: Final = 5_000
TXID_BYTES: Final = 32
NO_PARENT: Final = "00" * 32


class _Header(msgspec.Struct):
    hash: str
    confirmations: int  #: -1 when another block won
    height: int
    time: int
    previousblockhash: str = NO_PARENT


class _Script(msgspec.Struct):
    hex: str


class _Output(msgspec.Struct):
    """Outputs inside Litecoin's extension block have neither value nor script."""

    value: Decimal | None = None
    n: int | None = None
    script: _Script | None = msgspec.field(default=None, name="scriptPubKey")
    ismweb: bool = False


class _Tx(msgspec.Struct):
    txid: str
    vout: list[_Output]


class _FullBlock(_Header, kw_only=True):
    tx: list[_Tx]
    count: int | None = msgspec.field(default=None, name="nTx")


class _ThinBlock(_Header, kw_only=True):
    tx: list[str]


class _NodeInfo(msgspec.Struct):
    subversion: str


class _Txids(msgspec.Struct):
    """The transaction ids of one block, end to end: a fifth of the memory of a set."""

    ref: BlockRef
    ids: bytes

    def has(self, txid: bytes) -> bool:
        at = self.ids.find(txid)
        while at >= 0 and at % TXID_BYTES:
            at = self.ids.find(txid, at + 1)
        return at >= 0


class BitcoinReader:
    """See Reader."""

    def __init__(self, network: Network, registry: Registry, rpc: Caller) -> None:
        self.network = network
        self._rpc = rpc
        self._world = registry.world
        self._native = registry.assets[network.native]
        self._pending: dict[str, tuple[Transfer, ...]] = {}
        self._txids: OrderedDict[str, _Txids] = OrderedDict()

    async def identity(self) -> Identity:
        """See Reader.identity."""
        genesis = await self._rpc.call("getblockhash", [0], str)
        info = await self._rpc.call("getnetworkinfo", [], _NodeInfo)
        return Identity(chain=genesis.lower(), subversion=info.subversion)

    async def tip(self) -> BlockRef:
        """See Reader.tip."""
        best = await self._rpc.call("getbestblockhash", [], str)
        return _ref(await self._rpc.call("getblockheader", [best], _Header))

    async def ref(self, height: int) -> BlockRef | None:
        """See Reader.ref."""
        try:
            block_hash = await self._rpc.call("getblockhash", [height], str)
        except NodeRefused as refused:
            if refused.code == OUT_OF_RANGE:
                return None
            raise
        return _ref(await self._rpc.call("getblockheader", [block_hash], _Header))

    async def block(self, ref: BlockRef) -> Block:
        """See Reader.block. A pruned or stale block is NodeTrouble."""
        full = await self._rpc.call("getblock", [ref.hash, 2], _FullBlock)
        if _ref(full) != ref or full.confirmations < 1:
            raise NodeTrouble(f"{self.network.key}: {ref.hash} is not block {ref.height} any more")
        if not full.tx or full.count not in (None, len(full.tx)):
            raise NodeTrouble(f"{self.network.key}: block {ref.hash} came incomplete")
        return Block(ref, tuple(t for tx in full.tx for t in self._transfers(tx)))

    async def pending(self) -> Sequence[Transfer]:
        """See Reader.pending. Each transaction is fetched once, whatever the number of polls."""
        waiting = await self._rpc.call("getrawmempool", [], list[str])
        known = {txid: self._pending[txid] for txid in waiting if txid in self._pending}
        new = [txid for txid in waiting if txid not in known][:PENDING_NEW_MAX]
        calls = [("getrawtransaction", [txid, 1]) for txid in new]
        for txid, answer in zip(new, await self._rpc.batch(calls, _Tx), strict=True):
            if isinstance(answer, _Tx):
                known[txid] = self._transfers(answer)
            elif answer.code != NOT_FOUND:  # it left the mempool in between
                raise answer
        self._pending = known
        return [transfer for transfers in known.values() for transfer in transfers]

    async def find(self, txid: str, position: str, block_hash: str) -> Placed | None:
        """See Reader.find."""
        try:
            transfers = await self._in_block(txid, block_hash)
            header = await self._rpc.call("getblockheader", [block_hash], _Header)
        except NodeRefused as refused:
            if refused.code == NOT_FOUND:
                return None
            raise
        found = next((t for t in transfers if (t.txid, t.position) == (txid, position)), None)
        if found is None or header.confirmations < 1:
            return None
        return Placed(found, _ref(header), header.confirmations)

    async def locate(self, txid: str, since_height: int) -> Inclusion | None:
        """See Reader.locate. Bitcoin's fee is not told: the sender knows its inputs."""
        try:
            await self._rpc.call("getmempoolentry", [txid], dict)
        except NodeRefused as refused:
            if refused.code != NOT_FOUND:
                raise
        else:
            return None
        tip = block = await self._thin(await self._rpc.call("getbestblockhash", [], str))
        if tip.ref.height - since_height > LOCATE_BLOCKS_MAX:
            raise NodeTrouble(f"{self.network.key}: {txid} is sought too far back")
        wanted = bytes.fromhex(txid)
        while not block.has(wanted):
            if block.ref.height <= max(0, since_height):
                return None
            block = await self._thin(block.ref.parent)
        if block.ref.height < since_height:
            return None
        depth = tip.ref.height - block.ref.height + 1
        return Inclusion(block.ref, depth, ok=True, fee_units=None)

    async def close(self) -> None:
        """See Reader.close."""
        await self._rpc.close()

    async def _in_block(self, txid: str, block_hash: str) -> tuple[Transfer, ...]:
        """The transfers of one transaction of a block. The block hash replaces a txindex."""
        try:
            params = [txid, 1, block_hash]
            return self._transfers(await self._rpc.call("getrawtransaction", params, _Tx))
        except NodeRefused as refused:
            if refused.code != MISC_ERROR:
                raise
        # Versions before 0.16 do not know the third parameter.
        full = await self._rpc.call("getblock", [block_hash, 2], _FullBlock)
        return tuple(t for tx in full.tx if tx.txid == txid for t in self._transfers(tx))

    async def _thin(self, block_hash: str) -> _Txids:
        kept = self._txids.get(block_hash)
        if kept is None:
            thin = await self._rpc.call("getblock", [block_hash, 1], _ThinBlock)
            kept = _Txids(_ref(thin), b"".join(map(bytes.fromhex, thin.tx)))
            self._txids[block_hash] = kept
            while len(self._txids) > BLOCKS_KEPT:
                self._txids.popitem(last=False)
        self._txids.move_to_end(block_hash)
        return kept

    def _transfers(self, tx: _Tx) -> tuple[Transfer, ...]:
        """One transfer for each output that pays an address of this network."""
        found = []
        for out in tx.vout:
            if out.ismweb:
                continue
            if out.value is None or out.n is None or out.script is None:
                raise NodeTrouble(f"{self.network.key}: {tx.txid} has an output without value")
            try:
                script = bytes.fromhex(out.script.hex)
                units = money.from_wire(out.value, self._native.decimals)
            except ValueError as wrong:
                raise NodeTrouble(f"{self.network.key}: {tx.txid}:{out.n}: {wrong}") from wrong
            address = codec.address_of_script(self.network.key, self._world, script)
            if address is not None and units > 0:
                found.append(Transfer(tx.txid, str(out.n), self._native.code, address, units))
        return tuple(found)


def _ref(header: _Header) -> BlockRef:
    return BlockRef(header.height, header.hash, header.previousblockhash, header.time * 1000)
