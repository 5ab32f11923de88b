"""Who is calling: every way to be refused, in the contract's order, with one body each."""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from swapdesk.db import Tx
from swapdesk.engine.partner_admin import create_partner
from swapdesk.partners.partner import Caller
from swapdesk.partners.secrets import SigningKey
from tests.http_site import CREATE, PER_ADDRESS, PRICE, Site, sign
from tests.signing import hmac_hex, v2_text

pytestmark = pytest.mark.anyio

MISSING = (401, b'{"code":2,"msg":"AUTH_REQUIRED"}')
INVALID = (401, b'{"code":3,"msg":"AUTH_INVALID"}')
DISABLED = (401, b'{"code":4,"msg":"AUTH_DISABLED"}')
LIMITED = (429, b'{"code":5,"msg":"RATE_LIMIT"}')
BAD = (400, b'{"code":1,"msg":"INVALID_REQUEST"}')

#: Contract A3: body -> X-API-SIGN under the key "test-secret".
VECTORS = {
    b"": "a41bc6d81d6413576ae0994995e0ad89a416ec97389515c3604f47722122eeeb",
    b"{}": "2f59040b63b7200598444239da2c9a4f3abc5c434259b23126d72514dab8cd09",
    b'{"code":"casino-front"}': "2965087b53b959eb041e5c47ec723b17fca9203b3aa710dfd7fb53091cadbfac",
    b'{"type":"float","fromCcy":"btc","toCcy":"usdt_trc20","direction":"from","amount":"0.01"}':
        "3731d9cb5202322d91ded50f2ade163d811eb4b1f74e199069d012db164ba8bc",
}  # fmt: skip
FF1_KEY = b"qVeyDheFpFavNy8kSy1vJc9SG8FZnFeWnJDf9ACx"
FF1_SIGN = "a25b61d23c4811ead7738c2124a6d06ebb4b8a4d695da46a2ad8965553d09333"


def test_signatures_of_the_contract() -> None:
    """Our signing key yields the contract's vectors, and HMAC's for keys of every length."""
    for body, expected in VECTORS.items():
        assert SigningKey(b"test-secret").sign(body).hex() == expected
    assert SigningKey(FF1_KEY).sign(b"from=ETH&to=BTC").hex() == FF1_SIGN
    for size in (0, 1, 43, 63, 64, 65, 200):
        key = bytes(range(size))
        assert SigningKey(key).sign(b"x").hex() == hmac.new(key, b"x", hashlib.sha256).hexdigest()


MATRIX: Final[list[tuple[Mapping[str, str | None], tuple[int, bytes]]]] = [
    ({"X-API-KEY": None}, MISSING),
    ({"X-API-SIGN": None}, MISSING),
    ({"X-API-KEY": None, "X-API-SIGN": None, "X-API-NONCE": None}, MISSING),
    ({"X-API-KEY": ""}, MISSING),
    ({"X-API-SIGN": ""}, MISSING),
    ({"X-API-KEY": None, "X-API-NONCE": "short"}, MISSING),
    ({"X-API-NONCE": None}, INVALID),
    ({"X-API-NONCE": ""}, INVALID),
    ({"X-API-NONCE": "n" * 15}, INVALID),
    ({"X-API-NONCE": "n" * 65}, INVALID),
    ({"X-API-NONCE": "a nonce with blanks"}, INVALID),
    ({"X-API-KEY": "unknown-key-unknown-key-unknown-"}, INVALID),
    ({"X-API-KEY": "x"}, INVALID),
    ({"X-API-KEY": "'; DROP TABLE orders; --"}, INVALID),
    ({"X-API-SIGN": "0" * 64}, INVALID),
    ({"X-API-SIGN": "0" * 63}, INVALID),
    ({"X-API-SIGN": "z" * 64}, INVALID),
    ({"X-API-SIGN": "0" * 64, "X-API-NONCE": "short"}, INVALID),
]


async def test_matrix_of_refusals(site: Site) -> None:
    """Missing is 2, everything else is 3, always the same bytes; nothing is written."""
    before = await site.rows()
    for headers, expected in MATRIX:
        answer = await site.call("order", {"id": "x", "token": "x"}, headers=headers)
        assert (answer.status_code, answer.content) == expected, headers
        assert set(answer.headers) == {"content-type", "content-length", "date"}
    assert await site.rows() == before


