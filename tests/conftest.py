"""What every test may ask for. Real PostgreSQL and real nodes live in the two plugins."""

import pytest

pytest_plugins = ["tests.nodes", "tests.postgres"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio only: asyncpg knows no other loop."""
    return "asyncio"
