"""Node A rejects, the desk asks for a second attempt, the first bytes are mined elsewhere."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from swapdesk.chains.rpc import NodeRefused, Rpc
from swapdesk.demo.nodes import Anvil, Bitcoind
from swapdesk_vault.operator import status
from swapdesk_vault.vault import Vault
from tests.postgres import Dsns
from tests.vault.real_site import BTC, ETH, RealSite

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]


@pytest.fixture
async def site(
    vault_dsns: Dsns, bitcoind_pair: tuple[Bitcoind, Bitcoind], anvil: Anvil, tmp_path: Path
) -> AsyncIterator[RealSite]:
    """A site whose bitcoind A is connected to B."""
    first, second = bitcoind_pair
    site = RealSite(vault_dsns, first, anvil, tmp_path)
    await site.start()
    await connect(first, second)
    yield site
    await site.stop()


async def connect(first: Bitcoind, second: Bitcoind) -> None:
    """Connect two nodes and wait until they agree on the chain of the first.

    A node fresh from its start asks no pruned one for blocks: the second mines one of its own.
    """
    await second.mine(1)
    await first.rpc("addnode", f"127.0.0.1:{second.p2p_port}", "onetry")
    tip = await first.rpc("getbestblockhash")
    await second.rpc("waitforblock", tip, 30_000)


class Rejecting(Rpc):
    """A node that takes no transactions, and otherwise answers."""

    async def call(self, method, params, shape):  # type: ignore[no-untyped-def]
        """See Caller.call."""
        if method == "sendrawtransaction":
            raise NodeRefused(method, -26, "mempool min fee not met")
        return await super().call(method, params, shape)


async def test_first_bytes_win_through_another_node(
    site: RealSite, bitcoind_pair: tuple[Bitcoind, Bitcoind]
) -> None:
    """Rejected by A, asked for again, mined through B: one payout, attempt 1 final, 2 refused."""
    first, second = bitcoind_pair
    await site.initialise()
    vault = await site.vault()
    sender = vault._senders["bitcoin"]
    for node in sender._nodes:  # type: ignore[attr-defined]
        await node.close()
    sender._nodes = [Rejecting(first.url)]  # type: ignore[attr-defined]
    order = site.open("eth", "btc")
    await vault.tick()
    deposit = await site.pay_in(order, ETH * 11 // 100)
    site.ask(order, BTC // 200, deposit)
    await vault.tick()
    await vault.tick()
    assert site.desk.outcomes(order.order_id) == []
    assert "min fee" in (await status(site.dsns.app)).alarms[0].detail

    site.ask(order, BTC // 200, deposit, attempt=2)
    await vault.tick()
    assert site.desk.outcomes(order.order_id, 2) == ["refused"]

    raw = await vault._journal.connection.fetchval("SELECT raw FROM signed")
    await second.rpc("sendrawtransaction", raw.hex())
    await second.mine(2)
    tip = await second.rpc("getbestblockhash")
    await first.rpc("waitforblock", tip, 30_000)
    await vault.tick()
    await vault.tick()
    assert site.desk.outcomes(order.order_id) == ["sent", "final"]
    assert site.desk.outcomes(order.order_id, 2) == ["refused"]
    assert await site.received(order) == BTC // 200
    assert await vault._journal.connection.fetchval("SELECT count(*) FROM signed") == 1
    await vault.close()


async def test_a_further_node_is_enough(
    site: RealSite, bitcoind_pair: tuple[Bitcoind, Bitcoind]
) -> None:
    """Broadcasts go to every configured node; one that takes the bytes makes it sent."""
    first, second = bitcoind_pair
    await site.initialise()
    vault = await site.vault()
    sender = vault._senders["bitcoin"]
    for node in sender._nodes:  # type: ignore[attr-defined]
        await node.close()
    sender._nodes = [Rejecting(first.url), Rpc(second.url)]  # type: ignore[attr-defined]
    order = site.open("eth", "btc")
    await vault.tick()
    site.ask(order, BTC // 200, await site.pay_in(order, ETH * 11 // 100))
    await vault.tick()
    assert site.desk.outcomes(order.order_id) == ["sent"]
    await vault.close()


async def test_coins_follow_a_reorganisation(
    site: RealSite, bitcoind_pair: tuple[Bitcoind, Bitcoind]
) -> None:
    """Capital in a block that leaves the chain is not there; re-mined, it is again, once."""
    first, _ = bitcoind_pair
    await site.initialise()
    vault = await site.vault()
    assert await balance(site, vault) == 15 * BTC
    txid = await first.rpc("sendtoaddress", site.hot("bitcoin"), Decimal(1), path="/wallet/outside")
    [block, _] = await first.mine(2)
    assert await balance(site, vault) == 16 * BTC
    await first.rpc("invalidateblock", block)
    for _ in range(3):  # three empty ones, so that the payment waits
        await first.rpc("generateblock", site.customer("bitcoin", 5), [])
    await vault.tick()
    assert await balance(site, vault) == 15 * BTC
    assert txid in await first.rpc("getrawmempool")
    await first.mine(2)
    assert await balance(site, vault) == 16 * BTC
    assert site.desk.beats[-1].stopped is None
    await vault.close()


async def test_a_coin_spent_by_somebody_else_stops(site: RealSite) -> None:
    """The hot key used elsewhere, even for dust: the vault stops."""
    from swapdesk.chains import codec
    from swapdesk_vault.senders import bitcoin_tx

    await site.initialise()
    vault = await site.vault()
    await vault.tick()
    coin = (await vault._senders["bitcoin"]._spendable())[0]  # type: ignore[attr-defined]
    to = codec.script_of("bitcoin", "dev", site.customer("bitcoin", 9))
    outputs = [bitcoin_tx.Output(to, 1_000), bitcoin_tx.Output(coin.script, coin.units - 2_000)]
    raw = bitcoin_tx.sign([coin], outputs, lambda _: site.keyring.hot_key("bitcoin", 0))
    await site.bitcoind.rpc("sendrawtransaction", raw.hex())
    await site.bitcoind.mine(1)
    await balance(site, vault)
    assert "not in the journal" in str(site.desk.beats[-1].stopped)
    await vault.close()


async def balance(site: RealSite, vault: Vault) -> int:
    """Bitcoin in the beat of a fresh tick."""
    vault._beat_due = 0
    await vault.tick()
    return next(b.units for b in site.desk.beats[-1].balances if b.asset == "btc")
