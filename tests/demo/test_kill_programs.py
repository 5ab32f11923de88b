"""Web, two workers and the vault killed with SIGKILL again and again while real swaps are under way."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from swapdesk.demo.partner import Partner, Told
from swapdesk.demo.programs import Program, program
from swapdesk.demo.reconcile import reconcile
from swapdesk.demo.site import Places
from swapdesk.demo.stage import Stage
from swapdesk.money import parse
from swapdesk.world import RealWorld
from tests.nodes import need
from tests.postgres import short_folder

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.nodes,
    pytest.mark.slow,
    pytest.mark.timeout(280),
]

#: (from, to, what the customer sends). A killed vault binds late; what it then pays by itself is
#: capped per order and per hour, so these are worth about 2,000 dollars together.
SWAPS: Final = (
    ("btc", "usdt_eth", "0.005"),
    ("eth", "btc", "0.1"),
    ("btc", "usdt_trc20", "0.006"),
    ("usdt_eth", "btc", "300"),
    ("eth", "usdt_trc20", "0.12"),
    ("btc", "eth", "0.0055"),
)
KILLS: Final = 24
#: After the last kill everything must have come to its end within this.
SETTLE_SECONDS_MAX: Final = 90


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder whose socket paths are short."""
    for name in ("bitcoind", "anvil"):
        need(name)
    with short_folder() as folder:
        state = folder / "demo"
        state.mkdir(mode=0o711)
        yield state


async def _insist(partner: Partner, method: str, ask: object, key: str | None = None) -> Any:
    """A call as a partner makes it: again with the same key until the desk answers."""
    while True:
        try:
            return await partner.call(method, ask, key=key)
        except (aiohttp.ClientError, TimeoutError, Told) as trouble:
            if isinstance(trouble, Told) and trouble.code not in (11, 99):
                raise
            await asyncio.sleep(0.05)


async def _swap(stage: Stage, number: int, order_ids: dict[int, str]) -> None:
    """Open one order, whatever dies meanwhile, and pay it."""
    src, dst, pays = SWAPS[number]
    customer = stage.customer
    addresses = {
        "bitcoin": customer.purse.btc_address,
        "ethereum": customer.purse.eth_address,
        "tron": customer.purse.tron_address,
    }
    registry = customer.registry
    ask = {
        "type": "float", "fromCcy": src, "toCcy": dst, "direction": "from", "amount": pays,
        "toAddress": addresses[registry.assets[dst].network],
        "refundAddress": addresses[registry.assets[src].network],
    }  # fmt: skip
    told = await _insist(stage.partner, "create", ask, key=f"swap-number-{number}")
    order_ids[number] = told["id"]
    asset = registry.assets[src]
    await customer.pay(asset, told["from"]["address"], parse(pays, asset.decimals))


@asynccontextmanager
async def _second_worker(stage: Stage) -> AsyncIterator[None]:
    """Two workers watch the same chains, run the same timers and deliver the same webhooks."""
    env = {"SWAPDESK_SITE": str(stage.places.desk_site)}
    log = stage.places.logs / "worker-2.log"
    worker = Program("second worker", program("swapdesk", "worker"), env, log)
    worker.start()
    stage.programs.append(worker)
    try:
        yield
    finally:
        worker.stop()


async def _kill_at_random(stage: Stage, chance: random.Random) -> None:
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.1, 0.9))
        victim = chance.choice(stage.programs)
        os.kill(victim.pid, signal.SIGKILL)
        victim.stop()
        victim.start()


async def test_every_swap_ends_with_one_payout(state: Path) -> None:
    """Twenty-four kills over six swaps on bitcoind, anvil and the simulated Tron: all DONE, books
    equal to chains to the unit, which a second payout of any order would break."""
    async with Stage(Places(state), RealWorld(), lambda _: None) as stage, _second_worker(stage):
        order_ids: dict[int, str] = {}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_kill_at_random(stage, random.Random(7)))
            for number in range(len(SWAPS)):
                tasks.create_task(_swap(stage, number, order_ids))
        assert len(set(order_ids.values())) == len(SWAPS)
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS_MAX
        states: list[str] = []
        while states != ["DONE"] * len(SWAPS):
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"{states}; {await stage.vault_command('status')}"
            orders = msgspec.json.decode(await stage.swapdesk("order", "list", "--json"))
            states = [order["state"] for order in orders]
        balances = msgspec.json.decode(await stage.swapdesk("books", "trial-balance", "--json"))
        pay_in: dict[str, list[str]] = {}
        for order in orders:
            pay_in.setdefault(order["network"], []).append(order["address"])
        lines = await reconcile(stage.customer, balances, pay_in, stage.hot)
        assert [line for line in lines if not line.agrees] == []
        stage.require_alive()
