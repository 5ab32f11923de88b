"""The real program, the real library, four exchanges replayed over REST and WebSocket."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swapdesk.rates.book import Tick, build
from swapdesk.rates.market import PROGRAM, MarketSource
from tests.rates.replay import MARKETS, SENT_MS, SOURCES, Replay
from tests.rates.setup import DEADLINE_SECONDS, GUARDS, NOW, alive, until, usd

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: Every market that the replay lists, by exchange and coin.
ALL = {f"{source} {symbol.partition('/')[0]}" for source in SOURCES for symbol in MARKETS[source]}


@pytest.fixture
async def lines(python: list[str], replay: Replay) -> AsyncIterator[asyncio.StreamReader]:
    """What the program writes, raw."""
    words = [word for name, url in replay.urls().items() for word in ("--url", f"{name}={url}")]
    words += [word for name in SOURCES for word in ("--source", name)]
    words += ["--coin", "BTC", "--coin", "USDT", "--coin", "XMR", "--poll", "0.5"]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *python, "-I", str(PROGRAM), *words, stdin=pipe, stdout=pipe
    )
    assert child.stdin
    assert child.stdout
    yield child.stdout
    child.stdin.close()  # as when the parent dies
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await child.wait() == 0


async def test_lines_carry_the_digits_of_the_exchange(lines: asyncio.StreamReader) -> None:
    """Every exchange is told exactly as it sent it, with its own stamp or none."""
    missing = {
        (s, *symbol.split("/")) for s in SOURCES for symbol in MARKETS[s] if "ETH" not in symbol
    }
    async with asyncio.timeout(DEADLINE_SECONDS):
        while missing:
            told = json.loads(await lines.readline())
            assert "trouble" not in told, told
            expected = MARKETS[told["source"]][f"{told['coin']}/{told['quote']}"]
            assert [float(told["bid"]), float(told["ask"])] == [float(side) for side in expected]
            if told["source"] != "kraken":  # whose WebSocket sends JSON numbers
                assert (told["bid"], told["ask"]) == expected
            assert told["sent_ms"] is None or told["sent_ms"] // 1000 == SENT_MS // 1000
            assert told["heard_ms"] > 0
            missing.discard((told["source"], told["coin"], told["quote"]))


async def test_all_four_over_rest_and_websocket(market: MarketSource, replay: Replay) -> None:
    """Each exchange is asked over REST, listened to over its WebSocket, and gives dollars."""
    ticks = await until(market, lambda ticks: ticks.keys() >= ALL)
    assert ticks["kraken BTC"].bid == usd("62000.1")
    assert ticks["coinbase BTC"].ask == usd("62006.66")
    # Binance quotes in USDT and has no USDT/USD: the median of the others converts it.
    assert ticks["binance BTC"].bid == usd("62010") * usd("0.9999") // 10**12
    await until(market, lambda _: all(replay.listeners(source) for source in SOURCES))

    def polled() -> set[str]:
        return {key.partition(" ")[0] for key in replay.asked if "icker" in key}

    ticks = await until(market, lambda _: polled() == set(SOURCES))
    book = build(ticks.values(), NOW, GUARDS)
    assert book.prices.keys() == {"BTC", "ETH", "USDT"}
    assert book.stale == {"XMR": "stale"}  # one source is not enough


@pytest.mark.parametrize("source", SOURCES)
async def test_a_push_arrives_before_the_next_poll(
    market: MarketSource, replay: Replay, source: str
) -> None:
    """What the WebSocket says is the price, REST or not."""
    await until(market, lambda ticks: f"{source} BTC" in ticks and replay.listeners(source) > 0)
    replay.refused.add(source)  # REST says no more; the socket stays
    symbol = next(symbol for symbol in MARKETS[source] if symbol.startswith("BTC"))
    await replay.set(source, symbol, "62100.5", "62100.6")
    worth = (usd("62099"), usd("62101")) if symbol == "BTC/USD" else (usd("62090"), usd("62101"))
    await until(market, lambda ticks: worth[0] < ticks[f"{source} BTC"].bid < worth[1])


async def test_without_websockets_rest_carries_everything(
    market: MarketSource, replay: Replay
) -> None:
    """A deaf exchange is polled; new prices still come."""
    replay.deaf |= set(SOURCES)
    await until(market, lambda ticks: ticks.keys() >= ALL)
    await replay.set("okx", "BTC/USDT", "61000", "61000.1")
    await until(market, lambda ticks: ticks["okx BTC"].bid < usd("61500"))
    assert not any(replay.listeners(source) for source in SOURCES)


async def test_a_dead_source_goes_stale_and_comes_back(
    market: MarketSource, replay: Replay
) -> None:
    """Its prices grow old; a coin lives on while two sources live, and comes back with them.

    Without Coinbase only Kraken says what USDT is worth: too few to convert with, so Binance and
    OKX price nothing either.
    """

    def priced(ticks: dict[str, Tick]) -> set[str]:
        return set(build(ticks.values(), NOW, GUARDS).prices)

    await until(market, lambda ticks: ticks.keys() >= ALL and len(priced(ticks)) == 3)
    await replay.kill("binance")
    old = NOW - GUARDS.age_ms_max
    ticks = await until(market, lambda ticks: ticks["binance BTC"].received_ms < old)
    assert priced(ticks) == {"BTC", "ETH", "USDT"}
    await replay.kill("coinbase")
    await until(market, lambda ticks: not priced(ticks))
    replay.dead.clear()
    await until(market, lambda ticks: len(priced(ticks)) == 3)


async def test_a_killed_child_is_started_again(market: MarketSource) -> None:
    """SIGKILL: another one runs soon, and its prices are fresh."""
    await until(market, lambda ticks: ticks.keys() >= ALL)
    first = market.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(market, lambda _: market.pid not in {None, first})
    await until(market, lambda ticks: NOW - ticks["kraken BTC"].received_ms < 1_000)


async def test_the_program_shuts_itself_in(python: list[str], tmp_path: Path) -> None:
    """Before the library is loaded: no file of ours, no writing, no look into the parent;
    the library still loads. The vault's seed lies beside a process of the same user."""
    seed = tmp_path / "seed.sealed"
    seed.write_text("secret")
    code = f"""
import os, runpy
program = runpy.run_path({str(PROGRAM)!r})
if not program["cage"]():
    print("no landlock"); raise SystemExit
def denied(act):
    try:
        act()
    except PermissionError:
        return True
    return False
assert denied(lambda: open({str(seed)!r}))
assert denied(lambda: open({str(tmp_path / "new")!r}, "w"))
assert denied(lambda: open(f"/proc/{{os.getppid()}}/environ"))
assert denied(lambda: open(f"/proc/{{os.getppid()}}/mem", "r+b"))
import ccxt.pro
print("caged")
"""
    pipe = asyncio.subprocess.PIPE
    script = await asyncio.create_subprocess_exec(*python, "-I", "-c", code, stdout=pipe)
    told, _ = await script.communicate()
    assert script.returncode == 0
    if told == b"no landlock\n":
        pytest.skip("this kernel has no Landlock")
    assert told == b"caged\n"


async def test_the_child_dies_with_its_parent(python: list[str], replay: Replay) -> None:
    """A parent that is killed leaves no child behind."""
    code = (
        "import asyncio, sys\n"
        "from swapdesk.rates.book import Guards\n"
        "from swapdesk.rates.market import MarketSetup, MarketSource\n"
        "async def main():\n"
        f"    source = MarketSource(MarketSetup(['kraken'], ['BTC'], Guards(), {python!r},"
        f" {replay.urls()!r}))\n"
        "    while not await source.ticks(0):\n"
        "        await asyncio.sleep(0.05)\n"
        "    print(source.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=pipe)
    assert parent.stdout
    async with asyncio.timeout(DEADLINE_SECONDS):
        child = int(await parent.stdout.readline())
        parent.kill()
        await parent.wait()
        while alive(child):
            await asyncio.sleep(0.05)
