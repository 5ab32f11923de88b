"""What only an EVM chain can do to a reader: logs, failed calls, strange tokens, lying nodes."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from swapdesk.chains import codec
from swapdesk.chains.reader import NodeTrouble, Reader, Transfer
from swapdesk.chains.rpc import NodeRefused
from swapdesk.demo import tokens
from tests.chains.drivers import EvmDriver, Tampering

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]

GWEI = 10**9


@pytest.fixture(scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EvmDriver]:
    """One anvil for the module."""
    driver = EvmDriver()
    try:
        await driver.start(tmp_path_factory.mktemp("anvil"))
        yield driver
    finally:
        await driver.close()


@pytest.fixture
async def reader(chain: EvmDriver) -> AsyncIterator[Reader]:
    """A reader on a connection of its own."""
    reader = chain.reader()
    yield reader
    await reader.close()


async def mined(chain: EvmDriver, reader: Reader, txid: str) -> list[Transfer]:
    """The transfers of one transaction after one more block."""
    await chain.mine()
    block = await reader.block(await reader.tip())
    return [transfer for transfer in block.transfers if transfer.txid == txid]


async def raw_token_call(chain: EvmDriver, sender: str, to: str, units: int, fee_gwei: int) -> str:
    """A USDT transfer whose place in the block its fee decides."""
    data = "0xa9059cbb" + tokens.words(int(to, 16), units).hex()
    tx = {"from": sender, "to": chain.tokens["usdt_eth"], "data": data, "gas": hex(200_000)}
    fee = hex(fee_gwei * GWEI)
    tx |= {"maxFeePerGas": fee, "maxPriorityFeePerGas": fee}
    return await chain.rpc.call("eth_sendTransaction", [tx], str)


async def test_same_transfer_behind_another_log(chain: EvmDriver, reader: Reader) -> None:
    """Mined again behind somebody else's log it has another logIndex and the same position."""
    other = chain.accounts[1]
    await tokens.transfer(chain.rpc, chain.owner, chain.tokens["usdt_eth"], other, 1_000)
    await chain.mine()
    deposit = chain.fresh_address()
    txid = await raw_token_call(chain, chain.owner, deposit, 5_000_000, fee_gwei=5)
    [first] = await mined(chain, reader, txid)
    old = await reader.tip()
    assert await log_index(chain, txid) == 0

    await chain.reorg(1, "mempool")
    rival = await raw_token_call(chain, other, chain.fresh_address(), 7, fee_gwei=50)
    [again] = await mined(chain, reader, txid)
    new = await reader.tip()
    assert await log_index(chain, txid) == 1
    assert await log_index(chain, rival) == 0
    assert again == first == Transfer(txid, "log:0", "usdt_eth", deposit, 5_000_000)
    assert new.hash != old.hash
    assert await reader.find(txid, "log:0", old.hash) is None
    assert await reader.find(txid, "log:1", new.hash) is None
    placed = await reader.find(txid, "log:0", new.hash)
    assert placed is not None
    assert (placed.transfer, placed.ref) == (first, new)


async def log_index(chain: EvmDriver, txid: str) -> int:
    """The node's own number of the first log of a transaction."""
    receipt: Any = await chain.rpc.call("eth_getTransactionReceipt", [txid], object)
    return int(receipt["logs"][0]["logIndex"], 16)


async def test_only_listed_contracts_speak(chain: EvmDriver, reader: Reader) -> None:
    """A token that is not in the registry, or a log that apes a listed one, is nothing."""
    address = chain.fresh_address()
    unknown = await tokens.deploy_token(chain.rpc, chain.owner, "USDT", 6, 10**12)
    txid = await tokens.transfer(chain.rpc, chain.owner, unknown, address, 10**9)
    assert await mined(chain, reader, txid) == []
    false = await tokens.deploy(chain.rpc, chain.owner, "FalseToken")
    fake = "fake(address,uint256)"
    txid = await tokens.call(chain.rpc, chain.owner, false, fake, int(address, 16), 10**9)
    assert await mined(chain, reader, txid) == []


async def test_listed_token_that_moves_nothing(chain: EvmDriver, reader: Reader) -> None:
    """A transfer that answers false succeeds on chain and writes no log: no deposit."""
    contract = await tokens.deploy(chain.rpc, chain.owner, "FalseToken")
    listed = msgspec.structs.replace(chain.registry.assets["usdt_eth"], contract=contract)
    chain.registry.assets["usdt_false"] = msgspec.structs.replace(listed, code="usdt_false")
    with_false = chain.reader()
    del chain.registry.assets["usdt_false"]
    txid = await tokens.transfer(chain.rpc, chain.owner, contract, chain.fresh_address(), 10**9)
    assert await mined(chain, with_false, txid) == []
    inclusion = await reader.locate(txid, 0)
    assert inclusion is not None
    assert inclusion.ok
    await with_false.close()


async def test_token_without_return_value(chain: EvmDriver, reader: Reader) -> None:
    """A transfer like Tether's is a transfer: the log counts, not what the call returned."""
    address = chain.fresh_address()
    txid = await chain.pay("usdc_eth", {address: 2**64 + 1})
    expected = Transfer(txid, "log:0", "usdc_eth", address, 2**64 + 1)
    assert await mined(chain, reader, txid) == [expected]
    assert await tokens.balance(chain.rpc, chain.tokens["usdc_eth"], address) == 2**64 + 1


