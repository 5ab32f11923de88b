"""The XML feeds, byte for byte; and that they tell the truth: rate, bounds and reserve."""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Final
from xml.etree import ElementTree as ET

import msgspec
import pytest

from swapdesk import assets
from swapdesk.assets import Registry
from swapdesk.chains import codec
from swapdesk.db import Database
from swapdesk.engine import handover
from swapdesk.engine.feed import feed, spendable
from swapdesk.engine.keep_rates import keep_rates
from swapdesk.engine.maintenance import set_maintenance
from swapdesk.engine.open_order import OrderAsk, open_order
from swapdesk.errors import No, Refused
from swapdesk.handoff import Beat, HotBalance, PayoutReport
from swapdesk.money import USD_SCALE
from swapdesk.orders.order import Order
from swapdesk.orders.states import State
from swapdesk.rates.fixed import FixedSource
from swapdesk.web.xml_feed import REFRESH_MS, bestchange
from tests.http_site import Site
from tests.postgres import Dsns
from tests.rig import BTC_ADDRESS, PRICES, SETUPS, TRON_ADDRESS, USDT, Rig, TestWorld

pytestmark = pytest.mark.anyio

HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>'
EMPTY: Final = (HEAD + "<rates></rates>").encode()
#: Contract A11, child by child. One coin of anything but BTC is eaten by the network fee.
FLOAT: Final = (
    HEAD + "<rates>"
    "<item><from>BTC</from><to>TRX</to><in>1</in><out>238796</out><amount>0</amount>"
    "<minamount>0.00016667</minamount><maxamount>0.33333333</maxamount></item>"
    "<item><from>BTC</from><to>USDTTRC20</to><in>1</in><out>59699</out><amount>120000</amount>"
    "<minamount>0.00016667</minamount><maxamount>0.33333333</maxamount></item>"
    "</rates>"
).encode()
BESTCHANGE: Final = (
    HEAD + "<rates>"
    "<item><from>BTC</from><to>TRX</to><in>1</in><out>238800</out><amount>0</amount>"
    "<frommin>0.00016667</frommin><frommax>0.33333333</frommax><tofee>4</tofee></item>"
    "<item><from>BTC</from><to>USDTTRC20</to><in>1</in><out>59700</out><amount>120000</amount>"
    "<frommin>0.00016667</frommin><frommax>0.33333333</frommax><tofee>1</tofee></item>"
    "<item><from>TRX</from><to>BTC</to><in>1</in><out>0.000004145833</out><amount>2.5</amount>"
    "<frommin>40</frommin><frommax>80000</frommax><tofee>0.00001667</tofee></item>"
    "<item><from>TRX</from><to>USDTTRC20</to><in>1</in><out>0.24875</out><amount>120000</amount>"
    "<frommin>40</frommin><frommax>80000</frommax><tofee>1</tofee></item>"
    "<item><from>USDTTRC20</from><to>BTC</to><in>1</in><out>0.000016583333</out>"
    "<amount>2.5</amount><frommin>10</frommin><frommax>20000</frommax><tofee>0.00001667</tofee>"
    "</item>"
    "<item><from>USDTTRC20</from><to>TRX</to><in>1</in><out>3.98</out><amount>0</amount>"
    "<frommin>10</frommin><frommax>20000</frommax><tofee>4</tofee></item>"
    "</rates>"
).encode()
HOT: Final = (HotBalance("btc", 250_000_000), HotBalance("usdt_trc20", 120_000_000_000))
PATHS: Final = ("/api/rates.xml", "/rates/float.xml")


async def beat(rig: Rig, *balances: HotBalance) -> None:
    """The vault says what it can spend."""
    await handover.note_beat(rig.desk, Beat(fence=1, stopped=None, balances=balances))


async def opened(rig: Rig, units: int) -> Order:
    """An order over `units` satoshi to USDT, without markup, as the feed prices it."""
    ask = msgspec.structs.replace(rig.ask(units), markup_bps=0)
    return (await open_order(rig.desk, ask)).view.order


@asynccontextmanager
async def rig_with(dsn: str, registry: Registry) -> AsyncIterator[Rig]:
    """A rig on other networks than usual."""
    db = await Database.open(dsn, name="rig")
    rig = Rig(db, TestWorld(), registry)
    try:
        await rig.begin()
        yield rig
    finally:
        for chain in rig.chains.values():
            chain.close()
        await db.close()


