"""What stops the vault: bindings that are wrong, and money that leaves without the journal."""

import msgspec
import pytest

from swapdesk.handoff import Binding
from swapdesk_vault.operator import resume, status
from swapdesk_vault.senders import simulated_tx
from swapdesk_vault.vault import Vault
from tests.vault.site import LTC, USDT, Site

pytestmark = pytest.mark.anyio


async def finish(site: Site, vault: Vault, ticks: int = 3) -> None:
    """Blocks and ticks until everything that can end has ended."""
    for _ in range(ticks):
        site.mine()
        await vault.tick()
    site.mine()


async def stopped_by(site: Site, bad: Binding) -> None:
    """The vault stops on `bad`, signs nothing, says so, and stays so until the operator resumes."""
    vault = await site.vault()
    good = site.open()
    await vault.tick()
    deposit = site.pay_in(good, LTC)
    site.desk.bindings.append(bad)
    site.ask(good, 99 * USDT, LTC, deposit)
    await vault.tick()
    await vault.tick()
    assert site.desk.beats[-1].stopped is not None
    assert site.desk.outcomes(good.order_id) == []
    await vault.close()
    vault = await site.vault()
    await vault.tick()
    assert site.desk.beats[-1].stopped is not None
    assert (await status(site.dsns.app)).stops
    assert site.received("usdt_trc20") == 0
    site.desk.bindings.remove(bad)
    assert await resume(site.dsns.owner, site.world, "desk mended") == 1
    await finish(site, vault)
    assert site.desk.beats[-1].stopped is None
    assert site.desk.outcomes(good.order_id) == ["sent", "final"]
    await vault.close()


async def test_a_changed_second_binding_stops(site: Site) -> None:
    """Same order, other destination."""
    good = site.open()
    vault = await site.vault()
    await vault.tick()
    await vault.close()
    del site.desk.attestations[good.order_id]
    site.desk.bindings.remove(good)
    await stopped_by(site, msgspec.structs.replace(good, destination=site.customer("tron", 9)))


async def test_a_foreign_address_stops(site: Site) -> None:
    """The address at the index is not the vault's."""
    bad = msgspec.structs.replace(site.open(), address=site.customer("litecoin"))
    site.desk.bindings.clear()
    await stopped_by(site, bad)


async def test_an_index_of_another_order_stops(site: Site) -> None:
    """One index, two orders."""
    first = site.open()
    vault = await site.vault()
    await vault.tick()
    await vault.close()
    await stopped_by(site, msgspec.structs.replace(first, order_id=site.order()))


@pytest.mark.parametrize(
    "change",
    [{"index": 2**31}, {"index": -1}, {"network": "ethereum"}, {"from_asset": "usdt_trc20"}],
    ids=str,
)
async def test_unknown_words_in_a_binding_stop(site: Site, change: dict[str, object]) -> None:
    """An index, network or asset that this vault does not know."""
    bad = msgspec.structs.replace(site.open(), **change)
    site.desk.bindings.clear()
    await stopped_by(site, bad)


async def test_an_identical_binding_is_acknowledged_again(site: Site) -> None:
    """A lost acknowledgement is repeated with the same attestation."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    first = site.desk.attestations.pop(binding.order_id)
    await vault.tick()
    assert site.desk.attestations[binding.order_id] == first
    assert site.desk.beats[-1].stopped is None
    await vault.close()


async def test_an_outflow_without_the_journal_stops(site: Site) -> None:
    """Somebody else used the hot key: nothing is signed any more."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    other = await sweep(site)
    assert other
    site.mine()
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    await vault.tick()
    await vault.tick()
    assert "not" in str(site.desk.beats[-1].stopped) or "nonce" in str(site.desk.beats[-1].stopped)
    assert site.received("usdt_trc20", 0) == 1
    await vault.close()


async def sweep(site: Site) -> str:
    """A thief with the hot key of Tron sends one unit."""
    key = site.keyring.hot_key("tron", 0)
    tx = simulated_tx.build(
        site.registry.networks["tron"],
        key,
        nonce=0,
        to=site.customer("tron"),
        asset="usdt_trc20",
        units=1,
        fee_units=1_000,
    )
    return str(site.chains["tron"].call("sim_send", [simulated_tx.sign(tx, key).hex()]))