async def test_no_oracle(site: Site) -> None:
    """Unknown key, foreign key, wrong sign, replay and disabled-but-unsigned: one answer."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    nonce = secrets.token_hex(16)
    await site.data("price", PRICE, headers={"X-API-NONCE": nonce})
    answers = [
        await site.call("price", PRICE, headers={"X-API-KEY": "A" * 32}),
        await site.call("price", PRICE, headers={"X-API-KEY": other.api_key}),
        await site.call("price", PRICE, headers={"X-API-SIGN": "ab" * 32}),
        await site.call("price", PRICE, headers={"X-API-NONCE": nonce}),
    ]
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET enabled = false WHERE id = $1", other.partner_id)
    answers.append(
        await site.call("price", PRICE, partner=other, headers={"X-API-SIGN": "ab" * 32})
    )
    assert {(a.status_code, a.content, a.headers["content-length"]) for a in answers} == {
        (*INVALID, str(len(INVALID[1])))
    }
    disabled = await site.call("price", PRICE, partner=other)
    assert (disabled.status_code, disabled.content) == DISABLED


async def test_a_revoked_credential_is_unknown(site: Site) -> None:
    """A revoked key is 3, not 4: only a switched-off partner learns that it is known."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE credential SET enabled = false")
    answer = await site.call("price", PRICE)
    assert (answer.status_code, answer.content) == INVALID


async def test_a_secret_that_does_not_open_is_invalid(site: Site) -> None:
    """A blob moved from another row (AAD) is a decrypt failure: code 3."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute(
            "UPDATE credential SET secret_sealed = (SELECT secret_sealed FROM credential"
            " WHERE api_key = $1), version = 2 WHERE api_key = $2",
            other.api_key,
            site.partner.api_key,
        )
    body = b"{}"
    for secret in (site.partner.api_secret, other.api_secret):
        answer = await site.call("pairs", body, headers={"X-API-SIGN": sign(secret, body)})
        assert (answer.status_code, answer.content) == INVALID


async def test_tampering_is_noticed(site: Site) -> None:
    """The exact bytes count: one changed byte, added blank or reordered name is 3."""
    body = b'{"id":"a","token":"b"}'
    good = sign(site.partner.api_secret, body)
    for changed in (body + b"\n", body.replace(b"a", b"c"), b'{"token":"b","id":"a"}', b""):
        answer = await site.call("order", changed, headers={"X-API-SIGN": good})
        assert (answer.status_code, answer.content) == INVALID
    upper = await site.call("order", body, headers={"X-API-SIGN": good.upper()})
    assert upper.status_code == 404  # upper-case hex is let in


async def test_empty_and_braces_have_their_own_signatures(site: Site) -> None:
    """No body is signed as zero bytes, `{}` as two; neither signature fits the other."""
    secret = site.partner.api_secret
    empty = await site.call("pairs", b"")
    assert (empty.status_code, empty.content) == BAD  # let in, then no JSON object
    crossed = await site.call("pairs", b"{}", headers={"X-API-SIGN": sign(secret, b"")})
    assert (crossed.status_code, crossed.content) == INVALID


async def test_a_nonce_counts_once_per_partner(site: Site) -> None:
    """Reused: 3, on every endpoint. Another partner may use the same. After ten minutes again."""
    from swapdesk.engine.sweep import sweep_nonces

    other = await create_partner(site.rig.desk, site.sealer, name="another")
    nonce = {"X-API-NONCE": "n" * 16}
    assert (await site.call("price", PRICE, headers=nonce)).status_code == 200
    for path in ("price", "pairs", "order"):
        answer = await site.call(path, PRICE, headers=nonce)
        assert (answer.status_code, answer.content) == INVALID
    assert (await site.call("price", PRICE, headers=nonce, partner=other)).status_code == 200
    site.rig.world.at += 599_000
    await site.rig.tick()
    await sweep_nonces(site.rig.desk)
    assert (await site.call("price", PRICE, headers=nonce)).status_code == 401
    site.rig.world.at += 2_000
    await sweep_nonces(site.rig.desk)
    assert (await site.call("price", PRICE, headers=nonce)).status_code == 200


@pytest.mark.parametrize("bad", [{"X-API-SIGN": "ab" * 32}, {"X-API-KEY": "A" * 32}])
async def test_a_nonce_is_burnt_only_after_the_signature(
    site: Site, bad: Mapping[str, str]
) -> None:
    """Whoever knows only the public key cannot use up a partner's nonces or budget."""
    nonce = {"X-API-NONCE": secrets.token_hex(32)}
    assert (await site.call("price", PRICE, headers={**nonce, **bad})).status_code == 401
    assert (await site.call("price", PRICE, headers=nonce)).status_code == 200


