"""What every reader must do, on whatever chain. Imported by test_conformance, once per driver.

A module that wants to judge a reader defines a fixture `driver` and imports the tests from here.
Tests share one node and use addresses of their own.
"""

import msgspec
import pytest

from swapdesk.chains.reader import (
    Block,
    BlockRef,
    NodeTrouble,
    Placed,
    Reader,
    Transfer,
    WrongChain,
    require_identity,
)
from tests.chains.drivers import Driver

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]


@pytest.fixture
async def reader(driver: Driver):  # type: ignore[no-untyped-def]
    """A reader without any memory."""
    reader = driver.reader()
    yield reader
    await reader.close()


def codes(driver: Driver) -> list[str]:
    """Every asset of the chain under test."""
    return [asset.code for asset in driver.registry.on(driver.network.key)]


async def tip_block(reader: Reader) -> Block:
    """The newest block, whole."""
    return await reader.block(await reader.tip())


def paid(transfers: object, address: str) -> list[Transfer]:
    """The transfers to one address."""
    assert isinstance(transfers, (list, tuple))
    return [transfer for transfer in transfers if transfer.address == address]


async def test_identity_is_the_registrys(driver: Driver, reader: Reader) -> None:
    """The right node passes, with pins it has; a wrong pin or one beyond its tip does not."""
    identity = await reader.identity()
    assert identity.chain == driver.network.chain
    assert identity.subversion
    await require_identity(reader)
    await driver.mine()
    tip = await reader.tip()
    await require_identity(reader, [(tip.height, tip.hash), (tip.height - 1, tip.parent)])
    for pin in [(tip.height, tip.parent), (tip.height + 1000, tip.hash)]:
        with pytest.raises(WrongChain, match="pinned"):
            await require_identity(reader, [pin])


async def test_node_of_another_chain_is_refused(driver: Driver, reader: Reader) -> None:
    """Another genesis or chain id, or a version the registry refuses, stops everything."""
    reader.network = msgspec.structs.replace(driver.network, chain="1")
    with pytest.raises(WrongChain, match="the registry says 1"):
        await require_identity(reader)
    word = (await reader.identity()).subversion.strip("/")[:5].upper()
    reader.network = msgspec.structs.replace(driver.network, refuse_subversion=("none", word))
    with pytest.raises(WrongChain, match="refused"):
        await require_identity(reader)


async def test_blocks_are_a_chain(driver: Driver, reader: Reader) -> None:
    """Tip, refs by height and parents agree; above the tip there is nothing."""
    await driver.mine(3)
    child = tip = await reader.tip()
    for _ in range(3):
        assert await reader.ref(child.height) == child
        parent = await reader.ref(child.height - 1)
        assert parent is not None
        assert parent.hash == child.parent
        assert parent.time_ms <= child.time_ms
        child = parent
    assert await reader.ref(tip.height + 1) is None
    genesis = await reader.ref(0)
    assert genesis is not None
    assert int(genesis.parent, 16) == 0


async def test_deposit_waits_then_is_in_a_block(driver: Driver, reader: Reader) -> None:
    """(txid, position) is the same in the mempool and in the block, and it waits only once."""
    for code in codes(driver):
        address = driver.fresh_address()
        txid = await driver.pay(code, {address: 123_456_789})
        waiting = paid(await reader.pending(), address)
        assert waiting == paid(await reader.pending(), address)
        await driver.mine()
        [mined] = paid((await tip_block(reader)).transfers, address)
        assert (mined.txid, mined.asset, mined.units) == (txid, code, 123_456_789)
        assert waiting == ([mined] if code in driver.waits else [])
        assert paid(await reader.pending(), address) == []


async def test_amounts_are_exact(driver: Driver, reader: Reader) -> None:
    """Not one unit is lost on the way, whatever a float would make of it."""
    sizes = {8: [30_000_000, 1_234_567_891, 546], 6: [1, 2**53 + 1], 18: [1, 2**64 + 1, 2**60 + 1]}
    for code in codes(driver):
        for units in sizes[driver.registry.assets[code].decimals]:
            address = driver.fresh_address()
            await driver.pay(code, {address: units})
            await driver.mine()
            [found] = paid((await tip_block(reader)).transfers, address)
            assert found.units == units


async def test_several_outputs_of_one_transaction(driver: Driver, reader: Reader) -> None:
    """Each output is a transfer with its own position, found by it and by no other."""
    if driver.several is None:
        return  # a transaction of this chain has one recipient
    payments = {driver.fresh_address(): 40_000 + i for i in range(3)}
    txid = await driver.pay(driver.several, payments)
    await driver.mine()
    block = await tip_block(reader)
    found = [transfer for transfer in block.transfers if transfer.txid == txid]
    assert len({transfer.position for transfer in found}) == len(found)
    assert {t.address: t.units for t in found if t.address in payments} == payments
    for transfer in found:
        placed = await reader.find(txid, transfer.position, block.ref.hash)
        assert placed == Placed(transfer, block.ref, 1)
    for position in ("9", "log:9", "-1", "0x0", "", "01", "log:01", "log:-1"):
        assert await reader.find(txid, position, block.ref.hash) is None


