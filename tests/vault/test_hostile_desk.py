"""A desk in the hands of a thief: whatever it asks, nothing leaves but what was promised."""

import msgspec
import pytest

from swapdesk.handoff import PayoutIntent
from tests.vault.site import LTC, TRX, USDT, Site

pytestmark = pytest.mark.anyio

HOT = 10**12


async def nothing_leaves(site: Site, *intents: PayoutIntent, blocks: int = 4) -> list[str]:
    """Run the vault for a while; the hot wallet keeps everything. What was reported."""
    vault = await site.vault()
    for _ in range(blocks):
        await vault.tick()
        site.mine()
    await vault.close()
    assert site.held("tron", site.hot("tron"), "usdt_trc20") == HOT
    assert site.held("tron", site.hot("tron"), "trx") == HOT
    assert site.held("litecoin", site.hot("litecoin"), "ltc") == 1_000 * LTC
    return [outcome for i in intents for outcome in site.desk.outcomes(i.order_id, i.attempt)]


async def test_an_order_that_was_never_bound(site: Site) -> None:
    """Refused at once."""
    binding = site.open()
    deposit = site.pay_in(binding, LTC)
    site.desk.bindings.clear()
    asked = site.ask(binding, 99 * USDT, LTC, deposit)
    assert await nothing_leaves(site, asked) == ["refused"]


async def test_somebody_elses_deposit(site: Site) -> None:
    """A real deposit of another order does not count, however it is named."""
    mine, other = site.open(), site.open()
    deposit = site.pay_in(other, LTC)
    asked = site.ask(mine, 99 * USDT, LTC, deposit)
    assert await nothing_leaves(site, asked) == []


async def test_a_deposit_that_does_not_exist(site: Site) -> None:
    """A made-up transaction does not count."""
    binding = site.open()
    deposit = site.pay_in(binding, LTC)
    fake = msgspec.structs.replace(deposit, txid="ab" * 32)
    moved = msgspec.structs.replace(deposit, position="log:7")
    elsewhere = msgspec.structs.replace(deposit, block_hash="cd" * 32)
    asked = site.ask(binding, 99 * USDT, LTC, fake, moved, elsewhere)
    assert await nothing_leaves(site, asked) == []


async def test_a_deposit_named_twice_counts_once(site: Site) -> None:
    """The same output in one intent several times is one deposit."""
    binding = site.open()
    deposit = site.pay_in(binding, LTC)
    asked = site.ask(binding, 198 * USDT, 2 * LTC, deposit, deposit)
    assert await nothing_leaves(site, asked) == []


async def test_units_in_the_hint_are_not_believed(site: Site) -> None:
    """The node says how much came."""
    binding = site.open()
    deposit = msgspec.structs.replace(site.pay_in(binding, LTC), units=9 * LTC)
    asked = site.ask(binding, 800 * USDT, 9 * LTC, deposit)
    assert await nothing_leaves(site, asked) == []


async def test_another_asset_at_the_address_does_not_count(site: Site) -> None:
    """TRX that came to an address which waits for USDT is not USDT."""
    binding = site.open(source="usdt_trc20", target="ltc")
    deposit = site.pay_in(binding, 100 * TRX, asset="trx")
    asked = site.ask(binding, LTC, 100 * USDT, deposit)
    assert await nothing_leaves(site, asked) == []


async def test_a_raised_amount(site: Site) -> None:
    """More than the deposit is worth by the vault's own rates is held."""
    binding = site.open()
    asked = site.ask(binding, 150 * USDT, LTC, site.pay_in(binding, LTC))
    assert await nothing_leaves(site, asked) == []


@pytest.mark.parametrize("kind", ["payout", "refund"])
async def test_a_changed_destination(site: Site, kind: str) -> None:
    """Paid is where the order was bound to, or nobody."""
    binding = site.open()
    network = "tron" if kind == "payout" else "litecoin"
    asked = site.ask(
        binding,
        LTC if kind == "refund" else 99 * USDT,
        LTC,
        site.pay_in(binding, LTC),
        kind=kind,  # type: ignore[arg-type]
        destination=site.customer(network, 7),
    )
    assert await nothing_leaves(site, asked) == ["refused"]


@pytest.mark.parametrize("asset", ["trx", "ltc", "btc", "nonsense"])
async def test_another_asset(site: Site, asset: str) -> None:
    """Paid is the asset that the order was bound to, or nothing."""
    binding = site.open()
    asked = site.ask(binding, 50, LTC, site.pay_in(binding, LTC), asset=asset)
    assert await nothing_leaves(site, asked) == ["refused"]


async def test_a_refund_above_what_came(site: Site) -> None:
    """A refund never exceeds what it answers for."""
    binding = site.open()
    asked = site.ask(binding, LTC + 1, LTC, site.pay_in(binding, LTC), kind="refund")
    assert await nothing_leaves(site, asked) == ["refused"]


