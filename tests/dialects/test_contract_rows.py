"""The contract's tables, row by row: which tests hold each row, and what a row says by itself.

A row without a test, or one whose test was renamed, fails here. Columns that can be asked of the
running site (who may call, what it weighs, code and HTTP status) are asked.
"""

import ast
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from swapdesk.errors import No
from swapdesk.web.signed_v1_words import INTERNAL, REFUSAL
from tests.http_site import CREATE, PRICE, Site

pytestmark = pytest.mark.anyio

TESTS: Final = Path(__file__).parents[1]


class Endpoint(NamedTuple):
    """One row of the endpoint table. `weight` None: not charged to partners."""

    method: str
    path: str
    signed: bool  #: True: credentials are required
    weight: int | None
    held_by: Sequence[str]


V1 = "dialects/test_signed_v1.py::"
DOORS = "dialects/test_doors.py::"
EMERGENCY = "dialects/test_emergency.py::"
QR = "dialects/test_qr.py::"
KEYS = "dialects/test_keys.py::"
CODES = "dialects/test_codes.py::"
SWITCHES = "dialects/test_switches.py::"
FEED = "dialects/test_xml_feed.py::"
REFERRAL = "dialects/test_referral.py::"
BAD_INPUT = "dialects/test_bad_input.py::"
HOOKS = "rooms/test_webhook_contract.py::"
STATES = "pure/test_states.py::"
REMOVAL = "rooms/test_removal.py::"

ENDPOINTS: Final = (
    Endpoint("POST", "/api/v1/currencies", False, 1, [V1 + "test_currencies_and_pairs"]),
    Endpoint("POST", "/api/v1/pairs", False, 1,
             [V1 + "test_currencies_and_pairs", V1 + "test_the_catalogue_is_kept_for_half_a_minute"]),
    Endpoint("POST", "/api/v1/price", False, 1,
             [V1 + "test_price_answers_like_the_page", V1 + "test_price_to_says_what_to_send",
              DOORS + "test_strangers_have_a_budget_of_their_own"]),
    Endpoint("POST", "/api/v1/create", True, 50,
             [V1 + "test_create_answers_like_the_seed_page", V1 + "test_idempotent_replays",
              BAD_INPUT + "test_bad_create"]),
    Endpoint("POST", "/api/v1/order", True, 1,
             [V1 + "test_a_swap_as_the_partner_sees_it", V1 + "test_not_found_is_one_answer"]),
    Endpoint("POST", "/api/v1/emergency", True, 1,
             [EMERGENCY + "test_a_choice_is_stored_and_acted_on_by_the_worker",
              EMERGENCY + "test_not_in_emergency", EMERGENCY + "test_a_repeat_is_true"]),
    Endpoint("POST", "/api/v1/qr", True, 5,
             [QR + "test_the_picture_says_the_bare_address", QR + "test_it_is_drawn_once_an_hour",
              QR + "test_who_asks_is_checked_before_memory"]),
    Endpoint("POST", "/api/v1/keys/rotate", True, 1,
             [KEYS + "test_rotating_the_api_secret", KEYS + "test_rotating_the_webhook_secret",
              KEYS + "test_rotating_both", KEYS + "test_of_concurrent_rotations_one_wins"]),
    Endpoint("POST", "/api/v1/codes", True, 1,
             [CODES + "test_a_new_code_answers_like_the_page", CODES + "test_ill_formed_codes",
              CODES + "test_fifty_codes_and_no_more"]),
    Endpoint("GET", "/api/v1/codes", True, 1,
             [CODES + "test_the_list_is_newest_first_and_one_partners_own"]),
    Endpoint("DELETE", "/api/v1/codes", True, 1, [CODES + "test_disabling_and_enabling"]),
    Endpoint("POST", "/api/v1/codes/enable", True, 1, [CODES + "test_disabling_and_enabling"]),
    Endpoint("GET", "/api/rates.xml", False, None,
             [FEED + "test_the_feed_is_the_contracts_to_the_byte"]),
    Endpoint("GET", "/rates/float.xml", False, None, [FEED + "test_both_paths_are_one_snapshot"]),
    Endpoint("GET", "/r/{code}", False, None,
             [REFERRAL + "test_a_link_sets_the_cookie_and_fills_in_the_pair",
              REFERRAL + "test_an_order_is_attributed"]),
)  # fmt: skip


class Error(NamedTuple):
    """One row of the error table; `http`: every status that the code comes with."""

    code: int
    msg: str
    http: frozenset[int]
    held_by: Sequence[str]


