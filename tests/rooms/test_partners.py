"""Partners: sealing, the weight budget, and what the operator does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapdesk.engine.admit import admit, find_holder
from swapdesk.engine.partner_admin import create_partner, list_partners
from swapdesk.engine.sweep import sweep_nonces
from swapdesk.errors import No, Refused
from swapdesk.partners.limits import WINDOW_SECONDS, retry_after_seconds
from swapdesk.partners.partner import Caller, Holder
from swapdesk.partners.secrets import (
    Place,
    Sealer,
    SigningKeys,
    Unsealable,
    make_key_file,
    read_key_file,
)
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.world import RealWorld
from tests.http_site import SEALING_KEYS, Clock
from tests.postgres import Dsns
from tests.rig import Rig, rig_on

HERE = Place("credential", "1", "secret_sealed")
anyio = pytest.mark.anyio


@pytest.fixture
async def rig(desk_dsns: Dsns) -> AsyncIterator[Rig]:
    """A desk with a partner of its own."""
    async with rig_on(desk_dsns.app) as begun:
        yield begun


def test_what_is_sealed_opens_in_its_place_only() -> None:
    """Same secret, two blobs; another row, column, table or key, and any flipped bit: no."""
    sealer = Sealer(SEALING_KEYS)
    blob, again = (sealer.seal(RealWorld(), HERE, "secret") for _ in range(2))
    assert blob != again
    assert sealer.open(HERE, blob) == sealer.open(HERE, again) == "secret"
    assert b"secret" not in blob
    places = [
        Place("credential", "2", "secret_sealed"),
        Place("credential", "1", "other"),
        Place("partner", "1", "secret_sealed"),
    ]
    for place in places:
        with pytest.raises(Unsealable):
            sealer.open(place, blob)
    for position in range(len(blob)):
        broken = blob[:position] + bytes([blob[position] ^ 1]) + blob[position + 1 :]
        with pytest.raises(Unsealable):
            sealer.open(HERE, broken)
    for cut in range(len(blob)):
        with pytest.raises(Unsealable):
            sealer.open(HERE, blob[:cut])
    with pytest.raises(Unsealable):
        Sealer({"k1": bytes(32)}).open(HERE, blob)


def test_rotation_opens_old_blobs_and_seals_with_the_new_key() -> None:
    """A new key on top; old blobs open, the derived key stays, without the old key: no."""
    old = Sealer(SEALING_KEYS)
    both = Sealer({"k2": bytes(32), **SEALING_KEYS})
    blob = old.seal(RealWorld(), HERE, "secret")
    assert both.open(HERE, blob) == "secret"
    assert both.derive("idempotency") == old.derive("idempotency") != old.derive("other")
    fresh = both.seal(RealWorld(), HERE, "secret")
    with pytest.raises(Unsealable):
        old.open(HERE, fresh)


def test_the_key_file(tmp_path: Path) -> None:
    """Made with mode 0600 and never overwritten; a readable or malformed one is refused."""
    path = tmp_path / "sealing.key"
    make_key_file(path, RealWorld())
    assert path.stat().st_mode & 0o777 == 0o600
    blob = read_key_file(path).seal(RealWorld(), HERE, "secret")
    assert read_key_file(path).open(HERE, blob) == "secret"
    with pytest.raises(FileExistsError):
        make_key_file(path, RealWorld())
    path.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        read_key_file(path)
    for text in ("", "k1:short", "k1", "k1:!!!", path.read_text() * 2):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ValueError, match=r"key|line"):
            read_key_file(path)


def test_opened_keys_are_bounded_and_know_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version is opened afresh; the oldest opened key leaves when there are too many."""
    monkeypatch.setattr("swapdesk.partners.secrets.OPENED_MAX", 2)
    sealer = Sealer(SEALING_KEYS)
    keys = SigningKeys(sealer)
    first, second = (sealer.seal(RealWorld(), HERE, text) for text in ("one", "two"))
    one = keys.get("1", 1, first)
    assert keys.get("1", 1, b"never looked at") is one
    assert keys.get("1", 2, second).sign(b"x") != one.sign(b"x")
    keys.get("1", 3, second)
    assert keys.get("1", 1, first) is not one


def test_retry_after_is_the_first_second_with_room() -> None:
    """Worked example: 50 charged at 0 s and 40 at 30 s of a budget of 100."""
    buckets = {1000: 50, 1030: 40}
    assert retry_after_seconds(buckets, 1_031_000, 100, 10) is None
    assert retry_after_seconds(buckets, 1_031_000, 100, 11) == 29
    assert retry_after_seconds(buckets, 1_031_001, 100, 11) == 29
    assert retry_after_seconds(buckets, 1_030_999, 100, 11) == 30
    assert retry_after_seconds(buckets, 1_031_000, 100, 61) == 59
    assert retry_after_seconds(buckets, 1_060_000, 100, 60) is None
    assert retry_after_seconds({}, 1_060_000, 100, 101) == WINDOW_SECONDS


