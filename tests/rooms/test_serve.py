"""Serving: two listeners in one process, and signals that always work."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.serve import bind, serve
from tests.http_site import PRICE, Site, site_on
from tests.postgres import Dsns

DEADLINE_SECONDS = 30

PROGRAM = """
import asyncio, json, signal, sys
from swapdesk.web.serve import bind, serve

async def app(scope, receive, send):
    if scope["path"] == "/slow":
        print("slow", flush=True)
        await asyncio.sleep(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})

async def main():
    sockets = [bind("127.0.0.1", 0) for _ in range(2)]
    print(json.dumps([s.getsockname()[1] for s in sockets]), flush=True)
    await serve([(app, s) for s in sockets])

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for background jobs
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that serves on two ports and inherited its signals as ignored."""
    command = [sys.executable, "-c", PROGRAM, request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
        process.kill()


def _get(port: int, path: str = "/") -> bytes:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}{path}", timeout=DEADLINE_SECONDS
    ) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_listeners(
    served: tuple[subprocess.Popen[str], list[int]], number: signal.Signals
) -> None:
    """Both ports answer; one signal, even if inherited as ignored, ends the process with 0."""
    process, ports = served
    assert [_get(port) for port in ports] == [b"served"] * 2
    process.send_signal(number)
    assert process.wait(DEADLINE_SECONDS) == 0
    for port in ports:
        with pytest.raises(OSError, match=r"refused|reset"):
            _get(port)


@pytest.mark.anyio
async def test_a_request_in_flight_is_answered(
    served: tuple[subprocess.Popen[str], list[int]],
) -> None:
    """After the signal a request that had begun still gets its answer."""
    process, ports = served
    assert process.stdout is not None
    slow = asyncio.create_task(asyncio.to_thread(_get, ports[0], "/slow"))
    assert await asyncio.to_thread(process.stdout.readline) == "slow\n"
    process.send_signal(signal.SIGTERM)
    assert await slow == b"served"
    assert process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.anyio
async def test_forwarded_addresses_count_only_behind_a_trusted_proxy(desk_dsns: Dsns) -> None:
    """Without a trusted proxy X-Forwarded-For changes nothing; behind one it is the caller."""
    from swapdesk.partners.secrets import Sealer
    from swapdesk.web.app import public_app
    from swapdesk.web.metrics import Metrics
    from tests.http_site import SEALING_KEYS

    async def from_two_addresses(site: Site, url: str) -> list[int]:
        return [
            (
                await site.client.post(
                    f"{url}/api/v1/price",
                    content=json.dumps(dict(PRICE)),
                    headers={"X-Forwarded-For": address},
                )
            ).status_code
            for address in ("192.0.2.1", "192.0.2.2")
        ]

    async with site_on(desk_dsns.app) as site:
        for trusted, expected in (((), [200, 429]), (("127.0.0.1",), [200, 200])):
            bucket = PublicBucket(site.rig.world, per_address=1)
            app = public_app(site.rig.desk, Sealer(SEALING_KEYS), Metrics(), bucket=bucket)
            listening, stop = bind("127.0.0.1", 0), asyncio.Event()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            serving = asyncio.create_task(
                serve([(app, listening)], trusted_proxies=trusted, stop=stop)
            )
            assert await from_two_addresses(site, url) == expected
            stop.set()
            await serving


@pytest.mark.anyio
async def test_an_answer_never_waits_for_an_acknowledgement() -> None:
    """TCP_NODELAY on every connection that is served: asyncio sets it where it knows of TCP."""
    seen: list[int] = []

    class Looks(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            served = transport.get_extra_info("socket")
            seen.append(served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    listening = bind("127.0.0.1", 0)
    server = await asyncio.get_running_loop().create_server(Looks, sock=listening)
    async with server:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert seen == [1]
