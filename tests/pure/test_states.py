"""The transition table and the classifier, enumerated: every State x Cause, every small Facts."""

import itertools

import pytest

from swapdesk.orders.classify import Arrival, Facts, classify, gather, hold_reasons
from swapdesk.orders.shown import SIGNED_V1, next_shown
from swapdesk.orders.states import FINISHED, MOVES, OPEN, Cause, State, next_state

FACTS = [
    Facts(final, pending, in_time, closed, min_units=10, max_units=20)
    for final, pending, in_time, closed in itertools.product(
        (0, 5, 10, 15, 20, 25), (0, 5, 15), (True, False), (True, False)
    )
]
EVERY = list(itertools.product(State, FACTS))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", Cause)
def test_every_state_and_cause_has_one_answer(state: State, cause: Cause) -> None:
    """Each of the pairs leads to one declared state, or nowhere."""
    assert next_state(state, cause) is MOVES.get((state, cause))


def test_every_state_can_be_reached_and_every_cause_is_used() -> None:
    """No dead words in the table."""
    reached = {State.WAITING} | set(MOVES.values())
    assert reached == set(State)
    assert {cause for _, cause in MOVES} == set(Cause)


def test_what_facts_cause_is_a_declared_move() -> None:
    """The classifier never names a cause that the table does not take."""
    for state, facts in EVERY:
        cause = classify(state, facts)
        assert cause is None or (state, cause) in MOVES


def test_settled_money_always_has_an_owner() -> None:
    """Final money on an order without a decision leads to a payout or to a person, or waits for
    more money that is already on its way."""
    for state, facts in EVERY:
        if not facts.final_units or state not in OPEN | {State.EXPIRED}:
            continue
        cause = classify(state, facts)
        more = facts.pending_units and facts.final_units < facts.min_units
        if more and state is State.CONFIRMING:
            assert cause is None
        elif more and state is State.WAITING:
            assert cause is Cause.DEPOSIT_SEEN
        else:
            assert cause is not None
            assert MOVES[state, cause] in {State.PAYING, State.HELD}


def test_an_order_without_money_or_time_ends() -> None:
    """Nothing here, nothing on its way, window closed: an open order expires."""
    for state, facts in EVERY:
        if facts.final_units or facts.pending_units or not facts.window_closed or state not in OPEN:
            continue
        cause = classify(state, facts)
        assert cause is Cause.WINDOW_CLOSED
        assert MOVES[state, cause] is State.EXPIRED


def test_facts_come_to_rest() -> None:
    """Following the same facts again and again ends after a few moves, never in a circle."""
    for start, facts in EVERY:
        state = start
        for _ in range(4):
            if cause := classify(state, facts):
                state = MOVES[state, cause]
        assert classify(state, facts) is None


def test_a_held_order_says_why() -> None:
    """Whatever leads to HELD by itself carries at least one reason."""
    for state, facts in EVERY:
        if classify(state, facts) is Cause.DEPOSIT_ODD:
            assert hold_reasons(state, facts)


def test_once_a_refund_is_decided_no_path_leads_to_a_payout() -> None:
    """From REFUNDING nothing reaches PAYING, PAID or DONE, whatever happens."""
    reached, todo = set(), [State.REFUNDING]
    while todo:
        state = todo.pop()
        for (source, _), target in MOVES.items():
            if source is state and target not in reached:
                reached.add(target)
                todo.append(target)
    assert reached == {State.REFUNDING, State.REFUNDED}


def test_finished_orders_leave_only_by_new_money_or_the_operator() -> None:
    """DONE, REFUNDED and EXPIRED take nothing that a timer or an old message could cause."""
    causes = {cause for state, cause in MOVES if state in FINISHED}
    assert causes == {Cause.DEPOSIT_ODD, Cause.CHOSE_REFUND}


def test_no_status_ever_recurs_on_the_wire() -> None:
    """Every path of up to ten moves: statuses told never repeat, and EXPIRED is followed by
    EMERGENCY only."""
    seen: set[tuple[State, tuple[str, ...]]] = set()
    todo = [(State.WAITING, next_shown((), State.WAITING))]
    while todo:
        state, shown = todo.pop()
        if (state, shown) in seen:
            continue
        seen.add((state, shown))
        assert len(set(shown)) == len(shown)
        assert "DONE" not in shown[:-1]
        if "EXPIRED" in shown[:-1]:
            assert shown[shown.index("EXPIRED") + 1] == "EMERGENCY"
        todo += [
            (target, next_shown(shown, target)) for (s, _), target in MOVES.items() if s is state
        ]
    assert {state for state, _ in seen} == set(State)


def test_every_state_has_a_word() -> None:
    """The wire's table is total."""
    assert set(SIGNED_V1) == set(State)


def _arrival(units: int = 10, *, final: bool = True, gone: bool = False, seen: int = 5) -> Arrival:
    return Arrival(units, final, gone, seen)


@pytest.mark.parametrize(
    ("arrivals", "synced", "expected"),
    [
        ([], 0, Facts(0, 0, False, False, 10, 20)),
        ([], 101, Facts(0, 0, False, True, 10, 20)),
        ([_arrival()], 0, Facts(10, 0, True, False, 10, 20)),
        ([_arrival(), _arrival(3, final=False)], 0, Facts(10, 3, True, False, 10, 20)),
        ([_arrival(1)], 0, Facts(0, 0, False, False, 10, 20)),
        ([_arrival(gone=True, final=False)], 0, Facts(0, 0, False, False, 10, 20)),
        ([_arrival(seen=101)], 0, Facts(10, 0, False, False, 10, 20)),
        ([_arrival(seen=101), _arrival(seen=100)], 0, Facts(20, 0, True, False, 10, 20)),
    ],
)
def test_facts_are_gathered_from_the_full_picture(
    arrivals: list[Arrival], synced: int, expected: Facts
) -> None:
    """Dust and what is gone do not count; the window closes only once somebody looked after it."""
    facts = gather(
        arrivals, dust_units=2, min_units=10, max_units=20, window_ends_ms=100, synced_ms=synced
    )
    assert facts == expected
