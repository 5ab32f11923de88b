"""Signed v1 over real HTTP: the endpoints as the seed pages show them."""

import json
import re
import uuid
from typing import Any

import pytest

from swapdesk.errors import No
from swapdesk.orders.states import State
from swapdesk.web.signed_v1_words import REFUSAL, STATUS
from tests.http_site import CREATE, PRICE, Site
from tests.rig import BTC_ADDRESS, TRON_ADDRESS

pytestmark = pytest.mark.anyio

#: Contract A8: code -> msg.
MSG = {
    1: "INVALID_REQUEST", 2: "AUTH_REQUIRED", 3: "AUTH_INVALID", 4: "AUTH_DISABLED",
    5: "RATE_LIMIT", 6: "NOT_FOUND", 7: "LIMIT_MIN", 8: "LIMIT_MAX", 9: "RESERVE_EXCEEDED",
    10: "MAINTENANCE", 11: "UPSTREAM_ERROR", 12: "EMERGENCY_INVALID_CHOICE",
    14: "ROTATION_CONFLICT",
}  # fmt: skip


def shape(value: Any) -> Any:
    """Names and JSON types in order, values left out."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


def test_there_is_a_word_for_everything() -> None:
    """STATUS and REFUSAL cover their enums; each code keeps its constant."""
    assert set(STATUS) == set(State)
    assert set(STATUS.values()) == {"NEW", "PENDING", "EXCHANGE", "DONE", "EXPIRED", "EMERGENCY"}
    assert set(REFUSAL) == set(No)
    assert {code: msg for _, code, msg in REFUSAL.values()} == MSG


async def test_create_answers_like_the_seed_page(site: Site) -> None:
    """Every name in the seed's order and of its type; the token is 43 characters, once."""
    data = await site.data("create", CREATE)
    order_id, token = data["id"], data["token"]
    assert shape(data) == {
        "id": "str", "type": "str", "status": "str",
        "time": {"reg": "int", "expiration": "int", "left": "int", "update": "int",
                 "finish": "NoneType"},
        "from": {"code": "str", "network": "str", "amount": "str", "address": "str",
                 "tx": {"id": "NoneType", "amount": "NoneType"}},
        "to": {"code": "str", "network": "str", "amount": "str", "address": "str",
               "tx": {"id": "NoneType", "amount": "NoneType"}},
        "back": {"address": "str", "tx": {"id": "NoneType"}},
        "emergency": {"status": [], "choice": "str"},
        "rate": "str", "networkFee": "str", "markupBps": "int", "token": "str",
    }  # fmt: skip
    assert list(data) == [
        "id", "type", "status", "time", "from", "to", "back", "emergency", "rate", "networkFee",
        "markupBps", "token",
    ]  # fmt: skip
    assert uuid.UUID(order_id).version == 7
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    now = site.rig.world.now() // 1000
    assert data["time"] == {
        "reg": now, "expiration": now + 1800, "left": 1800, "update": now, "finish": None,
    }  # fmt: skip
    assert (data["type"], data["status"], data["markupBps"]) == ("float", "NEW", 50)
    assert data["from"]["amount"] == "0.01000000"
    assert data["to"]["address"] == TRON_ADDRESS
    assert (data["from"]["network"], data["to"]["network"]) == ("Bitcoin", "Tron")
    assert data["back"] == {"address": BTC_ADDRESS, "tx": {"id": None}}
    assert data["emergency"] == {"status": [], "choice": "NONE"}
    # 600 at 60000 gross, less 0.5 % base fee, 0.5 % markup and a dollar of network fee
    assert (data["rate"], data["to"]["amount"], data["networkFee"]) == (
        "60000.00000000", "593.000000", "1.000000",
    )  # fmt: skip
    again = await site.data("order", {"id": order_id, "token": token})
    assert again == {name: value for name, value in data.items() if name != "token"}


