"""A price that is not trustworthy disappears from everything that is served, and comes back.

Markets tell (stale, crossed, mad, jumping, depegged), dollars are made, a round is kept, and the
real application answers: currencies, pairs, the feed, price and create.
"""

from collections.abc import AsyncIterator

import msgspec
import pytest

from swapdesk.engine import handover
from swapdesk.engine.feed import feed
from swapdesk.engine.keep_rates import keep_rates
from swapdesk.handoff import Beat
from swapdesk.money import USD_SCALE
from swapdesk.rates.book import Guards, Tick
from swapdesk.rates.dollars import Heard, in_dollars
from swapdesk.web.signed_v1 import CATALOGUE_MS
from tests.http_site import CREATE, PRICE, Site, site_on
from tests.postgres import Dsns
from tests.rig import BTC_ADDRESS

pytestmark = pytest.mark.anyio

GUARDS = Guards(sources_min=2)
ROUND_MS = 5_000
#: (source, coin, quote) -> dollars, or tethers, in thousandths.
CALM = {
    ("kraken", "BTC", "USD"): 60_000_000,
    ("coinbase", "BTC", "USD"): 60_010_000,
    ("okx", "BTC", "USDT"): 60_005_000,
    ("kraken", "USDT", "USD"): 1_000,
    ("coinbase", "USDT", "USD"): 1_000,
    ("kraken", "TRX", "USD"): 250,
    ("okx", "TRX", "USDT"): 250,
}
Markets = dict[tuple[str, str, str], int]


