"""The partner's pages say what the code does: every code, every status, every weight."""

import re
from pathlib import Path
from typing import Final

import pytest

from swapdesk.errors import No
from swapdesk.orders.shown import next_shown
from swapdesk.orders.states import MOVES, State
from swapdesk.partners.credential import Scope
from swapdesk.web.signed_v1_words import INTERNAL, REFUSAL, STATUS
from tests.http_site import sign
from tests.wire_spec import DOCUMENT

PAGES: Final = Path(__file__).parents[2] / "docs" / "partner"
ERRORS: Final = (PAGES / "errors.md").read_text()
STATUSES: Final = (PAGES / "status-mapping.md").read_text()
OVERVIEW: Final[str] = DOCUMENT["info"]["description"]
ORDERS: Final[str] = next(t for t in DOCUMENT["tags"] if t["name"] == "Orders")["description"]


def _rows(page: str, *heads: str) -> list[list[str]]:
    """The cells of the table whose columns begin with `heads`, without back-quotes."""
    lines = page.splitlines()
    top = next(n for n, line in enumerate(lines) if line.startswith(f"| {' | '.join(heads)} "))
    rows = []
    for line in lines[top + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


@pytest.mark.parametrize("page", [ERRORS, OVERVIEW], ids=["errors.md", "openapi.yaml"])
def test_every_code_has_its_row(page: str) -> None:
    """Code, constant and HTTP status of every refusal, each with a reason and a remedy."""
    rows = _rows(page, "code", "msg", "HTTP")
    told = {(int(http), int(code), msg) for code, msg, http, *_ in rows}
    assert told == {*REFUSAL.values(), INTERNAL}
    assert all(all(row) for row in rows)


def test_no_operation_has_a_code_that_nothing_says() -> None:
    """Every constant of the description is one of ours, with its own code."""
    known = {(code, msg) for _, code, msg in [*REFUSAL.values(), INTERNAL]}
    schemas = DOCUMENT["components"]["schemas"]
    told = {
        (each["properties"]["code"]["const"], each["properties"]["msg"]["const"])
        for name, each in schemas.items()
        if {"code", "msg"} == set(each.get("properties", ())) and name != "Success"
    }
    unsaid = {REFUSAL[No.RESERVE][1:]}  # reserved, never sent
    assert told == known - unsaid


@pytest.mark.parametrize("page", [STATUSES, ORDERS], ids=["status-mapping.md", "openapi.yaml"])
def test_what_may_follow_a_status(page: str) -> None:
    """Exactly what the transition table and the wire's rule allow, over every path."""
    told = {
        status: set(re.findall(r"[A-Z]{3,}", row[-1 if len(row) == 2 else 1]))
        for status, *row in _rows(page, "status")
    }
    assert told == _follows()


def _follows() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {word: set() for word in STATUS.values()}
    seen: set[tuple[State, tuple[str, ...]]] = set()
    left: list[tuple[State, tuple[str, ...]]] = [(State.WAITING, ("NEW",))]
    while left:
        here = left.pop()
        if here in seen:
            continue
        seen.add(here)
        state, shown = here
        for (before, _), after in MOVES.items():
            if before is state:
                then = next_shown(shown, after)
                found[shown[-1]] |= {then[-1]} - {shown[-1]}
                left.append((after, then))
    return found


def test_every_state_has_its_word() -> None:
    """The table of what the desk knows and what it tells."""
    told = {
        state: status
        for states, status in _rows(STATUSES, "inside", "on the wire")
        for state in re.findall(r"[A-Z]{3,}", states)
    }
    assert told == {state.name: STATUS[state] for state in State}


def test_signatures_to_check_against() -> None:
    """Whoever computes what the pages show has it right."""
    rows = _rows(ERRORS, "body", "`X-API-SIGN`")
    assert len(rows) == 3
    for body, told in rows:
        assert told == sign("test-secret", b"" if body == "none" else body.encode())
    for raw in (b"", b"{}"):
        assert f"`{sign('test-secret', raw)}`" in OVERVIEW


def test_scopes_are_named() -> None:
    """The description names every scope that a key can have."""
    assert {scope for scope in Scope if f"`{scope.value}`" in OVERVIEW} == set(Scope)
