"""Pytest plugin: real nodes. A missing node is a visible skip here, and a failure where CI is set.

`bitcoind` and `anvil` are fresh for every test and start within a fraction of a second.
`shared_bitcoind` and `shared_anvil` live as long as the worker: only for tests that do not mind
what others mined before them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from swapdesk.demo.nodes import Anvil, Bitcoind, NodeMissing, find


def need(name: str) -> None:
    """Skip the test when a node is missing, with the reason; fail it in CI."""
    try:
        find(name)
    except NodeMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def bitcoind(tmp_path: Path) -> Iterator[Bitcoind]:
    """A bitcoind of the test's own, at height 0, with a wallet for the world outside."""
    need("bitcoind")
    with Bitcoind(tmp_path / "bitcoind", wallet=True) as node:
        yield node


@pytest.fixture
def bitcoind_pair(tmp_path: Path) -> Iterator[tuple[Bitcoind, Bitcoind]]:
    """Two bitcoinds that listen for each other and are not yet connected; the first has a wallet."""
    need("bitcoind")
    first = Bitcoind(tmp_path / "first", wallet=True, p2p=True)
    second = Bitcoind(tmp_path / "second", p2p=True)
    with first, second:
        yield first, second


@pytest.fixture
def anvil(tmp_path: Path) -> Iterator[Anvil]:
    """An anvil of the test's own, at height 0."""
    need("anvil")
    with Anvil(tmp_path / "anvil") as node:
        yield node


@pytest.fixture(scope="session")
def shared_bitcoind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bitcoind]:
    """One bitcoind for the whole worker, with a wallet for the world outside."""
    need("bitcoind")
    with Bitcoind(tmp_path_factory.mktemp("bitcoind"), wallet=True) as node:
        yield node


@pytest.fixture(scope="session")
def shared_anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """One anvil for the whole worker."""
    need("anvil")
    with Anvil(tmp_path_factory.mktemp("anvil")) as node:
        yield node
