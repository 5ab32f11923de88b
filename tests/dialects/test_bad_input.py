"""Bad input is code 1 and leaves no trace but the burnt nonce and the charged weight."""

import json
import socket
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.http_site import CREATE, PRICE, Site, sign
from tests.rig import BTC_ADDRESS, TRON_ADDRESS

pytestmark = pytest.mark.anyio

BAD: Final = b'{"code":1,"msg":"INVALID_REQUEST"}'
ETH_ADDRESS: Final = "0xdAC17F958D2ee523a2206206994597C13D831ec7"


def _create(**changes: object) -> bytes:
    return json.dumps({**CREATE, **changes}).encode()


def _without(name: str) -> bytes:
    return json.dumps({key: value for key, value in CREATE.items() if key != name}).encode()


def _amount(literal: str) -> bytes:
    return _create().replace(b'"0.01"', literal.encode())


CASES: Final[dict[str, bytes]] = {
    "empty": b"",
    "blank": b" ",
    "not json": b"type=float",
    "null": b"null",
    "list": b"[]",
    "text": b'"float"',
    "trailing": _create() + b"{}",
    "byte order mark": b"\xef\xbb\xbf" + _create(),
    "utf-16": _create().decode().encode("utf-16"),
    "invalid utf-8": _create(tag="x").replace(b'"x"', b'"\xff\xfe"'),
    "cut utf-8": _create(tag="x").replace(b'"x"', b'"\xe2\x82"'),
    "control character": _create(tag="x").replace(b'"x"', b'"\x01"'),
    "duplicate name": _create()[:-1] + b',"amount":"0.02"}',
    "duplicate escaped": _create()[:-1] + b',"amo\\u0075nt":"0.02"}',
    "duplicate unknown": _create()[:-1] + b',"x":1,"x":1}',
    "duplicate deep": _create()[:-1] + b',"x":{"y":[{"z":1,"z":2}]}}',
    "deep nesting": b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "1 MB": _create(tag="x" * 1_000_000),
    "64 kB and a byte": _create() + b" " * (64 * 1024 + 1 - len(_create())),
    "NaN": _amount("NaN"),
    "NaN in quotes": _amount('"NaN"'),
    "Infinity": _amount("Infinity"),
    "minus infinity": _amount("-Infinity"),
    "infinity in quotes": _amount('"inf"'),
    "1e999999": _amount("1e999999"),
    "1e999999 in quotes": _amount('"1e999999"'),
    "exponent in quotes": _amount('"1e-2"'),
    "huge exponent": _amount("1e99999999999999999999"),
    "tiny": _amount("1e-999999"),
    "thousands of digits": _amount("9" * 5_000),
    "too many digits": _amount('"' + "9" * 70 + '"'),
    "19 digits after the point": _amount('"0.0100000000000000001"'),
    "zero": _amount('"0"'),
    "zeros": _amount("0.000"),
    "negative": _amount('"-0.01"'),
    "negative number": _amount("-0.01"),
    "plus": _amount('"+0.01"'),
    "comma": _amount('"0,01"'),
    "blanks": _amount('" 0.01"'),
    "other digits": _amount('"\u0660.\u0661"'),
    "hexadecimal": _amount('"0x10"'),
    "underscore": _amount('"1_0"'),
    "empty amount": _amount('""'),
    "no digits before the point": _amount('".5"'),
    "no digits after the point": _amount('"5."'),
    "true": _amount("true"),
    "null amount": _amount("null"),
    "list amount": _amount('["0.01"]'),
    "no amount": _without("amount"),
    "unsupported asset": _create(fromCcy="ltc"),
    "unknown asset": _create(toCcy="doesnotexist"),
    "NUL in asset": _create(fromCcy="btc\u0000"),
    "lone surrogate": _create(toCcy="x").replace(b'"x"', b'"\\ud800"'),
    "same asset": _create(toCcy="btc", toAddress=BTC_ADDRESS),
    "asset not text": _create(fromCcy=1),
    "fixed": _create(type="fixed"),
    "upper-case type": _create(type="FLOAT"),
    "no type": _without("type"),
    "direction": _create(direction="both"),
    "no direction": _without("direction"),
    "no refund address": _without("refundAddress"),
    "null refund address": _create(refundAddress=None),
    "no address": _without("toAddress"),
    "wrong checksum": _create(toAddress=TRON_ADDRESS[:-1] + "k"),
    "wrong refund checksum": _create(refundAddress=BTC_ADDRESS[:-1] + "q"),
    "other network": _create(toAddress=ETH_ADDRESS),
    "other network's refund": _create(refundAddress=TRON_ADDRESS),
    "other world": _create(refundAddress="bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    "address too short": _create(toAddress="T" * 9),
    "address too long": _create(toAddress="T" * 201),
    "address with a blank": _create(toAddress=TRON_ADDRESS + " "),
    "surrogate address": _create(toAddress="x").replace(b'"x"', b'"\\ud800aaaaaaaaaaaa"'),
    "tag not text": _create(tag=7),
    "tag too long": _create(tag="x" * 65),
    "afftax above": _create(afftax=2001),
    "afftax below": _create(afftax=-1),
    "afftax text": _create(afftax="50"),
    "afftax fraction": _create(afftax=0.5),
    "afftax true": _create(afftax=True),
    "afftax huge": _create(afftax=10**30),
    "network contradicts": _create(fromNetwork="Litecoin"),
    "network not text": _create(toNetwork=5),
}


async def test_bad_create(site: Site) -> None:
    """Code 1 with the one body; of all tables only nonce and weight grow, unless it was too long."""
    for case, body in CASES.items():
        site.rig.world.at += 2_000  # the minute's budget holds 50 creates
        before = await site.rows()
        answer = await site.call("create", body)
        assert (answer.status_code, answer.content) == (400, BAD), case
        after = await site.rows()
        grown = {name for name in after if after[name] != before[name]}
        too_long = len(body) > 64 * 1024
        assert grown == (set() if too_long else {"nonce", "weight_charge"}), case
        if site.rig.world.at % 20_000 == 0:
            await site.rig.tick()  # fresh prices: nothing here may be refused as unavailable


@pytest.mark.parametrize("case", ["NaN", "duplicate name", "invalid utf-8", "1e999999", "1 MB"])
async def test_bad_price_of_a_stranger(site: Site, case: str) -> None:
    """The same on an unsigned call, which writes nothing at all."""
    before = await site.rows()
    answer = await site.stranger("price", CASES[case])
    assert (answer.status_code, answer.content) == (400, BAD)
    assert await site.rows() == before


async def test_what_is_odd_but_good(site: Site) -> None:
    """Unknown names, nesting, white space, null options and no content type are taken."""
    odd = json.dumps(
        {**CREATE, "x": {"y": [1, {"z": None}]}, "tag": None, "afftax": None}, indent=3
    )
    data = (await site.call("create", odd.encode(), headers={"Content-Type": None})).json()["data"]
    assert data["markupBps"] == 30
    assert (await site.call("create", _create(tag="memo"))).status_code == 200
    full = _create() + b" " * (64 * 1024 - len(_create()))
    assert (await site.call("create", full)).status_code == 200


async def test_our_own_pay_in_address_is_refused(site: Site) -> None:
    """A pay-in address of the desk is neither a recipient nor a refund address (D34)."""
    data = await site.data("create", CREATE)
    answer = await site.call("create", _create(refundAddress=data["from"]["address"]))
    assert (answer.status_code, answer.content) == (400, BAD)


def _talk(url: str, request: bytes) -> bytes:
    """Send raw bytes, read until the server closes."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        got = b""
        while piece := connection.recv(65_536):
            got += piece
    return got


async def test_a_chunked_body_is_capped_while_it_is_read(site: Site) -> None:
    """Without Content-Length the cap holds all the same; what follows is not kept."""
    import anyio.to_thread

    body = _create()
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    head = (
        "POST /api/v1/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"X-API-KEY: {site.partner.api_key}\r\nX-API-NONCE: {'n' * 20}\r\n"
        f"X-API-SIGN: {sign(site.partner.api_secret, body)}\r\n\r\n"
    ).encode()
    request = head + chunk * 100 + b"0\r\n\r\n"
    answer = await anyio.to_thread.run_sync(_talk, site.public, request)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(BAD)


async def test_repeated_headers_are_no_way_in(site: Site) -> None:
    """A header that comes twice is joined, so it is no key, no signature and no nonce."""
    import anyio.to_thread

    body = json.dumps(dict(PRICE)).encode()
    good = {
        "X-API-KEY": site.partner.api_key,
        "X-API-SIGN": sign(site.partner.api_secret, body),
        "X-API-NONCE": "n" * 20,
    }
    for twice, value in good.items():
        lines = [f"{name}: {value}" for name, value in [*good.items(), (twice, value)]]
        request = "\r\n".join(
            ["POST /api/v1/price HTTP/1.1", "Host: x", "Connection: close",
             f"Content-Length: {len(body)}", *lines, "", ""]
        ).encode()  # fmt: skip
        answer = await anyio.to_thread.run_sync(_talk, site.public, request + body)
        assert answer.startswith(b"HTTP/1.1 401"), answer
