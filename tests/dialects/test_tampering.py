"""Ten thousand calls changed on their way: what is let in, and by what right.

Plain v1 signs the body and nothing else (contract E3), so whoever can change a call on its way may
do what PERMITTED lists, and nothing else. With v2 or RFC 9421 required he may do nothing at all.

The judge is the database: a call was let in if its nonce was burnt.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import ASGIApp

from swapdesk.engine.credential_admin import add_key, set_rules
from swapdesk.engine.partner_admin import create_partner
from swapdesk.partners.credential import Signing
from swapdesk.web.app import public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.public_bucket import PublicBucket
from tests.http_site import CREATE, PRICE, Site
from tests.rig import NOON
from tests.signing import Signer, Wire, send

pytestmark = pytest.mark.anyio

CALLS: Final = 10_000
AT_ONCE: Final = 250
SEED: Final = 9421

MISSING: Final = b'{"code":2,"msg":"AUTH_REQUIRED"}'
INVALID: Final = b'{"code":3,"msg":"AUTH_INVALID"}'

ORDER: Final = b'{"id":"00000000-0000-7000-8000-000000000000","token":"%s"}' % (b"t" * 43)
#: Calls a partner makes: method, path, body. None changes what later ones meet.
CALLS_MADE: Final[list[tuple[str, str, bytes]]] = [
    ("POST", "/api/v1/currencies", b"{}"),
    ("POST", "/api/v1/pairs", b"{}"),
    ("POST", "/api/v1/price", msgspec.json.encode(PRICE)),
    ("POST", "/api/v1/create", msgspec.json.encode(CREATE)),
    ("POST", "/api/v1/order", ORDER),
    ("POST", "/api/v1/qr", ORDER),
    ("POST", "/api/v1/emergency", ORDER[:-1] + b',"choice":"EXCHANGE"}'),
    ("POST", "/api/v1/keys/rotate", b'{"rotate":["nothing"]}'),
    ("GET", "/api/v1/codes", b""),
    ("GET", "/api/v1/events?after=0", b""),
    ("GET", "/api/v1/webhook-key", b""),
    ("DELETE", "/api/v1/codes", b'{"code":"desktop"}'),
    ("POST", "/api/v1/codes/enable", b'{"code":"desktop"}'),
]
PATHS: Final = sorted({path.partition("?")[0].encode() for _, path, _ in CALLS_MADE})

#: What may be done to a plain v1 call on its way, because its signature does not cover it. Other
#: headers than those of the contract mean nothing at all, so they are not counted here.
PERMITTED: Final[Mapping[str, str]] = {
    "another endpoint": "the path is not signed",
    "another method": "the method is not signed",
    "a query": "the query is not signed, and means nothing",
    "another spelling of the path": "the path is not signed",
    "a fresh nonce": "the nonce is not signed: a captured call can be sent again at once",
    "a bit of x-api-nonce": "the nonce is not signed; what is still well-formed is fresh",
    "another idempotency key": "it is not signed",
    "no idempotency-key": "it is not signed",
    "a bit of idempotency-key": "it is not signed",
    "an empty idempotency-key": "it is not signed; the call is let in and then refused as malformed",
    "a second idempotency-key": "the same",
    "a second x-api-key": "what follows the first dot is the code",
    "another code": "the code in X-API-KEY is not signed",
    "a bit of x-api-key": "if the bit belongs to the code",
    "upper case": "hex may be written in upper case (contract D7)",
    "a bit of x-api-sign": "if it changes the case of a letter (contract D7)",
}


class Case(msgspec.Struct):
    """One changed call."""

    way: Signing
    change: str
    wire: Wire
    before: Wire | None = None  #: what is sent first, and is let in
    status: int = 0
    body: bytes = b""


class Sender:
    """The partner's client, and whoever sits between it and the desk."""

    def __init__(self, signers: Mapping[Signing, list[Signer]], seed: int) -> None:
        self.signers = signers
        self.chance = random.Random(seed)

    def fresh(self, size: int) -> str:
        """Hex of `size` bytes that nobody has seen."""
        return self.chance.randbytes(size).hex()

    def good(self, way: Signing, signer: Signer | None = None, **how: str) -> Wire:
        """A call that is let in."""
        method, path, body = self.chance.choice(CALLS_MADE)
        chance = self.chance
        key = self.fresh(8) if chance.random() < 0.5 else None
        return (signer or self.signers[way][0]).sign(
            method, path, body,
            nonce=how.get("nonce", self.fresh(chance.choice((8, 16, 32)))),
            idempotency_key=key, code=chance.choice((None, "desktop", "unknown")),
            created=NOON // 1000 - chance.randrange(300),
        )  # fmt: skip

    def case(self, way: Signing) -> Case:
        """A call, changed in one way."""
        name, change = self.chance.choice(CHANGES)
        wire = self.good(way)
        if name == "the same again":
            return Case(way, name, deepcopy(wire), before=wire)
        if name == "a fresh nonce":
            again = deepcopy(wire)
            again.headers[b"x-api-nonce"] = self.fresh(16).encode()
            return Case(way, name, again, before=wire)
        if name == "the nonce of another call":
            return Case(way, name, self.good(way, nonce=_text(wire, b"x-api-nonce")), before=wire)
        before = deepcopy(wire)
        told = change(self, way, wire)
        return self.case(way) if wire == before else Case(way, told or name, wire)


