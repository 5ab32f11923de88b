"""Prices that are remembered for a moment: never longer than they are true, never for others."""

import pytest

from swapdesk.engine.desk import Recent
from swapdesk.web import price_memory
from swapdesk.web.price_memory import PriceMemory
from tests.http_site import PRICE, Clock, Site
from tests.rig import PRICES

pytestmark = pytest.mark.anyio


async def _amount(site: Site) -> str:
    answer = await site.stranger("price", PRICE)
    assert answer.status_code == 200, answer.text
    amount = answer.json()["data"]["to"]["amount"]
    assert isinstance(amount, str)
    return amount


async def test_new_rates_are_told_a_second_later(site: Site) -> None:
    """The same body gets the same answer, and the new one as soon as rates are looked at again."""
    before = await _amount(site)
    assert await _amount(site) == before
    await site.rig.tick({**PRICES, "BTC": "61000"})
    site.rig.world.at += 1_000
    await site.rig.tick({**PRICES, "BTC": "61000"})
    assert float(await _amount(site)) > float(before)


async def test_age_is_judged_at_every_call(site: Site) -> None:
    """Rates that went stale in the meantime are not told from memory."""
    await _amount(site)
    site.rig.world.at += site.rig.desk.terms.guards.age_ms_max + 1
    answer = await site.stranger("price", PRICE)
    assert (answer.status_code, answer.json()["code"]) == (503, 11)


async def test_a_stranger_is_not_told_what_a_partner_was(site: Site) -> None:
    """One body with `afftax`: strangers get the base rate, partners what they asked for, in any
    order and again."""
    ask = {**PRICE, "afftax": 100}
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET markup_bps = 0")
    for _ in range(2):
        stranger = (await site.stranger("price", ask)).json()["data"]
        partner = await site.data("price", ask)
        assert (stranger["markupBps"], partner["markupBps"]) == (0, 100)
        assert float(stranger["to"]["amount"]) > float(partner["to"]["amount"])


async def test_the_memory_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long bodies are not kept; a full memory is emptied."""
    from swapdesk.engine.ask_price import moment

    monkeypatch.setattr(price_memory, "ANSWERS_MAX", 2)
    memory, now = PriceMemory(), await moment(site.rig.desk)
    assert memory.find(now, None, b"1") is None
    for body in (b"1", b"2", b"3", b"x" * 2_000):
        memory.keep(None, body, b"answer")
    told = [memory.find(now, None, body) for body in (b"1", b"2", b"3", b"x" * 2_000)]
    assert told == [None, None, b"answer", None]


async def test_one_reads_for_all() -> None:
    """Fifty who need the same at once: one reading; the next a second later; None is not kept."""
    import asyncio

    world, read = Clock(), 0
    answers: list[int | None] = [None, 7, 8]

    async def reading() -> int | None:
        nonlocal read
        read += 1
        await asyncio.sleep(0)
        return answers[read - 1]

    recent = Recent(world, reading)
    assert (await recent.get(), recent.known()) == (None, None)
    assert await asyncio.gather(*(recent.get() for _ in range(50))) == [7] * 50
    world.at += 999
    assert (recent.known(), read) == (7, 2)
    world.at += 1
    assert recent.known() is None
    assert await asyncio.gather(*(recent.get() for _ in range(50))) == [8] * 50
    assert read == 3


async def test_a_book_is_kept_until_a_tick_is_too_old(site: Site) -> None:
    """The same book at every instant in between; another one at the first instant after."""
    desk, world = site.rig.desk, site.rig.world
    market = await desk.market()
    book = desk.book(market)
    world.at += desk.terms.guards.age_ms_max
    assert desk.book(market) is book
    assert book.prices
    world.at += 1
    assert not desk.book(market).prices
    world.at -= 1
    assert desk.book(market).prices == book.prices
