"""POST /emergency: the one choice a partner has, when he has it, and what becomes of it."""

import uuid
from typing import Any

import pytest

from swapdesk.engine.follow_due import follow_due
from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.resolve_order import resolve_order
from swapdesk.orders.order import Order
from tests.http_site import CREATE, Site
from tests.rig import PRICES

pytestmark = pytest.mark.anyio

INVALID = (400, {"code": 1, "msg": "INVALID_REQUEST"})
UNKNOWN = (404, {"code": 6, "msg": "NOT_FOUND"})
BAD_CHOICE = (400, {"code": 12, "msg": "EMERGENCY_INVALID_CHOICE"})

#: Satoshi; worth 6 dollars, below the pair's minimum of 10.
TOO_LITTLE = 10_000


class Held:
    """An order with its partner's credentials for it."""

    def __init__(self, site: Site, data: dict[str, Any]) -> None:
        self.site = site
        self.who = {"id": data["id"], "token": data["token"]}

    async def choose(self, choice: object = "EXCHANGE") -> tuple[int, Any]:
        """Status and body of /emergency."""
        answer = await self.site.call("emergency", {**self.who, "choice": choice})
        return answer.status_code, answer.json()

    async def dto(self) -> Any:
        """The order as its partner sees it."""
        return await self.site.data("order", self.who)

    async def order(self) -> Order:
        """The order as it stands."""
        return await self.site.rig.order(uuid.UUID(self.who["id"]))


CHOSEN = (200, {"code": 0, "msg": "", "data": True})


async def opened(site: Site) -> Held:
    """An order that nobody paid yet."""
    return Held(site, await site.data("create", CREATE))


async def underpaid(site: Site, units: int = TOO_LITTLE) -> Held:
    """An order in EMERGENCY with LIMIT."""
    held = await opened(site)
    site.rig.pay(await held.order(), units)
    await site.rig.mine(count=2)
    assert (await held.dto())["emergency"] == {"status": ["LIMIT"], "choice": "NONE"}
    return held


async def test_a_choice_is_stored_and_acted_on_by_the_worker(site: Site) -> None:
    """true; still EMERGENCY with choice EXCHANGE; after the worker's look EXCHANGE at the rate of
    that moment, paid from what arrived (D35, D36)."""
    held = await underpaid(site)
    before = await held.dto()
    site.rig.world.at += 3_000
    assert await held.choose() == CHOSEN
    seen = await held.dto()
    assert (seen["status"], seen["emergency"]) == (
        "EMERGENCY", {"status": ["LIMIT"], "choice": "EXCHANGE"},
    )  # fmt: skip
    assert seen["time"]["update"] == before["time"]["update"] + 3
    await site.rig.tick({**PRICES, "BTC": "58000"})
    site.rig.world.at += 1_000
    await follow_due(site.rig.desk)
    done = await held.dto()
    assert (done["status"], done["emergency"]) == ("EXCHANGE", {"status": [], "choice": "NONE"})
    assert done["rate"] == "58000.00000000"
    # 5.80 gross, less 0.5 % base fee, 0.5 % markup and a dollar of network fee
    assert (done["from"]["amount"], done["to"]["amount"]) == ("0.00010000", "4.742000")
    (intent,) = (await site.vault("intents", {}))["rows"]
    assert (intent["kind"], intent["units"]) == ("payout", 4_742_000)


async def test_a_repeat_is_true(site: Site) -> None:
    """Before and after it was acted on; one payout."""
    held = await underpaid(site)
    for _ in range(3):
        assert await held.choose() == CHOSEN
    await follow_due(site.rig.desk)
    for _ in range(2):
        assert await held.choose() == CHOSEN
    assert len((await site.vault("intents", {}))["rows"]) == 1


@pytest.mark.parametrize(
    "choice", ["REFUND", "NONE", "exchange", "EXCHANGE ", "", None, 1, True, ["EXCHANGE"], {}]
)
async def test_any_other_choice_is_twelve(site: Site, choice: object) -> None:
    """Case-sensitive, whatever its type, whatever the order; nothing is stored."""
    held = await underpaid(site)
    assert await held.choose(choice) == BAD_CHOICE
    answer = await site.call("emergency", held.who)
    assert (answer.status_code, answer.json()) == BAD_CHOICE
    assert (await held.dto())["emergency"]["choice"] == "NONE"