def _text(wire: Wire, name: bytes) -> str:
    return wire.headers[name].decode()


def _path(wire: Wire) -> str:
    return (wire.path + (b"?" + wire.query if wire.query else b"")).decode()


def _flip(chance: random.Random, value: bytes) -> bytes:
    bit = chance.randrange(len(value) * 8)
    flipped = bytearray(value)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def _signed(wire: Wire) -> list[bytes]:
    return sorted(wire.headers.keys() - {b"host"})


def _bit_of_header(by: Sender, _way: Signing, wire: Wire) -> str:
    name = by.chance.choice(_signed(wire))
    wire.headers[name] = _flip(by.chance, wire.headers[name])
    return f"a bit of {name.decode()}"


def _no_header(by: Sender, _way: Signing, wire: Wire) -> str:
    name = by.chance.choice(_signed(wire))
    del wire.headers[name]
    return f"no {name.decode()}"


def _empty_header(by: Sender, _way: Signing, wire: Wire) -> str:
    name = by.chance.choice([*_signed(wire), b"idempotency-key", b"x-api-sign", b"x-api-sign-v2"])
    wire.headers[name] = b""
    return f"an empty {name.decode()}"


def _second_header(by: Sender, way: Signing, wire: Wire) -> str:
    name = by.chance.choice(_signed(wire))
    other = by.good(way).headers.get(name, wire.headers[name])
    wire.again = {name: other}
    return f"a second {name.decode()}"


def _spliced(by: Sender, way: Signing, wire: Wire) -> str:
    name = by.chance.choice([n for n in _signed(wire) if n not in {b"x-api-nonce", b"x-api-key"}])
    other = by.good(way)
    if name not in other.headers or name == b"idempotency-key":
        return ""
    wire.headers[name] = other.headers[name]
    return "" if name == b"x-api-sign" and other.body == wire.body else f"another's {name.decode()}"


def _bit_of_body(by: Sender, _way: Signing, wire: Wire) -> None:
    wire.body = _flip(by.chance, wire.body) if wire.body else b"{"


def _other_body(by: Sender, _way: Signing, wire: Wire) -> None:
    choice = by.chance.choice
    wire.body = choice([b"", b"{}", wire.body + b" ", wire.body[:-1], choice(CALLS_MADE)[2]])


def _bit_of_path(by: Sender, _way: Signing, wire: Wire) -> None:
    wire.path = _flip(by.chance, wire.path)


def _other_endpoint(by: Sender, _way: Signing, wire: Wire) -> None:
    wire.path = by.chance.choice(PATHS)


def _other_spelling(by: Sender, _way: Signing, wire: Wire) -> None:
    at = by.chance.randrange(1, len(wire.path))
    wire.path = wire.path[:at] + b"%%%02X" % wire.path[at] + wire.path[at + 1 :]


def _query(by: Sender, _way: Signing, wire: Wire) -> None:
    wire.query = by.chance.choice([b"x=1", b"after=0", b"?"])


def _other_method(by: Sender, _way: Signing, wire: Wire) -> None:
    wire.method = by.chance.choice(["GET", "POST", "DELETE", "PUT", "post", "HEAD"])


def _other_code(by: Sender, _way: Signing, wire: Wire) -> None:
    key = wire.headers[b"x-api-key"].partition(b".")[0]
    wire.headers[b"x-api-key"] = key + by.chance.choice([b"", b".", b".desktop", b".unknown"])


def _other_idempotency_key(by: Sender, _way: Signing, wire: Wire) -> None:
    wire.headers[b"idempotency-key"] = by.fresh(8).encode()


def _upper_case(_by: Sender, _way: Signing, wire: Wire) -> None:
    for name in wire.headers.keys() & {b"x-api-sign", b"x-api-sign-v2"}:
        wire.headers[name] = wire.headers[name].upper()


def _other_key(by: Sender, way: Signing, wire: Wire) -> None:
    others = [signer for signers in by.signers.values() for signer in signers]
    chosen = by.chance.choice([s for s in others if s != by.signers[way][0]])
    _, dot, code = wire.headers[b"x-api-key"].partition(b".")
    wire.headers[b"x-api-key"] = chosen.api_key.encode() + dot + code


def _weaker(by: Sender, way: Signing, wire: Wire) -> None:
    """The same partner's call, honestly signed, but in a weaker way than it asks for."""
    if way is not Signing.V1:
        weak = by.good(way, by.signers[way][1])
        wire.method, wire.path, wire.query = weak.method, weak.path, weak.query
        wire.headers, wire.body = weak.headers, weak.body


def _other_host(by: Sender, way: Signing, wire: Wire) -> None:
    if way is Signing.RFC9421:
        wire.headers[b"host"] = by.chance.choice([b"other.example", b"desk.example:8080", b""])


