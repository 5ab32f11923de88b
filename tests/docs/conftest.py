"""A served site, and what its applications route."""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.routing import Route as Page

from swapdesk.web.app import public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.signed_v1 import Route
from tests.http_site import Site, site_on
from tests.postgres import Dsns


@pytest.fixture
async def site(desk_dsns: Dsns) -> AsyncIterator[Site]:
    """Both listeners of a desk with one partner."""
    async with site_on(desk_dsns.app) as served:
        yield served


@pytest.fixture
def routes(site: Site) -> dict[tuple[str, str], Route | Page]:
    """(method, path) -> what answers there on the public listener."""
    app: Any = public_app(site.rig.desk, site.sealer, Metrics())
    inside = inspect.getclosurevars(app).nonlocals
    hot = {(m, path): r for path, methods in inside["routes"].items() for m, r in methods.items()}
    pages = {(m, page.path): page for page in inside["rest"].routes for m in page.methods}
    return {**hot, **pages}
