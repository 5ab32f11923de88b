"""`swapdesk earnings`: what partners earned, and what they were paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swapdesk.console.session import ask
from swapdesk.console.show import as_json, as_table, moment

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.partners.earnings import Payment, Standing
    from swapdesk.webhooks.events import Cleared

app = typer.Typer(
    no_args_is_help=True,
    help="Earnings of partners: markup, and shares of the base fee. Dollars are those of the moment "
    "of each exchange.",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table or sentence.")]
Partner = Annotated[str, typer.Argument(help="The partner's name or id.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """Every partner: what is payable, what is on its way, and what was ever earned.

    Earnings are payable once the payout of their order is final. The cycle counts since `clear`.

    Example:

        swapdesk earnings list
    """

    async def question(desk: Desk) -> list[Standing]:
        from swapdesk.engine.earnings import list_earnings

        return await list_earnings(desk)

    standings = ask(question)
    if json:
        as_json(standings)
        return
    from swapdesk.money import show_usd

    dollars = ("payable", "pending", "cycle", "ever earned", "ever swapped")
    as_table(
        "Earnings in dollars",
        ("partner", "markup bps", "fee share bps", *dollars, "orders"),
        [
            (
                s.name, s.markup_bps, s.share_bps, show_usd(s.payable_usd), show_usd(s.pending_usd),
                show_usd(s.cycle_usd), show_usd(s.earned_usd), show_usd(s.volume_usd), s.orders,
            )
            for s in standings
        ],
        right=("markup bps", "fee share bps", *dollars, "orders"),
    )  # fmt: skip


@app.command()
def pay(
    partner: Partner,
    reference: Annotated[
        str, typer.Option(help="Names this payment: a transaction id, an invoice number.")
    ],
    json: Json = False,
) -> None:
    """Say that you paid a partner everything that is payable. Moves no coins.

    The books move it to desk/paid_out; the partner is told (partner.paid_out). Repeating the
    command with the same reference changes nothing.

    Example:

        swapdesk earnings pay "Blue Wallet" --reference invoice-2026-11
    """

    async def question(desk: Desk) -> tuple[Payment, bool]:
        from swapdesk.engine.earnings import pay_earnings

        return await pay_earnings(desk, partner, reference)

    made, new = ask(question)
    if json:
        as_json(made)
        return
    from swapdesk.money import show_usd

    period = f"{moment(made.from_ms)} to {moment(made.to_ms)} UTC"
    state = "" if new else "; it was booked before, nothing changed"
    print(f"paid {show_usd(made.usd)} dollars for {period}, reference {made.reference}{state}")


@app.command()
def clear(partner: Partner, json: Json = False) -> None:
    """Close a partner's accounting cycle: the next one starts at nothing.

    What is payable stays payable. The partner is told (earnings.cleared).

    Example:

        swapdesk earnings clear "Blue Wallet"
    """

    async def question(desk: Desk) -> Cleared:
        from swapdesk.engine.earnings import clear_earnings

        return await clear_earnings(desk, partner)

    cleared = ask(question)
    if json:
        as_json(cleared)
        return
    from swapdesk.money import show_usd

    print(f"cleared {show_usd(cleared.total_usd)} dollars at {moment(cleared.cleared_ms)} UTC")


@app.command()
def history(partner: Partner, json: Json = False) -> None:
    """What a partner was paid, newest first.

    Example:

        swapdesk earnings history "Blue Wallet"
    """

    async def question(desk: Desk) -> list[Payment]:
        from swapdesk.engine.earnings import list_payments

        return await list_payments(desk, partner)

    paid = ask(question)
    if json:
        as_json(paid)
        return
    from swapdesk.money import show_usd

    rows = [
        (moment(p.paid_ms), moment(p.from_ms), moment(p.to_ms), show_usd(p.usd), p.reference)
        for p in paid
    ]
    columns = ("paid", "from", "to", "dollars", "reference")
    as_table(f"Payments to {partner}", columns, rows, right=("dollars",))


@app.command()
def share(
    partner: Partner,
    bps: Annotated[int, typer.Argument(help="Basis points of the base fee; 2500 is a quarter.")],
) -> None:
    """Give a partner a part of the base fee, for orders opened from now on.

    Example:

        swapdesk earnings share "Blue Wallet" 2500
    """

    async def question(desk: Desk) -> None:
        from swapdesk.engine.earnings import set_fee_share

        await set_fee_share(desk, partner, bps)

    ask(question)
    print(f"{partner} has {bps} of 10000 parts of the base fee from now on")