@given(
    st.dictionaries(st.integers(0, 130), st.integers(1, 50), max_size=40),
    st.integers(0, 130_999),
    st.integers(1, 120),
)
def test_retry_after_is_neither_too_early_nor_too_late(
    charged: dict[int, int], now_ms: int, weight: int
) -> None:
    """After the told seconds there is room if nobody else asks; a second earlier there was none."""
    cap = 100
    buckets = {second: w for second, w in charged.items() if second <= now_ms // 1000}
    wait = retry_after_seconds(buckets, now_ms, cap, weight)
    if weight > cap:
        assert wait == WINDOW_SECONDS
    elif wait is not None:
        assert 1 <= wait <= WINDOW_SECONDS
        assert retry_after_seconds(buckets, now_ms + wait * 1000, cap, weight) is None
        earlier = now_ms + (wait - 1) * 1000
        assert retry_after_seconds(buckets, earlier, cap, weight) is not None


def test_strangers_are_counted_per_network_and_together() -> None:
    """IPv4 by address, mapped or not; IPv6 by /64; a ceiling over all; nothing is kept for long."""
    world = Clock()
    bucket = PublicBucket(world, per_address=2, everybody=5)

    def refused(address: str) -> int | None:
        try:
            bucket.take(address)
        except Refused as no:
            return no.retry_after_seconds
        return None

    assert [refused("192.0.2.1"), refused("::ffff:192.0.2.1")] == [None, None]
    world.at += 10_000
    assert refused("192.0.2.1") == 50
    assert [refused("2001:db8::1"), refused("2001:db8::2"), refused("2001:db8::3")] == [
        None, None, 60,
    ]  # fmt: skip
    assert [refused("2001:db8:0:1::1"), refused("192.0.2.9")] == [None, 50]
    world.at += 50_000
    assert refused("192.0.2.1") is None
    world.at += 60_000
    assert refused("") is None
    assert len(bucket._mine) == len(bucket._all) == 1


@anyio
async def test_create_and_list(rig: Rig) -> None:
    """Clear text is answered once; the database has only sealed blobs; the list has no secret."""
    sealer = Sealer(SEALING_KEYS)
    made = await create_partner(
        rig.desk, sealer, name="wallet", webhook_url="https://wallet.example/hook", markup_bps=25
    )
    holder = await find_holder(rig.desk, made.api_key)
    assert holder is not None
    assert holder.secret_sealed is not None
    place = Place("credential", str(holder.credential_id), "secret_sealed")
    assert sealer.open(place, holder.secret_sealed) == made.api_secret
    assert (holder.markup_bps, holder.enabled) == (25, True)
    listed = [p for p in await list_partners(rig.desk) if p.name == "wallet"]
    assert listed[0].api_keys == (made.api_key,)
    for secret in (made.api_secret, made.webhook_secret):
        assert secret not in repr(listed) + repr(made)
        async with rig.desk.db.transaction() as tx:
            for table in ("partner", "credential"):
                dump = str(await tx.fetch(f"SELECT * FROM {table}"))
                assert secret not in dump


@anyio
@pytest.mark.parametrize(
    ("change", "no"),
    [
        ({"name": "shop"}, No.CONFLICT),
        ({"name": ""}, No.INVALID),
        ({"name": "x" * 65}, No.INVALID),
        ({"name": "line\nbreak"}, No.INVALID),
        ({"markup_bps": 2001}, No.INVALID),
        ({"markup_bps": -1}, No.INVALID),
        ({"webhook_url": "http://shop.example/hook"}, No.INVALID),
        ({"webhook_url": "https://10.0.0.1/hook"}, No.INVALID),
        ({"webhook_url": "https://user:pass@shop.example/"}, No.INVALID),
        ({"webhook_url": "ftp://shop.example/"}, No.INVALID),
    ],
)
async def test_create_refuses(rig: Rig, change: dict[str, object], no: No) -> None:
    """A taken name, an impossible markup, a webhook that may not be called."""
    ask: dict[str, object] = {"name": "other", **change}
    with pytest.raises(Refused) as refused:
        await create_partner(rig.desk, Sealer(SEALING_KEYS), **ask)  # type: ignore[arg-type]
    assert refused.value.no is no


async def _holder(rig: Rig) -> Holder:
    made = await create_partner(rig.desk, Sealer(SEALING_KEYS), name="wallet")
    holder = await find_holder(rig.desk, made.api_key)
    assert holder is not None
    return holder


@anyio
async def test_admit_under_concurrency(rig: Rig) -> None:
    """Sixty concurrent charges of 50 on a budget of 2500: fifty get in, and all nonces are burnt."""
    holder = await _holder(rig)

    async def one(number: int) -> No | None:
        try:
            await admit(rig.desk, Caller(holder, f"nonce-number-{number:05}", 50))
        except Refused as no:
            return no.no
        return None

    told = await asyncio.gather(*(one(number) for number in range(60)))
    assert (told.count(None), told.count(No.RATE_LIMIT)) == (50, 10)
    again = await asyncio.gather(*(one(number) for number in range(60)))
    assert set(again) == {No.AUTH_INVALID}


@anyio
async def test_sweeping_forgets_what_is_old(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nonces after ten minutes, buckets after one, chunk by chunk; nothing younger."""
    monkeypatch.setattr("swapdesk.engine.sweep.CHUNK", 3)
    holder = await _holder(rig)
    for number in range(8):
        await admit(rig.desk, Caller(holder, f"nonce-number-{number:05}", 1))
        rig.world.at += 1_000
    rig.world.at += 590_000
    await admit(rig.desk, Caller(holder, "nonce-that-is-young", 1))
    rig.world.at += 7_000
    await sweep_nonces(rig.desk)
    async with rig.desk.db.transaction() as tx:
        left = [row["nonce"] for row in await tx.fetch("SELECT nonce FROM nonce ORDER BY 1")]
        buckets = await tx.fetchval("SELECT count(*) FROM weight_charge")
    assert left == ["nonce-number-00005", "nonce-number-00006", "nonce-number-00007",
                    "nonce-that-is-young"]  # fmt: skip
    assert buckets == 1