async def test_depth_grows(driver: Driver, reader: Reader) -> None:
    """A transfer in the tip has depth 1, and one more with each block."""
    for code in codes(driver):
        address = driver.fresh_address()
        txid = await driver.pay(code, {address: 77_777})
        since = (await reader.tip()).height
        await driver.mine()
        block = await tip_block(reader)
        [transfer] = paid(block.transfers, address)
        for depth in (1, 2, 4):
            placed = await reader.find(txid, transfer.position, block.ref.hash)
            assert placed == Placed(transfer, block.ref, depth)
            inclusion = await reader.locate(txid, since)
            assert inclusion is not None
            assert (inclusion.ref, inclusion.depth, inclusion.ok) == (block.ref, depth, True)
            assert inclusion.fee_units is None or inclusion.fee_units >= 0
            await driver.mine(depth)


async def test_locate_wants_a_block(driver: Driver, reader: Reader) -> None:
    """Waiting is not inclusion; unknown, or below the height asked from, is None."""
    txid = await driver.pay(driver.network.native, {driver.fresh_address(): 99_999})
    tip = await reader.tip()
    assert await reader.locate(txid, tip.height - 5) is None
    assert await reader.locate(txid[:-4] + "beef", tip.height - 5) is None
    await driver.mine()
    assert (await reader.locate(txid, tip.height + 1)) is not None
    assert (await reader.locate(txid, tip.height + 2)) is None
    assert (await reader.locate(txid, tip.height + 500)) is None


async def test_find_wants_the_right_block(driver: Driver, reader: Reader) -> None:
    """A transfer is not in the block before its own, nor in a block that does not exist."""
    address = driver.fresh_address()
    txid = await driver.pay(driver.network.native, {address: 88_888})
    await driver.mine()
    block = await tip_block(reader)
    [transfer] = paid(block.transfers, address)
    for other in (block.ref.parent, block.ref.hash[:-4] + "beef"):
        assert await reader.find(txid, transfer.position, other) is None
    unknown = txid[:-4] + "beef"
    assert await reader.find(unknown, transfer.position, block.ref.hash) is None


async def test_reorganised_transfer_comes_back(driver: Driver, reader: Reader) -> None:
    """An undone block answers nothing; mined again it is the same transfer in another block."""
    for code in codes(driver):
        address = driver.fresh_address()
        txid = await driver.pay(code, {address: 66_666})
        await driver.mine(2)
        tip = await reader.tip()
        old = await reader.ref(tip.height - 1)
        assert old is not None
        [first] = paid((await reader.block(old)).transfers, address)
        await driver.reorg(2, "mempool")
        assert await reader.find(txid, first.position, old.hash) is None
        assert await reader.locate(txid, 0 if old.height < 500 else old.height - 100) is None
        with pytest.raises(NodeTrouble):
            await reader.block(old)
        assert paid(await reader.pending(), address) == ([first] if code in driver.waits else [])
        await driver.mine(3)
        new = await located(reader, txid, old.height)
        assert new.hash != old.hash
        [again] = paid((await reader.block(new)).transfers, address)
        assert again == first
        assert await reader.find(txid, first.position, old.hash) is None
        assert await reader.find(txid, first.position, new.hash) is not None


async def test_dropped_transfer_stays_away(driver: Driver, reader: Reader) -> None:
    """After a reorganisation that replaced it a transaction is nowhere."""
    for code in codes(driver):
        address = driver.fresh_address()
        txid = await driver.pay(code, {address: 55_555})
        await driver.mine()
        block = await tip_block(reader)
        [transfer] = paid(block.transfers, address)
        await driver.reorg(1, "drop")
        await driver.mine(2)
        assert await reader.find(txid, transfer.position, block.ref.hash) is None
        assert await reader.locate(txid, block.ref.height) is None
        assert paid(await reader.pending(), address) == []


async def test_block_is_asked_for_as_it_is(driver: Driver, reader: Reader) -> None:
    """A ref that does not fit its block, or a block that does not exist, is trouble."""
    tip = await reader.tip()
    wrong = [
        msgspec.structs.replace(tip, height=tip.height - 1),
        msgspec.structs.replace(tip, parent=tip.hash),
        msgspec.structs.replace(tip, hash=tip.hash[:-4] + "beef"),
    ]
    for ref in wrong:
        with pytest.raises(NodeTrouble):
            await reader.block(ref)


async def located(reader: Reader, txid: str, since_height: int) -> BlockRef:
    """The block of a transaction that must be there."""
    inclusion = await reader.locate(txid, since_height)
    assert inclusion is not None
    return inclusion.ref
