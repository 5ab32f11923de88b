"""Fixtures of the vault's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.postgres import Dsns
from tests.vault.site import Site


@pytest.fixture
async def site(vault_dsns: Dsns) -> AsyncIterator[Site]:
    """A running site without a vault: `await site.vault()` makes one."""
    site = Site(vault_dsns)
    await site.start()
    yield site
    await site.stop()