ERRORS: Final = (
    Error(0, "", frozenset({200}), [V1 + "test_create_answers_like_the_seed_page"]),
    Error(1, "INVALID_REQUEST", frozenset({400, 409}),
          [BAD_INPUT + "test_bad_create", V1 + "test_idempotent_replays",
           V1 + "test_malformed_idempotency_keys"]),
    Error(2, "AUTH_REQUIRED", frozenset({401}), [DOORS + "test_matrix_of_refusals"]),
    Error(3, "AUTH_INVALID", frozenset({401}),
          [DOORS + "test_matrix_of_refusals", DOORS + "test_no_oracle"]),
    Error(4, "AUTH_DISABLED", frozenset({401}), [SWITCHES + "test_a_disabled_partner"]),
    Error(5, "RATE_LIMIT", frozenset({429}), [DOORS + "test_the_budget_of_a_minute"]),
    Error(6, "NOT_FOUND", frozenset({404}),
          [V1 + "test_not_found_is_one_answer", QR + "test_what_is_gone_is_unknown_everywhere"]),
    Error(7, "LIMIT_MIN", frozenset({400}),
          [V1 + "test_price_tells_limits_and_create_enforces_them"]),
    Error(8, "LIMIT_MAX", frozenset({400}),
          [V1 + "test_price_tells_limits_and_create_enforces_them",
           SWITCHES + "test_the_daily_cap"]),
    Error(9, "RESERVE_EXCEEDED", frozenset({503}),
          [SWITCHES + "test_a_price_tells_of_a_short_reserve"]),
    Error(10, "MAINTENANCE", frozenset({503}),
          [SWITCHES + "test_maintenance_pauses_create_only"]),
    Error(11, "UPSTREAM_ERROR", frozenset({503}),
          [V1 + "test_the_catalogue_is_kept_for_half_a_minute"]),
    Error(12, "EMERGENCY_INVALID_CHOICE", frozenset({400}),
          [EMERGENCY + "test_any_other_choice_is_twelve"]),
    Error(14, "ROTATION_CONFLICT", frozenset({409}),
          [KEYS + "test_the_loser_hears_fourteen", KEYS + "test_the_loser_of_a_race_changes_nothing"]),
    Error(99, "INTERNAL", frozenset({500}), [DOORS + "test_unexpected_trouble_tells_nothing"]),
)  # fmt: skip

#: Rows of the status and webhook tables, and the decisions on orders: row -> tests.
OTHER_ROWS: Final[dict[str, Sequence[str]]] = {
    "status NEW": [V1 + "test_create_answers_like_the_seed_page"],
    "status PENDING": [V1 + "test_a_swap_as_the_partner_sees_it"],
    "status EXCHANGE": [V1 + "test_a_swap_as_the_partner_sees_it"],
    "status DONE": [V1 + "test_a_swap_as_the_partner_sees_it"],
    "status EXPIRED": [EMERGENCY + "test_not_in_emergency", EMERGENCY + "test_a_refund_ends_the_choice"],
    "status EMERGENCY": [V1 + "test_an_underpaid_order_shows_why_it_waits"],
    "status words cover the states": [V1 + "test_there_is_a_word_for_everything",
                                      STATES + "test_every_state_has_a_word"],
    "status never recurs": [STATES + "test_no_status_ever_recurs_on_the_wire"],
    "emergency.status LIMIT": [V1 + "test_an_underpaid_order_shows_why_it_waits"],
    "emergency.status EXPIRED": [EMERGENCY + "test_late_money_may_be_exchanged"],
    "emergency.choice NONE, EXCHANGE": [EMERGENCY + "test_a_choice_is_stored_and_acted_on_by_the_worker"],
    "soft delete": [REMOVAL + "test_a_deleted_order_is_unknown_and_counted_all_the_same",
                    QR + "test_what_is_gone_is_unknown_everywhere"],
    "retention": [REMOVAL + "test_a_purge_leaves_nothing_personal",
                  REMOVAL + "test_a_purge_can_be_off",
                  REMOVAL + "test_money_for_a_purged_order_is_held_without_an_address"],
    "key suffix": [CODES + "test_markup_resolution",
                   CODES + "test_what_does_not_count_degrades_silently",
                   CODES + "test_an_order_remembers_its_code"],
    "price errors[]": [SWITCHES + "test_the_words_of_a_price_are_the_ancestors",
                       SWITCHES + "test_maintenance_pauses_create_only",
                       SWITCHES + "test_a_price_tells_which_side_is_offline",
                       SWITCHES + "test_a_price_tells_of_a_short_reserve",
                       SWITCHES + "test_a_price_knows_the_daily_cap",
                       V1 + "test_price_tells_limits_and_create_enforces_them"],
    "signature vectors": [DOORS + "test_signatures_of_the_contract"],
    "nonce": [DOORS + "test_a_nonce_counts_once_per_partner",
              DOORS + "test_a_nonce_is_burnt_only_after_the_signature"],
    "webhook headers": [HOOKS + "test_a10_headers"],
    "webhook order.status_changed": [HOOKS + "test_a10_order_status_changed"],
    "webhook partner.paid_out": [HOOKS + "test_a10_partner_paid_out"],
    "webhook earnings.cleared": [HOOKS + "test_a10_earnings_cleared"],
    "webhook subscription": [HOOKS + "test_a10_every_type_is_opt_in"],
    "webhook bodies are frozen": [HOOKS + "test_a10_bodies_are_frozen"],
    "webhook success is any 2xx": [HOOKS + "test_a10_any_2xx_is_success"],
    "webhook ladder": [HOOKS + "test_d52_the_ladder"],
    "webhook after a rotation": [HOOKS + "test_d56_e27_rotation_with_queued_deliveries"],
    "webhook of a removed order": [HOOKS + "test_d58_d59_a_removed_orders_deliveries_are_discarded"],
}  # fmt: skip

