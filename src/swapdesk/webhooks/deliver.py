"""Taking leased events to their receivers. The one place of this room that opens a socket."""

import asyncio
import errno
import socket
import uuid
from collections.abc import Callable
from typing import Any, Final, Self

import aiohttp
import structlog

from swapdesk.db import Database
from swapdesk.webhooks import outbox
from swapdesk.webhooks.events import next_try_ms, signature
from swapdesk.webhooks.outbox import Letter
from swapdesk.webhooks.targets import BadTarget, check_url, may_connect
from swapdesk.world import World

#: Everything about one delivery together; the lease outlasts it.
TOTAL_SECONDS: Final = 10
#: Events one call takes and delivers side by side.
BATCH: Final = 32
#: How much of an answer is read at all: its status is what counts.
ANSWER_BYTES_MAX: Final = 64 * 1024

assert TOTAL_SECONDS * 1000 < outbox.LEASE_MS

#: Opens a partner's sealed webhook secret: (partner, blob) -> secret.
Unseal = Callable[[uuid.UUID, bytes], str]

log = structlog.get_logger()


class Forbidden(OSError):
    """The address that was about to be connected is not public."""


class Client:
    """An HTTP client that connects to public addresses only. `async with` it."""

    def __init__(self, *, allow_loopback: bool = False) -> None:
        """`allow_loopback`: the development switch."""
        self.allow_loopback = allow_loopback
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._guarded, force_close=True, limit=BATCH
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

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer. Redirects are not followed. aiohttp's errors pass through."""
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            await answer.content.read(ANSWER_BYTES_MAX)
            return answer.status


async def deliver_due(db: Database, world: World, unseal: Unseal, client: Client) -> int:
    """Lease due events, deliver them side by side, settle each; how many were tried.

    Three commits: the lease before any socket, the outcome after. A process that dies in between
    leaves leases that run out, so a receiver may see an event twice, never not at all.
    """
    async with db.transaction() as tx:
        letters = await outbox.claim(tx, world.now(), BATCH)
    async with asyncio.TaskGroup() as tasks:
        for letter in letters:
            tasks.create_task(_deliver(db, world, unseal, client, letter))
    return len(letters)


async def _deliver(
    db: Database, world: World, unseal: Unseal, client: Client, letter: Letter
) -> None:
    error = await _try(world, unseal, client, letter)
    now = world.now()
    async with db.transaction() as tx:
        if error is None:
            await outbox.delivered(tx, letter, now)
            return
        retry = next_try_ms(letter.attempt, now) if letter.webhook_url else None
        await outbox.failed(tx, letter, error, retry, now)
    log.warning("webhook not delivered", event_id=str(letter.id), attempt=letter.attempt,
                error=error, dead=retry is None)  # fmt: skip


async def _try(world: World, unseal: Unseal, client: Client, letter: Letter) -> str | None:
    """None when the receiver answered 2xx in time, else why not, in words without secrets."""
    if letter.webhook_url is None:
        return "the partner has no webhook URL any more"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "swapdesk",
        "X-Partner-Webhook-Event": letter.event,
        "X-Partner-Webhook-Id": str(letter.id),
        "X-Partner-Webhook-Timestamp": str(world.now() // 1000),
    }
    try:
        check_url(letter.webhook_url, allow_loopback=client.allow_loopback)
        secret = unseal(letter.partner_id, letter.webhook_secret_sealed)
        headers["X-Partner-Webhook-Sign"] = signature(secret, letter.body)
        status = await client.post(letter.webhook_url, letter.body, headers)
    except BadTarget as wrong:
        return str(wrong)
    except TimeoutError:
        return f"no answer within {TOTAL_SECONDS} s"
    except Exception as wrong:  # noqa: BLE001 - one bad receiver must not stop the others
        return f"{type(wrong).__name__}: {wrong}"
    return None if status // 100 == 2 else f"status {status}"  # noqa: PLR2004 - any 2xx
