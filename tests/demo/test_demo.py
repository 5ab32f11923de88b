"""The demo for real: it swaps, it keeps secrets, it repeats, and it leaves nothing behind."""

import asyncio
import base64
import io
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.demo.secrets_of import forms, spellings
from tests.nodes import need
from tests.postgres import short_folder
from tests.rig import WORDS

pytestmark = [pytest.mark.nodes, pytest.mark.slow, pytest.mark.timeout(300)]

#: Until the demo stays up, on a machine that runs other tests as well.
UP_SECONDS_MAX = 150
STOP_SECONDS_MAX = 40
#: An idle web process holds no more than this.
WEB_KILOBYTES_MAX = 150_000


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """One state folder for all runs of this file, so that later ones are second runs."""
    for name in ("bitcoind", "anvil"):
        need(name)
    with short_folder() as folder:
        yield folder / "demo"


class Run:
    """A demo of our own. `ignored` are signals that it inherits as ignored."""

    def __init__(self, state: Path, *words: str, ignored: tuple[signal.Signals, ...] = ()) -> None:
        state.mkdir(mode=0o711, exist_ok=True)
        self.log = state.parent / "demo.log"
        self._seen: dict[int, str] = {}
        ignore = "; ".join(f"signal.signal({number.value}, signal.SIG_IGN)" for number in ignored)
        start = f"import signal, os, sys; {ignore or 'pass'}; os.execv(sys.argv[1], sys.argv[1:])"
        argv = [sys.executable, "-m", "swapdesk", "demo", "--state", str(state), *words]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", start, *argv], stdout=out, stderr=out
            )

    def until(self, holds: Callable[[], object], seconds: int) -> None:
        """Wait until `holds`; remembers every process of the demo on the way."""
        deadline = time.monotonic() + seconds
        while not holds():
            self._seen |= descendants(self.process.pid)
            assert self.process.poll() is None, f"the demo ended: {self.text()}"
            assert time.monotonic() < deadline, f"not in {seconds} s: {self.text()}"
            time.sleep(0.05)

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text()

    def end(self, seconds: int) -> int:
        """Its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self._seen |= descendants(self.process.pid)
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                pytest.fail(f"the demo does not end: {self.text()}")
            time.sleep(0.05)
        return self.process.returncode

    def survivors(self) -> dict[int, str]:
        """Processes of the demo that still live: pid -> command line."""
        return {pid: born for pid, born in self._seen.items() if birth(pid) == born}

    def pid_of(self, words: str) -> int:
        """The process whose command line ends with `words`."""
        for pid in self._seen:
            if command_line(pid).endswith(words):
                return pid
        raise LookupError(words)


def descendants(root: int) -> dict[int, str]:
    """Every process below `root`: pid -> when it was born, so that a reused pid is told apart."""
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            children = [c for t in tasks for c in (t / "children").read_text().split()]
        except OSError:
            continue
        for child in map(int, children):
            if born := birth(child):
                found[child] = born
                waiting.append(child)
    return found


def birth(pid: int) -> str | None:
    """Start time of a live process in clock ticks; None for a dead one or a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else fields[18]


def command_line(pid: int) -> str:
    """argv of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def credentials(state: Path) -> dict[str, str]:
    """What .demo/env tells a shell."""
    told = subprocess.run(
        ["bash", "-c", f". {state}/env && env -0"], capture_output=True, check=True, env={}
    )  # fmt: skip
    return dict(line.split("=", 1) for line in told.stdout.decode().split("\0") if line)


async def dump(dsn: str) -> str:
    """Every row of every table as text, and the tables' definitions' names."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        out = io.BytesIO()
        for (name,) in names:
            out.write(f"-- {name}\n".encode())
            await connection.copy_from_table(name, output=out)
    finally:
        await connection.close()
    return out.getvalue().decode()


