"""What only a Bitcoin-like node can do to a reader: pruning, old versions, a large mempool."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from swapdesk.chains import bitcoin
from swapdesk.chains.reader import BlockRef, NodeTrouble, Reader
from swapdesk.chains.rpc import Caller, NodeRefused
from tests.chains.drivers import BitcoinDriver, Tampering

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]


class Counting(Tampering):
    """Counts the calls that reach the node."""

    def __init__(self, rpc: Caller) -> None:
        super().__init__(rpc, {})
        self.calls: list[str] = []

    async def maybe(self, method: str, params: Sequence[object], shape: Any) -> Any:
        """See Caller.maybe."""
        self.calls.append(method)
        return await super().maybe(method, params, shape)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]], shape: Any) -> Any:
        """See Caller.batch."""
        self.calls += [method for method, _ in calls]
        return await self._rpc.batch(calls, shape)


@pytest.fixture(scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BitcoinDriver]:
    """One bitcoind for the module."""
    driver = BitcoinDriver()
    try:
        await driver.start(tmp_path_factory.mktemp("bitcoind"))
        yield driver
    finally:
        await driver.close()


@pytest.fixture
async def reader(chain: BitcoinDriver) -> AsyncIterator[Reader]:
    """A reader on a connection of its own."""
    reader = chain.reader()
    yield reader
    await reader.close()


async def test_node_is_pruned_and_has_no_index(chain: BitcoinDriver, reader: Reader) -> None:
    """The whole suite runs on such a node; a block that is gone is trouble, not an empty block."""
    info: Any = await chain.rpc.call("getblockchaininfo", [], object)
    assert info["pruned"]
    assert info["pruneheight"] > 2
    assert await chain.rpc.call("getindexinfo", [], object) == {}
    old = await reader.ref(2)
    assert isinstance(old, BlockRef)
    with pytest.raises(NodeTrouble):
        await reader.block(old)
    with pytest.raises(NodeTrouble):
        await reader.find("00" * 32, "0", old.hash)
    with pytest.raises(NodeTrouble):
        await reader.locate("00" * 32, 0)


async def test_outputs_without_address_are_skipped(chain: BitcoinDriver, reader: Reader) -> None:
    """The witness commitment of a coinbase pays nobody; positions are the outputs' own."""
    await chain.pay("btc", {chain.fresh_address(): 30_000})
    await chain.mine()
    block = await reader.block(await reader.tip())
    coinbase = block.transfers[0].txid
    assert [t.position for t in block.transfers if t.txid == coinbase] == ["0"]
    assert all(t.units > 0 for t in block.transfers)


async def test_mempool_costs_only_what_is_new(chain: BitcoinDriver) -> None:
    """A waiting transaction is fetched once; one that left is forgotten."""
    counting = Counting(chain.rpc)
    reader = chain.reader(counting)
    addresses = [chain.fresh_address() for _ in range(3)]
    for address in addresses[:2]:
        await chain.pay("btc", {address: 40_000})
    seen = await reader.pending()
    assert {t.address for t in seen} >= set(addresses[:2])
    assert counting.calls.count("getrawtransaction") == 2
    await reader.pending()
    assert counting.calls.count("getrawtransaction") == 2
    await chain.pay("btc", {addresses[2]: 40_000})
    assert {t.address for t in await reader.pending()} >= set(addresses)
    assert counting.calls.count("getrawtransaction") == 3
    await chain.mine()
    assert await reader.pending() == []


async def test_full_mempool_is_read_over_several_polls(
    chain: BitcoinDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One poll decodes a bounded number of transactions; the next ones the rest."""
    monkeypatch.setattr(bitcoin, "PENDING_NEW_MAX", 2)
    addresses = {chain.fresh_address() for _ in range(5)}
    for address in addresses:
        await chain.pay("btc", {address: 40_000})
    reader = chain.reader()
    counts = [
        len(addresses & {transfer.address for transfer in await reader.pending()}) for _ in range(3)
    ]
    assert counts == [2, 4, 5]
    await chain.mine()
    await reader.close()


async def test_locate_reads_each_block_once(
    chain: BitcoinDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again costs no block again; looking too far back is trouble, not "no"."""
    txid = await chain.pay("btc", {chain.fresh_address(): 40_000})
    await chain.mine(20)
    counting = Counting(chain.rpc)
    reader = chain.reader(counting)
    since = (await reader.tip()).height - 30
    unknown = "ab" * 32
    for _ in range(3):
        assert (await reader.locate(txid, since)) is not None
        assert (await reader.locate(unknown, since)) is None
    assert counting.calls.count("getblock") == 31
    await chain.mine()
    assert (await reader.locate(unknown, since)) is None
    assert counting.calls.count("getblock") == 32
    monkeypatch.setattr(bitcoin, "LOCATE_BLOCKS_MAX", 10)
    with pytest.raises(NodeTrouble, match="too far back"):
        await reader.locate(unknown, since)


async def test_version_before_block_parameter(chain: BitcoinDriver, reader: Reader) -> None:
    """Where getrawtransaction knows no block hash, the block itself tells the same."""
    address = chain.fresh_address()
    txid = await chain.pay("btc", {address: 40_000})
    await chain.mine()
    tip = await reader.tip()
    usage = NodeRefused("getrawtransaction", -1, "getrawtransaction txid ( verbose )")
    old = chain.reader(Tampering(chain.rpc, {"getrawtransaction": usage}))
    [position] = [t.position for t in (await reader.block(tip)).transfers if t.address == address]
    assert await old.find(txid, position, tip.hash) == await reader.find(txid, position, tip.hash)
    assert await old.find("ab" * 32, position, tip.hash) is None


async def test_incomplete_block_is_trouble(chain: BitcoinDriver, reader: Reader) -> None:
    """Fewer transactions than the block says, or an output without value: never a part."""
    await chain.pay("btc", {chain.fresh_address(): 40_000})
    await chain.mine()
    tip = await reader.tip()

    def shorter(block: Any) -> Any:
        block.tx.pop()
        return block

    def valueless(block: Any) -> Any:
        block.tx[-1].vout[0].value = None
        return block

    def negative(block: Any) -> Any:
        block.tx[-1].vout[0].value = -block.tx[-1].vout[0].value
        return block

    for lie in (shorter, valueless, negative):
        liar = chain.reader(Tampering(chain.rpc, {"getblock": lie}))
        with pytest.raises(NodeTrouble):
            await liar.block(tip)


async def test_extension_block_outputs_are_skipped(chain: BitcoinDriver, reader: Reader) -> None:
    """Litecoin lists outputs of its extension block without value and script."""
    await chain.mine()
    tip = await reader.tip()

    def extended(block: Any) -> Any:
        block.tx[0].vout.append(type(block.tx[0].vout[0])(ismweb=True))
        return block

    litecoin = chain.reader(Tampering(chain.rpc, {"getblock": extended}))
    assert await litecoin.block(tip) == await reader.block(tip)
