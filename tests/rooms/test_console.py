"""The operator's commands on a real database: what they print, what they write, how they refuse."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from swapdesk.db import Database
from swapdesk.partners.secrets import make_key_file
from swapdesk.run import app
from swapdesk.world import RealWorld
from tests.postgres import Dsns
from tests.rig import Rig, TestWorld

pytestmark = pytest.mark.anyio

SITE = """
world = "dev"
sealing_key_file = "{folder}/sealing.key"
vault_public_file = "{folder}/vault.json"
[networks.bitcoin]
urls = ["http://127.0.0.1:1"]
reader = "simulated"
confirmations = 2
network_usd = "1"
[networks.tron]
urls = ["http://127.0.0.1:1"]
reader = "simulated"
confirmations = 2
network_usd = "1"
"""


class Console:
    """Runs commands against one site, and the rig that gives them something to see."""

    def __init__(self, rig: Rig, env: dict[str, str]) -> None:
        self.rig = rig
        self.env = env

    async def run(self, *words: str, **env: str) -> Result:
        """The result of one command."""
        runner = CliRunner()
        return await asyncio.to_thread(runner.invoke, app, list(words), env=self.env | env)

    async def ok(self, *words: str) -> str:
        """What a command printed that must succeed."""
        result = await self.run(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    async def json(self, *words: str) -> Any:
        """The JSON that a command printed."""
        return json.loads(await self.ok(*words, "--json"))

    async def held(self) -> uuid.UUID:
        """An order that holds because too little arrived."""
        order = (await self.rig.open()).view.order
        self.rig.pay(order, 9_000)
        await self.rig.mine(count=2)
        return order.id


@pytest.fixture
async def console(desk_dsns: Dsns, tmp_path: Path) -> AsyncIterator[Console]:
    """A site file, a sealing key and a vault's public file beside a desk that lives now."""
    world = RealWorld()
    db = await Database.open(desk_dsns.app, name="rig")
    rig = Rig(db, TestWorld(now=world.now()))
    make_key_file(tmp_path / "sealing.key", world)
    xpubs = {family: rig.keyring.deposit_xpub(family) for family in ("bitcoin", "tron")}
    public = {"world": "dev", "link_key": "00" * 32, "attestation_key": "00" * 32, "xpubs": xpubs}
    (tmp_path / "vault.json").write_text(json.dumps(public))
    (tmp_path / "site.toml").write_text(SITE.format(folder=tmp_path))
    env = {"SWAPDESK_SITE": str(tmp_path / "site.toml"), "DATABASE_URL": desk_dsns.app}
    try:
        await rig.begin()
        yield Console(rig, env)
    finally:
        for chain in rig.chains.values():
            chain.close()
        await db.close()


async def test_a_partner_is_created_once_and_listed_without_secrets(console: Console) -> None:
    """Credentials are printed at creation and never again; a taken name is refused."""
    made = await console.json("partner", "create", "blue", "--markup-bps", "50")
    assert len(made["api_secret"]) == len(made["webhook_secret"]) == 43
    listed = await console.ok("partner", "list")
    assert "blue" in listed
    assert made["api_key"] in listed
    assert made["api_secret"] not in listed
    assert made["webhook_secret"] not in listed
    again = await console.run("partner", "create", "blue")
    assert again.exit_code == 1
    assert again.stderr == "swapdesk: refused (conflict): there is a partner named 'blue' already\n"


async def test_a_sealing_key_is_never_overwritten(console: Console, tmp_path: Path) -> None:
    """`seal-key` makes a private file once; doing it again changes nothing."""
    file = tmp_path / "sealing.key"
    before = file.read_text()
    again = await console.run("partner", "seal-key")
    assert (again.exit_code, file.read_text()) == (1, before)
    file.unlink()
    assert str(file) in await console.ok("partner", "seal-key")
    assert file.stat().st_mode & 0o777 == 0o600
    await console.ok("partner", "create", "sealed with the new one")