ROWS: Final = {
    **{f"{e.method} {e.path}": e.held_by for e in ENDPOINTS},
    **{f"code {e.code} {e.msg}": e.held_by for e in ERRORS},
    **OTHER_ROWS,
}


@cache
def names_in(file: str) -> frozenset[str]:
    """Names of the tests of a file below tests/."""
    tree = ast.parse((TESTS / file).read_text())
    defined = (n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(n.name for n in defined if n.name.startswith("test_"))


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_held_by_tests_that_exist(row: str) -> None:
    """At least one, and each by its full name."""
    assert ROWS[row]
    for test in ROWS[row]:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


SIGNED: Final = [each for each in ENDPOINTS if each.weight is not None]


def _path(endpoint: Endpoint) -> str:
    return endpoint.path.removeprefix("/api/v1/")


async def _charged(site: Site) -> int:
    async with site.rig.desk.db.transaction() as tx:
        found: int = await tx.fetchval("SELECT coalesce(sum(weight), 0)::int FROM weight_charge")
    return found


def _good(data: Any) -> dict[str, dict[str, object] | bytes]:
    """A body for every endpoint that does not fail for want of form."""
    who = {"id": data["id"], "token": data["token"]}
    return {
        "currencies": {}, "pairs": {}, "price": dict(PRICE), "create": dict(CREATE), "order": who,
        "emergency": {**who, "choice": "EXCHANGE"}, "qr": who,
        "keys/rotate": {"rotate": ["webhookSecret"]}, "codes": {"code": "desktop"},
        "codes/enable": {"code": "desktop"},
    }  # fmt: skip


async def test_the_auth_column(site: Site) -> None:
    """Without credentials: 2/401 where they are required, an answer where they are optional."""
    bodies = _good(await site.data("create", CREATE))
    nothing = dict.fromkeys(("X-API-KEY", "X-API-SIGN", "X-API-NONCE"))
    for endpoint in SIGNED:
        answer = await site.call(
            _path(endpoint), bodies[_path(endpoint)], method=endpoint.method, headers=nothing
        )
        expected = (401, 2) if endpoint.signed else (200, 0)
        assert (answer.status_code, answer.json()["code"]) == expected, endpoint


async def test_the_weight_column(site: Site) -> None:
    """What a signed call adds to the minute, whether it succeeds or not."""
    bodies = _good(await site.data("create", CREATE))
    for endpoint in SIGNED:
        for body in (bodies[_path(endpoint)], b"no json"):
            before = await _charged(site)
            await site.call(_path(endpoint), body, method=endpoint.method)
            assert await _charged(site) - before == endpoint.weight, endpoint
    for endpoint in ENDPOINTS:
        if endpoint.weight is None:
            before = await _charged(site)
            path = endpoint.path.replace("{code}", "desktop")
            await site.client.request(endpoint.method, site.public + path)
            assert await _charged(site) == before, endpoint


def test_the_error_table_is_the_contracts() -> None:
    """Code, constant and HTTP status of every "no" stand in the table, and nothing else does."""
    table = {(e.code, e.msg): e.http for e in ERRORS if e.code}
    said: dict[tuple[int, str], set[int]] = {}
    for http, code, msg in [*REFUSAL.values(), INTERNAL]:
        said.setdefault((code, msg), set()).add(http)
    assert {row: frozenset(http) for row, http in said.items()} == table
    assert 13 not in {code for code, _ in said}


def test_nine_is_never_emitted() -> None:
    """RESERVE_EXCEEDED is reserved: nothing refuses with it."""
    source = Path(__file__).parents[2] / "src" / "swapdesk"
    uses = [p.name for p in source.rglob("*.py") if re.search(r"\bNo\.RESERVE\b", p.read_text())]
    assert uses == ["signed_v1_words.py"]
    assert No.RESERVE in REFUSAL