@pytest.mark.parametrize("path", PATHS)
async def test_the_feed_is_the_contracts_to_the_byte(site: Site, path: str) -> None:
    """Both paths: shape and order of A11, sorted, cut to what a number needs; and the headers."""
    await beat(site.rig, *HOT)
    answer = await site.client.get(site.public + path)
    assert answer.content == FLOAT
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/xml; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=10"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["etag"] == f'"{hashlib.sha256(FLOAT).hexdigest()[:16]}"'


async def test_both_paths_are_one_snapshot(site: Site) -> None:
    """Whatever happens between the two calls, bytes and ETag are the same for ten seconds."""
    await beat(site.rig, *HOT)
    first = await site.client.get(site.public + PATHS[0])
    await beat(site.rig, HotBalance("usdt_trc20", 0))
    site.rig.world.at += REFRESH_MS - 1
    second = await site.client.get(site.public + PATHS[1])
    assert (second.content, second.headers["etag"]) == (first.content, first.headers["etag"])
    site.rig.world.at += 1
    await site.rig.tick()
    third = await site.client.get(site.public + PATHS[0])
    assert third.content == FLOAT.replace(b"<amount>120000<", b"<amount>0<")
    assert third.headers["etag"] != first.headers["etag"]


async def test_an_etag_that_is_known_answers_304(site: Site) -> None:
    """Exact, weak, among others or a star: no body. Another tag: the document."""
    known = (await site.client.get(site.public + PATHS[0])).headers["etag"]
    for sent in (known, f"W/{known}", f'"0123456789abcdef", {known}', "*"):
        answer = await site.client.get(site.public + PATHS[1], headers={"if-none-match": sent})
        assert (answer.status_code, answer.content) == (304, b""), sent
        assert answer.headers["etag"] == known
        assert answer.headers["cache-control"] == "public, max-age=10"
    for sent in ('"0123456789abcdef"', known.strip('"'), ""):
        answer = await site.client.get(site.public + PATHS[1], headers={"if-none-match": sent})
        assert answer.status_code == 200, sent


async def test_head_tells_what_get_would(site: Site) -> None:
    """Same headers, length included, and no body."""
    for path in (*PATHS, "/rates/bestchange.xml"):
        got = await site.client.get(site.public + path)
        head = await site.client.head(site.public + path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "content-type", "content-length", "cache-control"):
            assert head.headers[name] == got.headers[name]
        assert (await site.client.post(site.public + path)).status_code == 405


async def test_there_is_no_fixed_feed(site: Site) -> None:
    """No fixed rates, no feed of them (contract D61)."""
    assert (await site.client.get(site.public + "/rates/fixed.xml")).status_code == 404


async def test_bestchange_has_its_own_dialect(site: Site) -> None:
    """frommin, frommax, the network fee apart; directions of cheap coins are there too."""
    await beat(site.rig, *HOT)
    answer = await site.client.get(site.public + "/rates/bestchange.xml")
    assert answer.content == BESTCHANGE


async def test_bestchange_has_its_own_codes(desk_dsns: Dsns) -> None:
    """Arbitrum's coins are spelled otherwise there; coins without a code are left out."""
    setups = {**SETUPS, "arbitrum": assets.NetworkSetup(reader="simulated", contracts={
        "usdt_arb": "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"})}  # fmt: skip
    registry = assets.load("dev", setups)
    assert all({"feed", "bestchange"} <= set(a.spelling) for a in registry.assets.values())
    async with rig_with(desk_dsns.app, registry) as rig:
        rig.world.at += 1000
        await rig.tick({**PRICES, "ETH": "2500"})
        told = bestchange(await feed(rig.desk)).body.decode()
        codes = set(re.findall(r"<from>(\w+)</from>", told))
        assert codes == {"BTC", "TRX", "USDTTRC20", "ETHARBTM", "USDTARBTM"}


