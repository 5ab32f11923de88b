"""JSON-RPC over HTTP: one call, one typed answer, or NodeTrouble.

Answers are decoded straight into the caller's type, so a wrong shape is noticed here, and amounts
written as JSON numbers arrive as exact Decimals. Node addresses carry credentials (in the user
part, or as a key in the path): errors name the host and nothing else.
"""

import functools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar, cast

import aiohttp
import msgspec
import yarl

from swapdesk.chains.reader import NodeTrouble

T = TypeVar("T")

#: How long a node may take for one round trip; a full block of a busy chain takes a few seconds.
CALL_SECONDS_MAX: Final = 30
CONNECT_SECONDS_MAX: Final = 5
#: bitcoind closes idle connections after 30 s; ours are closed first, so none dies under a call.
IDLE_SECONDS_MAX: Final = 10
CONNECTIONS_MAX: Final = 8
#: Largest answer read: a full 4 MB block with every script spelled twice is about 30 MB of JSON.
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
#: Calls in one round trip; public nodes refuse longer batches.
BATCH_CALLS_MAX: Final = 100
#: As much of a node's error message as we keep.
MESSAGE_CHARS_MAX: Final = 300


class NodeRefused(NodeTrouble):
    """The node understood the call and answered with an error of its own."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {code} {message}")
        self.code = code  #: of the node's own list, for example -5 or -32000
        self.message = message


class Caller(Protocol):
    """What a reader or sender needs of its node. `Rpc` is the one over HTTP."""

    async def call(self, method: str, params: Sequence[object], shape: type[T]) -> T:
        """The result of one method. Raises NodeRefused, or NodeTrouble when there is none."""
        ...

    async def maybe(self, method: str, params: Sequence[object], shape: type[T]) -> T | None:
        """Like `call`, for methods that answer null when there is no such thing."""
        ...

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[object]]], shape: type[T]
    ) -> list[T | NodeRefused]:
        """Many calls in few round trips; an error is the answer of its own call only."""
        ...

    async def close(self) -> None:
        """Release the connection."""
        ...


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Answer(msgspec.Struct):
    """Of JSON-RPC 1.0, 1.1 and 2.0 alike."""

    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None
    id: int | None = None


class Rpc:
    """A node behind an HTTP address, with basic auth when the address carries a user."""

    def __init__(self, url: str, *, seconds_max: int = CALL_SECONDS_MAX) -> None:
        """Raises ValueError when `url` is no absolute http or https address."""
        try:
            parsed = yarl.URL(url)
            good = parsed.scheme in ("http", "https") and bool(parsed.host)
        except ValueError:
            good = False
        if not good:
            raise ValueError("a node's address is an http or https URL")
        self._url = parsed.with_user(None)
        self._headers = {"content-type": "application/json"}
        if parsed.user:
            basic = aiohttp.encode_basic_auth(parsed.user, parsed.password or "")
            self._headers["authorization"] = basic
        self._timeout = aiohttp.ClientTimeout(total=seconds_max, sock_connect=CONNECT_SECONDS_MAX)
        self._session: aiohttp.ClientSession | None = None
        self.host = f"{parsed.host}:{parsed.port}"  #: what errors and logs may name

    async def call(self, method: str, params: Sequence[object], shape: type[T]) -> T:
        """See Caller.call."""
        answer = await self._one(method, params)
        return self._read(method, answer, shape)

    async def maybe(self, method: str, params: Sequence[object], shape: type[T]) -> T | None:
        """See Caller.maybe."""
        answer = await self._one(method, params)
        if answer.error is None and bytes(answer.result) == b"null":
            return None
        return self._read(method, answer, shape)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[object]]], shape: type[T]
    ) -> list[T | NodeRefused]:
        """See Caller.batch. Answers come in the order of `calls`, however the node sends them."""
        found: list[T | NodeRefused] = []
        for start in range(0, len(calls), BATCH_CALLS_MAX):
            part = calls[start : start + BATCH_CALLS_MAX]
            raw = await self._post([_request(i, *call) for i, call in enumerate(part)])
            answers = {a.id: a for a in self._decode(raw, list[_Answer], "batch")}
            if set(answers) != set(range(len(part))):
                raise NodeTrouble(f"{self.host}: batch of {len(part)} answered incompletely")
            for i, (method, _) in enumerate(part):
                try:
                    found.append(self._read(method, answers[i], shape))
                except NodeRefused as refused:
                    found.append(refused)
        return found

    async def close(self) -> None:
        """See Caller.close."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _one(self, method: str, params: Sequence[object]) -> _Answer:
        raw = await self._post(_request(0, method, params))
        answer: _Answer = self._decode(raw, _Answer, method)
        if answer.error is None and answer.id != 0:
            raise NodeTrouble(f"{self.host}: {method} got the answer of another call")
        return answer

    def _read(self, method: str, answer: _Answer, shape: type[T]) -> T:
        if answer.error is not None:
            message = answer.error.message[:MESSAGE_CHARS_MAX]
            raise NodeRefused(method, answer.error.code, message)
        return cast(T, self._decode(bytes(answer.result), shape, method))

    def _decode(self, raw: bytes, shape: Any, method: str) -> Any:
        try:
            return _decoder(shape).decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            raise NodeTrouble(f"{self.host}: {method} answered in another shape: {wrong}") from None

    async def _post(self, body: object) -> bytes:
        """The answer's body, whatever the HTTP status: old Core sends its errors with 500."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_SECONDS_MAX
            )
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, headers=self._headers, trust_env=False
            )
        raw = bytearray()
        try:
            async with self._session.post(
                self._url, data=msgspec.json.encode(body), allow_redirects=False
            ) as response:
                async for chunk in response.content.iter_any():
                    raw += chunk
                    if len(raw) > ANSWER_BYTES_MAX:
                        raise NodeTrouble(f"{self.host}: answer is too long")
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as trouble:
            # The library's message may repeat the address with its key.
            raise NodeTrouble(f"{self.host}: {type(trouble).__name__}") from None
        if status != 200 and not raw.lstrip().startswith((b"{", b"[")):  # noqa: PLR2004 HTTP OK
            raise NodeTrouble(f"{self.host}: HTTP {status}")
        return bytes(raw)


def _request(number: int, method: str, params: Sequence[object]) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


@functools.lru_cache(maxsize=64)
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape, float_hook=Decimal)
