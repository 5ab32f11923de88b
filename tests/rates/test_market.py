"""The reader's side: whatever the child writes or does, the reader keeps exact prices or none."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from swapdesk.rates import lines as lines_room
from swapdesk.rates import market as market_room
from swapdesk.rates.market import MarketSetup, MarketSource, boot_ms
from tests.rates.setup import COINS, GUARDS, NOW, alive, fake, until, usd

pytestmark = pytest.mark.anyio

#: What a child says before and after nonsense; `tell` is what the real one does.
PREFACE = """
import json, os, sys, time
def boot():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
def say(text):
    sys.stdout.write(text + "\\n"); sys.stdout.flush()
def tell(bid, ask, coin="BTC", source="kraken", quote="USD", age=0, **more):
    say(json.dumps({"source": source, "coin": coin, "quote": quote, "bid": bid, "ask": ask,
                    "sent_ms": None, "heard_ms": boot() - age, **more}))
"""
REST = "\nsys.stdin.read()\n"


def _source(tmp_path: Path, code: str) -> MarketSource:
    python = fake(tmp_path, PREFACE + code)
    return MarketSource(MarketSetup(["kraken", "binance"], COINS, GUARDS, python))


NONSENSE = [
    "say('garbage')",
    "say('{')",
    "say('[]')",
    "say('null')",
    "say('[' * 900)",
    "say('\\x00\\x01')",
    "sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.flush()",
    'say(\'{"source":"kraken","coin":"BTC","quote":"USD","bid":NaN,"ask":1}\')',
    'say(\'{"source":"kraken","coin":"BTC","quote":"USD","bid":1.5,"ask":1.6}\')',
    "tell('NaN', 'NaN')",
    "tell('-1', '1')",
    "tell('1e999', '1e999')",
    "tell('1e2', '1e2')",
    "tell('Infinity', 'Infinity')",
    "tell('0', '0')",
    "tell('', '')",
    "tell('1_000', '1_000')",
    "tell('\\u0661', '\\u0661')",
    "tell('9' * 60, '9' * 60)",
    "tell('1.' + '1' * 19, '1.2')",
    "tell('9300000', '9300000')",
    "tell('1', '1', coin='NIX')",
    "tell('1', '1', coin='BTC', quote='EUR')",
    "tell('1', '1', source='mtgox')",
    "tell('1', '1', age=-5_000)",
    "tell('1', '1', age=4_000_000)",
    "tell('1', '1', heard_ms=10**40)",
    "tell('1', '1', trouble='x', source='mtgox')",
    "say('x' * 2_000)",
    "say('x' * 3_000_000)",
]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_is_ignored_and_the_next_line_counts(tmp_path: Path, nonsense: str) -> None:
    """Garbage, huge lines, NaN, negative, infinite, foreign and future prices leave no trace."""
    after = "\ntell('62000.000000000000000001', '62000.000000000000000001', 'BTC')" + REST
    source = _source(tmp_path, nonsense + after)
    try:
        ticks = await until(source, bool)
        assert list(ticks) == ["kraken BTC"]
        assert ticks["kraken BTC"].bid == usd("62000")  # what is finer is cut from the bid
        assert ticks["kraken BTC"].ask == usd("62000.000000000001")  # and rounded up in the ask
        assert source.ignored == 1
    finally:
        await source.close()


async def test_the_tail_of_a_huge_line_is_not_a_line(tmp_path: Path) -> None:
    """A price that hides at the end of a line of megabytes is dropped with it."""
    code = "sys.stdout.write('x' * 2_000_000)\ntell('1', '1')\ntell('2', '2', 'ETH')" + REST
    source = _source(tmp_path, code)
    try:
        assert list(await until(source, bool)) == ["kraken ETH"]
    finally:
        await source.close()


async def test_a_flood_is_cut_off(tmp_path: Path) -> None:
    """Lines beyond the cap of a second are not even decoded; later ones count again."""
    many = lines_room.LINES_PER_SECOND_MAX * 5
    code = f"""
for _ in range({many}):
    sys.stdout.write('{{"source":"kraken","trouble":"flood"}}\\n')
sys.stdout.flush()
time.sleep(2)
tell('3', '3')
""" + REST  # fmt: skip
    source = _source(tmp_path, code)
    try:
        await until(source, bool)
        assert source.ignored > many // 5
    finally:
        await source.close()


async def test_age_is_how_old_the_price_is_not_when_it_was_read(tmp_path: Path) -> None:
    """A line that waited in the pipe is as old as it says; the newest line of a market counts."""
    source = _source(tmp_path, "tell('1', '1', age=5_000)\ntell('2', '2', 'ETH')" + REST)
    try:
        ticks = await until(source, lambda ticks: len(ticks) == 2)
        assert 5_000 <= NOW - ticks["kraken BTC"].received_ms < 60_000
        assert (
            NOW - ticks["kraken BTC"].received_ms >= NOW - ticks["kraken ETH"].received_ms + 4_000
        )
    finally:
        await source.close()


@pytest.mark.parametrize("end", ["sys.exit(3)", "os.kill(os.getpid(), 9)", "raise OSError('x')"])
async def test_a_child_that_ends_is_started_again(tmp_path: Path, end: str) -> None:
    """However it ends; each start tells its own pid as a price."""
    source = _source(tmp_path, f"tell(str(os.getpid()), str(os.getpid()))\n{end}")
    try:
        first = (await until(source, bool))["kraken BTC"].bid
        await until(source, lambda ticks: ticks["kraken BTC"].bid != first)
    finally:
        await source.close()


async def test_a_child_that_hangs_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says nothing and does not end when asked is killed."""
    monkeypatch.setattr(market_room, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(market_room, "FAREWELL_SECONDS", 0.1)
    code = "tell(str(os.getpid()), str(os.getpid()))\ntime.sleep(600)"
    source = _source(tmp_path, code)
    try:
        first = (await until(source, bool))["kraken BTC"].bid
        await until(source, lambda ticks: ticks["kraken BTC"].bid != first)
        assert not alive(first // 10**12)
    finally:
        await source.close()


async def test_a_program_that_is_missing_is_no_exception(tmp_path: Path) -> None:
    """No environment: no ticks, and trouble in the log; the desk lives on."""
    setup = MarketSetup(["kraken"], COINS, GUARDS, [str(tmp_path / "missing")])
    source = MarketSource(setup)
    try:
        for _ in range(10):
            assert await source.ticks(NOW) == []
            await asyncio.sleep(0.01)
    finally:
        await source.close()


async def test_the_child_gets_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of our environment reaches it but the way to the internet."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    code = f"""
open({str(tmp_path / "env")!r}, "w").write("\\n".join(os.environ))
tell('1', '1')
""" + REST  # fmt: skip
    source = _source(tmp_path, code)
    try:
        await until(source, bool)
        names = set((tmp_path / "env").read_text().split())
        assert "HTTPS_PROXY" in names
        assert names <= {*market_room.ENVIRONMENT, "LC_CTYPE"}
    finally:
        await source.close()


async def test_closing_ends_the_child(tmp_path: Path) -> None:
    """Nothing is left behind, and closing is quick."""
    source = _source(tmp_path, "tell('1', '1')" + REST)
    await until(source, bool)
    pid = source.pid
    assert pid is not None
    started = time.monotonic()
    await source.close()
    assert time.monotonic() - started < market_room.FAREWELL_SECONDS
    assert not alive(pid)
    assert source.pid is None
    assert os.getpid() != pid


def test_both_sides_read_the_same_clock() -> None:
    """The stamp of the program is on the reader's clock."""
    assert abs(boot_ms() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000) < 1_000