async def test_the_rate_is_what_create_gives(desk_dsns: Dsns) -> None:
    """An order over exactly the coin that the feed speaks of receives exactly its `out`."""
    setups = {**SETUPS, "litecoin": assets.NetworkSetup(reader="simulated", confirmations=2)}
    registry = assets.load("dev", setups)
    async with rig_with(desk_dsns.app, registry) as rig:
        rig.world.at += 1000
        await rig.tick({**PRICES, "LTC": "83.17"})
        ltc = registry.assets["ltc"]
        told = [item for item in await feed(rig.desk) if item.unit.src is ltc]
        assert len(told) == 3
        refund = codec.address_of_key(
            "litecoin",
            "dev",
            bytes.fromhex(
                "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
            ),
        )
        for item in told:
            dst = item.unit.dst
            to = BTC_ADDRESS if dst.network == "bitcoin" else TRON_ADDRESS
            ask = OrderAsk(
                partner_id=rig.partner_id, src=ltc, dst=dst, direction="from", units=10**8,
                markup_bps=0, destination=to, refund_address=refund, key_hash=None,
                body_hash=bytes(32),
            )  # fmt: skip
            got = (await open_order(rig.desk, ask)).view.order.to_units
            assert got == item.unit.to_units > 0


async def test_bestchange_is_true_for_every_amount(site: Site) -> None:
    """Amount times `out` less `tofee` is what an order receives, to its last units."""
    document = await site.client.get(site.public + "/rates/bestchange.xml")
    items = {(i.findtext("from"), i.findtext("to")): i for i in ET.fromstring(document.text)}
    item = items["BTC", "USDTTRC20"]
    for amount in (item.findtext("frommin"), "0.01234567", item.findtext("frommax")):
        assert amount
        order = await opened(site.rig, int(Decimal(amount) * 10**8))
        told = Decimal(amount) * Decimal(item.findtext("out", "")) - Decimal(
            item.findtext("tofee", "")
        )
        received = Decimal(order.to_units).scaleb(-6)
        assert 0 <= told - received < Decimal("0.000003") or told == received


async def test_the_bounds_are_what_create_takes(site: Site) -> None:
    """The least and the greatest amount open an order; one unit beyond is refused."""
    item = next(i for i in await feed(site.rig.desk) if i.unit.dst is USDT)
    await opened(site.rig, item.min_units)
    await opened(site.rig, item.max_units)
    for units, no in ((item.min_units - 1, No.BELOW_MIN), (item.max_units + 1, No.ABOVE_MAX)):
        with pytest.raises(Refused) as refused:
            await opened(site.rig, units)
        assert refused.value.no is no


async def test_fees_raise_the_minimum(site: Site) -> None:
    """Where the network fee takes all of the least amount, the feed tells the real minimum."""
    rig = site.rig
    rig.desk.terms = msgspec.structs.replace(rig.desk.terms, network_usd={"tron": 15 * USD_SCALE})
    item = next(i for i in await feed(rig.desk) if i.unit.dst is USDT)
    assert item.min_units > item.unit.min_units
    await opened(rig, item.min_units)
    with pytest.raises(Refused) as refused:
        await opened(rig, item.min_units - 1)
    assert refused.value.no is No.BELOW_MIN


async def test_the_daily_cap_lowers_the_maximum(site: Site) -> None:
    """What may still be opened today is all that is offered; without room, nothing."""
    rig = site.rig
    rig.desk.terms = msgspec.structs.replace(rig.desk.terms, daily_cap_usd=10_000 * USD_SCALE)
    await opened(rig, 10_000_000)  # 6,000 dollars
    rig.world.at += 1000
    item = next(i for i in await feed(rig.desk) if i.unit.dst is USDT)
    assert item.max_units == 6_666_666
    with pytest.raises(Refused) as refused:
        await opened(rig, item.max_units + 1)
    assert refused.value.no is No.ABOVE_MAX
    await opened(rig, item.max_units)
    rig.world.at += 1000
    assert await feed(rig.desk) == []


