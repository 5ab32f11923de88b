"""The program around a simulated chain: JSON-RPC on loopback, blocks by the clock or on demand."""

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from swapdesk import assets
from swapdesk.chains.rpc import IDLE_SECONDS_MAX
from swapdesk.chains.simchain import SimChain, SimRefused
from swapdesk.world import RealWorld

#: Largest request read; a transaction in hexadecimal takes 4 kB.
BODY_BYTES_MAX: Final = 16_384
BAD_REQUEST: Final = -32600
#: Longer than our own clients keep an idle connection, so that they are the ones who close it.
KEEP_ALIVE_SECONDS: Final = 30
#: A client that keeps its connection open holds up the end no longer than this.
FAREWELL_SECONDS: Final = 1

assert KEEP_ALIVE_SECONDS > IDLE_SECONDS_MAX


class _Call(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: list[Any] = []


def app(chain: SimChain, block_ms: int = 0) -> Starlette:
    """The chain as an ASGI application; mines every `block_ms`, never by itself when 0."""

    async def answer(request: Request) -> Response:
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > BODY_BYTES_MAX:
                return Response(status_code=413)
        body = msgspec.json.encode(_answer(chain, bytes(raw)))
        return Response(body, media_type="application/json")

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        miner = asyncio.create_task(_mine(chain, block_ms)) if block_ms else None
        yield
        if miner is not None:
            miner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await miner

    return Starlette(routes=[Route("/", answer, methods=["POST"])], lifespan=lifespan)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m swapdesk.chains.simchain`: serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="swapdesk.chains.simchain", description=__doc__)
    parser.add_argument("--network", required=True, help="network it stands for, such as tron")
    parser.add_argument("--file", required=True, help="where the chain is kept (SQLite)")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--block-ms", type=int, default=0, help="0 mines on demand only")
    given = parser.parse_args(arguments)
    registry = assets.load("dev", {given.network: assets.NetworkSetup(reader="simulated")})
    chain = SimChain(registry.networks[given.network], registry, RealWorld(), given.file)
    with socket.create_server(("127.0.0.1", given.port)) as listener:
        # Connections inherit it; asyncio does not set it for them and every answer would wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            asyncio.run(_serve(chain, given.block_ms, listener))
        finally:
            chain.close()


async def _serve(chain: SimChain, block_ms: int, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app(chain, block_ms),
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=FAREWELL_SECONDS,
    )
    server = _Server(config, chain.network.name)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # also when inherited as ignored
        loop.add_signal_handler(number, setattr, server, "should_exit", True)  # noqa: FBT003
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it is ready. Leaves signals to us: the original would end the process by one."""

    def __init__(self, config: uvicorn.Config, name: str) -> None:
        super().__init__(config)
        self._name = name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            port = sockets[0].getsockname()[1]
            print(f"simulated {self._name} ready at http://127.0.0.1:{port}", flush=True)  # noqa: T201

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _mine(chain: SimChain, block_ms: int) -> None:
    while True:
        await asyncio.sleep(block_ms / 1000)
        chain.call("sim_mine", [])


def _answer(chain: SimChain, raw: bytes) -> dict[str, Any]:
    try:
        call = msgspec.json.decode(raw, type=_Call)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        return {"jsonrpc": "2.0", "id": None, "error": _error(BAD_REQUEST, str(wrong))}
    try:
        result = chain.call(call.method, call.params)
    except SimRefused as refused:
        return {"jsonrpc": "2.0", "id": call.id, "error": _error(refused.code, refused.message)}
    return {"jsonrpc": "2.0", "id": call.id, "result": result}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}