def _old(by: Sender, way: Signing, wire: Wire) -> None:
    if way is Signing.RFC9421:
        late = by.signers[way][0].sign(
            wire.method, _path(wire), wire.body, nonce=_text(wire, b"x-api-nonce"),
            created=NOON // 1000 + by.chance.choice([-301, -100_000, 31, 100_000]),
        )  # fmt: skip
        wire.headers = late.headers


Change = Callable[[Sender, Signing, Wire], str | None]
_NOTHING: Final[Change] = lambda *_: None  # noqa: E731 - Sender.case does these
CHANGES: Final[list[tuple[str, Change]]] = [
    *[("a bit of a header", _bit_of_header)] * 4,
    ("no header", _no_header),
    ("an empty header", _empty_header),
    ("a second header", _second_header),
    ("another's header", _spliced),
    ("a bit of the body", _bit_of_body),
    ("another body", _other_body),
    ("a bit of the path", _bit_of_path),
    ("another endpoint", _other_endpoint),
    ("another spelling of the path", _other_spelling),
    ("a query", _query),
    ("another method", _other_method),
    ("another code", _other_code),
    ("another idempotency key", _other_idempotency_key),
    ("upper case", _upper_case),
    ("another key", _other_key),
    ("a weaker signature", _weaker),
    ("another host", _other_host),
    ("an old signature", _old),
    ("the same again", _NOTHING),
    ("a fresh nonce", _NOTHING),
    ("the nonce of another call", _NOTHING),
]


async def _partners(site: Site) -> Mapping[Signing, list[Signer]]:
    """A partner for each way to sign. First its key; then one that signs too weakly for it."""
    desk, sealer, private = site.rig.desk, site.sealer, Ed25519PrivateKey.generate()
    made = {way: await create_partner(desk, sealer, name=way.name) for way in Signing}
    public = private.public_key().public_bytes_raw()
    strong = await add_key(desk, sealer, partner="RFC9421", public_key=public)
    await set_rules(desk, "V2", signing=Signing.V2)
    await set_rules(desk, "RFC9421", signing=Signing.RFC9421)
    async with desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET weight_per_minute = 2000000000")
    plain = {way: Signer(each.api_key, each.api_secret, strong=False) for way, each in made.items()}
    other = await create_partner(desk, sealer, name="another")
    return {
        Signing.V1: [plain[Signing.V1], Signer(other.api_key, other.api_secret)],
        Signing.V2: [Signer(made[Signing.V2].api_key, made[Signing.V2].api_secret), plain[Signing.V2]],
        Signing.RFC9421: [
            Signer(strong.api_key, private),
            Signer(made[Signing.RFC9421].api_key, made[Signing.RFC9421].api_secret),
        ],
    }  # fmt: skip


async def _send_all(app: ASGIApp, cases: list[Case]) -> None:
    async def one(case: Case) -> None:
        if case.before is not None:
            _, body = await send(app, case.before)
            assert body not in {MISSING, INVALID}, (case.change, case.before)
        case.status, case.body = await send(app, case.wire)

    for start in range(0, len(cases), AT_ONCE):
        await asyncio.gather(*(one(case) for case in cases[start : start + AT_ONCE]))


@pytest.mark.slow
async def test_ten_thousand_changed_calls(site: Site) -> None:
    """None is let in that the contract forbids; with v2 or RFC 9421 required, none at all."""
    signers = await _partners(site)
    bucket = PublicBucket(site.rig.world, per_address=10**9, everybody=10**9)
    app = public_app(site.rig.desk, site.sealer, Metrics(), bucket=bucket)
    by = Sender(signers, SEED)
    for way in Signing:  # first, that what is changed below is good before it is changed
        good = [Case(way, "nothing", by.good(way)) for _ in range(100)]
        await _send_all(app, good)
        assert not [case for case in good if case.body in {MISSING, INVALID}]
    cases = [by.case(way) for way in Signing for _ in range(CALLS // len(Signing) + 1)]
    await _send_all(app, cases)

    async with site.rig.desk.db.transaction() as tx:
        burnt = {row["nonce"] for row in await tx.fetch("SELECT nonce FROM nonce")}
    let_in: dict[Signing, Counter[str]] = {way: Counter() for way in Signing}
    for case in cases:
        nonces = {case.wire.headers.get(b"x-api-nonce", b"").decode("latin-1")}
        spent = case.before is not None and case.before.headers[b"x-api-nonce"].decode() in nonces
        if spent:  # burnt by the first call, so the answer tells
            if case.body != INVALID:
                let_in[case.way][case.change] += 1
        elif nonces & burnt:
            let_in[case.way][case.change] += 1
        elif case.status == 401:
            assert case.body in {MISSING, INVALID}
    print(f"seed {SEED}: {len(cases)} calls; let in with plain v1: {dict(let_in[Signing.V1])}")
    assert len(cases) >= CALLS
    assert not let_in[Signing.V2], "with v2 required nothing may be changed"
    assert not let_in[Signing.RFC9421], "with RFC 9421 required nothing may be changed"
    assert set(let_in[Signing.V1]) <= PERMITTED.keys(), "plain v1 permits this list and no more"
    assert set(let_in[Signing.V1]) == PERMITTED.keys(), "the list is true, not merely long enough"
