"""Programs that end when we do: PostgreSQL, nodes, and the desk's own processes in a demo.

Linux can signal a process when its parent dies (`PR_SET_PDEATHSIG`), but "parent" means the
*thread* that started it. So every child has a keeper thread that starts it and stays until it has
ended; a short-lived worker thread may call `Child(...)` without taking the child with it.

This file also runs as a script, between fork and exec: it drops privileges, asks for the signal
(a change of user clears it, so the order matters) and becomes the program. A `preexec_fn` would
do the same inside a forked copy of a threaded process, which may deadlock.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

#: prctl(2): deliver a signal to the caller when its parent dies.
_PR_SET_PDEATHSIG: Final = 1
#: Exit status of a child whose parent was gone before it could ask for the signal.
_ORPHAN: Final = 113
#: After SIGKILL the kernel needs no longer than this to let a process go.
_KILL_SECONDS_MAX: Final = 10
#: What a parent may have ignored and exec would hand on; SIGPIPE and SIGXFSZ are Python's own.
_RESTORED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)
#: How much of the end of a log belongs into an error message.
_TAIL_BYTES: Final = 2_000


class Account(NamedTuple):
    """Whom a child runs as: numeric user and group, no further groups."""

    uid: int
    gid: int


class Child:
    """One running program. Its output goes to `log` (appended) or nowhere.

    `farewell` is the signal it gets from `stop`, and from the kernel when we die first.
    `account` needs root. The child leads a session of its own, so Ctrl-C in the terminal reaches
    only us and we stop our children in order. Raises OSError when the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
        farewell: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = Path(argv[0]).name
        self.log = log
        self.farewell = farewell
        who = account or Account(-1, -1)
        become = [sys.executable, "-IS", __file__, farewell.value, os.getpid(), *who, *argv]
        self._argv = [str(word) for word in become]
        self._env = None if env is None else dict(env)
        self._cwd = cwd
        self._started = threading.Event()
        self._ended = threading.Event()
        self._failure: OSError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._keep, name=f"keeper of {self.name}", daemon=True).start()
        self._started.wait()
        if self._failure:
            raise self._failure

    def _keep(self) -> None:
        """The keeper thread: start, wait, and be the parent that the kernel knows."""
        try:
            with _sink(self.log) as sink:
                self._process = subprocess.Popen(  # noqa: S603 - our own programs
                    self._argv,
                    env=self._env,
                    cwd=self._cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as failure:
            self._failure = failure
            return
        finally:
            self._started.set()
        self._process.wait()
        self._ended.set()

    @property
    def pid(self) -> int:
        """Process id; it stays the same from the first instant on."""
        assert self._process
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        assert self._process
        return self._process.returncode if self._ended.is_set() else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the child has ended."""
        assert self._process
        self._process.send_signal(number)

    def wait(self, seconds: float | None = None) -> int | None:
        """Exit status, or None when the child still runs after `seconds`."""
        self._ended.wait(seconds)
        return self.status

    def stop(self, seconds: float) -> int:
        """Say farewell, and after `seconds` kill. Returns the exit status; may be repeated."""
        self.signal(self.farewell)
        if self.wait(seconds) is None:
            self.signal(signal.SIGKILL)
            self.wait(_KILL_SECONDS_MAX)
        status = self.status
        if status is None:
            raise TimeoutError(f"{self.name} (pid {self.pid}) does not end")
        return status

    def last_words(self) -> str:
        """The end of its log, for error messages."""
        if self.log is None or not self.log.exists():
            return "(no log)"
        return self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()


def _sink(log: Path | None) -> BinaryIO:
    """Where output goes. A log is readable by its owner only: servers print statements there."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.fdopen(os.open(log or os.devnull, flags, 0o600), "ab")


def _become(farewell: int, parent: int, account: Account, argv: list[str]) -> None:
    """Turn this process into `argv`, bound to the life of `parent`. Runs alone, as a script."""
    if account.uid >= 0:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, farewell) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit(_ORPHAN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    _farewell, _parent, _uid, _gid = map(int, sys.argv[1:5])
    _become(_farewell, _parent, Account(_uid, _gid), sys.argv[5:])