async def test_failed_transaction_moves_nothing(chain: EvmDriver, reader: Reader) -> None:
    """A reverted call with value and a transfer beyond the balance are included but not ok."""
    pauper, contract = chain.accounts[5], chain.tokens["usdt_eth"]
    unpayable = await tokens.send(chain.rpc, chain.owner, to=contract, units=10**15)
    beyond = await tokens.transfer(chain.rpc, pauper, contract, chain.fresh_address(), 10**9)
    for txid in (unpayable, beyond):
        assert await mined(chain, reader, txid) == []
        inclusion = await reader.locate(txid, 0)
        assert inclusion is not None
        assert not inclusion.ok
        receipt: Any = await chain.rpc.call("eth_getTransactionReceipt", [txid], object)
        fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        assert inclusion.fee_units == fee > 0
        for position in ("value", "log:0"):
            assert await reader.find(txid, position, inclusion.ref.hash) is None


async def test_creation_and_empty_transfers_are_ignored(chain: EvmDriver, reader: Reader) -> None:
    """A contract creation pays nobody; a transfer of nothing (address poisoning) is no deposit."""
    creation = await tokens.send(chain.rpc, chain.owner, units=1, data="0x00")
    empty = await chain.pay("usdt_eth", {chain.fresh_address(): 0})
    nothing = await chain.pay("eth", {chain.fresh_address(): 0})
    await chain.mine()
    block = await reader.block(await reader.tip())
    assert not [t for t in block.transfers if t.txid in (creation, empty, nothing)]
    inclusion = await reader.locate(creation, 0)
    assert inclusion is not None


async def test_mint_is_a_transfer(chain: EvmDriver, reader: Reader) -> None:
    """Whoever sent it, a Transfer log of a listed contract to an address is money at it."""
    address = chain.fresh_address()
    txid = await tokens.mint(chain.rpc, chain.owner, chain.tokens["usdt_eth"], address, 42)
    [transfer] = await mined(chain, reader, txid)
    assert (transfer.address, transfer.units) == (address, 42)
    assert codec.check_address("ethereum", "dev", transfer.address) == transfer.address


async def test_incomplete_answers_are_trouble(chain: EvmDriver, reader: Reader) -> None:
    """A missing, foreign or double receipt, or a block without its transactions: never a part."""
    addresses = [chain.fresh_address(), chain.fresh_address()]
    for address in addresses:
        await chain.pay("usdt_eth", {address: 1_000})
    await chain.mine()
    tip = await reader.tip()
    assert len((await reader.block(tip)).transfers) == 2

    def foreign(receipts: list[Any]) -> list[Any]:
        receipts[0].block_hash = "0x" + "11" * 32
        return receipts

    def emptied(block: Any) -> Any:
        block.transactions.clear()
        return block

    def unsure(receipts: list[Any]) -> list[Any]:
        receipts[0].status = None
        return receipts

    lies: list[tuple[str, Any]] = [
        ("eth_getBlockReceipts", lambda receipts: receipts[:-1]),
        ("eth_getBlockReceipts", lambda receipts: [receipts[0], receipts[0]]),
        ("eth_getBlockReceipts", lambda receipts: [*receipts, receipts[0]]),
        ("eth_getBlockReceipts", lambda _: None),
        ("eth_getBlockReceipts", foreign),
        ("eth_getBlockReceipts", unsure),
        ("eth_getBlockByHash", emptied),
        ("eth_getBlockByHash", lambda _: None),
        ("eth_getBlockByNumber", lambda _: None),
        ("eth_getBlockByHash", NodeTrouble("gone")),
    ]
    for method, lie in lies:
        liar = chain.reader(Tampering(chain.rpc, {method: lie}))
        with pytest.raises(NodeTrouble):
            await liar.block(tip)
    placed = chain.reader(Tampering(chain.rpc, {"eth_getTransactionReceipt": lambda _: None}))
    txid = (await reader.block(tip)).transfers[0].txid
    with pytest.raises(NodeTrouble, match="no receipt"):
        await placed.find(txid, "log:0", tip.hash)


async def test_old_node_gives_receipts_one_by_one(chain: EvmDriver, reader: Reader) -> None:
    """Without eth_getBlockReceipts a block is the same, from one batch."""
    for units in (1, 2, 3):
        await chain.pay("usdt_eth", {chain.fresh_address(): units})
    await chain.mine()
    tip = await reader.tip()
    unknown = NodeRefused("eth_getBlockReceipts", -32601, "method not found")
    old = chain.reader(Tampering(chain.rpc, {"eth_getBlockReceipts": unknown}))
    assert await old.block(tip) == await reader.block(tip)


async def test_node_without_pending_block(chain: EvmDriver, reader: Reader) -> None:
    """A node that knows no pending block, or shows the latest as one, hints at nothing."""
    await chain.pay("eth", {chain.fresh_address(): 10**15})
    await chain.mine()
    tip = await reader.tip()

    def shows_latest(block: Any) -> Any:
        block.hash, block.number = tip.hash, hex(tip.height)
        return block

    liar = Tampering(chain.rpc, {"eth_getBlockByNumber": shows_latest})
    assert await chain.reader(liar).pending() == []
    refused = NodeRefused("eth_getBlockByNumber", -32000, "pending block is not available")
    assert (
        await chain.reader(Tampering(chain.rpc, {"eth_getBlockByNumber": refused})).pending() == []
    )
