"""JSON-RPC: whatever a node answers, it becomes an exact value, NodeRefused or NodeTrouble."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web

from swapdesk.chains import rpc as rpc_module
from swapdesk.chains.reader import NodeTrouble
from swapdesk.chains.rpc import NodeRefused, Rpc
from swapdesk.demo.nodes import free_port

pytestmark = pytest.mark.anyio

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Value(msgspec.Struct):
    """An amount as Core writes it."""

    value: Decimal


@asynccontextmanager
async def node(handler: Handler, seconds_max: int = 5) -> AsyncIterator[Rpc]:
    """A server on loopback that answers as `handler` likes, and the Rpc to it."""
    app = web.Application()
    app.router.add_post("/{key:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    rpc = Rpc(f"http://alice:s3cret%21@127.0.0.1:{port}/k3y", seconds_max=seconds_max)
    try:
        yield rpc
    finally:
        await rpc.close()
        await runner.cleanup()


def answering(body: str | bytes, status: int = 200) -> Handler:
    """The same body to every call."""

    async def handler(_: web.Request) -> web.Response:
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(body=raw, status=status)

    return handler


async def test_request_and_credentials() -> None:
    """The call is JSON-RPC 2.0 to the path of the address, with its user as basic auth."""
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers["authorization"], await request.json()))
        return web.json_response({"jsonrpc": "2.0", "id": 0, "result": [1]})

    async with node(handler) as rpc:
        assert await rpc.call("getthing", ["a", 1], list[int]) == [1]
        assert rpc.host == f"127.0.0.1:{rpc.host.split(':')[1]}"
    body = {"jsonrpc": "2.0", "id": 0, "method": "getthing", "params": ["a", 1]}
    assert seen == [("/k3y", "Basic YWxpY2U6czNjcmV0IQ==", body)]


@pytest.mark.parametrize("text", ["0.30000000", "20999999.97690000", "0.00000001", "1e-8"])
async def test_amounts_never_pass_a_float(text: str) -> None:
    """The digits of a JSON number arrive as they were."""
    async with node(answering(f'{{"id":0,"result":{{"value":{text}}}}}')) as rpc:
        assert (await rpc.call("x", [], Value)).value == Decimal(text)


async def test_large_integers_are_exact() -> None:
    """2**200 + 1 is not rounded."""
    async with node(answering(f'{{"id":0,"result":{2**200 + 1}}}')) as rpc:
        assert await rpc.call("x", [], int) == 2**200 + 1


@pytest.mark.parametrize("status", [200, 500])
async def test_error_body_is_refusal(status: int) -> None:
    """With HTTP 200 as with 500, an error of the node keeps its code and words."""
    body = '{"result":null,"error":{"code":-5,"message":"No such block"},"id":0}'
    async with node(answering(body, status)) as rpc:
        for ask in (rpc.call, rpc.maybe):
            with pytest.raises(NodeRefused, match="getblock: -5 No such block") as error:
                await ask("getblock", [], str)
            assert (error.value.code, error.value.message) == (-5, "No such block")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 200),
        ("", 401),
        ("<html>busy</html>", 200),
        ("<html>busy</html>", 502),
        ("{}", 200),
        ("[]", 200),
        ("null", 200),
        ('{"id":0}', 200),
        ('{"id":1,"result":"answer of another call"}', 200),
        ('{"id":0,"result":5}', 200),
        ('{"id":0,"result":null}', 200),
        ('{"id":0,"error":"text"}', 200),
        ('{"id":0,"result":"cut', 200),
        (b'{"id":0,"result":"\xff"}', 200),
    ],
)
async def test_anything_else_is_trouble(body: str | bytes, status: int) -> None:
    """Another shape, another id, no JSON, nothing: unknown, never an answer."""
    async with node(answering(body, status)) as rpc:
        with pytest.raises(NodeTrouble) as error:
            await rpc.call("x", [], str)
        assert not isinstance(error.value, NodeRefused)


async def test_null_is_an_answer_only_to_maybe() -> None:
    """`maybe` says None for null and still checks the shape of everything else."""
    async with node(answering('{"id":0,"result":null}')) as rpc:
        assert await rpc.maybe("x", [], str) is None
    async with node(answering('{"id":0,"result":7}')) as rpc:
        with pytest.raises(NodeTrouble):
            await rpc.maybe("x", [], str)


async def test_too_long_too_slow_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless answer, a silent node and a redirect end as trouble."""
    monkeypatch.setattr(rpc_module, "ANSWER_BYTES_MAX", 1000)
    async with node(answering(b" " * 1001)) as rpc:
        with pytest.raises(NodeTrouble, match="too long"):
            await rpc.call("x", [], str)

    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with node(silent, seconds_max=1) as rpc:
        with pytest.raises(NodeTrouble, match="Timeout"):
            await rpc.call("x", [], str)

    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"location": "/other"})

    async with node(elsewhere) as rpc:
        with pytest.raises(NodeTrouble, match="HTTP 307"):
            await rpc.call("x", [], str)


async def test_batch_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are matched by id, errors stay with their own call, long batches are split."""
    monkeypatch.setattr(rpc_module, "BATCH_CALLS_MAX", 3)
    trips: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        calls = await request.json()
        trips.append(len(calls))
        answers: list[dict[str, Any]] = []
        for call in reversed(calls):
            [value] = call["params"]
            said = {"error": {"code": -5, "message": "odd"}} if value % 2 else {"result": value}
            answers.append({"id": call["id"], **said})
        return web.json_response(answers)

    async with node(handler) as rpc:
        found = await rpc.batch([("x", [i]) for i in range(5)], int)
        assert await rpc.batch([], int) == []
    assert trips == [3, 2]
    assert [None if isinstance(each, NodeRefused) else each for each in found] == [
        *(0, None, 2, None, 4)
    ]


@pytest.mark.parametrize("body", ['[{"id":0,"result":1}]', '{"id":0,"result":1}', "[]",
                                  '[{"id":0,"result":1},{"id":2,"result":1}]'])  # fmt: skip
async def test_incomplete_batch_is_trouble(body: str) -> None:
    """An answer to every call or none."""
    async with node(answering(body)) as rpc:
        with pytest.raises(NodeTrouble):
            await rpc.batch([("x", []), ("y", [])], int)


async def test_errors_never_name_credentials() -> None:
    """Neither user nor password nor the key in the path is in any error or its causes."""
    rpc = Rpc(f"http://alice:s3cret@127.0.0.1:{free_port()}/k3y")
    with pytest.raises(NodeTrouble) as error:
        await rpc.call("x", [], str)
    await rpc.close()
    told = repr(error.value) + repr(error.value.__cause__)
    assert "127.0.0.1" in told
    assert not any(word in told for word in ("alice", "s3cret", "k3y"))
