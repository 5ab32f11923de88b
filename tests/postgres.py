"""Pytest plugin: a throwaway PostgreSQL per worker, and a fresh migrated database for every test.

Ask for `desk_dsns` or `vault_dsns`. Migrations run once per worker; a test gets a clone of the
result (CREATE DATABASE ... TEMPLATE, some 20 ms), which is dropped afterwards.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import asyncpg
import pytest

from swapdesk import roles
from swapdesk.embedded import EmbeddedPostgres
from swapdesk.world import RealWorld

_NUMBERS: Final = itertools.count(1)


class Dsns(NamedTuple):
    """How to connect to one database: as its owner, as its program, and as nobody should."""

    owner: str
    app: str
    superuser: str


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own account can reach and whose socket paths are short.

    `tmp_path` is neither: pytest keeps it below a 0700 folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="swd-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedPostgres]:
    """A running cluster with the roles of the design. It forgets everything in a power cut."""
    with short_folder() as folder, EmbeddedPostgres(folder / "pg", durable=False) as running:
        asyncio.run(roles.provision(running.dsn(), running.secrets, RealWorld()))
        yield running


@pytest.fixture(scope="session")
def desk_template(cluster: EmbeddedPostgres) -> str:
    """Name of the migrated database of the desk. Never connect to it: it is copied."""
    return _migrated(cluster, "desk")


@pytest.fixture(scope="session")
def vault_template(cluster: EmbeddedPostgres) -> str:
    """Name of the migrated database of the vault. Never connect to it: it is copied."""
    return _migrated(cluster, "vault")


@pytest.fixture
def desk_dsns(cluster: EmbeddedPostgres, desk_template: str) -> Iterator[Dsns]:
    """A fresh database of the desk."""
    with _clone(cluster, desk_template, roles.ROOMS["desk"]) as dsns:
        yield dsns


@pytest.fixture
def vault_dsns(cluster: EmbeddedPostgres, vault_template: str) -> Iterator[Dsns]:
    """A fresh database of the vault."""
    with _clone(cluster, vault_template, roles.ROOMS["vault"]) as dsns:
        yield dsns


def _migrated(cluster: EmbeddedPostgres, room: Literal["desk", "vault"]) -> str:
    from swapdesk import db

    asyncio.run(db.migrate(cluster.dsn(roles.ROOMS[room].owner, room), room))
    return room


@contextmanager
def _clone(cluster: EmbeddedPostgres, template: str, room: roles.Room) -> Iterator[Dsns]:
    name = f"{template}_{next(_NUMBERS)}"
    asyncio.run(_create(cluster.dsn(), name, room, template))
    try:
        yield Dsns(*(cluster.dsn(role, name) for role in (*room, roles.SUPERUSER)))
    finally:
        asyncio.run(_drop(cluster.dsn(), name))


async def _create(superuser: str, name: str, room: roles.Room, template: str) -> None:
    connection = await asyncpg.connect(superuser)
    try:
        await roles.create_database(connection, name, room, template=template)
    finally:
        await connection.close()


async def _drop(superuser: str, name: str) -> None:
    connection = await asyncpg.connect(superuser)
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()