async def test_not_in_emergency(site: Site) -> None:
    """NEW, PENDING, EXCHANGE, DONE and EXPIRED take no choice: 1/400."""
    held, other = await opened(site), await opened(site)
    seen = []

    async def refused(which: Held) -> None:
        seen.append((await which.dto())["status"])
        assert await which.choose() == INVALID

    await refused(held)
    site.rig.pay(await held.order())
    await site.rig.look()
    await refused(held)
    await site.rig.mine(count=2)
    await refused(held)
    report = {"order_id": held.who["id"], "attempt": 1, "outcome": "sent", "txid": "ab" * 32}
    await site.vault("reports", {"rows": [report]})
    await refused(held)
    site.rig.world.at += 2_000_000
    await site.rig.tick()
    await follow_due(site.rig.desk)
    await refused(other)
    assert seen == ["NEW", "PENDING", "EXCHANGE", "DONE", "EXPIRED"]


async def test_late_money_may_be_exchanged(site: Site) -> None:
    """EMERGENCY with EXPIRED takes the choice once the deposit is confirmed (D35)."""
    held = await opened(site)
    site.rig.world.at += 2_000_000
    await site.rig.tick()
    await follow_due(site.rig.desk)
    site.rig.pay(await held.order())
    await site.rig.look()
    assert (await held.dto())["status"] == "EXPIRED"
    assert await held.choose() == INVALID  # seen, not confirmed
    await site.rig.mine(count=2)
    assert (await held.dto())["emergency"] == {"status": ["EXPIRED"], "choice": "NONE"}
    assert await held.choose() == CHOSEN
    await follow_due(site.rig.desk)
    assert (await held.dto())["status"] == "EXCHANGE"


async def test_what_the_vault_refused_is_not_the_partners_to_decide(site: Site) -> None:
    """The wire stays at EXCHANGE, and a choice is 1/400: the operator decides."""
    held = await underpaid(site)
    await held.choose()
    await follow_due(site.rig.desk)
    report = {"order_id": held.who["id"], "attempt": 1, "outcome": "refused", "reason": "cap"}
    await site.vault("reports", {"rows": [report]})
    assert (await held.order()).hold_reasons == ("REFUSED",)
    assert (await held.dto())["status"] == "EXCHANGE"
    assert await held.choose() == INVALID


async def test_a_refund_ends_the_choice(site: Site) -> None:
    """The operator refunded: EXPIRED on this wire, no choice is taken any more, none was lost."""
    held = await underpaid(site, TOO_LITTLE)
    assert await held.choose() == CHOSEN
    order = await resolve_order(
        site.rig.desk, uuid.UUID(held.who["id"]), "refund", by="test", note="x"
    )
    assert order.choice == "REFUND"
    await follow_due(site.rig.desk)
    assert (await held.dto())["status"] == "EXPIRED"
    assert await held.choose() == INVALID


async def test_without_rates_the_choice_waits(site: Site) -> None:
    """No trustworthy rate: the choice stays stored and is carried out when there is one again."""
    held = await underpaid(site)
    site.rig.world.at += 1_000_000
    assert await held.choose() == CHOSEN
    await follow_due(site.rig.desk)
    assert (await held.order()).state.value == "HELD"
    await site.rig.tick()
    site.rig.world.at += 5_000
    await follow_due(site.rig.desk)
    assert (await held.dto())["status"] == "EXCHANGE"


async def test_too_little_to_pay_is_undecided_again(site: Site) -> None:
    """What fees eat whole cannot go on: the choice is NONE again and the operator sees the order."""
    held = await underpaid(site, 1_500)  # 0.90 dollars, a dollar of network fee
    assert await held.choose() == CHOSEN
    await follow_due(site.rig.desk)
    order = await held.order()
    assert (order.state.value, order.choice, order.next_ms) == ("HELD", "NONE", None)
    assert (await held.dto())["emergency"]["choice"] == "NONE"


async def test_whose_order_it_is(site: Site) -> None:
    """Foreign, wrong token, unknown and malformed are 6; missing fields are 1."""
    held = await underpaid(site)
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    ask = {**held.who, "choice": "EXCHANGE"}
    for answer in (
        await site.call("emergency", ask, partner=other),
        await site.call("emergency", {**ask, "token": "A" * 43}),
        await site.call("emergency", {**ask, "token": "x"}),
        await site.call("emergency", {**ask, "id": str(uuid.UUID(int=1))}),
        await site.call("emergency", {**ask, "id": "x"}),
    ):
        assert (answer.status_code, answer.json()) == UNKNOWN
    answer = await site.call("emergency", {"choice": "EXCHANGE"})
    assert (answer.status_code, answer.json()) == INVALID
