"""Serving: uvicorn on sockets that are bound beforehand, until a signal says stop."""

import asyncio
import contextlib
import ipaddress
import signal
import socket
from collections.abc import Generator, Sequence
from typing import Final

import uvicorn
from starlette.types import ASGIApp

#: How long requests in flight may take after a signal.
GRACE_SECONDS: Final = 10
KEEP_ALIVE_SECONDS: Final = 75
#: Connections waiting to be accepted, and being served, per listener.
BACKLOG: Final = 2_048
CONCURRENCY_MAX: Final = 4_096


class Listener(uvicorn.Server):
    """One uvicorn server that leaves signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Two servers share this process, so neither may own its signals."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. OSError if it cannot be had.

    It names its protocol, because asyncio sets TCP_NODELAY only where it is told that this is TCP;
    without that an answer in two writes waits 40 ms for an acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


def listener(app: ASGIApp, trusted_proxies: Sequence[str] = ()) -> Listener:
    """A server for `app`. Forwarded addresses are believed from `trusted_proxies` only.

    uvicorn walks X-Forwarded-For from the right and takes the first address that is no trusted
    proxy: what a caller writes there himself stands to the left of it and is never reached.
    """
    return Listener(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=[form for each in trusted_proxies for form in _forms(each)],
            backlog=BACKLOG,
            limit_concurrency=CONCURRENCY_MAX,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def _forms(network: str) -> Generator[str, None, None]:
    """A network as an IPv4 socket names its callers, and as an IPv6 socket does (mapped)."""
    known = ipaddress.ip_network(network)
    yield str(known)
    if isinstance(known, ipaddress.IPv4Network):
        yield f"::ffff:{known.network_address}/{96 + known.prefixlen}"


async def serve(
    apps: Sequence[tuple[ASGIApp, socket.socket]],
    *,
    trusted_proxies: Sequence[str] = (),
    stop: asyncio.Event | None = None,
) -> None:
    """Serve every app on its socket until SIGTERM, SIGINT or `stop`; a second signal hurries.

    Handlers are set explicitly, so signals work even where they were inherited as ignored.
    """
    stop = stop or asyncio.Event()
    listeners = [listener(app, trusted_proxies) for app, _ in apps]
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            for each in listeners:
                each.force_exit = True
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        async with asyncio.TaskGroup() as tasks:
            for each, (_, listening) in zip(listeners, apps, strict=True):
                tasks.create_task(_until_done(each, listening, stop))
            await stop.wait()
            for each in listeners:
                each.should_exit = True
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until_done(each: Listener, listening: socket.socket, stop: asyncio.Event) -> None:
    """One server; when it ends, for whatever reason, the others end too."""
    try:
        await each.serve(sockets=[listening])
    finally:
        stop.set()
