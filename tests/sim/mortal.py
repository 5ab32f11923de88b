"""Killing things at random: before a call, after a call, or between the last write and COMMIT."""

import functools
import inspect
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from swapdesk.db import Database, Tx


class Killed(BaseException):
    """The process died here. Not an Exception, so that nothing in the product can catch it."""


class Fate:
    """Decides who dies. `calm` ends all dying."""

    def __init__(self, chance: random.Random, one_in: int) -> None:
        self.chance = chance
        self.one_in = one_in
        self.calm = False

    def strikes(self) -> bool:
        """True now and then."""
        return not self.calm and self.chance.randrange(self.one_in) == 0


class Mortal:
    """An object whose every coroutine may be its last."""

    def __init__(self, inner: object, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return _mortal(found, self._fate) if inspect.iscoroutinefunction(found) else found


def _mortal(call: Callable[..., Any], fate: Fate) -> Callable[..., Any]:
    @functools.wraps(call)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        if fate.strikes():
            raise Killed
        answer = await call(*args, **kwargs)
        if fate.strikes():
            raise Killed
        return answer

    return wrapped


class MortalDatabase(Database):
    """A database whose client may die before COMMIT (nothing happened) or right after it."""

    fate: Fate

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """See Database.transaction."""
        async with super().transaction() as tx:
            yield tx
            if self.fate.strikes():
                raise Killed
        if self.fate.strikes():
            raise Killed
