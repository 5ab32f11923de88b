"""The vault on simulated chains: swaps, refunds, holds, stops, restarts."""

from typing import Literal

import pytest

from swapdesk.handoff import Binding, attested_bytes
from swapdesk_vault.journal import Journal, NotOurs
from swapdesk_vault.operator import judge, status
from swapdesk_vault.policy import Limits
from swapdesk_vault.vault import Vault
from tests.vault.site import LTC, USDT, Site

pytestmark = pytest.mark.anyio


async def finish(site: Site, vault: Vault, ticks: int = 3) -> None:
    """Blocks and ticks until everything that can end has ended."""
    for _ in range(ticks):
        site.mine()
        await vault.tick()
    site.mine()


async def test_a_swap_is_bound_paid_once_and_reported(site: Site) -> None:
    """A bound order with a final deposit is paid to its destination; sent and final are told."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    signature = bytes.fromhex(site.desk.attestations[binding.order_id])
    site.keyring.attestation_key().public_key().verify(signature, attested_bytes(binding))
    deposit = site.pay_in(binding, LTC)
    site.ask(binding, 99 * USDT, LTC, deposit)
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == ["sent"]
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    assert site.desk.reports[-1].fee_units == 1_000
    assert site.received("usdt_trc20") == 99 * USDT
    await vault.close()


async def test_a_refund_goes_back_and_late_money_too(site: Site) -> None:
    """A refund pays the bound refund address; a second deposit may be refunded, once."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    first = site.pay_in(binding, LTC)
    site.ask(binding, LTC - 10_000, LTC, first, kind="refund")
    await finish(site, vault)
    second = site.pay_in(binding, 2 * LTC)
    site.ask(binding, 2 * LTC, 2 * LTC, first, second, kind="refund", attempt=2)
    await finish(site, vault)
    site.ask(binding, 1, 1, first, second, kind="refund", attempt=3)
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id, 1) == ["sent", "final"]
    assert site.desk.outcomes(binding.order_id, 2) == ["sent", "final"]
    assert site.desk.outcomes(binding.order_id, 3) == []
    assert site.received("ltc") == 3 * LTC - 10_000
    await vault.close()


async def test_a_deposit_that_is_not_deep_enough_waits(site: Site) -> None:
    """Nothing is paid below final depth; fresh hints after a reorganisation are asked for."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    chain = site.chains["litecoin"]
    txid = chain.call("sim_faucet", [binding.address, "ltc", LTC])
    site.mine(1)
    site.ask(binding, 99 * USDT, LTC, site.deposit("litecoin", txid, LTC))
    await vault.tick()
    await vault.tick()
    assert site.received("usdt_trc20") == 0
    chain.call("sim_reorg", [1])
    site.mine()
    await vault.tick()
    site.desk.deposits[binding.order_id] = (site.deposit("litecoin", txid, LTC),)
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    await vault.close()


async def test_patience_ends_in_a_refusal_and_a_second_attempt_pays(site: Site) -> None:
    """A deposit that is never verified is refused; the desk may then ask again, and is paid once."""
    site.limits = Limits(verify_patience_ms=1_000)
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    site.ask(binding, 99 * USDT, LTC)
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == []
    site.world.shift_ms += 2_000
    await vault.tick()
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == ["refused"]
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC), attempt=2)
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id, 2) == ["sent", "final"]
    assert site.received("usdt_trc20") == 99 * USDT
    await vault.close()


async def test_rejected_and_unknown_broadcasts_keep_the_payment_live(site: Site) -> None:
    """Whatever the node says, the same bytes go out again until they are in a block."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    node = site.nodes["tron"]
    real_call = node.chain.call
    sent: list[str] = []

    def refuse(method: str, params: list[object]) -> object:
        if method == "sim_send":
            sent.append(str(params[0]))
            return real_call("sim_send", ["00"])
        return real_call(method, params)

    node.chain.call = refuse  # type: ignore[method-assign,assignment]
    await vault.tick()
    await vault.tick()
    assert len(sent) > 1
    assert len(set(sent)) == 1
    assert site.desk.outcomes(binding.order_id) == []
    told = await status(site.dsns.owner)
    assert [payment.signed_ms is not None for payment in told.live] == [True]
    assert "broadcast rejected" in told.alarms[0].detail
    node.stopped = True
    await vault.tick()
    node.stopped = False
    node.chain.call = real_call  # type: ignore[method-assign]
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    assert site.received("usdt_trc20") == 99 * USDT
    await vault.close()


async def test_seen_in_a_block_counts_as_sent(site: Site) -> None:
    """A payment that reached a block another way is reported, though no broadcast was accepted."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    chain = site.chains["tron"]
    real_call = chain.call

    def behind_our_back(method: str, params: list[object]) -> object:
        answer = real_call(method, params)
        return real_call("sim_send", ["00"]) if method == "sim_send" else answer

    chain.call = behind_our_back  # type: ignore[method-assign,assignment]
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == []
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    await vault.close()


async def test_a_failed_transfer_ends_as_reverted_and_may_be_asked_again(site: Site) -> None:
    """Included but reverted at depth: the fee is told, and the next attempt is free."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    deposit = site.pay_in(binding, LTC)
    site.chains["tron"].call("sim_freeze", [binding.destination, "usdt_trc20"])
    site.ask(binding, 99 * USDT, LTC, deposit)
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "reverted"]
    assert site.desk.reports[-1].fee_units == 1_000
    site.chains["tron"].call("sim_freeze", [binding.destination, "usdt_trc20", False])
    site.ask(binding, 99 * USDT, LTC, deposit, attempt=2)
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id, 2) == ["sent", "final"]
    assert site.received("usdt_trc20") == 99 * USDT
    await vault.close()


