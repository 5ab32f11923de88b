"""The one suite on every reader we have, each against a running node."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from swapdesk import assets
from swapdesk.chains.connect import open_reader
from swapdesk.chains.reader import NodeTrouble
from tests.chains.conformance import *  # noqa: F403 the suite itself
from tests.chains.drivers import BitcoinDriver, Driver, EvmDriver, LocalDriver, SimulatedDriver

pytestmark = [pytest.mark.anyio, pytest.mark.nodes]

DRIVERS: dict[str, Callable[[], Driver]] = {
    "bitcoin": BitcoinDriver,
    "evm": EvmDriver,
    "simulated": SimulatedDriver,
    "in process": LocalDriver,
}


@pytest.fixture(scope="module", params=list(DRIVERS))
async def driver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Driver]:
    """One node per kind of chain for the whole module."""
    driver = DRIVERS[request.param]()
    try:
        await driver.start(tmp_path_factory.mktemp(request.param))
        yield driver
    finally:
        await driver.close()


@pytest.mark.parametrize("kind", DRIVERS.values(), ids=DRIVERS)
async def test_stopped_node_is_trouble(kind: Callable[[], Driver], tmp_path: Path) -> None:
    """Whatever is asked of a node that died, the answer is NodeTrouble and never "no"."""
    driver = kind()
    try:
        await driver.start(tmp_path)
        reader = driver.reader()
        tip = await reader.tip()
    finally:
        await driver.close()
    for question in (
        reader.identity,
        reader.tip,
        lambda: reader.ref(tip.height),
        lambda: reader.block(tip),
        reader.pending,
        lambda: reader.find("00" * 32, "0", tip.hash),
        lambda: reader.locate("00" * 32, 0),
    ):
        with pytest.raises(NodeTrouble):
            await question()
    await reader.close()


def test_readers_by_the_registry() -> None:
    """A network gets the reader that the registry names; what cannot be opened says why."""
    site = {
        "bitcoin": assets.NetworkSetup(),
        "litecoin": assets.NetworkSetup(),
        "bsc": assets.NetworkSetup(),
        "tron": assets.NetworkSetup(reader="simulated"),
        "monero": assets.NetworkSetup(),
    }
    registry = assets.load("dev", site)
    names = {"bitcoin": "Bitcoin", "litecoin": "Bitcoin", "bsc": "Evm", "tron": "Simulated"}
    for key, name in names.items():
        reader = open_reader(registry.networks[key], registry, ["http://u:p@127.0.0.1:1/path"])
        assert type(reader).__name__ == f"{name}Reader"
        assert reader.network.key == key
    with pytest.raises(ValueError, match="no 'monero' reader"):
        open_reader(registry.networks["monero"], registry, ["http://127.0.0.1:1"])
    with pytest.raises(ValueError, match="no node address"):
        open_reader(registry.networks["bitcoin"], registry, [])
    for url in ("", "bitcoin:8332", "ftp://u:secret@h", "http://", "http://h:99999999/secret"):
        with pytest.raises(ValueError, match="http or https") as error:
            open_reader(registry.networks["bitcoin"], registry, [url])
        assert "secret" not in str(error.value)
