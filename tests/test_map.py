"""What is drawn from the code is as fresh as the code."""

import re
import runpy
import uuid
from collections.abc import Iterator
from pathlib import Path

from swapdesk import assets
from swapdesk.assets import NetworkSetup
from swapdesk.ledger import entries
from swapdesk.money import USD_SCALE, parse, show
from swapdesk.pricing import Ask, Fees, Quote, price
from swapdesk.rates.book import Book, Price

ROOT = Path(__file__).parents[1]
#: What the map leaves out: package markers, and migrations, which are numbered.
UNMAPPED = ("__init__.py", "versions/")


def mapped() -> Iterator[str]:
    """Paths below src/ that the tree of docs/map.md names, folders with a slash at the end."""
    text = (ROOT / "docs" / "map.md").read_text()
    block = re.search(r"^src/\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block, "the tree of docs/map.md begins with src/"
    above: list[str] = []
    for line in block[1].splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        above = [*above[:depth], name]
        yield "".join(above)


def test_the_map_names_every_module() -> None:
    """docs/map.md shows the tree as it is: nothing missing, nothing gone, nothing twice."""
    src = ROOT / "src"
    modules = {str(path.relative_to(src)) for path in src.rglob("*.py")}
    modules = {name for name in modules if not any(part in name for part in UNMAPPED)}
    names = list(mapped())
    found = {name for name in names if name.endswith(".py")}
    assert modules - found == set(), "add them to docs/map.md, one line each"
    assert found - modules == set(), "these are gone: take them out of docs/map.md"
    assert len(names) == len(set(names)), "named twice"
    folders = {name for name in names if name.endswith("/")}
    assert all((src / name).is_dir() for name in folders)


def test_documents_lead_somewhere() -> None:
    """Every relative link of every document reaches a file."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_dependency_has_its_reason() -> None:
    """docs/decisions/0008-libraries.md names what requirements.in names, and nothing else."""
    lines = (ROOT / "requirements.in").read_text().splitlines()
    wanted = {re.split(r"[<>=\[]", line)[0] for line in lines if line and line[0] != "#"}
    page = (ROOT / "docs" / "decisions" / "0008-libraries.md").read_text()
    assert set(re.findall(r"^\| ([\w-]+) \|", page, re.MULTILINE)) - {"library"} == wanted


def _quote() -> Quote:
    """The order of docs/money.md, priced."""
    contract = "0x" + "11" * 20
    setups = {
        "bitcoin": NetworkSetup(),
        "ethereum": NetworkSetup(contracts={"usdt_eth": contract}),
    }
    known = assets.load("dev", setups).assets
    btc = parse("62450.12", 12)
    book = Book({"BTC": Price(btc, btc), "USDT": Price(USD_SCALE, USD_SCALE)}, {})
    ask = Ask(known["btc"], known["usdt_eth"], "from", parse("0.01", 8), 50)
    return price(ask, book, Fees(50, parse("0.8", 12)))


def test_the_story_of_money_adds_up() -> None:
    """Every number of docs/money.md is what pricing and the ledger say today."""
    page, quote = (ROOT / "docs" / "money.md").read_text(), _quote()
    fees = (quote.gross_units, quote.base_fee_units, quote.markup_units, quote.network_fee_units)
    for units in (*fees, quote.to_units):
        assert f"  {show(units, 6)}" in page
    terms = entries.Exchange(
        "btc", "usdt_eth", quote.from_units, *fees[:1], *fees[1:], to_units=quote.to_units
    )  # fmt: skip
    order_id = uuid.UUID(int=1)
    told = [
        entries.capital("tx", "ethereum", "usdt_eth", parse("100000", 6)),
        entries.received(
            entries.Arrived(order_id, "bitcoin", "tx/0", 0, "btc", quote.from_units, dust=False), 0
        ),
        entries.exchanged(order_id, 1, order_id, terms),
        entries.paid(order_id, 1, "ethereum", "usdt_eth", quote.to_units),
        entries.network_fee(order_id, 1, "ethereum", "eth", 39219483052288),
    ]
    digits = {"btc": 8, "usdt_eth": 6, "eth": 18}
    for posting in (posting for entry in told for posting in entry.postings):
        account = posting.account.replace(str(order_id), "ID")
        coins = show(posting.units, digits[posting.asset])
        plus = "+" if posting.units > 0 else ""
        line = f"| `{account}` | {posting.asset} | {plus}{posting.units} | {plus}{coins} |"
        assert line in page, line


def test_states_page_is_fresh() -> None:
    """docs/states.md shows the transition table as it is."""
    page = runpy.run_path(str(ROOT / "tools" / "draw-states"))["page"]()
    assert (ROOT / "docs" / "states.md").read_text() == page, "run `make docs`"
