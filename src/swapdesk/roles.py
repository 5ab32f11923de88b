"""Who may do what in PostgreSQL: two databases, four roles, none of them a superuser.

    desk    desk_owner owns the schema and migrates it     desk_app is what web and worker use
    vault   vault_owner                                    vault_app is what the vault uses

Nobody else may connect to either database, so a desk that was broken into cannot even ask the
vault's. What `desk_app` and `vault_app` may do inside is granted table by table in the migrations.
Works on the embedded cluster and on an operator's own, given a superuser's connection string.
"""

import base64
import contextlib
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

import asyncpg

from swapdesk.world import World

#: The bootstrap role of a cluster. A superuser; used by `provision` and by nothing else.
SUPERUSER: Final = "postgres"


class Room(NamedTuple):
    """The two roles of one database."""

    owner: str
    app: str


#: Databases and their roles.
ROOMS: Final[Mapping[str, Room]] = {
    "desk": Room("desk_owner", "desk_app"),
    "vault": Room("vault_owner", "vault_app"),
}

_PASSWORD_BYTES: Final = 24
#: RFC 7677 asks for at least 4096; our passwords are random, so more would only cost time.
_SCRAM_ROUNDS: Final = 4096
#: Key of the advisory lock under which one process provisions at a time ("ROLE").
_LOCK: Final = 0x524F4C45
_RIGHTS: Final = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


def keep_password(folder: Path, role: str, world: World) -> str:
    """The password of `role` from its 0600 file; made at the first call and the same ever after."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / role
    if not file.exists():
        draft = folder / f".{role}.{world.token(6)}"
        draft.touch(mode=0o600)
        draft.write_text(world.token(_PASSWORD_BYTES))
        with contextlib.suppress(FileExistsError):  # somebody else was first: theirs counts
            os.link(draft, file)
        draft.unlink()
    return file.read_text()


def dsn(cluster: str, secrets: Path, role: str, database: str) -> str:
    """The connection string `cluster` with another role and database; password from `secrets`."""
    parts = urlsplit(cluster)
    where = parts.netloc.rpartition("@")[2]
    who = f"{role}:{quote((secrets / role).read_text(), safe='')}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{who}@{where}/{database}{query}"


async def provision(superuser: str, secrets: Path, world: World) -> None:
    """Create or repair the roles and databases of ROOMS. Safe to repeat and to run concurrently.

    `superuser` is a connection string; `secrets` gets one 0600 file per role, whose content is the
    truth: the server is given its SCRAM verifier, never the password. asyncpg errors pass through.
    """
    connection = await asyncpg.connect(superuser)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        for database, room in ROOMS.items():
            for role in room:
                verifier = scram(keep_password(secrets, role, world), world.bytes(16))
                await _create_role(connection, role, verifier)
            await create_database(connection, database, room)
        for database in (SUPERUSER, "template1"):
            await _close_to_public(connection, database)
    finally:
        await connection.close()
    for database, room in ROOMS.items():
        await _hand_over_schema(superuser, database, room)


async def create_database(
    connection: "asyncpg.Connection[asyncpg.Record]",
    name: str,
    room: Room,
    *,
    template: str = "template0",
) -> None:
    """Create `name` if it is not there, owned by and open to the roles of `room` only."""
    known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
    if not known:
        how = " ENCODING 'UTF8' LOCALE 'C'" if template == "template0" else ""
        await connection.execute(
            f'CREATE DATABASE "{name}" OWNER {room.owner} TEMPLATE "{template}"{how}'
        )
    await _close_to_public(connection, name)
    await connection.execute(f'GRANT CONNECT ON DATABASE "{name}" TO {room.owner}, {room.app}')


async def _create_role(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str, verifier: str
) -> None:
    known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if known else "CREATE"
    await connection.execute(f"{verb} ROLE {role} {_RIGHTS} PASSWORD '{verifier}'")


async def _close_to_public(connection: "asyncpg.Connection[asyncpg.Record]", database: str) -> None:
    await connection.execute(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC')


async def _hand_over_schema(superuser: str, database: str, room: Room) -> None:
    """The owner migrates schema public, and nobody else creates anything in it."""
    connection = await asyncpg.connect(superuser, database=database)
    try:
        await connection.execute(f"ALTER SCHEMA public OWNER TO {room.owner}")
        await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await connection.execute(f"GRANT USAGE ON SCHEMA public TO {room.app}")
    finally:
        await connection.close()


def scram(password: str, salt: bytes) -> str:
    """What PostgreSQL stores for a password (RFC 5803). Ours are ASCII, so SASLprep is identity."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_SCRAM_ROUNDS}:{text[0]}${text[1]}:{text[2]}"
