"""The same ERC-20 transfer mined again behind another log: one deposit, one payout."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from swapdesk import assets
from swapdesk.assets import NetworkSetup
from swapdesk.db import Database
from swapdesk.engine.open_order import open_order
from swapdesk.handoff import PayoutReport
from swapdesk.orders.states import State
from tests.chains.drivers import EvmDriver
from tests.chains.test_evm_reader import log_index, raw_token_call
from tests.postgres import Dsns
from tests.rig import Rig, TestWorld

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[EvmDriver]:
    """An anvil with a test dollar."""
    driver = EvmDriver()
    await driver.start(tmp_path)
    yield driver
    await driver.close()


async def test_one_deposit_and_one_payout(chain: EvmDriver, desk_dsns: Dsns) -> None:
    """Seen at logIndex 0, reorganised, mined at logIndex 1: the identity stays, the money is one."""
    registry = assets.load(
        "dev",
        {
            "ethereum": NetworkSetup(contracts=chain.tokens, confirmations=3),
            "tron": NetworkSetup(reader="simulated", confirmations=2),
        },
    )
    reader = chain.reader()
    reader.network = registry.networks["ethereum"]
    db = await Database.open(desk_dsns.app)
    rig = Rig(db, TestWorld(now=4_000_000_000_000), registry, {"ethereum": reader})
    try:
        await rig.begin()
        ask = msgspec.structs.replace(
            rig.ask(), src=registry.assets["usdt_eth"], units=50_000_000,
            refund_address=chain.fresh_address(),
        )  # fmt: skip
        order = (await open_order(rig.desk, ask)).view.order
        other = chain.accounts[1]
        await raw_token_call(chain, chain.owner, other, 1_000, fee_gwei=5)
        await chain.mine()
        txid = await raw_token_call(chain, chain.owner, order.address, 50_000_000, fee_gwei=5)
        await chain.mine()
        await rig.look()
        assert await log_index(chain, txid) == 0
        assert await rig.state(order.id) is State.CONFIRMING

        await chain.reorg(1, "mempool")
        await rig.look()
        await raw_token_call(chain, other, chain.fresh_address(), 7, fee_gwei=50)
        await chain.mine(3)
        await rig.tick()
        assert await log_index(chain, txid) == 1
        assert await rig.state(order.id) is State.PAYING

        assert len(await rig.intents()) == 1
        await rig.report(PayoutReport(str(order.id), 1, "final", txid="aa"))
        await chain.mine(3)
        await rig.tick()
        assert await rig.intents() == []
        assert await rig.state(order.id) is State.DONE
        connection = await asyncpg.connect(desk_dsns.app)
        rows = await connection.fetch("SELECT txid, position FROM deposit")
        await connection.close()
        assert [tuple(row) for row in rows] == [(txid, "log:0")]
        assert (await rig.books())["chain/ethereum/deposits", "usdt_eth"] == 50_000_000
    finally:
        await reader.close()
        for simulated in rig.chains.values():
            simulated.close()
        await db.close()