async def test_price_answers_like_the_page(site: Site) -> None:
    """Padded decimal strings, usd with two digits, rate with eight; signed sees its own markup."""
    data = await site.data("price", PRICE)
    assert data == {
        "from": {
            "code": "btc", "coin": "BTC", "network": "Bitcoin", "amount": "0.01000000",
            "rate": "60000.00000000", "precision": 8, "min": "0.00016667", "max": "0.33333333",
            "usd": "600.00", "btc": "0.01000000",
        },
        "to": {
            "code": "usdt_trc20", "coin": "USDT", "network": "Tron", "amount": "594.200000",
            "rate": "60000.00000000", "precision": 6, "min": "8.920198",
            "max": "19838.999801", "usd": "594.20",
        },
        "errors": [],
        "markupBps": 30,
    }  # fmt: skip
    assert list(data["from"]) == [
        "code", "coin", "network", "amount", "rate", "precision", "min", "max", "usd", "btc",
    ]  # fmt: skip
    unsigned = (await site.stranger("price", {**PRICE, "afftax": 100})).json()["data"]
    assert (unsigned["markupBps"], unsigned["to"]["amount"]) == (0, "596.000000")
    own = await site.data("price", {**PRICE, "afftax": 0})
    assert (own["markupBps"], own["to"]["amount"]) == (0, "596.000000")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (b'"0.1"', "0.10000000"),
        (b"0.1", "0.10000000"),
        (b"1e-1", "0.10000000"),
        (b'"0.100000009"', "0.10000000"),
        (b"0.30000000000000004", "0.30000000"),
        (b"1", "1.00000000"),
        (b"123456789.12345678", "123456789.12345678"),
    ],
)
async def test_amounts_keep_their_digits(site: Site, amount: bytes, shown: str) -> None:
    """Strings and numbers are read digit by digit; what is finer than the asset is cut."""
    body = json.dumps(dict(PRICE)).encode().replace(b'"0.01"', amount)
    answer = (await site.call("price", body)).json()
    assert answer["code"] == 0, answer
    assert answer["data"]["from"]["amount"] == shown


async def test_price_to_says_what_to_send(site: Site) -> None:
    """Direction "to": the customer receives at least what was asked, and create agrees."""
    ask = {**PRICE, "direction": "to", "amount": "500"}
    data = await site.data("price", {**ask, "afftax": 50})
    assert data["to"]["amount"] >= "500.000000"
    order = await site.data("create", {**CREATE, **ask, "afftax": 50})
    assert order["from"]["amount"] == data["from"]["amount"]
    assert order["to"]["amount"] == data["to"]["amount"]


@pytest.mark.parametrize(("amount", "word"), [("0.0001", "LIMIT_MIN"), ("1", "LIMIT_MAX")])
async def test_price_tells_limits_and_create_enforces_them(
    site: Site, amount: str, word: str
) -> None:
    """/price answers 200 with errors[] and amounts; /create answers 7 or 8."""
    data = await site.data("price", {**PRICE, "amount": amount})
    assert data["errors"] == [word]
    assert data["from"]["min"] == "0.00016667"
    refused = await site.call("create", {**CREATE, "amount": amount})
    assert refused.status_code == 400
    assert refused.json() == {"code": {"LIMIT_MIN": 7, "LIMIT_MAX": 8}[word], "msg": word}


async def test_limits_are_inclusive(site: Site) -> None:
    """Exactly the shown minimum and maximum are taken."""
    data = await site.data("price", PRICE)
    for amount in (data["from"]["min"], data["from"]["max"]):
        assert (await site.data("price", {**PRICE, "amount": amount}))["errors"] == []
        await site.data("create", {**CREATE, "amount": amount})


async def test_currencies_and_pairs(site: Site) -> None:
    """The catalogue as the pages spell it; pairs are not to be stored, both may be read by scripts."""
    answer = await site.stranger("currencies", {})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["data"][0] == {
        "code": "btc", "coin": "BTC", "network": "Bitcoin", "name": "Bitcoin", "recv": True,
        "send": True, "tag": None, "logo": None, "color": None, "minAmount": None,
        "maxAmount": None, "precision": 8,
    }  # fmt: skip
    answer = await site.call("pairs", {})
    assert answer.headers["cache-control"] == "no-store"
    pairs = answer.json()["data"]
    assert {
        "from": "btc", "to": "usdt_trc20", "fromNetwork": "Bitcoin", "toNetwork": "Tron",
        "rateTypes": ["FLOAT"],
    } in pairs  # fmt: skip
    assert all(pair["from"] != pair["to"] for pair in pairs)
    for pair in pairs:  # every listed pair is quotable
        ask = {**PRICE, "fromCcy": pair["from"], "toCcy": pair["to"], "amount": "1"}
        await site.data("price", ask)