class Exchange:
    """A served site with the world's markets in the test's hand."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.markets: Markets = dict(CALM)
        self.dead: set[str] = set()  #: sources that say nothing more
        self._kept: dict[tuple[str, str, str], Heard] = {}

    async def pass_round(self, ms: int = ROUND_MS) -> None:
        """Time passes, live markets are heard, a round is kept; vault and chains are fine."""
        rig = self.site.rig
        rig.world.at += ms
        for (source, coin, quote), milli in self.markets.items():
            if source not in self.dead:
                bid = abs(milli) * USD_SCALE // 1000
                ask = bid - 1 if milli < 0 else bid  # a negative price is a crossed one
                tick = Tick(source, coin, bid, ask, rig.world.at)
                self._kept[source, coin, quote] = Heard(quote, tick)
        ticks = in_dollars(self._kept.values(), rig.world.at, GUARDS)
        await keep_rates(rig.desk, ticks)
        await handover.note_beat(rig.desk, Beat(fence=1, stopped=None, balances=()))
        await rig.look()

    async def new_catalogue(self) -> None:
        """Rounds until no process answers the catalogue from memory."""
        for _ in range(CATALOGUE_MS // ROUND_MS + 1):
            await self.pass_round()

    async def priced(self, pair: str) -> bool:
        """Whether "btc usdt_trc20" is priced: /price and /create agree, and code 11 when not."""
        src, dst = pair.split()
        ask = {**PRICE, "fromCcy": src, "toCcy": dst, "amount": "0.01" if src == "btc" else "600"}
        answer = (await self.site.call("price", ask)).json()
        create = {**CREATE, **ask}
        if dst == "btc":
            create |= {"toAddress": BTC_ADDRESS, "refundAddress": CREATE["toAddress"]}
        opened = (await self.site.call("create", create)).json()
        assert answer["code"] in {0, 11}, answer
        assert opened["code"] == answer["code"], opened
        return bool(answer["code"] == 0)

    async def listed(self) -> set[str]:
        """Coins in the catalogue; pairs and the feed tell the same."""
        await self.new_catalogue()
        coins = {each["code"] for each in (await self.site.call("currencies", {})).json()["data"]}
        pairs = (await self.site.call("pairs", {})).json()["data"]
        told = {(pair["from"], pair["to"]) for pair in pairs}
        assert told == {(a, b) for a in coins for b in coins if a != b}
        fed = {(item.unit.src.code, item.unit.dst.code) for item in await feed(self.site.rig.desk)}
        assert fed == told
        return coins


@pytest.fixture
async def exchange(desk_dsns: Dsns) -> AsyncIterator[Exchange]:
    """Served, calm, and with the guards of the main world."""
    async with site_on(desk_dsns.app) as site:
        desk = site.rig.desk
        desk.terms = msgspec.structs.replace(desk.terms, guards=GUARDS)
        world = Exchange(site)
        await world.pass_round()
        assert await world.listed() == {"btc", "usdt_trc20", "trx"}
        assert await world.priced("btc usdt_trc20")
        yield world


BTC = {market for market in CALM if market[1] == "BTC"}
USDT = {market for market in CALM if market[1] == "USDT"}


@pytest.mark.parametrize(
    ("wrong", "gone"),
    [
        ({m: -CALM[m] for m in BTC}, "btc"),  # all crossed
        ({m: CALM[m] * n // 10 for n, m in zip((10, 13, 17), sorted(BTC), strict=True)}, "btc"),
        ({m: CALM[m] * 5 // 4 for m in BTC}, "btc"),  # jumped
        (dict.fromkeys(BTC, 0), "btc"),
        (dict.fromkeys(USDT, 950), "usdt_trc20"),  # depegged
        ({("coinbase", "USDT", "USD"): 900}, "usdt_trc20"),  # told differently
    ],
    ids=["crossed", "outliers", "jump", "zero", "depeg", "disagree"],
)
async def test_a_coin_without_a_trustworthy_price_is_gone_everywhere(
    exchange: Exchange, wrong: Markets, gone: str
) -> None:
    """At once from price and create (11), with the next catalogue from currencies, pairs and feed;
    it is back as soon as its price is."""
    exchange.markets |= wrong
    await exchange.pass_round()
    assert not await exchange.priced("btc usdt_trc20")
    assert gone not in await exchange.listed()
    exchange.markets = dict(CALM)
    await exchange.pass_round()
    assert await exchange.priced("btc usdt_trc20")
    assert gone in await exchange.listed()


async def test_sources_that_fall_silent_take_their_coins_with_them(exchange: Exchange) -> None:
    """Two of three live: business as usual. One: code 11, and an empty catalogue."""
    exchange.dead = {"okx"}
    await exchange.pass_round(GUARDS.age_ms_max + 1)
    assert await exchange.priced("btc usdt_trc20")
    assert await exchange.listed() == {"btc", "usdt_trc20"}  # TRX had two sources
    exchange.dead = {"okx", "coinbase"}
    await exchange.pass_round(GUARDS.age_ms_max + 1)
    assert not await exchange.priced("btc usdt_trc20")
    assert await exchange.listed() == set()
    exchange.dead = set()
    await exchange.pass_round()
    assert await exchange.priced("btc usdt_trc20")


async def test_one_mad_source_of_three_changes_nothing(exchange: Exchange) -> None:
    """Crossed, absurd or zero: dropped, and the price is that of the other two."""
    for wrong in (-60_000_000, 6_000_000_000, 1, 0):
        exchange.markets = {**CALM, ("okx", "BTC", "USDT"): wrong}
        await exchange.pass_round()
        assert (await exchange.site.data("price", PRICE))["from"]["rate"] == "60000.00000000"


async def test_a_depeg_does_not_move_the_others(exchange: Exchange) -> None:
    """USDT at 0.95 leaves the list; BTC against TRX goes on, at true dollars."""
    ask = {**PRICE, "toCcy": "trx", "amount": "0.01"}
    before = (await exchange.site.data("price", ask))["to"]["amount"]
    exchange.markets |= dict.fromkeys(USDT, 950)
    exchange.markets["okx", "BTC", "USDT"] = 60_005_000 * 100 // 95
    exchange.markets["okx", "TRX", "USDT"] = 250 * 100 // 95 + 1
    await exchange.pass_round()
    after = (await exchange.site.data("price", ask))["to"]["amount"]
    assert abs(float(after) - float(before)) < 0.005 * float(before)
    assert not await exchange.priced("btc usdt_trc20")
    assert await exchange.listed() == {"btc", "trx"}


async def test_a_jump_that_lasts_brings_the_coin_back(exchange: Exchange) -> None:
    """25 % up: code 11 for as long as it has to settle, then the new price; no operator needed."""
    exchange.markets |= {market: CALM[market] * 5 // 4 for market in BTC}
    waited = 0
    while True:
        await exchange.pass_round(4 * ROUND_MS)
        if (await exchange.site.call("price", PRICE)).json()["code"] == 0:
            break
        waited += 4 * ROUND_MS
        assert waited <= GUARDS.settle_ms + 12 * ROUND_MS
    assert waited >= GUARDS.settle_ms
    usd = (await exchange.site.data("price", PRICE))["from"]
    assert usd["usd"].startswith("750.")
