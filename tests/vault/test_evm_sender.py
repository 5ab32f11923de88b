"""The EVM sender on anvil: what it will not sign, and what stands in each other's way."""

import asyncio
from typing import Any

import msgspec
import pytest

from swapdesk.demo import tokens
from swapdesk_vault.operator import status
from swapdesk_vault.senders.evm import EvmSetup
from swapdesk_vault.vault import Vault
from tests.vault.real_site import BTC, ETH, USDT, RealSite

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]


async def held(site: RealSite, vault: Vault) -> str:
    """Why the only live payment does not move, after a tick at which it is due."""
    await asyncio.sleep(0.15)
    await vault.tick()
    [payment] = (await status(site.dsns.app)).live
    assert payment.signed_ms is None
    return str(payment.trouble)


async def test_gas_and_fees_have_caps(real_site: RealSite) -> None:
    """Too dear, too much gas, above the limit of the payment: held, and paid when it is right."""
    site = real_site
    await site.initialise()
    vault = await site.vault()
    sender: Any = vault._senders["ethereum"]
    order = site.open("btc", "usdt_eth")
    await vault.tick()
    sender._setup = EvmSetup(max_fee_cap=1)
    site.ask(order, 590 * USDT, await site.pay_in(order, BTC // 100))
    assert "dearer" in await held(site, vault)
    sender._setup = EvmSetup(gas_max=40_000)
    assert "gas" in await held(site, vault)
    sender._setup = EvmSetup()
    limits = vault._paying._limits
    vault._paying._limits = msgspec.structs.replace(limits, fee_usd=0)
    assert "exceed its limit" in await held(site, vault)
    vault._paying._limits = limits
    await asyncio.sleep(0.15)
    await vault.tick()
    assert site.desk.outcomes(order.order_id) == ["sent"]
    await vault.close()


async def test_a_hot_wallet_without_ether_or_tokens_waits(real_site: RealSite) -> None:
    """Both the token and the gas must be there, less what live payments were promised."""
    site = real_site
    await site.initialise()
    vault = await site.vault()
    first, second = site.open("btc", "eth"), site.open("btc", "eth")
    await vault.tick()
    await site.anvil.rpc("anvil_setBalance", site.hot("ethereum"), hex(3 * ETH // 10))
    for order in (first, second):
        site.ask(order, ETH // 5, await site.pay_in(order, BTC // 99))
    await vault.tick()
    assert site.desk.outcomes(first.order_id) == ["sent"]
    assert site.desk.outcomes(second.order_id) == []
    await tokens.send(site.rpc, site.owner, to=site.hot("ethereum"), units=ETH)
    await site.mine()
    await asyncio.sleep(0.15)
    await vault.tick()
    assert site.desk.outcomes(first.order_id) == ["sent", "final"]
    assert site.desk.outcomes(second.order_id) == ["sent"]
    await site.mine()
    await vault.tick()
    assert await site.received(first) == await site.received(second) == ETH // 5
    await vault.close()


async def test_a_nonce_that_no_node_took_holds_the_later_ones(real_site: RealSite) -> None:
    """No payment queues behind a gap; when the first is taken the next follows."""
    site = real_site
    await site.initialise()
    vault = await site.vault()
    sender: Any = vault._senders["ethereum"]
    orders = [site.open("btc", "usdt_eth") for _ in range(2)]
    await vault.tick()
    nodes, sender._nodes = sender._nodes, [Deaf(sender._nodes[0])]
    for order in orders:
        site.ask(order, 59 * USDT, await site.pay_in(order, BTC // 1000))
    await vault.tick()
    live = (await status(site.dsns.app)).live
    assert [payment.signed_ms is None for payment in live] == [False, True]
    assert "was not taken by a node" in str(live[1].trouble)
    sender._nodes = nodes
    await asyncio.sleep(0.15)
    await vault.tick()
    assert [site.desk.outcomes(order.order_id) for order in orders] == [["sent"]] * 2
    await site.mine()
    await vault.tick()
    for order in orders:
        assert site.desk.outcomes(order.order_id) == ["sent", "final"]
        assert await site.received(order) == 59 * USDT
    await vault.close()


class Deaf:
    """A node that answers everything and takes no transactions."""

    def __init__(self, node: Any) -> None:
        self._node = node

    async def call(self, method: str, params: list[object], shape: Any) -> Any:
        """See Caller.call."""
        params = ["0x00"] if method == "eth_sendRawTransaction" else params
        return await self._node.call(method, params, shape)

    async def close(self) -> None:
        """See Caller.close."""
        await self._node.close()
