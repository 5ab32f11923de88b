"""docs/partner/quickstart.md: its three programs run as they stand, against a live desk.

The test is the customer who pays, the chains, and the vault; the programs are told nothing of that.
"""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Final

import pytest

from swapdesk.engine.find_order import list_orders
from tests.http_site import Site
from tests.rig import BTC_ADDRESS, TRON_ADDRESS

pytestmark = pytest.mark.anyio

PAGE: Final = (Path(__file__).parents[2] / "docs" / "partner" / "quickstart.md").read_text()
#: Language of the page -> what runs a program given as its last argument.
INTERPRETERS: Final = {
    "bash": ("bash", "-euo", "pipefail", "-c"),
    "python": (sys.executable, "-c"),
    "js": ("node", "--input-type=module", "-e"),
}
DEADLINE_SECONDS: Final = 60


def _program(language: str) -> str:
    """All blocks of one language, one after the other, as a reader would paste them."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 2
    return "\n".join(blocks)


def test_every_block_is_run() -> None:
    """What is fenced is one of the three programs, or something typed into a terminal."""
    languages = set(re.findall(r"^```(\w*)$", PAGE, re.MULTILINE)) - {""}
    assert languages == {*INTERPRETERS, "console"}


@pytest.mark.parametrize("language", INTERPRETERS)
async def test_a_program_of_the_quickstart(site: Site, language: str) -> None:
    """A price, an order, and every status until DONE."""
    env = {
        "PATH": os.environ["PATH"], "SWAPDESK_URL": site.public,
        "SWAPDESK_API_KEY": site.partner.api_key, "SWAPDESK_API_SECRET": site.partner.api_secret,
        "DEMO_TRON_ADDRESS": TRON_ADDRESS, "DEMO_BTC_ADDRESS": BTC_ADDRESS, "POLL_SECONDS": "0.2",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *INTERPRETERS[language], _program(language), env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            told, (out, wrong) = await asyncio.gather(_play(site), process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, wrong) == (0, b"")
    text = out.decode()
    assert "594.200000" in text  # the price
    assert told in text  # where to pay
    statuses = re.findall(r"^[A-Z]+$", text, re.MULTILINE)
    assert statuses[-1] == "DONE"
    assert sorted(set(statuses), key=statuses.index) == sorted(
        set(statuses), key=["NEW", "PENDING", "EXCHANGE", "DONE"].index
    )


async def _play(site: Site) -> str:
    """Pay the first order that opens and see it through; its pay-in address."""
    while not (orders := await list_orders(site.rig.desk, held=False, at_most=1)):
        await asyncio.sleep(0.05)
    (order,) = orders
    site.rig.pay(order)
    await site.rig.mine(count=2)
    (intent,) = (await site.vault("intents", {}))["rows"]
    sent = {
        "order_id": str(order.id),
        "attempt": intent["attempt"],
        "outcome": "sent",
        "txid": "ab" * 32,
    }
    await site.vault("reports", {"rows": [sent]})
    return order.address
