"""The embedded PostgreSQL and its roles: starts anywhere, survives anything, lets nobody across."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import asyncpg
import pytest

from swapdesk import db, embedded, roles
from swapdesk.embedded import Binaries, EmbeddedPostgres, NoPostgres, installed
from swapdesk.world import RealWorld
from tests.postgres import Dsns, short_folder

#: Everything here takes well under a second; a loaded machine may take longer.
DEADLINE_SECONDS = 30


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder that does not exist yet."""
    with short_folder() as folder:
        yield folder / "state"


def ask(dsn: str, statement: str) -> object:
    """One value from one statement on a connection of its own."""

    async def once() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(once())


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Poll until `holds()`; fail with `what` after the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


def test_second_start_finds_data_and_password(state: Path) -> None:
    """Rows and the bootstrap password survive a stop; the password file is private."""
    with EmbeddedPostgres(state, durable=False) as first:
        ask(first.dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        before = first.dsn()
    with EmbeddedPostgres(state, durable=False) as second:
        assert second.dsn() == before
        assert ask(second.dsn(), "SELECT n FROM kept") == 7
    assert (state / "secrets" / "postgres").stat().st_mode & 0o777 == 0o600


def test_durable_means_fsync_and_no_network(state: Path) -> None:
    """The default waits for the disk, and listens on nothing but its private socket."""
    with EmbeddedPostgres(state) as running:
        for setting, value in (
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
            ("data_checksums", "on"),
            ("listen_addresses", ""),
            ("unix_socket_permissions", "0700"),
        ):
            assert ask(running.dsn(), f"SHOW {setting}") == value, setting
        assert (state / "run").stat().st_mode & 0o777 == 0o700


def test_wrong_password_is_refused_on_the_socket(state: Path) -> None:
    """SCRAM also applies to local connections: reaching the socket is not enough."""
    with EmbeddedPostgres(state, durable=False) as running:
        wrong = running.dsn().replace(running.dsn().split(":")[2].split("@")[0], "guess")
        with pytest.raises(asyncpg.InvalidPasswordError):
            ask(wrong, "SELECT 1")


def test_starts_again_after_its_postmaster_was_killed(state: Path) -> None:
    """kill -9 of the postmaster loses no committed row; the same object starts again."""
    running = EmbeddedPostgres(state)
    running.start()
    try:
        ask(running.dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(running.pid, signal.SIGKILL)
        running.stop()
        running.start()
        assert ask(running.dsn(), "SELECT n FROM kept") == 7
    finally:
        running.stop()


def test_stale_pid_of_somebody_else_does_not_stop_a_start(state: Path) -> None:
    """After a reboot the pid in postmaster.pid may be any process; the start sees through it."""
    with EmbeddedPostgres(state, durable=False) as running:
        note = (running.data / "postmaster.pid").read_text()
        data = running.data
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    try:
        lines = [str(stranger.pid), *note.split("\n")[1:]]
        (data / "postmaster.pid").write_text("\n".join(lines))
        with EmbeddedPostgres(state, durable=False) as again:
            assert ask(again.dsn(), "SELECT 1") == 1
    finally:
        stranger.kill()
        stranger.wait()


def test_one_process_per_cluster(state: Path) -> None:
    """A second launcher on the same folder is refused in words, and the first keeps running."""
    with EmbeddedPostgres(state, durable=False) as running:
        with pytest.raises(NoPostgres, match="another process"):
            EmbeddedPostgres(state, durable=False).start()
        assert ask(running.dsn(), "SELECT 1") == 1


@pytest.mark.parametrize("binaries", installed(), ids=lambda each: f"PostgreSQL {each.major}")
def test_every_version_here_takes_roles_and_schema(
    state: Path, monkeypatch: pytest.MonkeyPatch, binaries: Binaries
) -> None:
    """The wheel's PostgreSQL and Debian's both run the whole: roles, migrations, both databases."""
    monkeypatch.setattr(embedded, "installed", lambda: [binaries])
    with EmbeddedPostgres(state, durable=False) as running:
        asyncio.run(roles.provision(running.dsn(), running.secrets, RealWorld()))
        rooms: list[tuple[str, Literal["desk", "vault"]]]
        rooms = [("desk_app", "desk"), ("vault_app", "vault")]
        for role, name in rooms:
            asyncio.run(db.migrate(running.dsn(roles.ROOMS[name].owner, name), name))
            assert ask(running.dsn(role, name), "SELECT current_user") == role


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")
def test_root_runs_it_from_private_folders(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    """Binaries and state below a 0700 folder (a root user's home): both get a place that works."""
    private = state.parent / "private"
    private.mkdir(mode=0o700)
    best = installed()[0]
    package = best.bin.parents[1]
    shutil.copytree(package, private / package.name, symlinks=True)
    shutil.copytree(f"{package}.libs", private / f"{package.name}.libs")
    moved = Binaries(best.major, private / package.name / best.bin.parent.name / "bin")
    monkeypatch.setattr(embedded, "installed", lambda: [moved])
    running = EmbeddedPostgres(private / "state", durable=False)
    try:
        with running:
            assert ask(running.dsn(), "SELECT 1") == 1
            home = (private / "state" / "cluster").readlink()
            assert running.data == home / "data"
            assert (running.data.stat().st_mode & 0o777, running.data.stat().st_uid) == (
                0o700,
                65534,
            )
    finally:
        shutil.rmtree((private / "state" / "cluster").readlink(), ignore_errors=True)


PARENT = """
import sys, threading
from pathlib import Path
from typing import Literal
from swapdesk.embedded import EmbeddedPostgres
running = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
starter = threading.Thread(target=running.start)  # a thread that ends must not take it along
starter.start()
starter.join()
print(running.pid, flush=True)
sys.stdin.read()
"""


def test_dies_with_its_parent_and_only_then(state: Path) -> None:
    """SIGKILL of the parent ends the server; the end of the thread that started it does not."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    assert parent.stdin
    with parent.stdin, parent.stdout:
        server = int(parent.stdout.readline())
        assert Path(f"/proc/{server}").exists()
        parent.kill()
        parent.wait()
    wait_until(lambda: not _alive(server), "the server follows its parent")
    with EmbeddedPostgres(state, durable=False) as again:
        assert ask(again.dsn(), "SELECT 1") == 1


def _alive(pid: int) -> bool:
    """Running, or at least not merely waiting to be reaped by whoever adopts orphans here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("role", "other"),
    [
        ("desk_app", "vault"),
        ("desk_owner", "vault"),
        ("vault_app", "desk"),
        ("vault_owner", "desk"),
        ("desk_app", "postgres"),
        ("vault_app", "template1"),
    ],
)
def test_nobody_connects_across(cluster: EmbeddedPostgres, role: str, other: str) -> None:
    """A role enters the database of its own room and no other."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
        ask(cluster.dsn(role, other), "SELECT 1")


def test_roles_are_nobody_special(cluster: EmbeddedPostgres) -> None:
    """None of the four may become superuser, create databases or roles, or read around policies."""
    rights = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    names = [role for room in roles.ROOMS.values() for role in room]
    found = f"SELECT count(*) FROM pg_roles WHERE rolname = ANY('{{{','.join(names)}}}')"
    assert ask(cluster.dsn(), found) == 4
    assert ask(cluster.dsn(), f"{found} AND ({rights})") == 0


@pytest.mark.parametrize("room", ["desk", "vault"])
def test_program_creates_nothing(cluster: EmbeddedPostgres, room: str) -> None:
    """Runtime roles own nothing, not even a temporary table."""
    app = cluster.dsn(roles.ROOMS[room].app, room)
    for statement in ("CREATE TABLE x (n int)", "CREATE TEMP TABLE x (n int)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(app, statement)


def test_provision_twice_changes_nothing_visible(cluster: EmbeddedPostgres) -> None:
    """Provisioning again, also at the same time, keeps every password and right."""
    before = cluster.dsn("desk_app", "desk")

    async def both() -> None:
        once = [roles.provision(cluster.dsn(), cluster.secrets, RealWorld()) for _ in range(2)]
        await asyncio.gather(*once)

    asyncio.run(both())
    assert cluster.dsn("desk_app", "desk") == before
    assert ask(before, "SELECT 1") == 1


def test_clones_are_migrated_and_closed(desk_dsns: Dsns, vault_dsns: Dsns) -> None:
    """A test's own database has the schema, and keeps the other room out like the real one."""
    assert ask(desk_dsns.app, "SELECT count(*) > 0 FROM allowed_move") is True
    assert ask(vault_dsns.owner, "SELECT current_user") == "vault_owner"
    across = desk_dsns.app.replace("/desk_", "/vault_")
    with pytest.raises(asyncpg.PostgresError):
        ask(across, "SELECT 1")
