"""The programs of a demo as children of ours: nodes, the desk's processes, and short commands.

Every child ends when we do, however we end (child.py); asked politely first, in reverse order.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from swapdesk.chains.reader import NodeTrouble
from swapdesk.chains.rpc import Rpc
from swapdesk.child import Child
from swapdesk.demo.nodes import free_port

T = TypeVar("T")

#: How long a program may take to stop before it is killed.
STOP_SECONDS_MAX: Final = 15
#: How long one command may take; a migration of an empty database takes about a second.
COMMAND_SECONDS_MAX: Final = 60
START_SECONDS_MAX: Final = 60
_POLL_SECONDS: Final = 0.05
#: Nothing else of our environment reaches a child: no DATABASE_URL, nobody's credentials.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")


class Failed(Exception):
    """The demo cannot go on; the text says which program failed and what it said."""


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **more}


def program(name: str, *words: str) -> list[str]:
    """argv of `swapdesk` or `swapdesk-vault` with this very interpreter."""
    module = {"swapdesk": "swapdesk", "swapdesk-vault": "swapdesk_vault"}[name]
    return [sys.executable, "-m", module, *words]


async def in_thread(work: Callable[[], T]) -> T:
    """The result of blocking work. Cancelled, it is waited for first: nothing starts unseen."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def command(argv: list[str], env: Mapping[str, str]) -> str:
    """What a short command prints. Failed with its own words when its exit status is not 0."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=environment(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS_MAX):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        words = (err or out).decode(errors="replace").strip()
        raise Failed(f"`{_spoken(argv)}` ended with status {process.returncode}: {words}")
    return out.decode()


def _spoken(argv: list[str]) -> str:
    """The command as somebody would type it."""
    return " ".join([argv[2].replace("_", "-"), *argv[3:]])


class Program:
    """A long-running program of the desk: `swapdesk web`, `swapdesk worker`, `swapdesk-vault run`."""

    def __init__(self, name: str, argv: list[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._argv = argv
        self._env = environment(env)
        self._log = log
        self._child: Child | None = None

    def start(self) -> None:
        """Start it; it gets ready on its own."""
        self._child = Child(self._argv, log=self._log, env=self._env)

    def stop(self) -> None:
        """SIGTERM, later SIGKILL. May be repeated."""
        child, self._child = self._child, None
        if child:
            child.stop(STOP_SECONDS_MAX)

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._child, "not started"
        return self._child.pid

    def require_alive(self) -> None:
        """Failed when it has ended by itself."""
        if self._child and self._child.status is not None:
            raise Failed(f"{self.name} ended by itself; {self._log} ends with:\n"
                         f"{self._child.last_words()}")  # fmt: skip


class SimulatedTron:
    """The SIMULATED chain that stands for Tron, as a program of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program: Program | None = None
        self.url = ""

    def start(self) -> None:
        """Start it on a free port."""
        self._folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        words = ["-m", "swapdesk.chains.simchain", "--network", "tron", "--port", str(port)]
        words += ["--file", str(self._folder / "tron.sqlite")]
        log = self._folder / "simchain.log"
        self._program = Program("the simulated Tron", [sys.executable, *words], {}, log)
        self._program.start()

    async def answers(self) -> None:
        """Return when it answers. Failed when it does not."""
        assert self._program, "not started"
        rpc = Rpc(self.url)
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                while True:
                    self._program.require_alive()
                    with contextlib.suppress(NodeTrouble):
                        await rpc.call("sim_tip", [], object)
                        return
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            await rpc.close()

    def stop(self) -> None:
        """Stop it. May be repeated."""
        if self._program:
            self._program.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._program, "not started"
        return self._program.pid
