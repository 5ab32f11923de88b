"""The policy: every fact that may break, alone and together; and what holds whenever it pays."""

import itertools
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapdesk.handoff import Binding
from swapdesk.money import BPS, USD_SCALE
from swapdesk.rates.book import Price
from swapdesk_vault.payment import Payment, Spending, Worth
from swapdesk_vault.policy import (
    Case,
    Evidence,
    Hold,
    Limits,
    Pay,
    Refuse,
    decide,
    fee_units_max,
)

NOW = 10**12
LIMITS = Limits(
    order_usd=1_000,
    hour_usd=5_000,
    day_usd=9_000,
    hour_payments=10,
    asset_day_usd={"usdt": 8_000},
    value_tolerance_bps=100,
    loss_hour_usd=20,
    loss_day_usd=50,
    late_bind_cap_usd=300,
    late_bind_hourly_usd=600,
    verify_patience_ms=60_000,
)
BINDING = Binding(
    order_id=str(uuid.UUID(int=1)),
    network="bitcoin",
    index=0,
    address="in",
    from_asset="btc",
    to_asset="usdt",
    destination="out",
    refund_address="back",
    opened_at_ms=0,
)
PAYMENT = Payment(
    order_id=uuid.UUID(int=1),
    attempt=1,
    kind="payout",
    network="ethereum",
    asset="usdt",
    units=500 * 10**6,
    destination="out",
    covers_units=10**6,
    stored_ms=NOW - 10,
    doubt_ms=None,
    trouble=None,
    tries=0,
    next_ms=0,
    signed_ms=None,
    sent_ms=None,
    verdict=None,
)
NOTHING = Spending(0, 0, 0, 0, 0, 0, 0)
#: 50,000 dollars a bitcoin: a hundredth is worth 500.
GOOD = Case(
    now_ms=NOW,
    payment=PAYMENT,
    binding=BINDING,
    bound_ms=100,
    forbidden=None,
    evidence=Evidence(confirmed_units=10**6, first_block_ms=200),
    answered_units=0,
    answered_kinds=frozenset(),
    spending=NOTHING,
    paid=(Price(USD_SCALE, USD_SCALE), 6),
    received=(Price(50_000 * USD_SCALE, 50_000 * USD_SCALE), 8),
)
REFUND = msgspec.structs.replace(
    GOOD,
    payment=msgspec.structs.replace(
        PAYMENT, kind="refund", asset="btc", units=10**6, destination="back"
    ),
    paid=GOOD.received,
)


def but(case: Case, **changes: Any) -> Case:
    """The case with other facts; those of payment, evidence and spending by their own names."""
    for part in ("payment", "evidence", "spending"):
        inner = getattr(case, part)
        mine = {k: changes.pop(k) for k in list(changes) if k in inner.__struct_fields__}
        case = msgspec.structs.replace(case, **{part: msgspec.structs.replace(inner, **mine)})
    return msgspec.structs.replace(case, **changes)


def usd(dollars: int) -> int:
    """Dollars in the unit of prices."""
    return dollars * USD_SCALE


def test_the_good_case_pays() -> None:
    """What was promised, verified and within all bounds is paid, with its worth."""
    assert decide(GOOD, LIMITS) == Pay(Worth(usd(500), usd(500), late=False))
    assert decide(REFUND, LIMITS) == Pay(Worth(usd(500), usd(500), late=False))


