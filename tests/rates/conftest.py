"""The replay server, and the program in its own environment: a visible skip here, a failure in CI."""

import os
from collections.abc import AsyncIterator

import pytest

from swapdesk.rates.market import MarketSetup, MarketSource
from tests.rates.replay import SOURCES, Replay
from tests.rates.setup import COINS, GUARDS, rates_python


@pytest.fixture
def python() -> list[str]:
    """The Python of .venv-rates."""
    found = rates_python()
    if found is None:
        why = "no .venv-rates: `make rates` installs it"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@pytest.fixture
async def replay() -> AsyncIterator[Replay]:
    """Four exchanges on loopback."""
    server = Replay()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def market(python: list[str], replay: Replay) -> AsyncIterator[MarketSource]:
    """The real program against the replay server, closed afterwards."""
    setup = MarketSetup(SOURCES, COINS, GUARDS, python, replay.urls())
    source = MarketSource(setup)
    yield source
    await source.close()
