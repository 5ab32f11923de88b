"""From the site files to the rounds: worker and vault each run a child of their own."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from swapdesk.jobs import rates_round
from swapdesk.rates import store as rates
from swapdesk.rates.book import Guards, Tick
from swapdesk.rates.fixed import FixedSource
from swapdesk.rates.market import MarketSource, default_python
from swapdesk.settings import BadSettings, load_site
from swapdesk.worker import rate_sources
from swapdesk_vault import serve, site
from swapdesk_vault.prices import OwnRates
from swapdesk_vault.site import BadSite
from tests.postgres import Dsns
from tests.rates.replay import SOURCES, Replay
from tests.rates.setup import DEADLINE_SECONDS, NOW, until
from tests.rig import rig_on

pytestmark = pytest.mark.anyio

NETWORKS = """
[networks.bitcoin]
urls = ["http://127.0.0.1:1"]
[networks.ethereum]
urls = ["http://127.0.0.1:1"]
"""
DEV_TOKENS = '[networks.ethereum.contracts]\nusdt_eth = "0x{0}"\nusdc_eth = "0x{0}"\n'.format(
    "11" * 20
)


def _desk(folder: Path, rates: str, world: str = "dev") -> Path:
    head = f'world = "{world}"\nsealing_key_file = "s"\nvault_public_file = "v"\n'
    path = folder / "site.toml"
    path.write_text(head + rates + NETWORKS + (DEV_TOKENS if world == "dev" else ""))
    return path


def _vault(folder: Path, rates: str, world: str = "dev") -> Path:
    head = f'world = "{world}"\ndesk_url = "http://127.0.0.1:1"\n'
    head += 'seed_file = "s"\npublic_file = "p"\n'
    path = folder / "vault.toml"
    path.write_text(head + rates + NETWORKS + (DEV_TOKENS if world == "dev" else ""))
    return path


def _rates(replay: Replay, python: list[str]) -> str:
    urls = "".join(f'{name} = "{url}"\n' for name, url in replay.urls().items())
    names, run = json.dumps(SOURCES), json.dumps(python)
    return f"[rates]\nsources = {names}\npython = {run}\n[rates.urls]\n{urls}"


TWO = '[rates]\nsources = ["kraken", "coinbase"]\n'


def test_main_needs_two_exchanges_and_no_fixed_price(tmp_path: Path) -> None:
    """Both programs refuse to start in main with fewer, with the same one twice, or by hand."""
    one = '[rates]\nsources = ["kraken", "kraken"]\n'
    urls = TWO + '[rates.urls]\nkraken = "http://127.0.0.1:1"\n'
    for rates_table in ("", one, '[rates.fixed]\nBTC = "1"\n', urls):
        with pytest.raises(BadSettings):
            load_site(_desk(tmp_path, rates_table, "main"))
        with pytest.raises(BadSite):
            serve.rate_sources(site.load_site(_vault(tmp_path, rates_table, "main")))
    desk = load_site(_desk(tmp_path, TWO, "main"))
    vault = site.load_site(_vault(tmp_path, TWO, "main"))
    assert desk.desk_terms().guards == vault.guards() == Guards(sources_min=2)
    assert [each.name for each in rate_sources(desk)] == ["market"]
    assert [each.name for each in serve.rate_sources(vault)] == ["market"]


def test_coins_come_from_the_registry_and_the_program_from_beside_us(tmp_path: Path) -> None:
    """Every coin of a configured network is asked for, once; the environment is .venv-rates."""
    setup = load_site(_desk(tmp_path, TWO)).market()
    assert setup is not None
    assert list(setup.coins) == ["BTC", "ETH", "USDC", "USDT"]
    assert setup.python == default_python() == [f"{Path(sys.prefix).parent}/.venv-rates/bin/python"]
    assert "--poll 5.0" in " ".join(setup.argv())
    assert load_site(_desk(tmp_path, "")).market() is None
    with pytest.raises(BadSettings, match=r"rates\.sources"):
        rate_sources(load_site(_desk(tmp_path, "")))


@pytest.mark.slow
async def test_a_round_of_the_worker_keeps_what_the_market_says(
    python: list[str], replay: Replay, tmp_path: Path, desk_dsns: Dsns
) -> None:
    """Site file, child, round, snapshot, book: priced by four exchanges, to the last digit."""
    (source,) = rate_sources(load_site(_desk(tmp_path, _rates(replay, python))))
    assert isinstance(source, MarketSource)
    try:
        await until(source, lambda ticks: len(ticks) >= 10)
        async with rig_on(desk_dsns.app) as rig:
            rig.world.at += 5_000
            await rates_round(rig.desk, [source])
            async with rig.desk.db.transaction() as tx:
                market = await rates.newest(tx)
            assert market is not None
            book = market.book(rig.world.now(), Guards(sources_min=2))
            assert {"BTC", "ETH", "USDT"} <= set(book.prices)
            assert {tick.source for tick in market.snapshot.ticks} == set(SOURCES)
    finally:
        await source.close()


@pytest.mark.slow
async def test_the_vault_has_a_child_of_its_own(
    python: list[str], replay: Replay, tmp_path: Path
) -> None:
    """Two programs, two children: neither reads a rate of the other."""
    text = _rates(replay, python)
    (desk,) = rate_sources(load_site(_desk(tmp_path, text)))
    (vault,) = serve.rate_sources(site.load_site(_vault(tmp_path, text)))
    assert isinstance(desk, MarketSource)
    assert isinstance(vault, MarketSource)
    own = OwnRates([vault], Guards(sources_min=2))
    try:
        await until(desk, bool)
        now, deadline = NOW, asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while not {"BTC", "USDT"} <= (await own.book(now)).prices.keys():
            assert asyncio.get_running_loop().time() < deadline
            now += 1_000  # sources are asked once a second
            await asyncio.sleep(0.05)
        assert desk.pid != vault.pid
    finally:
        await desk.close()
        await own.close()
    assert vault.pid is None


async def test_a_source_that_fails_leaves_the_vault_the_others() -> None:
    """An exception of one source is its own silence."""

    class Broken:
        name = "broken"

        async def ticks(self, now_ms: int) -> list[Tick]:
            raise RuntimeError(now_ms)

        async def close(self) -> None:
            """Nothing."""

    own = OwnRates([Broken(), FixedSource({"BTC": "60000"})], Guards())
    assert "BTC" in (await own.book(NOW)).prices
    await own.close()


async def _run(*words: str, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    program = Path(sys.executable).with_name("swapdesk")
    return await asyncio.create_subprocess_exec(
        program, *words, env={**os.environ, **env}, stdin=pipe, stdout=pipe, stderr=pipe
    )


@pytest.mark.slow
async def test_the_operator_can_look(python: list[str], replay: Replay, tmp_path: Path) -> None:
    """`swapdesk rates` shows the lines of the site's exchanges, and ends when nobody reads."""
    path = _desk(tmp_path, _rates(replay, python))
    shown = await _run("rates", env={"SWAPDESK_SITE": str(path)})
    assert shown.stdout
    assert shown.stdin
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert json.loads(await shown.stdout.readline())["source"] in SOURCES
        shown.stdin.close()
        assert await shown.wait() == 0
        await shown.communicate()


async def test_the_operator_is_told_what_is_missing(tmp_path: Path) -> None:
    """No environment: one line that says how to get it."""
    path = _desk(tmp_path, f'{TWO}python = ["{tmp_path}/none"]\n')
    shown = await _run("rates", env={"SWAPDESK_SITE": str(path)})
    _, said = await shown.communicate()
    assert shown.returncode == 2
    assert b"make rates" in said
