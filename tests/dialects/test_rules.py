"""What a partner asks of its own callers: stronger signatures, networks, scopes, keys that end.

Whatever is asked for and not met is answered like a wrong signature, and a change of the rules
holds from the next call on, in every process.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import ASGIApp

from swapdesk.engine.credential_admin import (
    add_key,
    expire_key,
    list_keys,
    revoke_key,
    scope_key,
    set_rules,
)
from swapdesk.errors import No, Refused
from swapdesk.partners.credential import LIVE_KEYS_MAX, Scope, Signing, parse_network
from swapdesk.web import doors, signatures
from swapdesk.web.app import public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.signed_v1 import Route, SignedV1
from tests.http_site import PRICE, Site
from tests.rig import NOON
from tests.signing import Signer, send

pytestmark = pytest.mark.anyio

INVALID: Final = (401, b'{"code":3,"msg":"AUTH_INVALID"}')
DISABLED: Final = (401, b'{"code":4,"msg":"AUTH_DISABLED"}')
BODY: Final = msgspec.json.encode(PRICE)
HOME: Final = "203.0.113.7"


class Two:
    """Two web processes on one desk's database, and the partner's first key in two strengths."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.desk, self.sealer = site.rig.desk, site.sealer
        self.apps: list[ASGIApp] = [
            public_app(site.rig.desk, site.sealer, Metrics()) for _ in range(2)
        ]
        self.count = 0
        self.plain = Signer(site.partner.api_key, site.partner.api_secret, strong=False)
        self.strong = Signer(site.partner.api_key, site.partner.api_secret)

    async def ask(
        self,
        signer: Signer,
        path: str = "/api/v1/price",
        body: bytes = BODY,
        *,
        method: str = "POST",
        peer: str = HOME,
        **how: Any,
    ) -> tuple[int, bytes]:
        """The answer of both processes to a call, which must be the same."""
        answers = set()
        for app in self.apps:
            self.count += 1
            told = {"created": NOON // 1000, "nonce": f"nonce-number-{self.count:06}", **how}
            wire = signer.sign(method, path, body, **told)
            answers.add(await send(app, wire, peer=peer))
        (answer,) = answers
        return answer

    async def enters(self, signer: Signer, **how: Any) -> bool:
        """Whether a call is let in; if not, the answer is INVALID and no other."""
        answer = await self.ask(signer, **how)
        assert answer == INVALID or answer[0] == 200, answer
        return answer != INVALID

    async def key(self, **what: Any) -> Signer:
        """One more key of the partner."""
        made = await add_key(self.desk, self.sealer, partner="partner", **what)
        assert made.api_secret is not None
        return Signer(made.api_key, made.api_secret, strong=False)

    async def ed25519(self, **what: Any) -> Signer:
        """One more key of the partner, of which the desk has the public half only."""
        private = Ed25519PrivateKey.generate()
        raw = private.public_key().public_bytes_raw()
        made = await add_key(self.desk, self.sealer, partner="partner", public_key=raw, **what)
        assert made.api_secret is None
        return Signer(made.api_key, private)


@pytest.fixture
async def two(site: Site) -> Two:
    """Two processes that have both seen the partner's plain key."""
    both = Two(site)
    assert await both.enters(both.plain)
    return both


async def test_every_way_to_sign(two: Two) -> None:
    """v1, v2 and RFC 9421, with and without code, query, body and idempotency key."""
    strongest = await two.ed25519()
    for signer in (two.plain, two.strong, strongest):
        for how in ({}, {"code": "desktop"}, {"idempotency_key": "order-0001"}):
            assert await two.enters(signer, **how), (signer, how)
        listed = await two.ask(signer, "/api/v1/codes", b"", method="GET")
        assert listed == (200, b'{"code":0,"msg":"","data":[]}')
        assert (await two.ask(signer, "/api/v1/price?x=1"))[0] == 200


async def test_a_partner_may_require_more(two: Two) -> None:
    """What is weaker than required is refused with 3 at once; what is stronger is let in."""
    strongest = await two.ed25519()
    for signing in (*Signing, Signing.V2, Signing.V1):
        await set_rules(two.desk, "partner", signing=signing)
        for strength, signer in zip(Signing, (two.plain, two.strong, strongest), strict=True):
            assert await two.enters(signer) is (strength >= signing), (signing, strength)


async def test_no_key_signs_in_another_way(two: Two) -> None:
    """The secret of one key, the private half of another: neither opens the other's door."""
    strongest = await two.ed25519()
    private = strongest.secret
    assert isinstance(private, Ed25519PrivateKey)
    public = private.public_key().public_bytes_raw()
    for secret in ("", public.hex(), public.decode("latin-1")):
        assert not await two.enters(Signer(strongest.api_key, secret, strong=False))
        assert not await two.enters(Signer(strongest.api_key, secret))
    assert not await two.enters(Signer(two.plain.api_key, private))
    assert not await two.enters(Signer(strongest.api_key, Ed25519PrivateKey.generate()))


async def test_calls_come_from_where_the_partner_says(two: Two) -> None:
    """IPv4, IPv6 and mapped addresses; elsewhere is 3; the change holds at once, both ways."""
    away = ["203.0.114.7", "::ffff:203.0.114.7", "2001:db9::1", "", "unknown"]
    home = [HOME, "::ffff:203.0.113.200", "2001:db8:1::1"]
    for peer in (*away, *home):
        assert await two.enters(two.plain, peer=peer)
    networks = [parse_network(text) for text in ("203.0.113.0/24", "2001:db8::/32")]
    await set_rules(two.desk, "partner", networks=networks)
    assert [await two.enters(two.plain, peer=peer) for peer in away] == [False] * 5
    assert [await two.enters(two.plain, peer=peer) for peer in home] == [True] * 3
    await set_rules(two.desk, "partner", networks=[parse_network("203.0.114.0/24")])
    assert not await two.enters(two.plain, peer=HOME)
    assert await two.enters(two.plain, peer=away[0])
    await set_rules(two.desk, "partner", networks=[])
    assert await two.enters(two.plain, peer="unknown")


async def test_the_network_of_a_stranger_is_nobodys_business(two: Two) -> None:
    """Unsigned calls are not the partner's: his networks do not close the public endpoints."""
    await set_rules(two.desk, "partner", networks=[parse_network("192.0.2.0/24")])
    wire = two.plain.sign("POST", "/api/v1/price", BODY, nonce="n" * 16)
    wire.headers.clear()
    assert (await send(two.apps[0], wire, peer=HOME))[0] == 200


#: Every endpoint that wants a signature or takes one -> what a key must be allowed.
SCOPES: Final[dict[tuple[str, str], Scope]] = {
    ("POST", "/api/v1/currencies"): Scope.READ,
    ("POST", "/api/v1/pairs"): Scope.READ,
    ("POST", "/api/v1/price"): Scope.READ,
    ("POST", "/api/v1/order"): Scope.READ,
    ("POST", "/api/v1/qr"): Scope.READ,
    ("POST", "/api/v1/create"): Scope.TRADE,
    ("POST", "/api/v1/emergency"): Scope.TRADE,
    ("POST", "/api/v1/keys/rotate"): Scope.ADMIN,
    ("POST", "/api/v1/codes"): Scope.ADMIN,
    ("GET", "/api/v1/codes"): Scope.ADMIN,
    ("DELETE", "/api/v1/codes"): Scope.ADMIN,
    ("POST", "/api/v1/codes/enable"): Scope.ADMIN,
    ("GET", "/api/v1/events"): Scope.READ,
    ("GET", "/api/v1/webhook-key"): Scope.READ,
}


async def test_every_endpoint_has_a_scope(site: Site) -> None:
    """The table above is the whole API, and what an endpoint asks for unless it says is ADMIN."""
    dialect = SignedV1(site.rig.desk, site.sealer, PublicBucket(site.rig.world))
    found = {
        (method, path): route.scope
        for path, methods in dialect.routes().items()
        for method, route in methods.items()
    }
    assert found == SCOPES
    assert Route("new", dialect.order).scope is Scope.ADMIN


async def test_a_key_does_what_it_may(two: Two) -> None:
    """Another scope's endpoint is 3, uncharged and without burning a nonce; a change holds at once."""
    path = {Scope.READ: "currencies", Scope.TRADE: "emergency", Scope.ADMIN: "codes/enable"}
    for scope in Scope:
        signer = await two.key(scopes=[scope])
        for asked, name in path.items():
            answer = await two.ask(signer, f"/api/v1/{name}", b"[]")
            assert (answer != INVALID) is (asked is scope), (scope, asked)
    signer = await two.key()
    assert await two.enters(signer)
    await scope_key(two.desk, signer.api_key, [Scope.TRADE])
    before = await two.site.rows()
    assert not await two.enters(signer)
    assert await two.site.rows() == before
    await scope_key(two.desk, signer.api_key, [Scope.READ, Scope.TRADE])
    assert await two.enters(signer)


async def test_keys_overlap_and_end(two: Two) -> None:
    """A second key lives beside the first; one expires on the minute, one is revoked at once."""
    fresh = await two.key(life_ms=60_000)
    assert await two.enters(fresh)
    assert await two.enters(two.plain)
    await expire_key(two.desk, two.plain.api_key, 30_000)
    two.site.rig.world.at += 29_999
    await two.site.rig.tick()
    assert await two.enters(two.plain)
    two.site.rig.world.at += 1
    await two.site.rig.tick()
    assert not await two.enters(two.plain)
    assert await two.enters(fresh)
    await expire_key(two.desk, two.plain.api_key, None)
    assert await two.enters(two.plain)
    await revoke_key(two.desk, fresh.api_key)
    assert not await two.enters(fresh)
    assert [key.enabled for key in await list_keys(two.desk, "partner")] == [True, False]
    with pytest.raises(Refused) as refused:
        await expire_key(two.desk, fresh.api_key, 60_000)
    assert refused.value.no is No.NOT_FOUND


async def test_a_partner_switched_off_is_4_only_for_his_own_callers(two: Two) -> None:
    """4 after the signature and every rule; whoever breaks a rule is not told."""
    await set_rules(two.desk, "partner", signing=Signing.V2)
    async with two.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET enabled = false")
    assert await two.ask(two.strong) == DISABLED
    assert await two.ask(two.plain) == INVALID
    assert await two.ask(Signer(two.plain.api_key, "wrong")) == INVALID


async def test_rotating_with_a_key_that_has_no_secret(two: Two) -> None:
    """There is nothing here to rotate: 1, and the key lives on. The webhook secret can be."""
    signer = await two.ed25519()
    told = await two.ask(signer, "/api/v1/keys/rotate", b'{"rotate":["apiSecret"]}')
    assert told == (400, b'{"code":1,"msg":"INVALID_REQUEST"}')
    wire = signer.sign(
        "POST", "/api/v1/keys/rotate", b'{"rotate":["webhookSecret"]}',
        nonce="n" * 16, created=NOON // 1000,
    )  # fmt: skip
    status, body = await send(two.apps[0], wire)
    assert status == 200
    assert list(msgspec.json.decode(body)["data"]) == ["webhookSecret"]
    assert await two.enters(signer)


async def test_a_captured_call_dies(two: Two) -> None:
    """After ten minutes nonces are forgotten: v1 and v2 may be replayed (E4), RFC 9421 never."""
    from swapdesk.engine.sweep import sweep_nonces

    strongest = await two.ed25519()
    captured = {
        way: signer.sign("POST", "/api/v1/price", BODY, nonce=f"captured-{way.name:>7}".replace(" ", "-"),
                         created=NOON // 1000 + signatures.AHEAD_SECONDS_MAX)
        for way, signer in zip(Signing, (two.plain, two.strong, strongest), strict=True)
    }  # fmt: skip
    for wire in captured.values():
        assert (await send(two.apps[0], wire))[0] == 200
        assert await send(two.apps[1], wire) == INVALID
    for seconds, again in ((330, {}), (300, {Signing.V1, Signing.V2})):
        two.site.rig.world.at += seconds * 1000
        await two.site.rig.tick()
        await sweep_nonces(two.desk)
        let_in = {way for way, wire in captured.items() if await send(two.apps[0], wire) != INVALID}
        assert let_in == set(again), seconds


async def test_wrong_is_wrong_after_the_same_work(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown key, wrong signature, broken rule: as many signatures computed, as many questions."""
    work: dict[str, int] = {}

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            work[name] = work.get(name, 0) + 1
            return real(*args)

        return call

    for name in ("signs_v1", "signs_v2", "signs_rfc9421", "find_holder"):
        monkeypatch.setattr(doors, name, counted(name, getattr(doors, name)))
    strongest = await two.ed25519()
    await two.ask(strongest)  # remembered from here on
    stranger = Ed25519PrivateKey.generate()
    nobody = "A" * 32
    narrow = await two.key(scopes=[Scope.ADMIN])
    await set_rules(two.desk, "partner", networks=[parse_network("192.0.2.0/24")])
    told = {"peer": "192.0.2.1"}
    same: list[list[tuple[Signer, dict[str, str]]]] = [
        [
            (Signer(nobody, "x", strong=False), told),
            (Signer(two.plain.api_key, "x", strong=False), told),
            (Signer(strongest.api_key, "x", strong=False), told),
            (narrow, told),
            (two.plain, {"peer": HOME}),
        ],
        [(Signer(nobody, "x"), told), (Signer(two.plain.api_key, "x"), told),
         (two.strong, {"peer": HOME})],
        [(Signer(nobody, stranger), told), (Signer(strongest.api_key, stranger), told),
         (Signer(two.plain.api_key, stranger), told), (strongest, {"peer": HOME})],
    ]  # fmt: skip
    for group in same:
        seen = set()
        for signer, how in group:
            work.clear()
            assert not await two.enters(signer, **how)
            seen.add(tuple(sorted(work.items())))
        assert len(seen) == 1, seen
        assert all(count == 4 for name, count in seen.pop() if name != "find_holder")


async def test_what_the_operator_may_not_do(two: Two) -> None:
    """Unknown partners and keys, too many keys or networks, rules that nobody could meet."""
    desk, sealer = two.desk, two.sealer

    async def no(work: Any) -> No:
        with pytest.raises(Refused) as refused:
            await work
        return refused.value.no

    assert await no(add_key(desk, sealer, partner="nobody")) is No.NOT_FOUND
    assert await no(list_keys(desk, "nobody")) is No.NOT_FOUND
    assert await no(revoke_key(desk, "nobody")) is No.NOT_FOUND
    assert await no(add_key(desk, sealer, partner="partner", scopes=[])) is No.INVALID
    assert await no(add_key(desk, sealer, partner="partner", label="x" * 65)) is No.INVALID
    assert await no(add_key(desk, sealer, partner="partner", life_ms=-1)) is No.INVALID
    assert await no(scope_key(desk, two.plain.api_key, [])) is No.INVALID
    assert await no(set_rules(desk, "partner", signing=Signing.RFC9421)) is No.CONFLICT
    many = [parse_network(f"192.0.2.{number}") for number in range(65)]
    assert await no(set_rules(desk, "partner", networks=many)) is No.INVALID
    for _ in range(LIVE_KEYS_MAX - 1):
        spare = await two.key()
    assert await no(add_key(desk, sealer, partner="partner")) is No.CONFLICT
    await expire_key(desk, spare.api_key, 0)
    await two.key()
