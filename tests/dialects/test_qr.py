"""The QR code of an order: its form, its content, who may see it, and how long it is remembered."""

import uuid

import pytest
import segno

from swapdesk.engine.partner_admin import create_partner
from swapdesk.engine.remove_order import delete_order, purge_orders
from swapdesk.web import qr
from tests.dialects.qr_reader import modules_of, pixels_of, text_of
from tests.http_site import CREATE, Site
from tests.rig import BTC_ADDRESS, TRON_ADDRESS

pytestmark = pytest.mark.anyio

UNKNOWN = (404, {"code": 6, "msg": "NOT_FOUND"})


@pytest.mark.parametrize(
    "address",
    [
        TRON_ADDRESS,
        BTC_ADDRESS,
        "bc1p" + "q" * 58,
        "0xdAC17F958D2ee523a2206206994597C13D831ec7",
        "48" + "Ab1" * 31,
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    ],
)
def test_the_picture_says_the_bare_address(address: str) -> None:
    """Read back by the standard's rules: 256 pixels square, quiet zone 2, level M, that text."""
    pixels = pixels_of(qr.data_uri(address))
    assert len(pixels) == len(pixels[0]) == 256
    grid = modules_of(pixels, quiet=2)
    assert text_of(grid) == address
    assert grid == [
        [bool(module) for module in row]
        for row in segno.make_qr(address, error="m", boost_error=False).matrix
    ]
    for quiet in (1, 3, 4):
        with pytest.raises(AssertionError):
            modules_of(pixels, quiet)


async def test_the_endpoint(site: Site) -> None:
    """One field; the pay-in address of this order; it weighs 5."""
    data = await site.data("create", CREATE)
    charged = (await _weight(site))[-1]
    who = {"id": data["id"], "token": data["token"]}
    found = await site.data("qr", who)
    assert list(found) == ["qrPng"]
    assert text_of(modules_of(pixels_of(found["qrPng"]), quiet=2)) == data["from"]["address"]
    assert (await _weight(site))[-1] == charged + 5


async def _weight(site: Site) -> list[int]:
    async with site.rig.desk.db.transaction() as tx:
        rows = await tx.fetch("SELECT weight FROM weight_charge ORDER BY at_second")
    return [row["weight"] for row in rows]


async def test_it_is_drawn_once_an_hour(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes from memory for an hour; then it is drawn again."""
    drawn: list[str] = []
    draw = qr.data_uri

    def counting(text: str) -> str:
        drawn.append(text)
        return draw(text)

    monkeypatch.setattr(qr, "data_uri", counting)
    data = await site.data("create", CREATE)
    who = {"id": data["id"], "token": data["token"]}
    first = await site.data("qr", who)
    site.rig.world.at += 3_599_999
    assert await site.data("qr", who) == first
    assert drawn == [data["from"]["address"]]
    site.rig.world.at += 1
    assert await site.data("qr", who) == first
    assert len(drawn) == 2


async def test_who_asks_is_checked_before_memory(site: Site) -> None:
    """A foreign partner, a wrong token, another id are 6 although the picture is remembered."""
    other = await create_partner(site.rig.desk, site.sealer, name="another")
    data = await site.data("create", CREATE)
    who = {"id": data["id"], "token": data["token"]}
    await site.data("qr", who)
    for answer in (
        await site.call("qr", who, partner=other),
        await site.call("qr", {**who, "token": "A" * 43}),
        await site.call("qr", {**who, "token": "short"}),
        await site.call("qr", {**who, "id": str(uuid.UUID(int=1))}),
        await site.call("qr", {**who, "id": "x"}),
    ):
        assert (answer.status_code, answer.json()) == UNKNOWN
    bad = await site.call("qr", {"id": data["id"]})
    assert (bad.status_code, bad.json()) == (400, {"code": 1, "msg": "INVALID_REQUEST"})


@pytest.mark.parametrize("how", ["deleted", "purged"])
async def test_what_is_gone_is_unknown_everywhere(site: Site, how: str) -> None:
    """After DONE the address is still shown; deleted or purged: order, emergency, qr and replay
    answer 6, from memory too."""
    key = {"Idempotency-Key": "order-0001"}
    data = await site.data("create", CREATE, headers=key)
    who = {"id": data["id"], "token": data["token"]}
    await site.rig.bind_all()
    order_id = uuid.UUID(data["id"])
    site.rig.pay(await site.rig.order(order_id))
    await site.rig.mine(count=2)
    for outcome in ("sent", "final"):
        report = {"order_id": data["id"], "attempt": 1, "outcome": outcome, "txid": "ab" * 32}
        await site.vault("reports", {"rows": [report]})
    assert (await site.data("order", who))["status"] == "DONE"
    await site.data("qr", who)
    if how == "deleted":
        await delete_order(site.rig.desk, order_id)
        answer = await site.call("create", CREATE, headers=key)
        assert (answer.status_code, answer.json()) == UNKNOWN
    else:
        site.rig.world.at += 72 * 3_600_000
        assert await purge_orders(site.rig.desk) == 1
        await site.rig.tick()
    for path in ("order", "qr", "emergency"):
        answer = await site.call(path, {**who, "choice": "EXCHANGE"})
        assert (answer.status_code, answer.json()) == UNKNOWN
