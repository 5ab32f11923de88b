"""The vault's link over real HTTP: only the vault is heard, once; it can hurt nothing by lying."""

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swapdesk.handoff import (
    LINK_BODY_BYTES_MAX,
    LINK_CLOCK_SKEW_MS,
    Acknowledged,
    Beat,
    Binding,
    HotBalance,
    IntentKey,
    PayoutIntent,
    PayoutReport,
    ReportKey,
)
from swapdesk.orders.states import State
from swapdesk_vault.link import Link, LinkTrouble
from tests.http_site import CREATE, Site, site_on
from tests.postgres import Dsns
from tests.rig import TRON_ADDRESS

pytestmark = pytest.mark.anyio

ATTESTATION = "ab" * 64
BEAT = {"fence": 2, "stopped": None, "balances": [{"asset": "btc", "units": 5}]}


@pytest.fixture
async def site(desk_dsns: Dsns) -> AsyncIterator[Site]:
    """Both listeners of a desk with one partner."""
    async with site_on(desk_dsns.app) as served:
        yield served


async def _post(site: Site, path: str, body: bytes, headers: dict[str, str]) -> int:
    answer = await site.client.post(site.private + path, content=body, headers=headers)
    return answer.status_code


async def _opened(site: Site) -> uuid.UUID:
    return uuid.UUID((await site.data("create", CREATE))["id"])


async def test_a_swap_over_the_link(site: Site) -> None:
    """Binding, acknowledgement, intent, deposits, sent, final: each struct whole, each once."""
    order_id = await _opened(site)
    (row,) = (await site.vault("bindings", {}))["rows"]
    order = await site.rig.order(order_id)
    assert set(row) == set(Binding.__struct_fields__)
    assert (row["order_id"], row["address"], row["index"]) == (
        str(order_id), order.address, order.address_index,
    )  # fmt: skip
    stored = {"rows": [{"order_id": str(order_id), "attestation": ATTESTATION}]}
    for _ in range(2):  # a repeat changes nothing
        assert await site.vault("bindings/acknowledge", stored) == {}
    assert (await site.vault("bindings", {}))["rows"] == []
    assert (await site.rig.order(order_id)).attestation == ATTESTATION
    txid = site.rig.pay(order)
    await site.rig.mine(count=2)
    (intent,) = (await site.vault("intents", {}))["rows"]
    assert set(intent) == set(PayoutIntent.__struct_fields__)
    assert (intent["kind"], intent["destination"]) == ("payout", TRON_ADDRESS)
    assert intent["deposits"][0]["txid"] == txid
    found = await site.vault("deposits", {"order_ids": [str(order_id)]})
    assert found["rows"] == [{"order_id": str(order_id), "deposits": intent["deposits"]}]
    key = {"order_id": str(order_id), "attempt": 1}
    for _ in range(2):
        assert await site.vault("intents/acknowledge", {"rows": [key]}) == {}
    assert (await site.vault("intents", {}))["rows"] == []
    for outcome, state in (("sent", State.PAID), ("final", State.DONE), ("sent", State.DONE)):
        report = {"order_id": str(order_id), "attempt": 1, "outcome": outcome, "txid": "ab" * 32}
        told = await site.vault("reports", {"rows": [report]})
        assert told == {"accepted": [{"order_id": str(order_id), "attempt": 1, "outcome": outcome}]}
        assert await site.rig.state(order_id) is state


async def test_a_report_that_contradicts_is_not_accepted(site: Site) -> None:
    """No txid, an unknown attempt, an unknown order, a refusal after sending: not accepted."""
    order_id = await _opened(site)
    site.rig.pay(await site.rig.order(order_id))
    await site.rig.mine(count=2)
    good = {"order_id": str(order_id), "attempt": 1, "outcome": "sent", "txid": "ab" * 32}
    await site.vault("reports", {"rows": [good]})
    lies = [
        {"order_id": str(order_id), "attempt": 1, "outcome": "sent"},
        {**good, "attempt": 2},
        {**good, "order_id": str(uuid.UUID(int=5))},
        {"order_id": str(order_id), "attempt": 1, "outcome": "refused", "reason": "no"},
    ]
    for lie in lies:
        assert (await site.vault("reports", {"rows": [lie]}))["accepted"] == []
    assert await site.rig.state(order_id) is State.PAID


async def test_only_the_vault_is_heard(site: Site) -> None:
    """Each part of the signed bytes counts: method and path, time, nonce, body, key."""
    path, body = "/vault/v1/beat", json.dumps(BEAT).encode()
    before = await site.rows()
    good = site.vault_headers(path, body)
    elsewhere = site.vault_headers("/vault/v1/bindings", body)
    stranger = Ed25519PrivateKey.generate().sign(b"x").hex()
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, {**good, "X-Vault-Sign": stranger}),
        (body, {**good, "X-Vault-Sign": "zz" * 64}),
        (body, {**good, "X-Vault-Sign": good["X-Vault-Sign"].upper()}),
        (body, {**good, "X-Vault-Time": str(int(good["X-Vault-Time"]) + 1)}),
        (body, {**good, "X-Vault-Time": "1e13"}),
        (body, {**good, "X-Vault-Nonce": secrets.token_hex(16)}),
        (body, {**good, "X-Vault-Nonce": "n" * 32}),
        (body + b" ", good),
        (body, elsewhere),
    ]
    for raw, headers in wrong:
        assert await _post(site, path, raw, headers) == 401
    assert await site.rows() == before
    assert await _post(site, path, body, good) == 200