NO_REFUND = msgspec.structs.replace(BINDING, refund_address=None)
BROKEN: dict[str, tuple[Case, dict[str, Any], type]] = {
    "unbound": (GOOD, {"binding": None}, Refuse),
    "other asset": (GOOD, {"asset": "usdc"}, Refuse),
    "other destination": (GOOD, {"destination": "thief"}, Refuse),
    "payout to the refund address": (GOOD, {"destination": "back"}, Refuse),
    "forbidden destination": (GOOD, {"forbidden": "our own hot wallet"}, Refuse),
    "second payout": (GOOD, {"answered_kinds": frozenset({"payout"})}, Refuse),
    "payout beside a refund": (GOOD, {"answered_kinds": frozenset({"refund"})}, Refuse),
    "operator refused": (GOOD, {"verdict": "refuse"}, Refuse),
    "refund in the other asset": (REFUND, {"asset": "usdt"}, Refuse),
    "refund elsewhere": (REFUND, {"destination": "out"}, Refuse),
    "refund to nobody": (REFUND, {"binding": NO_REFUND}, Refuse),
    "refund too large": (REFUND, {"units": 10**6 + 1}, Refuse),
    "nothing confirmed": (GOOD, {"confirmed_units": 0}, Hold),
    "one unit short": (GOOD, {"confirmed_units": 10**6 - 1}, Hold),
    "covered by others": (GOOD, {"answered_units": 1}, Hold),
    "in doubt, patient": (GOOD, {"confirmed_units": 0, "doubt_ms": NOW - 59_999}, Hold),
    "in doubt too long": (GOOD, {"confirmed_units": 0, "doubt_ms": NOW - 60_000}, Refuse),
    "own price of what leaves is stale": (GOOD, {"paid": None}, Hold),
    "own price of what came is stale": (GOOD, {"received": None}, Hold),
    "above its worth": (GOOD, {"units": 505 * 10**6 + 1}, Hold),
    "loss of the hour": (GOOD, {"units": 505 * 10**6, "hour_loss_usd": usd(15) + 1}, Hold),
    "loss of the day": (GOOD, {"units": 505 * 10**6, "day_loss_usd": usd(45) + 1}, Hold),
    "cap of the hour": (GOOD, {"hour_usd": usd(4_500) + 1}, Hold),
    "cap of the day": (GOOD, {"day_usd": usd(8_500) + 1}, Hold),
    "cap of the asset": (GOOD, {"asset_day_usd": usd(7_500) + 1}, Hold),
    "too many": (GOOD, {"hour_count": 10}, Hold),
    "bound late": (GOOD, {"bound_ms": 1_200}, Hold),
    "first block unknown": (GOOD, {"first_block_ms": None}, Hold),
}
#: These an operator may lift.
LIFTED = {
    "cap of the hour", "cap of the day", "cap of the asset", "too many", "bound late",
    "first block unknown",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_fact_is_enough(name: str) -> None:
    """Each fact alone turns Pay into its own word."""
    case, changes, word = BROKEN[name]
    assert type(decide(but(case, **changes), LIMITS)) is word


@pytest.mark.parametrize("name", BROKEN)
def test_what_an_operator_may_lift(name: str) -> None:
    """approve lifts caps and lateness, and nothing else."""
    case, changes, word = BROKEN[name]
    if name == "operator refused":
        return
    decision = decide(but(case, **changes, verdict="approve"), LIMITS)
    assert type(decision) is (Pay if name in LIFTED else word)


def test_any_two_broken_facts_never_pay() -> None:
    """And a refusal is never softened into a hold."""
    for (_, (case, one, word)), (_, (other, two, word_two)) in itertools.combinations(
        BROKEN.items(), 2
    ):
        if case is other and not one.keys() & two.keys():
            decision = decide(but(case, **one, **two), LIMITS)
            assert not isinstance(decision, Pay)
            if {word, word_two} == {Refuse}:
                assert isinstance(decision, Refuse)


def test_bounds_are_exact() -> None:
    """At a bound it pays, one unit above it does not."""
    at = (
        {"units": 505 * 10**6},
        {"hour_usd": usd(4_500)},
        {"day_usd": usd(8_500)},
        {"asset_day_usd": usd(7_500)},
        {"hour_count": 9},
        {"units": 505 * 10**6, "hour_loss_usd": usd(15)},
        {"units": 505 * 10**6, "day_loss_usd": usd(45)},
        {"bound_ms": 1_199},
    )
    for changes in at:
        assert isinstance(decide(but(GOOD, **changes), LIMITS), Pay), changes
    late = but(GOOD, bound_ms=1_200, units=300 * 10**6, late_hour_usd=usd(300))
    assert decide(late, LIMITS) == Pay(Worth(usd(300), usd(500), late=True))
    assert isinstance(decide(but(late, late_hour_usd=usd(300) + 1), LIMITS), Hold)
    assert isinstance(decide(but(late, units=300 * 10**6 + 1), LIMITS), Hold)


def test_gains_do_not_hold_a_payment() -> None:
    """A used-up loss budget stops losses only."""
    broke = but(GOOD, hour_loss_usd=usd(999), day_loss_usd=usd(999))
    assert isinstance(decide(broke, LIMITS), Pay)


small = st.integers(0, 3 * 10**6)
dollars = st.integers(0, 10_000).map(usd)


@settings(max_examples=500, deadline=None)
@given(
    kind=st.sampled_from(["payout", "refund"]),
    asset=st.sampled_from(["usdt", "btc"]),
    units=st.integers(1, 1_200 * 10**6),
    destination=st.sampled_from(["out", "back", "thief"]),
    covers_units=st.integers(1, 3 * 10**6),
    confirmed_units=small,
    answered_units=small,
    answered_kinds=st.frozensets(st.sampled_from(["payout", "refund"])),
    bound_ms=st.integers(1_198, 1_202),
    forbidden=st.sampled_from([None, "bad"]),
    hour_usd=dollars,
    day_usd=dollars,
    hour_loss_usd=st.integers(-100, 100).map(usd),
    day_loss_usd=st.integers(-100, 100).map(usd),
    late_hour_usd=dollars,
    hour_count=st.integers(0, 12),
    verdict=st.sampled_from([None, "approve", "refuse"]),
    doubt_ms=st.sampled_from([None, NOW - 1, NOW - 99_999]),
    bid=st.integers(1, 10**5),
    spread=st.integers(0, 10**3),
)
def test_whenever_it_pays(bid: int, spread: int, **facts: Any) -> None:
    """Whatever the facts: a Pay keeps every promise that the vault makes."""
    price = Price(usd(bid), usd(bid + spread)), 8
    paid = (Price(USD_SCALE, USD_SCALE), 6) if facts["asset"] == "usdt" else price
    case = but(GOOD, **facts, received=price, paid=paid)
    decision = decide(case, LIMITS)
    if not isinstance(decision, Pay):
        return
    payment, worth = case.payment, decision.worth
    assert payment.verdict != "refuse"
    assert case.forbidden is None
    assert case.answered_units + payment.covers_units <= case.evidence.confirmed_units
    if payment.kind == "payout":
        assert (payment.asset, payment.destination) == ("usdt", "out")
        assert not case.answered_kinds
    else:
        assert (payment.asset, payment.destination) == ("btc", "back")
        assert payment.units <= payment.covers_units
    assert worth.paid_usd * BPS <= worth.received_usd * (BPS + LIMITS.value_tolerance_bps)
    loss = max(worth.paid_usd - worth.received_usd, 0)
    if loss:
        assert case.spending.hour_loss_usd + loss <= usd(LIMITS.loss_hour_usd)
        assert case.spending.day_loss_usd + loss <= usd(LIMITS.loss_day_usd)
    if payment.verdict != "approve":
        assert worth.paid_usd <= usd(LIMITS.order_usd)
        assert case.spending.hour_usd + worth.paid_usd <= usd(LIMITS.hour_usd)
        assert case.spending.hour_count < LIMITS.hour_payments
        assert worth.late == (case.bound_ms >= 1_200)
        if worth.late:
            assert worth.paid_usd <= usd(LIMITS.late_bind_cap_usd)


@given(paid=st.integers(0, 10**6).map(usd), price=st.integers(1, 10**6).map(usd))
def test_fees_are_bounded_both_ways(paid: int, price: int) -> None:
    """Never more than the absolute cap, never more than the share of the payment."""
    limits = Limits(fee_usd=50, fee_bps=1_000)
    fee = fee_units_max(Worth(paid, paid, late=False), (Price(price, price), 8), limits)
    assert fee is not None
    assert fee * price <= usd(50) * 10**8
    assert fee * price * BPS <= paid * 1_000 * 10**8
    assert fee_units_max(Worth(paid, paid, late=False), None, limits) is None


def test_limits_that_are_none_are_refused() -> None:
    """A negative limit or a fee above the payment is a mistake in the site file."""
    with pytest.raises(ValueError, match="negative"):
        Limits(order_usd=-1)
    with pytest.raises(ValueError, match="negative"):
        Limits(asset_day_usd={"usdt": -1})
    with pytest.raises(ValueError, match="fee"):
        Limits(fee_bps=10_001)
