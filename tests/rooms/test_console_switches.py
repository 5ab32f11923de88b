"""The operator's switches from the command line: maintenance, partners, deleting orders."""

import uuid

import pytest

from swapdesk.engine.codes import create_code
from swapdesk.handoff import PayoutReport
from tests.rooms.test_console import Console, console

pytestmark = pytest.mark.anyio

__all__ = ["console"]  # the fixture


async def test_maintenance(console: Console) -> None:
    """on, status, off; repeats say the same; who turned it is told."""
    assert await console.ok("maintenance", "status") == "maintenance is off\n"
    first = await console.ok("maintenance", "on")
    assert first.startswith("maintenance is on since 20")
    assert "by operator " in first
    assert await console.ok("maintenance", "on") == first
    assert (await console.json("maintenance", "status"))["on"] is True
    assert (await console.ok("maintenance", "off")).startswith("maintenance is off since")


async def test_a_partner_is_shut_out_and_let_in(console: Console) -> None:
    """The list tells; an unknown name is refused with status 1."""
    for word, on in (("disable", False), ("disable", False), ("enable", True)):
        await console.ok("partner", word, "shop")
        (partner,) = await console.json("partner", "list")
        assert partner["enabled"] is on
    refused = await console.run("partner", "disable", "nobody")
    assert refused.exit_code == 1
    assert "there is no partner named 'nobody'" in refused.stderr


async def test_an_order_is_deleted_when_it_is_finished(console: Console) -> None:
    """Not before; afterwards the operator still sees it, with the time."""
    held = await console.held()
    refused = await console.run("order", "delete", str(held))
    assert refused.exit_code == 1
    assert "HELD cannot be deleted" in refused.stderr
    unknown = await console.run("order", "delete", str(uuid.UUID(int=1)))
    assert unknown.exit_code == 1
    await console.ok("order", "resolve", str(held), "--refund", "--reason", "test")
    (intent,) = await console.rig.intents()
    for outcome in ("sent", "final"):
        report = PayoutReport(intent.order_id, 1, outcome, txid="ab" * 32)
        assert await console.rig.report(report)
    assert await console.ok("order", "delete", str(held)) == f"order {held} is hidden\n"
    shown = await console.json("order", "show", str(held))
    assert shown["order"]["deleted_ms"] is not None
    assert "hidden (UTC)" in await console.ok("order", "show", str(held))


async def test_the_operator_grants_more_codes(console: Console) -> None:
    """Fifty at first; --most changes it; unknown partners and absurd numbers are refused."""
    await create_code(console.rig.desk, console.rig.partner_id, "desktop", markup_bps=40)
    assert "1 of at most 50" in await console.ok("partner", "codes", "shop")
    found = await console.json("partner", "codes", "shop", "--most", "80")
    assert found["most"] == 80
    assert [(c["code"], c["markup_bps"]) for c in found["codes"]] == [("desktop", 40)]
    for words in (("nobody",), ("shop", "--most", "1001"), ("shop", "--most", "-1")):
        assert (await console.run("partner", "codes", *words)).exit_code == 1
