"""`swapdesk earnings` on a real database: what it prints, what it refuses."""

import pytest

from swapdesk.handoff import PayoutReport
from tests.rooms.test_console import Console, console

__all__ = ["console"]

pytestmark = pytest.mark.anyio


async def test_earnings_from_share_to_history(console: Console) -> None:
    """share, list, pay, pay again, clear, history: the operator's month."""
    said = await console.ok("earnings", "share", "shop", "2500")
    assert said == "shop has 2500 of 10000 parts of the base fee from now on\n"
    order = (await console.rig.open()).view.order
    console.rig.pay(order)
    await console.rig.mine(count=2)
    await console.rig.report(PayoutReport(str(order.id), 1, "final", txid="aa", fee_units=7))
    (line,) = await console.json("earnings", "list")
    assert (line["name"], line["share_bps"], line["orders"]) == ("shop", 2500, 1)
    assert line["payable_usd"] == line["cycle_usd"] == line["earned_usd"] == 3_750_000_000_000
    assert "3.75" in await console.ok("earnings", "list")
    paid = await console.ok("earnings", "pay", "shop", "--reference", "inv-1")
    assert paid.startswith("paid 3.75 dollars for ")
    assert paid.endswith("reference inv-1\n")
    again = await console.ok("earnings", "pay", "shop", "--reference", "inv-1")
    assert again.endswith("it was booked before, nothing changed\n")
    assert (await console.ok("earnings", "clear", "shop")).startswith("cleared 3.75 dollars at ")
    (payment,) = await console.json("earnings", "history", "shop")
    assert (payment["reference"], payment["usd"]) == ("inv-1", 3_750_000_000_000)
    books = await console.json("books", "trial-balance")
    assert {"account": "desk/paid_out", "asset": "usdt_trc20", "units": -3_750_000} in books


async def test_earnings_refuse_in_one_line(console: Console) -> None:
    """Nobody, nothing, too much."""
    for words, why in (
        (("pay", "nobody", "--reference", "x"), "not_found): there is no partner 'nobody'"),
        (("pay", "shop", "--reference", "x"), "invalid): nothing is payable"),
        (("clear", "shop"), "invalid): no order was done since the last time"),
        (
            ("share", "shop", "10001"),
            "invalid): a share is 0 to 10000 basis points of the base fee",
        ),
        (("history", "nobody"), "not_found): there is no partner 'nobody'"),
    ):
        result = await console.run("earnings", *words)
        assert result.exit_code == 1
        assert result.stderr == f"swapdesk: refused ({why}\n"