async def test_the_catalogue_is_kept_for_half_a_minute(site: Site) -> None:
    """A network that falls silent leaves the list once the cache is old; without rates, code 11."""
    before = (await site.stranger("pairs", {})).content
    site.rig.world.at += 29_000
    assert (await site.stranger("pairs", {})).content == before
    site.rig.world.at += 1_000_000  # vault, watchers and rates are silent now
    assert (await site.stranger("pairs", {})).json()["data"] == []
    answer = await site.stranger("price", PRICE)
    assert (answer.status_code, answer.json()) == (503, {"code": 11, "msg": "UPSTREAM_ERROR"})
    answer = await site.call("create", CREATE)
    assert (answer.status_code, answer.json()) == (503, {"code": 11, "msg": "UPSTREAM_ERROR"})


async def test_idempotent_replays(site: Site) -> None:
    """Same key and body: same order, token null. Other bytes: 409. A failed create frees the key."""
    key = {"Idempotency-Key": "order-0001"}
    bad = await site.call("create", {**CREATE, "amount": "0.0001"}, headers=key)
    assert bad.json()["code"] == 7
    first = await site.data("create", CREATE, headers=key)
    again = await site.data("create", CREATE, headers=key)
    assert (again["id"], again["token"]) == (first["id"], None)
    assert {**again, "token": 0} == {**first, "token": 0}
    spaced = json.dumps(dict(CREATE), indent=1).encode()
    other = await site.call("create", spaced, headers=key)
    assert (other.status_code, other.json()) == (409, {"code": 1, "msg": "INVALID_REQUEST"})
    fresh = await site.data("create", CREATE, headers={"Idempotency-Key": "order-0002"})
    assert fresh["id"] != first["id"]


@pytest.mark.parametrize("key", ["short", "k" * 129, "has a space", "tab\there", "é" * 10])
async def test_malformed_idempotency_keys(site: Site, key: str) -> None:
    """8 to 128 printable ASCII characters, or code 1."""
    headers = {"Idempotency-Key": key.encode("latin-1").decode("latin-1")}
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await site.call("create", CREATE, headers=raw)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (400, 1)


async def test_not_found_is_one_answer(site: Site) -> None:
    """Unknown, foreign, wrong token, malformed token and malformed id cannot be told apart."""
    from swapdesk.engine.partner_admin import create_partner

    data = await site.data("create", CREATE)
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    mine = {"id": data["id"], "token": data["token"]}
    answers = [
        await site.call("order", mine, partner=other),
        await site.call("order", {**mine, "token": "A" * 43}),
        await site.call("order", {**mine, "token": "short"}),
        await site.call("order", {**mine, "id": str(uuid.uuid4())}),
        await site.call("order", {**mine, "id": "not-a-uuid"}),
    ]
    assert {(a.status_code, a.content) for a in answers} == {(404, b'{"code":6,"msg":"NOT_FOUND"}')}
    assert {tuple(sorted(set(a.headers) - {"date"})) for a in answers} == {
        ("content-length", "content-type")
    }


async def test_networks_break_ties_and_never_contradict(site: Site) -> None:
    """fromNetwork and toNetwork agree with the ids or the request is invalid (D21)."""
    await site.data("create", {**CREATE, "fromNetwork": "Bitcoin", "toNetwork": "tron"})
    answer = await site.call("create", {**CREATE, "toNetwork": "Ethereum"})
    assert answer.json()["code"] == 1


async def test_ids_are_taken_in_any_case_and_told_in_lower(site: Site) -> None:
    """Codes are case-insensitive in, canonical out (D20); other dialects' spellings are not taken."""
    data = await site.data("price", {**PRICE, "fromCcy": "BTC", "toCcy": "USDT_TRC20"})
    assert (data["from"]["code"], data["to"]["code"]) == ("btc", "usdt_trc20")
    answer = await site.call("price", {**PRICE, "toCcy": "USDTTRC20"})
    assert answer.json()["code"] == 1


