"""schemathesis over the description of the API, every call signed: no 5xx, no answer but those described.

CI runs a thousand cases; `make fuzz N=20000` runs more.
"""

import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

import anyio.to_thread
import pytest
import schemathesis
import structlog
from hypothesis.strategies import SearchStrategy
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from swapdesk.engine.event_log import number_events
from tests.fuzz.callers import CODES, TOGETHER, Signing, within_reach
from tests.http_site import CREATE, Site, site_on
from tests.postgres import Dsns
from tests.wire_spec import DOCUMENT, check_answer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: Calls to be made, about; and the seed of their making.
CASES: Final = int(os.environ.get("SWAPDESK_FUZZ_CASES", "1000"))
SEED: Final = int(os.environ.get("SWAPDESK_FUZZ_SEED", "1"))
#: Operations that read a body or a query share nearly all cases; the others have little to vary.
_TELLING: Final = 12
_PLAIN_SHARE: Final = 20
#: From so many on, some calls must have succeeded everywhere.
REACHING_CASES: Final = 1000
#: So large that nothing here is ever refused for it.
BUDGET: Final = 2_000_000_000


class Judge:
    """Runs the cases and remembers what was wrong."""

    def __init__(self, url: str, signing: Signing, sets: Sequence[Mapping[str, object]]) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []
        self._signing = signing
        self._sets = sets
        share = CASES // _TELLING
        config = SchemathesisConfig.from_dict(
            {
                "seed": SEED,
                "base-url": url,
                "continue-on-failure": True,
                "generation": {"max-examples": max(share, 1), "database": "none"},
                "phases": {"stateful": {"enabled": False}},
                # An asset may be unknown, an address somebody else's: no schema can say that.
                "checks": {"positive_data_acceptance": {"enabled": False}},
                "operations": [
                    {
                        "include-method": ["GET", "HEAD"],
                        "exclude-path": "/api/v1/events",
                        "generation": {"max-examples": max(share // _PLAIN_SHARE, 1)},
                    }
                ],
            }
        )
        self._schema = schemathesis.openapi.from_dict(_without_credentials(), config=config)
        self._schema.auth.set_from_requests(signing)
        # schemathesis marks a hook's function, which a method does not take: so functions they are.
        self._schema.hook("flatmap_body")(
            lambda context, body: self._reach(context.operation, body)
        )
        self._schema.hook("after_call")(lambda _, case, response: self._look(case, response))

    def run(self) -> None:
        """Every phase: the examples, the bounds of every schema, and chance."""
        for event in from_schema(self._schema).execute():
            if isinstance(event, events.ScenarioFinished):
                for checks in event.recorder.checks.values():
                    for check in checks:
                        if check.failure_info is not None:
                            failure = check.failure_info.failure
                            self.faults.append(
                                f"{event.label}: {failure.title}: {failure.message}\n"
                                f"{check.failure_info.code_sample}"
                            )
            elif isinstance(event, events.NonFatalError | events.FatalError):
                self.faults.append(f"schemathesis itself: {event}")

    def _reach(self, operation: Any, body: object) -> SearchStrategy[Any]:
        content = DOCUMENT["paths"][operation.path][operation.method]["requestBody"]["content"]
        return within_reach(content["application/json"]["schema"], body, self._sets)

    def _look(self, case: Any, answer: schemathesis.Response) -> None:
        path = case.operation.path
        self.answers[f"{case.method} {path}", answer.status_code] += 1
        headers = {name.lower(): values[0] for name, values in answer.headers.items()}
        try:
            check_answer(case.method, path, answer.status_code, headers, answer.content)
        except AssertionError as fault:
            self.faults.append(str(fault))
        if answer.status_code == 200 and path == "/api/v1/keys/rotate":
            self._signing.heed(answer.json())


def _without_credentials() -> dict[str, Any]:
    """The description without security: every call is signed, and the doors have tests of their own."""
    document = deepcopy(DOCUMENT)
    del document["components"]["securitySchemes"], document["security"]
    for item in document["paths"].values():
        for operation in item.values():
            operation.pop("security", None)
    return document


@pytest.fixture
async def site(desk_dsns: Dsns) -> AsyncIterator[Site]:
    """Both listeners of a desk with one partner, whose budget never ends."""
    async with site_on(desk_dsns.app, per_address=BUDGET) as served:
        async with served.rig.desk.db.transaction() as tx:
            await tx.execute("UPDATE partner SET weight_per_minute = $1", BUDGET)
        yield served


@pytest.mark.timeout(3600)
async def test_generated_calls(site: Site) -> None:
    """No server error, no answer that is not described, nothing ill-formed let in."""
    opened, *held = [await site.data("create", CREATE) for _ in range(4)]
    for order in held:
        site.rig.pay(await site.rig.order(uuid.UUID(order["id"])), 5_000)
    await site.rig.mine(count=2)
    await number_events(site.rig.desk)
    for code in CODES:
        await site.data("codes", {"code": code})
    orders = [{name: order[name] for name in ("id", "token")} for order in (opened, *held)]
    judge = Judge(site.public, Signing(site.partner), [*TOGETHER, *orders])
    with structlog.testing.capture_logs() as logs:
        await anyio.to_thread.run_sync(judge.run)
    judge.faults += [str(line) for line in logs if line["log_level"] in {"error", "critical"}]
    print(f"{judge.answers.total()} calls, seed {SEED}")
    for (operation, status), count in sorted(judge.answers.items()):
        print(f"{count:>6} {status} {operation}")
    assert not judge.faults, "\n\n".join(judge.faults[:20])
    assert judge.answers.total() >= CASES
    if CASES >= REACHING_CASES:
        for operation in ("create", "emergency", "order", "codes"):
            assert judge.answers[f"POST /api/v1/{operation}", 200], f"nothing reached {operation}"