def test_swaps_secrets_and_interrupt(state: Path) -> None:
    """One run that stays up: no private key and no clear secret outside the vault, a shell can use
    its env file, `demo pay` pays, and an interrupt that was inherited as ignored ends everything.
    """
    run = Run(state, ignored=(signal.SIGINT, signal.SIGTERM))
    try:
        run.until(lambda: "Ctrl-C stops everything" in run.text(), UP_SECONDS_MAX)
        assert "everything is as it should be" in run.text(), run.text()
        env = credentials(state)
        assert {"DEMO_BTC_ADDRESS", "DEMO_ETH_ADDRESS", "DEMO_TRON_ADDRESS"} <= set(env)
        assert (state / "env").stat().st_mode & 0o777 == 0o600
        _look_for_secrets(run, state, env)
        _pay(state, env["DEMO_BTC_ADDRESS"])
        _refuses_to_pay(state)
        run.process.send_signal(signal.SIGINT)
        assert run.end(STOP_SECONDS_MAX) == 0, run.text()
    finally:
        run.process.kill()
        run.process.wait()
    assert run.survivors() == {}


def _look_for_secrets(run: Run, state: Path, env: dict[str, str]) -> None:
    site = tomllib.loads((state / "desk" / "site.toml").read_text())
    web, worker = run.pid_of("swapdesk web"), run.pid_of("swapdesk worker")
    rss = Path(f"/proc/{web}/status").read_text().partition("VmRSS:")[2].split()[0]
    assert int(rss) < WEB_KILOBYTES_MAX
    places = {
        "database": asyncio.run(dump(site["database_owner_url"])),
        "environment of web": Path(f"/proc/{web}/environ").read_text(),
        "environment of worker": Path(f"/proc/{worker}/environ").read_text(),
        **{f"logs/{log.name}": log.read_text() for log in (state / "logs").iterdir()},
        **{f"desk/{f.name}": f.read_text() for f in (state / "desk").iterdir()},
    }
    assert env["SWAPDESK_API_KEY"] in places["database"], "the search would not find anything"
    assert "worker started" in places["logs/worker.log"], "the logs are not where we look"
    secrets = spellings(WORDS, "dev")
    for name in ("SWAPDESK_API_SECRET", "SWAPDESK_WEBHOOK_SECRET"):
        raw = base64.urlsafe_b64decode(env[name] + "=")
        secrets |= dict.fromkeys([env[name], env[name].encode().hex(), *forms(raw)], name)
    found = [
        f"{what} in {place}"
        for place, text in places.items()
        for secret, what in secrets.items()
        if secret in text
    ]
    assert found == []


def _pay(state: Path, address: str) -> None:
    """The customer can pay anybody, here itself."""
    argv = [sys.executable, "-m", "swapdesk", "demo", "--state", str(state), "pay"]
    told = subprocess.run(
        [*argv, "btc", address, "0.01"], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert len(told.stdout.strip()) == 64


def _refuses_to_pay(state: Path) -> None:
    """A wrong address or amount is one line and status 1."""
    argv = [sys.executable, "-m", "swapdesk", "demo", "--state", str(state), "pay"]
    for words in (("btc", "nobody", "1"), ("trx", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "1e3")):
        told = subprocess.run([*argv, *words], capture_output=True, text=True, check=False)
        assert (told.returncode, told.stdout) == (1, "")
        assert told.stderr.startswith("swapdesk: ")


def test_a_second_run_passes(state: Path) -> None:
    """`--once` on the same folder swaps again from nothing, quickly, and ends with status 0."""
    run = Run(state, "--once")
    assert run.end(UP_SECONDS_MAX) == 0, run.text()
    assert run.survivors() == {}
    for word in ("DONE", "REFUNDED", "webhook, signature verified", "simulated"):
        assert word in run.text()


@pytest.mark.parametrize("said", ["SIMULATED Tron are running", "customer sends"])
def test_a_termination_leaves_nothing_behind(state: Path, said: str) -> None:
    """SIGTERM in the middle of the start or of a swap, even when inherited as ignored."""
    run = Run(state, "--once", ignored=(signal.SIGTERM,))
    run.until(lambda: said in run.text(), UP_SECONDS_MAX)
    os.kill(run.process.pid, signal.SIGTERM)
    assert run.end(STOP_SECONDS_MAX) == 130, run.text()
    assert run.survivors() == {}


def test_a_kill_leaves_nothing_behind(state: Path) -> None:
    """Even SIGKILL: every child is bound to the life of its parent."""
    run = Run(state)
    run.until(lambda: "development seed" in run.text(), UP_SECONDS_MAX)
    run.process.kill()
    run.process.wait()
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while run.survivors():
        assert time.monotonic() < deadline, run.survivors()
        time.sleep(0.1)
