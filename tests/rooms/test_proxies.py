"""Whose address a call counts for: only configured proxies may say, and only about the next hop."""

import asyncio
import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from swapdesk.partners.credential import comes_from, parse_network
from swapdesk.settings import Site
from swapdesk.web.serve import bind, serve

DEADLINE_SECONDS: Final = 30
EDGE: Final = "198.51.100.0/24"
CALLER: Final = "203.0.113.7"

#: X-Forwarded-For lines as the last proxy (127.0.0.1) sends them -> who called. Proxies append, so
#: everything to the left of the right-most address that is no proxy is the caller's own invention.
HOPS: Final[list[tuple[list[str], str]]] = [
    ([], "127.0.0.1"),
    ([CALLER], CALLER),
    ([f"{CALLER}, 198.51.100.9"], CALLER),
    ([f"10.0.0.1, {CALLER}"], CALLER),
    ([f"127.0.0.1, 198.51.100.1, {CALLER}, 198.51.100.9, 198.51.100.10"], CALLER),
    (["192.0.2.1, 192.0.2.2", f"{CALLER}, 198.51.100.9"], CALLER),
    ([f"192.0.2.1,192.0.2.2,{CALLER},198.51.100.9"], CALLER),
    ([f"{CALLER}:4711, 198.51.100.9:443"], CALLER),
    (["[2001:db8::7]:4711, 198.51.100.9"], "2001:db8::7"),
    (["2001:db8::7"], "2001:db8::7"),
    ([f"{CALLER}, not an address"], "not an address"),
    (["198.51.100.9"], "198.51.100.9"),
]


async def _echo(scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that answers with the address it sees."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["client"][0].encode()})


@asynccontextmanager
async def echoing(host: str, proxies: list[str]) -> AsyncIterator[int]:
    """The port of a listener that believes `proxies`."""
    listening, stop = bind(host, 0), asyncio.Event()
    serving = asyncio.create_task(serve([(_echo, listening)], trusted_proxies=proxies, stop=stop))
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        await serving
        listening.close()


def _seen(port: int, lines: list[str]) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.putrequest("GET", "/")
        for line in lines:
            connection.putheader("X-Forwarded-For", line)
        connection.endheaders()
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_the_right_most_address_that_is_no_proxy(host: str) -> None:
    """One proxy, several, lines split or joined, invented left ends, ports; IPv6 sockets too."""
    async with echoing(host, ["127.0.0.1", EDGE]) as port:
        for lines, caller in HOPS:
            seen = await asyncio.to_thread(_seen, port, lines)
            assert seen.removeprefix("::ffff:") == caller, lines


@pytest.mark.anyio
@pytest.mark.parametrize("proxies", [[], [EDGE]])
async def test_a_stranger_is_never_believed(proxies: list[str]) -> None:
    """Who is no configured proxy may write what he likes: his own address counts."""
    async with echoing("127.0.0.1", proxies) as port:
        for lines, _ in HOPS:
            assert await asyncio.to_thread(_seen, port, lines) == "127.0.0.1"


def _site(**what: object) -> Site:
    return Site.model_validate(
        {"world": "dev", "sealing_key_file": "k", "vault_public_file": "v", "networks": {}, **what}
    )


def test_the_site_file_names_proxies_by_address() -> None:
    """Networks and addresses; no "*", no names, no networks with stray bits."""
    assert _site(trusted_proxies=["10.1.2.3", EDGE, "2001:db8::/32"]).trusted_proxies == [
        "10.1.2.3/32", EDGE, "2001:db8::/32",
    ]  # fmt: skip
    for wrong in ("*", "localhost", "10.0.0.1/8", "", "10.0.0.0/33"):
        with pytest.raises(ValidationError, match="not an address or a network"):
            _site(trusted_proxies=[wrong])


def test_the_base_url_is_an_origin() -> None:
    """What callers sign as @target-uri begins with it, so it has no path and no slash."""
    for good in ("https://desk.example", "http://127.0.0.1:8080", "https://[2001:db8::1]:8443"):
        assert _site(base_url=good).base_url == good
    for wrong in ("desk.example", "https://desk.example/", "https://Desk.example", "ftp://x", ""):
        with pytest.raises(ValidationError, match="base_url"):
            _site(base_url=wrong)


def test_networks_a_partner_may_call_from() -> None:
    """No list is everywhere; IPv4 counts mapped or not; what is no address is nowhere."""
    networks = (parse_network("203.0.113.0/24"), parse_network("2001:db8::/32"))
    assert comes_from("anything", ())
    for inside in ("203.0.113.7", "::ffff:203.0.113.7", "2001:db8::7"):
        assert comes_from(inside, networks)
    for outside in ("203.0.114.7", "::ffff:203.0.114.7", "2001:db9::7", "", "unknown", "203.0.113"):
        assert not comes_from(outside, networks)