async def test_concurrent_replays_let_one_in(site: Site) -> None:
    """Of twenty calls with one nonce at once, one is served."""
    headers = {"X-API-NONCE": secrets.token_hex(16)}
    answers = await asyncio.gather(*(site.call("price", PRICE, headers=headers) for _ in range(20)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 19


@pytest.mark.parametrize("suffix", [".desktop", ".", ".unknown.more", "." + "x" * 60])
async def test_a_code_suffix_is_let_in(site: Site, suffix: str) -> None:
    """`apiKey.code` splits at the first dot; an unknown code means the partner's own markup."""
    headers = {"X-API-KEY": site.partner.api_key + suffix}
    assert (await site.data("price", PRICE, headers=headers))["markupBps"] == 30


async def test_optional_endpoints_never_downgrade(site: Site) -> None:
    """A key makes it a signed attempt; signature or nonce without a key are ignored."""
    answer = await site.call("price", PRICE, headers={"X-API-SIGN": None})
    assert (answer.status_code, answer.content) == MISSING
    answer = await site.call("price", PRICE, headers={"X-API-SIGN": "ab" * 32})
    assert (answer.status_code, answer.content) == INVALID
    answer = await site.call("price", PRICE, headers={"X-API-KEY": None})
    assert answer.json()["data"]["markupBps"] == 0


async def test_the_budget_of_a_minute(site: Site) -> None:
    """2500 units are 50 creates; then 5 with Retry-After, uncharged, until weight ages out."""
    who = site.partner.partner_id
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET weight_per_minute = 102 WHERE id = $1", who)
    await site.data("create", CREATE)
    site.rig.world.at += 10_500
    await site.data("create", CREATE)
    refused = await site.call("create", CREATE)
    assert (refused.status_code, refused.content) == LIMITED
    assert refused.headers["retry-after"] == "50"  # 49.5 s until the first create has aged out
    for _ in range(2):
        await site.data("price", PRICE)  # two units are left, and 429s were not charged
    assert (await site.call("price", PRICE)).status_code == 429
    site.rig.world.at += 50_000
    await site.rig.tick()
    assert (await site.call("create", CREATE)).status_code == 200


async def test_the_budget_comes_after_the_nonce_and_before_the_body(site: Site) -> None:
    """A refused weight still burns its nonce; a bad body is charged, unless there is no budget."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET weight_per_minute = 1")
    nonce = {"X-API-NONCE": secrets.token_hex(16)}
    too_heavy = await site.call("create", b"no json", headers=nonce)
    assert (too_heavy.status_code, too_heavy.content) == LIMITED
    replay = await site.call("price", PRICE, headers=nonce)
    assert (replay.status_code, replay.content) == INVALID
    charged = await site.call("price", b"no json")
    assert (charged.status_code, charged.content) == BAD
    assert (await site.call("price", PRICE)).status_code == 429


async def test_charging_is_atomic(site: Site) -> None:
    """Forty concurrent calls on a budget of ten: ten are served."""
    async with site.rig.desk.db.transaction() as tx:
        await tx.execute("UPDATE partner SET weight_per_minute = 10")
    answers = await asyncio.gather(*(site.call("price", PRICE) for _ in range(40)))
    assert sorted(a.status_code for a in answers) == [200] * 10 + [429] * 30


async def test_strangers_have_a_budget_of_their_own(site: Site) -> None:
    """Per address and minute; partners are neither slowed nor charged by strangers."""
    for _ in range(PER_ADDRESS):
        assert (await site.stranger("price", PRICE)).status_code == 200
    refused = await site.stranger("price", PRICE)
    assert (refused.status_code, refused.content) == LIMITED
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["access-control-allow-origin"] == "*"
    assert (await site.call("price", PRICE)).status_code == 200
    assert (await site.rows())["weight_charge"] == 1
    site.rig.world.at += 60_001
    await site.rig.tick()
    assert (await site.stranger("price", PRICE)).status_code == 200


async def test_unexpected_trouble_tells_nothing(site: Site) -> None:
    """Our own bug is 99/500 with a body of its own, and the next call works."""
    site.rig.desk.pay_in, kept = None, site.rig.desk.pay_in  # type: ignore[assignment]
    answer = await site.call("create", CREATE)
    assert (answer.status_code, answer.content) == (500, b'{"code":99,"msg":"INTERNAL"}')
    site.rig.desk.pay_in = kept
    await site.data("create", CREATE)


async def test_only_plain_calls_that_read_do_not_wait_for_the_disk(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain signature does not cover its nonce; whatever is signed better, or may change
    something, is on disk before it is answered."""
    from swapdesk.partners import store

    seen: list[bool] = []
    real = store.admit

    async def spy(tx: Tx, callers: Sequence[Caller], now_ms: int) -> list[store.Stopped]:
        seen.extend(caller.lasting for caller in callers)
        return await real(tx, callers, now_ms)

    monkeypatch.setattr(store, "admit", spy)
    await site.data("price", PRICE)
    await site.data("create", CREATE)
    body, nonce = json.dumps(dict(PRICE)).encode(), "n" * 20
    text = v2_text("POST", "/api/v1/price", nonce, "", site.partner.api_key, body)
    strong = {"X-API-NONCE": nonce, "X-API-SIGN-V2": hmac_hex(site.partner.api_secret, text)}
    assert (await site.call("price", body, headers=strong)).status_code == 200
    assert seen == [False, True, True]