async def test_destinations_of_our_own_and_of_nobody(site: Site) -> None:
    """Hot wallet, deposit address, zero address, token contract, misspelt: refused."""
    other = site.open(source="usdt_trc20", target="ltc")
    contract = site.registry.assets["usdt_trc20"].contract
    assert contract is not None
    asked = []
    for destination in (
        site.hot("tron"),
        other.address,
        "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb",
        contract,
        "TNotAnAddress",
        site.customer("litecoin"),
    ):
        binding = msgspec.structs.replace(site.open(), destination=destination)
        site.desk.bindings[-1] = binding
        asked.append(site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC)))
    assert await nothing_leaves(site, *asked) == ["refused"] * len(asked)


async def test_an_intent_that_changes_stops(site: Site) -> None:
    """The same attempt with other contents is no mistake: the vault stops."""
    binding = site.open()
    asked = site.ask(binding, 150 * USDT, LTC, site.pay_in(binding, LTC))
    vault = await site.vault()
    await vault.tick()
    await vault.close()
    site.desk.acknowledged.clear()
    site.desk.intents[0] = msgspec.structs.replace(asked, units=99 * USDT)
    assert await nothing_leaves(site, asked) == []
    assert "other contents" in str(site.desk.beats[-1].stopped)


async def paid_once(site: Site) -> PayoutIntent:
    """One honest payout, final."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    asked = site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    for _ in range(3):
        await vault.tick()
        site.mine()
    await vault.tick()
    await vault.close()
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    return asked


async def paid(site: Site) -> int:
    """What left the hot wallet after some more ticks."""
    vault = await site.vault()
    for _ in range(4):
        await vault.tick()
        site.mine()
    await vault.close()
    return HOT - site.held("tron", site.hot("tron"), "usdt_trc20")


async def test_a_replayed_attempt_is_acknowledged_and_not_paid(site: Site) -> None:
    """The same intent again, after its end."""
    await paid_once(site)
    site.desk.acknowledged.clear()
    assert await paid(site) == 99 * USDT
    assert len(site.desk.acknowledged) == 1


async def test_a_second_attempt_after_the_first_was_paid(site: Site) -> None:
    """Attempt 2 of a paid order is refused, payout and refund alike."""
    asked = await paid_once(site)
    second = msgspec.structs.replace(asked, attempt=2)
    refund = msgspec.structs.replace(
        asked, attempt=3, kind="refund", asset="ltc", units=LTC,
        destination=site.customer("litecoin"),
    )  # fmt: skip
    site.desk.intents += [second, refund]
    assert await paid(site) == 99 * USDT
    assert site.desk.outcomes(asked.order_id, 2) == ["refused"]
    assert "sent" not in site.desk.outcomes(asked.order_id, 3)


async def test_a_second_attempt_beside_a_live_one(site: Site) -> None:
    """Attempt 2 while attempt 1 has signed bytes that no node took: refused, and paid once."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    asked = site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    chain = site.chains["tron"]
    real_call = chain.call

    def refuse(method: str, params: list[object]) -> object:
        return real_call(method, ["00"] if method == "sim_send" else params)

    chain.call = refuse  # type: ignore[method-assign,assignment]
    await vault.tick()
    site.desk.intents.append(msgspec.structs.replace(asked, attempt=2))
    await vault.tick()
    assert site.desk.outcomes(binding.order_id, 2) == ["refused"]
    chain.call = real_call  # type: ignore[method-assign]
    await vault.close()
    assert await paid(site) == 99 * USDT
    assert site.desk.outcomes(binding.order_id, 1) == ["sent", "final"]


async def test_late_bound_orders_are_paid_to_a_cap_only(site: Site) -> None:
    """Bindings written after the deposit was in a block: some hundred dollars, then holds."""
    orders = [site.open() for _ in range(3)]
    deposits = [site.pay_in(binding, 8 * LTC) for binding in orders]
    site.limits = msgspec.structs.replace(
        site.limits, late_bind_cap_usd=800, late_bind_hourly_usd=1_500
    )
    site.world.shift_ms += 10_000
    for binding, deposit in zip(orders, deposits, strict=True):
        site.ask(binding, 790 * USDT, 8 * LTC, deposit)
    assert await paid(site) == 790 * USDT


async def test_a_loss_budget_ends_a_slow_drain(site: Site) -> None:
    """Each order a little too dear: the sum of the losses is bounded."""
    site.limits = msgspec.structs.replace(
        site.limits, value_tolerance_bps=500, loss_hour_usd=10, late_bind_hourly_usd=10**6
    )
    for _ in range(6):
        binding = site.open()
        site.ask(binding, 104 * USDT, LTC, site.pay_in(binding, LTC))
    assert await paid(site) == 2 * 104 * USDT


async def test_stale_own_rates_pay_nothing(site: Site) -> None:
    """Without own rates everything is held."""
    del site.prices["LTC"]
    binding = site.open()
    asked = site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    assert await nothing_leaves(site, asked) == []