async def test_what_cannot_be_priced_or_watched_is_absent(site: Site) -> None:
    """A coin without a fresh price, a network nobody watches, a silent vault, old rates."""
    rig = site.rig

    async def pairs() -> set[tuple[str, str]]:
        rig.world.at += 1000
        return {(i.unit.src.code, i.unit.dst.code) for i in await feed(rig.desk)}

    every = {(a, b) for a in rig.registry.assets for b in rig.registry.assets if a != b}
    assert await pairs() == every
    rig.world.at += rig.desk.terms.guards.age_ms_max
    await beat(rig)
    assert await pairs() == set(), "no rate is fresh"
    await keep_rates(
        rig.desk, await FixedSource({"BTC": "60000", "TRX": "0.25"}).ticks(rig.world.at)
    )
    assert await pairs() == {("btc", "trx"), ("trx", "btc")}, "no price of USDT"
    await rig.tick()
    assert await pairs() == every
    rig.world.at += rig.desk.terms.sync_silence_ms
    await keep_rates(rig.desk, await FixedSource(PRICES).ticks(rig.world.at))
    await beat(rig)
    await rig.watchers["tron"].look()
    assert await pairs() == {("trx", "usdt_trc20"), ("usdt_trc20", "trx")}, "bitcoin is not watched"
    await rig.tick()
    assert await pairs() == every
    rig.world.at += rig.desk.terms.vault_silence_ms
    await keep_rates(rig.desk, await FixedSource(PRICES).ticks(rig.world.at))
    assert await pairs() == set(), "the vault is silent"


@pytest.mark.parametrize("path", [*PATHS, "/rates/bestchange.xml"])
async def test_a_pause_publishes_an_empty_valid_document(site: Site, path: str) -> None:
    """In maintenance: 200, well formed, no item; afterwards everything is back."""
    await set_maintenance(site.rig.desk, on=True, by="test")
    paused = await site.client.get(site.public + path)
    assert (paused.status_code, paused.content) == (200, EMPTY)
    assert len(ET.fromstring(paused.text)) == 0
    await set_maintenance(site.rig.desk, on=False, by="test")
    site.rig.world.at += REFRESH_MS
    await site.rig.tick()
    assert len(ET.fromstring((await site.client.get(site.public + path)).text)) >= 2


async def test_before_the_first_rates_the_feed_is_empty(site: Site) -> None:
    """Nothing is guessed."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("DELETE FROM rate_snapshot")
    site.rig.world.at += 1000
    assert (await site.client.get(site.public + PATHS[0])).content == EMPTY


async def test_the_reserve_is_what_nothing_is_promised_of(site: Site) -> None:
    """Seen deposits and payouts not yet in the vault's balance are taken off, each once."""
    rig, hot = site.rig, 120_000_000_000

    async def reserve() -> int:
        return (await spendable(rig.desk))["usdt_trc20"]

    await beat(rig, *HOT)
    order = (await rig.open()).view.order
    assert await reserve() == hot, "an order without money promises nothing yet"
    rig.pay(order)
    await rig.look()
    assert await rig.state(order.id) is State.CONFIRMING
    assert hot - order.to_units - 2 <= await reserve() <= hot - order.to_units
    await rig.mine(count=2)
    await beat(rig, *HOT)
    assert await rig.state(order.id) is State.PAYING
    owed = (await rig.order(order.id)).to_units
    assert await reserve() == hot - owed
    (intent,) = await rig.intents()
    sent = PayoutReport(str(order.id), intent.attempt, "sent", "aa" * 32)
    await rig.report(sent)
    assert await reserve() == hot - owed, "the vault's balance is from before the payout"
    rig.world.at += 1000
    await beat(rig, HOT[0], HotBalance("usdt_trc20", hot - owed))
    assert await reserve() == hot - owed, "the balance is without it: it is not taken off twice"
    await rig.report(PayoutReport(str(order.id), intent.attempt, "final", "aa" * 32, 100))
    assert await reserve() == hot - owed
    await beat(rig, HotBalance("usdt_trc20", 0))
    assert await reserve() == 0


async def test_more_money_than_quoted_promises_more(site: Site) -> None:
    """A deposit above what the order asked for counts with all of it, at the order's rate."""
    rig = site.rig
    await beat(rig, *HOT)
    order = (await rig.open()).view.order
    rig.pay(order, units=order.from_units * 3)
    await rig.look()
    promised = 120_000_000_000 - (await spendable(rig.desk))["usdt_trc20"]
    assert 3 * order.to_units <= promised <= 3 * order.to_units + 3
