"""Fixtures of the vault's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swapdesk.demo.nodes import Anvil, Bitcoind
from tests.postgres import Dsns
from tests.vault.real_site import RealSite
from tests.vault.site import Site


@pytest.fixture
async def site(vault_dsns: Dsns) -> AsyncIterator[Site]:
    """A running site without a vault: `await site.vault()` makes one."""
    site = Site(vault_dsns)
    await site.start()
    yield site
    await site.stop()


@pytest.fixture
async def real_site(
    vault_dsns: Dsns, bitcoind: Bitcoind, anvil: Anvil, tmp_path: Path
) -> AsyncIterator[RealSite]:
    """A site on a bitcoind and an anvil of its own, without a vault."""
    site = RealSite(vault_dsns, bitcoind, anvil, tmp_path)
    await site.start()
    yield site
    await site.stop()
