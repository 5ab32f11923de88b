"""Kills a vault once, before or after a chosen step. Steps are found in the code, not listed.

A step is a public async method of the journal, the hot wallet's journal, the link, a sender or a
reader. Opening and closing are not steps: a process killed there did nothing yet, or nothing more.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, NoReturn

from swapdesk_vault.vault import Vault

#: What every class has and no vault asks for while it works.
NOT_STEPS: Final = frozenset({"close", "pending"})
When = Literal["before", "after"]


class Point(NamedTuple):
    """Where to kill."""

    step: str  #: "Journal.keep"
    when: When


def steps(*classes: type) -> list[str]:
    """Every step of these classes, in the order of their code."""
    return [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, value in vars(cls).items()
        if inspect.iscoroutinefunction(value) and not name.startswith("_") and name not in NOT_STEPS
    ]


def pieces(vault: Vault) -> list[object]:
    """The objects of a vault that have steps."""
    senders = list(vault._senders.values())
    wallets = {
        id(each): each
        for sender in senders
        for holder in (sender, getattr(sender, "_account", None), getattr(sender, "_hot", None))
        if (each := getattr(holder, "_wallet", None)) is not None
    }
    readers = list(vault._readers.values())
    return [vault._journal, vault._link, *senders, *readers, *wallets.values()]


class Reaper:
    """Wraps the steps of a vault. `kill` is called once, at `point`; `seen` are steps visited."""

    def __init__(self, kill: Callable[[], NoReturn], point: Point | None = None) -> None:
        self.point = point
        self.armed = True
        self.seen: set[str] = set()
        self._kill = kill

    def stalk(self, vault: Vault) -> None:
        """Wrap every step of every piece of `vault`."""
        for piece in pieces(vault):
            for step in steps(type(piece)):
                name = step.partition(".")[2]
                setattr(piece, name, self._wrap(step, getattr(piece, name)))

    def _wrap(self, step: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.seen.add(step)
            self._strike(step, "before")
            result = await method(*args, **kwargs)
            self._strike(step, "after")
            return result

        return wrapped

    def _strike(self, step: str, when: When) -> None:
        if self.armed and self.point == (step, when):
            self.point = None
            self._kill()