@pytest.mark.parametrize(
    "words",
    [
        ("partner", "create", "x", "--webhook-url", "http://169.254.169.254/"),
        ("partner", "create", "x", "--markup-bps", "2001"),
        ("partner", "create", ""),
    ],
)
async def test_a_bad_partner_is_refused(console: Console, words: tuple[str, ...]) -> None:
    """A name, markup or webhook URL that cannot be is refused with a reason, on one line."""
    result = await console.run(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("swapdesk: refused (invalid): ")
    assert result.stderr.count("\n") == 1


async def test_an_order_is_shown_whole(console: Console) -> None:
    """`order show` tells terms, moves, payments and debts; its token's hash stays inside."""
    order_id = await console.held()
    text = await console.ok("order", "show", str(order_id))
    for word in ("HELD LIMIT", "DEPOSIT_ODD", "0.00009000 btc", f"order/{order_id}"):
        assert word in text
    found = await console.json("order", "show", str(order_id))
    assert found["order"]["state"] == "HELD"
    assert found["owed"] == [{"asset": "btc", "units": 9_000}]
    assert [move["to_state"] for move in found["moves"]][-1] == "HELD"
    assert "token_hash" not in json.dumps(found)


async def test_the_work_list_names_what_waits_for_somebody(console: Console) -> None:
    """`order list --held` shows the held order only; `order list` shows all."""
    waiting = (await console.rig.open()).view.order.id
    held = await console.held()
    assert [o["id"] for o in await console.json("order", "list", "--held")] == [str(held)]
    assert {o["id"] for o in await console.json("order", "list")} == {str(held), str(waiting)}
    assert str(held) in await console.ok("order", "list", "--held")


async def test_a_held_order_is_refunded_with_a_reason(console: Console) -> None:
    """The choice moves the order, asks the vault, and its reason and author stay in the log."""
    order_id = await console.held()
    await console.rig.tick()
    said = await console.ok(
        "order", "resolve", str(order_id), "--refund", "--reason", " underpaid "
    )
    assert said == f"order {order_id} is now REFUNDING\n"
    found = await console.json("order", "show", str(order_id))
    assert found["intents"][0]["kind"] == "refund"
    assert found["moves"][-1]["note"] == "underpaid"
    assert found["moves"][-1]["by"].startswith("operator ")
    again = await console.run("order", "resolve", str(order_id), "--exchange", "--reason", "no")
    assert again.exit_code == 1
    assert "refused (bad_choice)" in again.stderr


@pytest.mark.parametrize("choice", [(), ("--refund", "--exchange")])
async def test_a_decision_is_one_of_two(console: Console, choice: tuple[str, ...]) -> None:
    """Neither or both is a mistake, and nothing is written."""
    order_id = await console.held()
    result = await console.run("order", "resolve", str(order_id), "--reason", "x", *choice)
    assert result.exit_code == 2
    assert "either --exchange or --refund" in result.stderr
    assert (await console.json("order", "show", str(order_id)))["order"]["state"] == "HELD"


async def test_an_unknown_order_is_not_found(console: Console) -> None:
    """A wrong id is one line and status 1; what is no id at all is a mistake."""
    result = await console.run("order", "show", str(uuid.UUID(int=5)))
    assert result.exit_code == 1
    assert "refused (not_found)" in result.stderr
    assert (await console.run("order", "show", "five")).exit_code == 2


async def test_capital_is_booked_once(console: Console) -> None:
    """The same reference books nothing; the trial balance adds up to zero for every asset."""
    first = await console.ok("books", "capital", "btc", "2.50", "--reference", "tx1")
    assert first == "booked 2.50000000 btc\n"
    again = await console.ok("books", "capital", "btc", "2.50", "--reference", "tx1")
    assert again == "reference tx1 is in the books already\n"
    lines = await console.json("books", "trial-balance")
    assert {(line["account"], line["units"]) for line in lines} == {
        ("chain/bitcoin/hot", 250_000_000),
        ("desk/capital", -250_000_000),
    }
    text = await console.ok("books", "trial-balance")
    assert "chain/bitcoin/hot" in text
    assert "2.50000000" in text


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "0.000000001", "NaN", "1,5", ""])
async def test_capital_takes_plain_decimals_only(console: Console, amount: str) -> None:
    """An amount that is not exact in the asset's digits books nothing."""
    result = await console.run("books", "capital", "btc", "--reference", "x", "--", amount)
    assert result.exit_code in (1, 2), result.output
    assert await console.json("books", "trial-balance") == []


async def test_a_database_that_is_not_there_is_one_line(console: Console) -> None:
    """No server, no tables and no site file each say what to do, without a traceback."""
    nobody = "postgresql://desk_app:x@127.0.0.1:1/desk"
    result = await console.run("order", "list", DATABASE_URL=nobody)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "PostgreSQL does not let us in" in result.stderr
    result = await console.run("order", "list", SWAPDESK_SITE="/nowhere/site.toml")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "set SWAPDESK_SITE" in result.stderr


async def test_a_database_without_tables_names_the_command(
    console: Console, vault_dsns: Dsns
) -> None:
    """Somebody who forgot `swapdesk migrate` is told."""
    result = await console.run("order", "list", DATABASE_URL=vault_dsns.app)
    assert result.exit_code == 1
    assert "swapdesk migrate" in result.stderr


@pytest.mark.parametrize(
    "words", [(), ("demo",), ("order",), ("order", "resolve"), ("books",), ("partner", "create")]
)
def test_help_teaches(words: tuple[str, ...]) -> None:
    """Every command has help, and one that takes arguments shows an example."""
    told = subprocess.run(
        [sys.executable, "-m", "swapdesk", *words, "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "swapdesk" in told.stdout
    if len(words) > 1:
        assert "Example" in told.stdout


def test_help_imports_nothing_heavy() -> None:
    """What makes help quick: no database driver, no validation library, no web framework."""
    heavy = ("asyncpg", "alembic", "sqlalchemy", "pydantic", "aiohttp", "uvicorn", "coincurve")
    asked = f"import sys, swapdesk.run; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert told.stdout == "[]\n"