async def test_a_payout_that_leaves_the_chain_is_broadcast_again(site: Site) -> None:
    """Bytes that a reorganisation threw out go out again; final is told once, at depth."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    await vault.tick()
    site.mine(1)
    await vault.tick()
    site.chains["tron"].call("sim_reorg", [1, "drop"])
    site.mine(1)
    site.world.shift_ms += 100
    await vault.tick()
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    assert site.received("usdt_trc20") == 99 * USDT
    await vault.close()


async def test_caps_hold_and_the_operator_decides(site: Site) -> None:
    """Above a cap a payment is held with its reason; approve pays it, refuse ends it."""
    site.limits = Limits(order_usd=50)
    vault = await site.vault()
    paid, refused = site.open(), site.open()
    await vault.tick()
    for binding in (paid, refused):
        site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    await vault.tick()
    told = await status(site.dsns.app)
    assert [payment.trouble for payment in told.live] == ["it is above the cap of one order"] * 2
    by_id = {str(payment.order_id): payment for payment in told.live}
    words: tuple[tuple[Binding, Literal["approve", "refuse"]], ...]
    words = ((paid, "approve"), (refused, "refuse"))
    for binding, word in words:
        payment = by_id[binding.order_id]
        await judge(site.dsns.owner, site.world, payment.order_id, 1, word, "seen")
        with pytest.raises(LookupError):
            await judge(site.dsns.owner, site.world, payment.order_id, 1, "approve", "again")
    await finish(site, vault)
    assert site.desk.outcomes(paid.order_id) == ["sent", "final"]
    assert site.desk.outcomes(refused.order_id) == ["refused"]
    await vault.close()


async def test_an_empty_hot_wallet_waits_and_pays_when_filled(site: Site) -> None:
    """Reserve gone is no refusal: the payment waits with an alarm until there is money."""
    vault = await site.vault()
    binding = site.open(target="ltc", source="usdt_trc20")
    chain = site.chains["litecoin"]
    await vault.tick()
    deposit = site.pay_in(binding, 200_000 * USDT)
    site.limits = Limits()
    site.ask(binding, 1_900 * LTC, 200_000 * USDT, deposit)
    await vault.close()
    site.limits = Limits(order_usd=10**6, hour_usd=10**6, day_usd=10**6)
    vault = await site.vault()
    await vault.tick()
    assert site.desk.outcomes(binding.order_id) == []
    assert "holds too little" in str((await status(site.dsns.app)).live[0].trouble)
    chain.call("sim_faucet", [site.hot("litecoin"), "ltc", 2_000 * LTC])
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    await vault.close()


async def test_a_node_of_another_chain_is_not_paid_on(site: Site) -> None:
    """WrongChain: nothing is signed there, and the network is missing from the beat."""
    vault = await site.vault()
    binding = site.open()
    await vault.tick()
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    await vault.close()
    chain = site.nodes["tron"].chain
    real = chain._chain
    chain._chain = "simulated-other"
    vault = await site.vault()
    await vault.tick()
    assert {b.asset for b in site.desk.beats[-1].balances} == {"ltc"}
    assert "simulated-other" in (await status(site.dsns.app)).alarms[0].detail
    chain._chain = real
    site.world.shift_ms += 1_000
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    await vault.close()


async def test_a_silent_desk_and_node_are_waited_for(site: Site) -> None:
    """Trouble with the link or a node is never fatal; work goes on when they are back."""
    vault = await site.vault()
    binding = site.open()
    site.desk.down = True
    site.nodes["litecoin"].stopped = True
    await vault.tick()
    await vault.tick()
    site.desk.down = False
    await vault.tick()
    site.nodes["litecoin"].stopped = False
    site.world.shift_ms += 1_000
    site.ask(binding, 99 * USDT, LTC, site.pay_in(binding, LTC))
    await finish(site, vault)
    assert site.desk.outcomes(binding.order_id) == ["sent", "final"]
    await vault.close()


async def test_two_vaults_on_one_database(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second does not get the lock; a replaced one gets no further than its fence."""
    monkeypatch.setattr("swapdesk_vault.journal.LOCK_SECONDS_MAX", 0)
    vault = await site.vault()
    with pytest.raises(NotOurs, match="another vault"):
        await site.vault()
    before = vault.fence
    await vault.close()
    vault = await site.vault()
    assert vault.fence == before + 1
    await vault.close()


async def test_a_database_of_another_world_or_seed_is_refused(site: Site) -> None:
    """The journal knows its world and its seed."""
    key = site.keyring.link_key().public_key().public_bytes_raw().hex()
    with pytest.raises(NotOurs, match="world"):
        await Journal.open(site.dsns.app, site.world, "main", key)
    with pytest.raises(NotOurs, match="belongs"):
        await Journal.open(site.dsns.app, site.world, "dev", "00" * 32)
