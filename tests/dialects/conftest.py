"""A served site for every test of a dialect."""

from collections.abc import AsyncIterator

import pytest

from tests.http_site import Site, site_on
from tests.postgres import Dsns


@pytest.fixture
async def site(desk_dsns: Dsns) -> AsyncIterator[Site]:
    """Both listeners of a desk with one partner."""
    async with site_on(desk_dsns.app) as served:
        yield served