async def test_a_swap_as_the_partner_sees_it(site: Site) -> None:
    """NEW, PENDING, EXCHANGE, DONE with transactions and finish; `left` never below zero."""
    data = await site.data("create", CREATE)
    who = {"id": data["id"], "token": data["token"]}
    order = await site.rig.order(uuid.UUID(data["id"]))
    txid = site.rig.pay(order)
    await site.rig.look()
    seen = await site.data("order", who)
    assert seen["status"] == "PENDING"
    assert seen["from"]["tx"] == {"id": txid, "amount": "0.01000000"}
    await site.rig.mine(count=2)
    assert (await site.data("order", who))["status"] == "EXCHANGE"
    (intent,) = (await site.vault("intents", {}))["rows"]
    sent = {"order_id": data["id"], "attempt": 1, "outcome": "sent", "txid": "ab" * 32}
    assert (await site.vault("reports", {"rows": [sent]}))["accepted"] == [
        {"order_id": data["id"], "attempt": 1, "outcome": "sent"}
    ]
    done = await site.data("order", who)
    assert (done["status"], done["time"]["finish"]) == ("DONE", site.rig.world.now() // 1000)
    assert done["to"]["tx"] == {"id": "ab" * 32, "amount": done["to"]["amount"]}
    assert intent["destination"] == TRON_ADDRESS
    site.rig.world.at += 2_000_000
    assert (await site.data("order", who))["time"]["left"] == 0


async def test_an_underpaid_order_shows_why_it_waits(site: Site) -> None:
    """EMERGENCY with LIMIT; choice NONE; from.tx tells what arrived."""
    data = await site.data("create", CREATE)
    order = await site.rig.order(uuid.UUID(data["id"]))
    site.rig.pay(order, 5_000)
    await site.rig.mine(count=2)
    seen = await site.data("order", {"id": data["id"], "token": data["token"]})
    assert seen["status"] == "EMERGENCY"
    assert seen["emergency"] == {"status": ["LIMIT"], "choice": "NONE"}
    assert seen["from"]["tx"]["amount"] == "0.00005000"


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("POST", "/api/v1/setEmail", 404, {"code": 6, "msg": "NOT_FOUND"}),
        ("PUT", "/api/v1/codes", 405, {"code": 1, "msg": "INVALID_REQUEST"}),
        ("GET", "/api/v1/codes/enable", 405, {"code": 1, "msg": "INVALID_REQUEST"}),
        ("GET", "/nowhere", 404, {"code": 6, "msg": "NOT_FOUND"}),
        ("POST", "/api/v1/price/", 404, {"code": 6, "msg": "NOT_FOUND"}),
        ("GET", "/api/v1/price", 405, {"code": 1, "msg": "INVALID_REQUEST"}),
        ("DELETE", "/api/v1/create", 405, {"code": 1, "msg": "INVALID_REQUEST"}),
        ("OPTIONS", "/api/v1/create", 405, {"code": 1, "msg": "INVALID_REQUEST"}),
        ("POST", "/healthz", 405, {"code": 1, "msg": "INVALID_REQUEST"}),
        ("POST", "/vault/v1/beat", 404, {"code": 6, "msg": "NOT_FOUND"}),
        ("GET", "/metrics", 404, {"code": 6, "msg": "NOT_FOUND"}),
    ],
)
async def test_wrong_paths_and_methods(
    site: Site, method: str, path: str, status: int, body: dict[str, object]
) -> None:
    """Unknown path: 404 code 6. Wrong method: 405 code 1. The link is not on the public listener."""
    answer = await site.client.request(method, site.public + path, content=b"{}")
    assert (answer.status_code, answer.json()) == (status, body)
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


async def test_preflight_only_where_anybody_may_call(site: Site) -> None:
    """Scripts of other sites may ask for prices, and for nothing that is signed."""
    answer = await site.client.options(f"{site.public}/api/v1/price")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "api" not in answer.headers["access-control-allow-headers"]
    signed = await site.call("create", CREATE)
    assert "access-control-allow-origin" not in signed.headers


async def test_health_and_readiness(site: Site) -> None:
    """/healthz is about the process; /readyz about database, rates, vault and every network."""
    assert (await site.client.get(f"{site.public}/healthz")).json() == {"alive": True}
    answer = await site.client.get(f"{site.public}/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "database": True, "rates": True, "vault": True,
         "networks": {"bitcoin": True, "tron": True}},
    )  # fmt: skip
    site.rig.world.at += 1_000_000
    answer = await site.client.get(f"{site.public}/readyz")
    assert answer.status_code == 503
    assert answer.json()["networks"] == {"bitcoin": False, "tron": False}
