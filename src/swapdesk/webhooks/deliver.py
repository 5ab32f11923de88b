"""Taking leased events to their receivers. The one place of this room that opens a socket.

One endpoint never slows another: a partner has few lanes, one that fails has a single one, and
those that fail may together take no more than half of a process.
"""

import asyncio
import contextlib
import errno
import socket
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, Self

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver, ResolveResult

from swapdesk.db import Database, Tx
from swapdesk.webhooks import outbox
from swapdesk.webhooks.events import next_try_ms
from swapdesk.webhooks.outbox import Letter
from swapdesk.webhooks.signing import signature, standard_signature
from swapdesk.webhooks.targets import BadTarget, check_url, may_connect
from swapdesk.world import World

#: Everything about one delivery together; the lease outlasts it.
TOTAL_SECONDS: Final = 10
#: Deliveries of one process side by side, and those to endpoints that failed last time.
SLOTS: Final = 256
TROUBLED_SLOTS: Final = SLOTS // 2
#: Names looked up side by side. A dead name server holds a thread longer than a delivery lasts.
LOOKUPS: Final = 64
#: How long a courier with nothing to do waits before it looks again.
LOOK_SECONDS: Final = 0.5
#: How much of an answer is read at all: its status is what counts.
ANSWER_BYTES_MAX: Final = 64 * 1024

assert TOTAL_SECONDS * 1000 < outbox.LEASE_MS

log = structlog.get_logger()


class Opener(Protocol):
    """Opens what is sealed for this room."""

    def webhook_secret(self, partner_id: uuid.UUID, sealed: bytes) -> str:
        """The secret of a partner that signs in the contract's way."""
        ...

    def webhook_key(self, key_id: uuid.UUID, sealed: bytes) -> bytes:
        """An Ed25519 private key, 32 bytes."""
        ...


class Forbidden(OSError):
    """The address that was about to be connected is not public."""


class _Resolver(AbstractResolver):
    """getaddrinfo in threads of its own: the default pool is small and shared by the process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. OSError when it has none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM),
        )
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=int(address[1]), family=kind,
                          proto=protocol, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)
            for kind, _, protocol, _, address in found
        ]  # fmt: skip

    async def close(self) -> None:
        """Leave the threads to themselves: one may hang in a look-up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Client:
    """An HTTP client that connects to public addresses only. `async with` it."""

    def __init__(self, *, allow_loopback: bool = False) -> None:
        """`allow_loopback`: the development switch."""
        self.allow_loopback = allow_loopback
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._guarded, resolver=_Resolver(), force_close=True, limit=SLOTS
            ),
            timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def __aenter__(self) -> Self:
        """Nothing is connected before the first delivery."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self._session.close()

    def _guarded(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for the very address that is about to be connected, if that is public."""
        family, kind, protocol, _, address = info
        if not may_connect(address[0], allow_loopback=self.allow_loopback):
            raise Forbidden(errno.EACCES, "not a public address")
        return socket.socket(family, kind, protocol)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer. Redirects are not followed. aiohttp's errors pass through."""
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            await answer.content.read(ANSWER_BYTES_MAX)
            return answer.status


class Courier:
    """Delivers what is due, many at a time. `async with` it: leaving waits for what is under way."""

    def __init__(
        self,
        db: Database,
        world: World,
        opener: Opener,
        client: Client,
        *,
        lanes: int = outbox.LANES_MAX,
    ) -> None:
        """`lanes`: deliveries side by side to one partner, over all couriers."""
        self._db = db
        self._world = world
        self._opener = opener
        self._client = client
        self._lanes = lanes
        self._well: set[asyncio.Task[None]] = set()  #: under way to endpoints that work
        self._troubled: set[asyncio.Task[None]] = set()  #: and to the others
        self._freed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Nothing is claimed before the first round."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """A delivery ends by itself within TOTAL_SECONDS."""
        await self.settled()

    async def turn(self) -> None:
        """Start what is due, then wait until something ends or LOOK_SECONDS have passed."""
        self._freed.clear()
        await self.round()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), LOOK_SECONDS)

    async def round(self) -> int:
        """Lease due events and start to deliver each; how many. Does not wait for receivers.

        The lease is committed before any socket, the outcome after. A process that dies in between
        leaves leases that run out, so a receiver may see an event twice, never not at all.
        """
        return await self._start(troubled=False) + await self._start(troubled=True)

    async def _start(self, *, troubled: bool) -> int:
        """Lease and start events for endpoints that work, or for those that do not."""
        free = SLOTS - len(self._well) - len(self._troubled)
        if troubled:
            free = min(free, TROUBLED_SLOTS - len(self._troubled))
        if free <= 0:
            return 0

        async def work(tx: Tx) -> list[Letter]:
            now = self._world.now()
            return await outbox.claim(tx, now, free, troubled=troubled, lanes=self._lanes)

        letters = await self._db.retrying(work)
        under_way = self._troubled if troubled else self._well
        for letter in letters:
            task = asyncio.create_task(self._deliver(letter))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(self._ended)
        return len(letters)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while under_way := self._well | self._troubled:
            await asyncio.wait(under_way)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._freed.set()
        if not task.cancelled() and (wrong := task.exception()) is not None:
            log.error("webhook outcome not written", why=repr(wrong))  # its lease will run out

    async def _deliver(self, letter: Letter) -> None:
        error = await self._try(letter)
        now = self._world.now()
        retry = next_try_ms(letter.attempt, now) if letter.webhook_url else None

        async def settle(tx: Tx) -> None:
            if error is None:
                await outbox.delivered(tx, letter, now)
            else:
                await outbox.failed(tx, letter, error, retry, now)

        await self._db.retrying(settle)
        if error is not None:
            log.warning("webhook not delivered", event_id=str(letter.id), attempt=letter.attempt,
                        error=error, dead=retry is None)  # fmt: skip

    async def _try(self, letter: Letter) -> str | None:
        """None when the receiver answered 2xx in time, else why not, in words without secrets."""
        if letter.webhook_url is None:
            return "the partner has no webhook URL any more"
        try:
            check_url(letter.webhook_url, allow_loopback=self._client.allow_loopback)
            headers = self._headers(letter)
            status = await self._client.post(letter.webhook_url, letter.body, headers)
        except BadTarget as wrong:
            return str(wrong)
        except TimeoutError:
            return f"no answer within {TOTAL_SECONDS} s"
        except Exception as wrong:  # noqa: BLE001 - one bad receiver must not stop the others
            return f"{type(wrong).__name__}: {wrong}"
        return None if status // 100 == 2 else f"status {status}"  # noqa: PLR2004 - any 2xx

    def _headers(self, letter: Letter) -> dict[str, str]:
        """Both families of headers; the time is this attempt's."""
        opener, at_seconds = self._opener, self._world.now() // 1000
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "swapdesk",
            "X-Partner-Webhook-Event": letter.event,
            "X-Partner-Webhook-Id": str(letter.id),
            "X-Partner-Webhook-Timestamp": str(at_seconds),
            "X-Partner-Webhook-Sign": signature(
                opener.webhook_secret(letter.partner_id, letter.webhook_secret_sealed), letter.body
            ),
            "webhook-id": str(letter.id),
            "webhook-timestamp": str(at_seconds),
        }
        sealed = zip(letter.key_ids, letter.keys_sealed, strict=True)
        keys = [opener.webhook_key(key_id, blob) for key_id, blob in sealed]
        if keys:
            headers["webhook-signature"] = standard_signature(
                keys, str(letter.id), at_seconds, letter.body
            )
        return headers
