"""A partner's side of signed v1: one signed call over HTTP, and the check of a webhook.

X-API-SIGN = hex HMAC-SHA256(api secret, raw body)      X-API-NONCE fresh on every request
"""

import hashlib
import hmac
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from swapdesk.world import World

#: Seconds for one call.
CALL_SECONDS_MAX: Final = 10
NONCE_BYTES: Final = 16
#: A webhook's timestamp may be this many seconds older or newer than our clock.
WEBHOOK_AGE_SECONDS_MAX: Final = 300
WEBHOOK_AHEAD_SECONDS_MAX: Final = 60


class Told(Exception):
    """The desk answered with an error: `code` and `msg` of its envelope."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code


class Credentials(msgspec.Struct, frozen=True):
    """What the operator hands to a partner."""

    api_key: str
    api_secret: str
    webhook_secret: str


class Partner:
    """Speaks to one desk with one set of credentials."""

    def __init__(self, url: str, credentials: Credentials, world: World) -> None:
        self._url = url
        self._credentials = credentials
        self._world = world
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX), trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(self, method: str, ask: object, *, key: str | None = None) -> Any:
        """`data` of a signed call; `key` is the Idempotency-Key of a create. Told: the desk said no.

        The signed bytes are the sent bytes: serialised once.
        """
        body = msgspec.json.encode(ask)
        headers = {
            "Content-Type": "application/json",
            "X-API-KEY": self._credentials.api_key,
            "X-API-SIGN": sign(self._credentials.api_secret, body),
            "X-API-NONCE": self._world.bytes(NONCE_BYTES).hex(),
        }
        if key is not None:
            headers["Idempotency-Key"] = key
        url = f"{self._url}/api/v1/{method}"
        async with self._session.post(url, data=body, headers=headers) as response:
            answer = msgspec.json.decode(await response.read())
        if answer["code"] != 0:
            raise Told(answer["code"], answer["msg"])
        return answer["data"]


def sign(secret: str, body: bytes) -> str:
    """Lower-case hexadecimal HMAC-SHA256 of the raw bytes, keyed by the secret's own text."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def webhook_is_genuine(secret: str, body: bytes, signature: str, stamp: str, now_ms: int) -> bool:
    """True when the desk signed this body and its timestamp (unix seconds) is about now."""
    if not hmac.compare_digest(sign(secret, body).encode(), signature.encode()):
        return False
    if not (stamp.isascii() and stamp.isdigit()):
        return False
    age_ms = now_ms - int(stamp) * 1000
    return -WEBHOOK_AHEAD_SECONDS_MAX * 1000 <= age_ms <= WEBHOOK_AGE_SECONDS_MAX * 1000
