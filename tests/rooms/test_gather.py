"""Gather: what arrives while a batch is in flight goes together as the next; nobody is left hanging."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from swapdesk.db import FULL_SECONDS, Gather, Unknown
from swapdesk.errors import No, Refused

pytestmark = pytest.mark.anyio

Answers = Sequence[int | Exception]


class Work:
    """A batch function that can be held back and told to fail. It answers ten times the row."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failing: dict[int, BaseException] = {}  #: a batch with this row fails whole
        self.answers: dict[int, Exception] = {}  #: this row is answered with an exception

    async def __call__(self, rows: Sequence[int]) -> Answers:
        self.batches.append(list(rows))
        await self.open.wait()
        for row in rows:
            if row in self.failing:
                raise self.failing[row]
        return [self.answers.get(row, row * 10) for row in rows]


async def _all_wait() -> None:
    """Let everybody run until nobody can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def _held(work: Work, gather: Gather[int, int], first: int) -> asyncio.Task[int]:
    """Ask for `first` and hold its batch back."""
    work.open.clear()
    task = asyncio.create_task(gather.ask(first))
    await _all_wait()
    assert work.batches[-1] == [first]
    return task


async def test_a_row_alone_goes_at_once_and_company_goes_together() -> None:
    """The first does not wait for others; those who come meanwhile share one batch, in order."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    assert await gather.ask(1) == 10
    first = await _held(work, gather, 2)
    others = [asyncio.create_task(gather.ask(row)) for row in (3, 4, 5)]
    await _all_wait()
    work.open.set()
    assert await asyncio.gather(first, *others) == [20, 30, 40, 50]
    assert work.batches == [[1], [2], [3, 4, 5]]


async def test_an_answer_may_be_an_exception_for_its_own_row() -> None:
    """One row is refused; its neighbours are answered, and nothing is tried again."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    first = await _held(work, gather, 1)
    work.answers[3] = Refused(No.BELOW_MIN)
    others = [asyncio.create_task(gather.ask(row)) for row in (2, 3, 4)]
    await _all_wait()
    work.open.set()
    await first
    told = await asyncio.gather(*others, return_exceptions=True)
    assert [told[0], told[2]] == [20, 40]
    assert told[1] is work.answers[3]
    assert work.batches == [[1], [2, 3, 4]]


async def test_a_batch_that_fails_whole_is_tried_row_by_row() -> None:
    """The row that nobody can write fails alone."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    first = await _held(work, gather, 1)
    work.failing[3] = ValueError("three")
    others = [asyncio.create_task(gather.ask(row)) for row in (2, 3, 4)]
    await _all_wait()
    work.open.set()
    await first
    told = await asyncio.gather(*others, return_exceptions=True)
    assert [told[0], told[2]] == [20, 40]
    assert told[1] is work.failing[3]
    assert work.batches == [[1], [2, 3, 4], [2], [3], [4]]


async def test_a_batch_that_may_have_half_happened_is_not_tried_again() -> None:
    """Not atomic: everybody of the batch is told, nothing is asked twice."""
    work = Work()
    gather: Gather[int, int] = Gather(work, atomic=False)
    work.failing[2] = ValueError("two")
    told = await asyncio.gather(*(gather.ask(r) for r in (1, 2, 3)), return_exceptions=True)
    assert [type(each) for each in told] == [ValueError] * 3
    assert work.batches == [[1, 2, 3]]


@pytest.mark.parametrize(
    "lost",
    [
        ConnectionResetError("gone"),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.CrashShutdownError("crash"),
    ],
)
async def test_after_a_lost_connection_nobody_knows(lost: Exception) -> None:
    """Every caller is told so; trying again could do it twice."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    work.failing[2] = lost
    told = await asyncio.gather(*(gather.ask(r) for r in (1, 2, 3)), return_exceptions=True)
    assert [type(each) for each in told] == [Unknown] * 3
    assert len(set(map(id, told))) == 3
    assert work.batches == [[1, 2, 3]]
    del work.failing[2]
    assert await gather.ask(2) == 20


async def test_what_postgres_refuses_is_no_lost_connection() -> None:
    """A value that does not fit its column was never sent: its row fails, the others go again."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    work.failing[2] = asyncpg.DataError("value out of int32 range")
    told = await asyncio.gather(*(gather.ask(r) for r in (1, 2, 3)), return_exceptions=True)
    assert [told[0], type(told[1]), told[2]] == [10, asyncpg.DataError, 30]


async def test_a_row_behind_a_lock_is_told_to_come_back() -> None:
    """Somebody holds a row for too long: unavailable, with a time to wait."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    work.failing[1] = asyncpg.LockNotAvailableError("lock timeout")
    with pytest.raises(Refused) as refused:
        await gather.ask(1)
    assert refused.value.no is No.UNAVAILABLE
    assert refused.value.retry_after_seconds == FULL_SECONDS


async def test_batches_and_the_queue_are_bounded() -> None:
    """At most so many rows go together; when too many wait, the next is sent away at once."""
    work = Work()
    gather: Gather[int, int] = Gather(work, rows_max=3, waiting_max=5)
    first = await _held(work, gather, 0)
    others = [asyncio.create_task(gather.ask(row)) for row in range(1, 6)]
    await _all_wait()
    with pytest.raises(Refused) as refused:
        await gather.ask(6)
    assert refused.value.no is No.UNAVAILABLE
    assert refused.value.retry_after_seconds == FULL_SECONDS
    work.open.set()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30, 40, 50]
    assert work.batches == [[0], [1, 2, 3], [4, 5]]


async def test_callers_who_give_up_do_not_break_the_batch() -> None:
    """Gone while waiting: left out. Gone in flight: the batch ends as it would have."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    flying = await _held(work, gather, 1)
    waiting = [asyncio.create_task(gather.ask(row)) for row in (2, 3)]
    await _all_wait()
    flying.cancel()
    waiting[0].cancel()
    await _all_wait()
    work.open.set()
    told = await asyncio.gather(flying, *waiting, return_exceptions=True)
    assert [type(each) for each in told[:2]] == [asyncio.CancelledError] * 2
    assert told[2] == 30
    assert work.batches == [[1], [3]]


async def test_a_wrong_number_of_answers_is_a_failure_not_a_wait_for_ever() -> None:
    """Our own bug reaches the callers as one."""

    async def forgetful(_rows: Sequence[int]) -> Answers:
        return []

    gather: Gather[int, int] = Gather(forgetful)
    told = await asyncio.gather(*(gather.ask(r) for r in (1, 2)), return_exceptions=True)
    assert [type(each) for each in told] == [AssertionError] * 2


async def test_nobody_waits_for_a_dead_gatherer() -> None:
    """When its task is cancelled, those in flight and those in line are, too; the next one works."""
    work = Work()
    gather: Gather[int, int] = Gather(work)
    flying = await _held(work, gather, 1)
    waiting = asyncio.create_task(gather.ask(2))
    await _all_wait()
    assert gather._running is not None
    gather._running.cancel()
    told = await asyncio.gather(flying, waiting, return_exceptions=True)
    assert [type(each) for each in told] == [asyncio.CancelledError] * 2
    work.open.set()
    assert await gather.ask(3) == 30
