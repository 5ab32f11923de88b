"""The vault on simulated chains: swaps, refunds, holds, stops, and desks that lie."""

import pytest

from tests.vault.site import LTC, USDT, Site

pytestmark = pytest.mark.anyio


async def test_a_swap_is_bound_paid_once_and_reported(site: Site) -> None:
    """A bound order with a final deposit is paid to its destination; sent and final are told."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    assert binding.order_id in site.desk.attestations
    deposit = site.pay_in(binding, LTC)
    site.ask(binding, 99 * USDT, LTC, deposit)
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == ["sent"]
    site.mine()
    await vault.tick()
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    assert site.received("usdt_trc20") == 99 * USDT
    await vault.close()