@pytest.mark.parametrize("off_ms", [-LINK_CLOCK_SKEW_MS - 1, LINK_CLOCK_SKEW_MS + 1])
async def test_clocks_that_are_apart(site: Site, off_ms: int) -> None:
    """A request from too long ago or too far ahead is refused; at the edge it is taken."""
    path, body = "/vault/v1/beat", json.dumps(BEAT).encode()
    now = site.rig.world.now()
    assert await _post(site, path, body, site.vault_headers(path, body, at_ms=now + off_ms)) == 401
    edge = now + (off_ms - 1 if off_ms > 0 else off_ms + 1)
    assert await _post(site, path, body, site.vault_headers(path, body, at_ms=edge)) == 200


async def test_a_captured_request_is_worth_nothing(site: Site) -> None:
    """The same request twice, also at once: heard once."""
    path, body = "/vault/v1/beat", json.dumps(BEAT).encode()
    headers = site.vault_headers(path, body)
    told = await asyncio.gather(*(_post(site, path, body, headers) for _ in range(8)))
    assert sorted(told) == [200] + [401] * 7


async def test_a_fenced_vault_is_told_so(site: Site) -> None:
    """After a beat with a higher fence an older vault gets 409."""
    await site.vault("beat", {**BEAT, "fence": 5})
    path, body = "/vault/v1/beat", json.dumps({**BEAT, "fence": 4}).encode()
    assert await _post(site, path, body, site.vault_headers(path, body)) == 409


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("beat", b"{}"),
        ("beat", b"not json"),
        ("beat", json.dumps({**BEAT, "extra": 1}).encode()),
        ("deposits", b'{"order_ids":["x"]}'),
        ("deposits", json.dumps({"order_ids": [str(uuid.UUID(int=5))] * 101}).encode()),
        ("reports", b'{"rows":[{"order_id":"x","attempt":1,"outcome":"sent"}]}'),
        ("reports", json.dumps({"rows": [{"order_id": str(uuid.UUID(int=5)), "attempt": 1,
                                          "outcome": "failed"}]}).encode()),
        ("bindings/acknowledge", json.dumps({"rows": [{"order_id": str(uuid.UUID(int=5)),
                                                       "attestation": "ab"}]}).encode()),
        ("intents/acknowledge", b'{"rows":[{"order_id":"x","attempt":1}]}'),
        ("beat", b" " * (LINK_BODY_BYTES_MAX + 1)),
    ],
)  # fmt: skip
async def test_malformed_bodies(site: Site, name: str, body: bytes) -> None:
    """A signed body that is not understood whole is refused whole: 400."""
    path = f"/vault/v1/{name}"
    assert await _post(site, path, body, site.vault_headers(path, body)) == 400


async def test_metrics_are_private_and_true(site: Site) -> None:
    """Answers by endpoint and code, orders by state from the database; not on the public side."""
    await _opened(site)
    await site.call("price", b"no json")
    text = (await site.client.get(f"{site.private}/metrics")).text
    assert 'swapdesk_orders{state="WAITING"} 1.0' in text
    assert 'swapdesk_orders{state="DONE"} 0.0' in text
    assert 'swapdesk_answers_total{code="0",endpoint="create"} 1.0' in text
    assert 'swapdesk_answers_total{code="1",endpoint="price"} 1.0' in text
    assert 'swapdesk_webhooks{what="dead"} 0.0' in text
    assert (await site.client.get(f"{site.public}/metrics")).status_code == 404
    assert (await site.client.get(f"{site.private}/healthz")).status_code == 200
    assert (await site.client.get(f"{site.private}/vault/v1/beat")).status_code == 405


async def test_the_vaults_own_client_is_understood(site: Site) -> None:
    """Every call of the vault's client, against the real listener: both sides agree on each shape."""
    link = Link(site.private, site.vault_key, site.rig.world)
    try:
        order_id = str(await _opened(site))
        assert [row.order_id for row in await link.bindings()] == [order_id]
        await link.acknowledge_bindings([Acknowledged(order_id, ATTESTATION)])
        assert await link.bindings() == ()
        site.rig.pay(await site.rig.order(uuid.UUID(order_id)))
        await site.rig.mine(count=2)
        (intent,) = await link.intents()
        (found,) = await link.deposits([order_id])
        assert found.deposits == intent.deposits
        await link.acknowledge_intents([IntentKey(order_id, 1)])
        (told,) = await link.reports([PayoutReport(order_id, 1, "sent", txid="ab" * 32)])
        assert told == ReportKey(order_id, 1, "sent")
        await link.beat(Beat(fence=9, stopped=None, balances=(HotBalance("btc", 10**30),)))
        with pytest.raises(LinkTrouble, match="409"):
            await link.beat(Beat(fence=8, stopped=None, balances=()))
    finally:
        await link.close()
