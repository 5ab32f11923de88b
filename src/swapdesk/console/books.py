"""`swapdesk books`: what the desk has, owes and earned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swapdesk.console.session import ask
from swapdesk.console.show import as_json, as_table

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.ledger.entries import Posting

app = typer.Typer(no_args_is_help=True, help="The books: balances, and what the operator puts in.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON (minor units) instead of a table.")]


@app.command("trial-balance")
def trial_balance(json: Json = False) -> None:
    """Every account with its balance. Plus is what the desk has, minus what it owes or earned.

    Every asset adds up to nothing; if one does not, the command says so and ends with status 1.

    Example:

        swapdesk books trial-balance
    """

    async def question(desk: Desk) -> tuple[list[Posting], dict[str, int]]:
        from swapdesk.engine.books import trial_balance as balances

        lines = await balances(desk)
        return lines, {code: asset.decimals for code, asset in desk.registry.assets.items()}

    lines, decimals = ask(question)
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.asset] = totals.get(line.asset, 0) + line.units
    if json:
        as_json(lines)
    else:
        from swapdesk.money import show

        rows = [(p.account, p.asset, show(p.units, decimals.get(p.asset, 0))) for p in lines]
        rows += [("sum", asset, str(total)) for asset, total in sorted(totals.items())]
        as_table("Trial balance", ("account", "asset", "balance"), rows, right=("balance",))
    if any(totals.values()):
        from swapdesk.console.session import fail

        fail(f"the books do not balance: {totals}")


@app.command()
def capital(
    asset: Annotated[str, typer.Argument(help="Asset code, such as btc or usdt_eth.")],
    amount: Annotated[str, typer.Argument(help="In whole coins, as a plain decimal: 1.5")],
    reference: Annotated[
        str, typer.Option(help="Names this deposit, so that it is booked once; a transaction id.")
    ],
) -> None:
    """Book coins that you sent to the hot wallet.

    Repeating the command with the same reference books nothing.

    Example:

        swapdesk books capital btc 2.5 --reference 4a5e1e4b...
    """

    async def question(desk: Desk) -> tuple[bool, str]:
        from swapdesk.engine.books import add_capital
        from swapdesk.money import parse, show

        known = desk.registry.find(asset)
        if known is None:
            offered = ", ".join(desk.registry.assets)
            raise ValueError(f"{asset!r} is not offered at this site; there are: {offered}")
        units = parse(amount, known.decimals)
        if show(units, known.decimals).rstrip("0").rstrip(".") != _plain(amount):
            raise ValueError(f"{known.code} has {known.decimals} digits after the point")
        new = await add_capital(desk, known.code, units, reference)
        return new, f"{show(units, known.decimals)} {known.code}"

    new, text = ask(question)
    print(f"booked {text}" if new else f"reference {reference} is in the books already")


def _plain(amount: str) -> str:
    """The amount without zeros that mean nothing: "01.50" is "1.5"."""
    whole, _, fraction = amount.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole
