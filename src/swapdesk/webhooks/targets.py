"""Where a webhook may go: https to public addresses, and nowhere else. Pure.

The text of a URL is judged when it is set; the address is judged when it is connected, because a
name may lead elsewhere by then (incidents 36).
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

URL_CHARS_MAX: Final = 500

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Not global in the sense of the registries, or special in ways `is_global` does not know.
_REFUSED: Final = tuple(
    ipaddress.ip_network(text) for text in ("192.0.0.0/24", "198.18.0.0/15", "100.64.0.0/10")
)
#: Both wrap an IPv4 address in their last 32 bits (RFC 6052; ::a.b.c.d is its deprecated elder).
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
#: All of IPv6 that is public unicast today; everything outside is special in some way.
_IPV6_PUBLIC: Final = ipaddress.ip_network("2000::/3")


class BadTarget(ValueError):
    """The URL may not receive webhooks; the message says why."""


def check_url(url: str, *, allow_loopback: bool) -> str:
    """`url` itself, or BadTarget.

    `allow_loopback` is the development switch: http to a loopback address, written as such.
    """
    if len(url) > URL_CHARS_MAX or not url.isascii() or any(c <= " " for c in url):
        raise BadTarget("a webhook URL is printable ASCII of at most 500 characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as wrong:
        raise BadTarget("not a URL") from wrong
    host = parts.hostname or ""
    if not host or parts.username is not None or parts.fragment or port == 0:
        raise BadTarget("a webhook URL has a host and neither credentials nor a fragment")
    literal = _literal(host)
    here = host == "localhost" or (literal is not None and literal.is_loopback)
    if parts.scheme == "http" and allow_loopback and here:
        return url
    if parts.scheme != "https":
        raise BadTarget("a webhook URL begins with https://")
    if literal is not None and not may_connect(str(literal), allow_loopback=allow_loopback):
        raise BadTarget("not a public address")
    return url


def may_connect(address: str, *, allow_loopback: bool) -> bool:
    """True for a public unicast address, looked at through every wrapping we know."""
    try:
        plain = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(_public(each) or (allow_loopback and each.is_loopback) for each in _unwrapped(plain))


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unwrapped(address: _Address) -> list[_Address]:
    """The IPv4 addresses an IPv6 address stands for; the address itself if it wraps none.

    6to4 and Teredo also say where the tunnel goes, so both ends are judged.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    wrapped = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        wrapped.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [each for each in wrapped if each is not None] or [address]


def _public(address: _Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in net for net in _REFUSED if net.version == address.version)
        and (address.version == 4 or address in _IPV6_PUBLIC)  # noqa: PLR2004 - IPv4
    )
