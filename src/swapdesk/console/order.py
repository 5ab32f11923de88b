"""`swapdesk order`: look at orders, and decide those that are held."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from swapdesk.console.session import BAD_ASK, ask, fail
from swapdesk.console.show import as_json, as_table, moment

if TYPE_CHECKING:
    from swapdesk.db import Row
    from swapdesk.engine.desk import Desk
    from swapdesk.ledger.entries import Posting
    from swapdesk.orders.intents import Intent
    from swapdesk.orders.order import Order, OrderView

app = typer.Typer(no_args_is_help=True, help="Orders: look at them, decide the held ones.")

#: Orders that one list prints; the oldest wait longest, so the work list loses nothing important.
LIST_MAX: Final = 200

Id = Annotated[uuid.UUID, typer.Argument(help="Order id, a UUID.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON (minor units) instead of tables.")]


@app.command()
def show(order_id: Id, json: Json = False) -> None:
    """Everything about one order: terms, moves, payments, and what it is owed.

    Example:

        swapdesk order show 01940c2e-7a51-7c3e-9d52-0a4b8f6f1e11
    """

    async def question(desk: Desk) -> _Found:
        from swapdesk.engine.find_order import inspect

        return _Found(desk, await inspect(desk, order_id))

    found = ask(question)
    if json:
        as_json(found.document())
        return
    as_table(f"Order {order_id}", ("", "value"), found.summary())
    as_table(
        "Moves",
        ("#", "when (UTC)", "from", "cause", "to", "by", "note"),
        [
            (m["rev"], moment(m["at_ms"]), m["from_state"], m["cause"], m["to_state"], m["by"],
             m["note"]) for m in found.moves
        ],
    )  # fmt: skip
    as_table(
        "Payments asked of the vault",
        ("#", "kind", "amount", "to", "outcome", "transaction", "network fee", "why"),
        [
            (i.attempt, i.kind, found.coins(i.asset, i.units), i.destination,
             i.outcome or ("sent" if i.sent_ms else "waiting"), i.txid, found.fee(i), i.reason)
            for i in found.intents
        ],
    )  # fmt: skip
    owed = [(p.account, found.coins(p.asset, -p.units)) for p in found.owed]
    as_table("Owed to the customer", ("account", "amount"), owed)


@app.command("list")
def list_(
    held: Annotated[
        bool, typer.Option("--held", help="Only those that wait for you: the work list.")
    ] = False,
    json: Json = False,
) -> None:
    """The newest orders, or with --held those that wait for somebody to decide.

    The work list also shows finished orders that are still owed money, and refunds that the vault
    refused. It is empty on a good day.

    Example:

        swapdesk order list --held
    """

    async def question(desk: Desk) -> tuple[list[Order], dict[str, int]]:
        from swapdesk.engine.find_order import list_orders

        found = await list_orders(desk, held=held, at_most=LIST_MAX)
        return found, _decimals(desk)

    orders, decimals = ask(question)
    if json:
        as_json([_plain(order) for order in orders])
        return
    as_table(
        "Orders that wait for you" if held else "Newest orders",
        ("id", "state", "why", "in", "out", "updated (UTC)"),
        [
            (o.id, o.state.value, " ".join(o.hold_reasons),
             _coins(o.from_asset, o.from_units, decimals), _coins(o.to_asset, o.to_units, decimals),
             moment(o.updated_ms)) for o in orders
        ],
    )  # fmt: skip


@app.command()
def resolve(
    order_id: Id,
    reason: Annotated[str, typer.Option(help="Why; kept in the order's log for ever.")],
    exchange: Annotated[
        bool, typer.Option("--exchange", help="Go on at the rate of this moment.")
    ] = False,
    refund: Annotated[
        bool, typer.Option("--refund", help="Send the money back, less the network fee.")
    ] = False,
) -> None:
    """Decide a held order: go on at the live rate, or send the money back.

    The vault still checks the payment by its own rules. A refund cannot be turned into an exchange
    afterwards.

    Examples:

        swapdesk order resolve 01940c2e-7a51-7c3e-9d52-0a4b8f6f1e11 --refund --reason "underpaid"

        swapdesk order resolve 01940c2e-7a51-7c3e-9d52-0a4b8f6f1e11 --exchange --reason "came late"
    """
    if exchange == refund:
        fail("say either --exchange or --refund", BAD_ASK)
    if not reason.strip():
        fail("--reason must say something: it stays in the log", BAD_ASK)

    async def question(desk: Desk) -> Order:
        import getpass

        from swapdesk.engine.resolve_order import resolve_order

        return await resolve_order(
            desk,
            order_id,
            "exchange" if exchange else "refund",
            by=f"operator {getpass.getuser()}",
            note=reason.strip(),
        )

    print(f"order {order_id} is now {ask(question).state.value}")


@app.command()
def delete(order_id: Id) -> None:
    """Hide a finished order from its partner and customer, as if it were unknown.

    What was not delivered about it never will be. The books keep it, and so do `order show` and
    the work list; addresses are erased when the site's retention is over.

    Example:

        swapdesk order delete 01940c2e-7a51-7c3e-9d52-0a4b8f6f1e11
    """

    async def question(desk: Desk) -> None:
        from swapdesk.engine.remove_order import delete_order

        await delete_order(desk, order_id)

    ask(question)
    print(f"order {order_id} is hidden")


class _Found:
    """What `inspect` answers, with the words to print it."""

    def __init__(
        self, desk: Desk, found: tuple[OrderView, list[Row], list[Intent], list[Posting]]
    ) -> None:
        self.view, self.moves, self.intents, self.owed = found
        self._registry = desk.registry
        self._decimals = _decimals(desk)

    def fee(self, intent: Intent) -> str:
        """What the payment cost on its network; empty as long as nobody knows."""
        if not intent.fee_units:
            return ""
        native = self._registry.network_of(intent.asset).native
        return self.coins(native, intent.fee_units)

    def coins(self, asset: str, units: int | None) -> str:
        """Units as whole coins with their code; empty for None."""
        return "" if units is None else _coins(asset, units, self._decimals)

    def summary(self) -> list[tuple[str, object]]:
        """Name and value of what matters, in the order of an order's life."""
        from swapdesk.money import show_rate

        view, order = self.view, self.view.order
        src, dst = (self._decimals.get(code, 0) for code in (order.from_asset, order.to_asset))
        return [
            ("state", " ".join((order.state.value, *order.hold_reasons))),
            ("told", " > ".join(order.shown)),
            ("opened (UTC)", moment(order.opened_ms)),
            ("window ends (UTC)", moment(order.window_ends_ms)),
            ("customer sends", self.coins(order.from_asset, order.from_units)),
            ("at least", self.coins(order.from_asset, order.min_units)),
            ("at most", self.coins(order.from_asset, order.max_units)),
            ("customer receives", self.coins(order.to_asset, order.to_units)),
            ("rate", show_rate(order.rate, src, dst)),
            ("fee and markup", f"{order.base_fee_bps} + {order.markup_bps} bps"),
            ("network fee", self.coins(order.to_asset, order.network_fee_units)),
            ("pay-in address", f"{order.address} (index {order.address_index})"),
            ("arrived", self.coins(order.from_asset, view.deposit_units)),
            ("deposit", view.deposit_txid),
            ("brought by code", order.code_id),
            ("hidden (UTC)", moment(order.deleted_ms)),
            ("purged (UTC)", moment(order.purged_ms)),
            ("destination", order.destination),
            ("refund address", order.refund_address),
            ("vault bound it", "yes" if order.attestation else "not yet"),
        ]  # fmt: skip

    def document(self) -> dict[str, Any]:
        """Everything as plain values."""
        view = self.view
        return {
            "order": _plain(view.order),
            "deposit_txid": view.deposit_txid,
            "deposit_units": view.deposit_units,
            "payout_txid": view.payout_txid,
            "refund_txid": view.refund_txid,
            "moves": [dict(move) for move in self.moves],
            "intents": self.intents,
            "owed": [{"asset": p.asset, "units": -p.units} for p in self.owed],
        }


def _plain(order: Order) -> dict[str, Any]:
    """An order as plain values; the token's hash stays here."""
    import msgspec

    fields: dict[str, Any] = msgspec.structs.asdict(order)
    del fields["token_hash"]
    return fields


def _decimals(desk: Desk) -> dict[str, int]:
    return {code: asset.decimals for code, asset in desk.registry.assets.items()}


def _coins(asset: str, units: int, decimals: dict[str, int]) -> str:
    from swapdesk.money import show as whole

    return f"{whole(units, decimals.get(asset, 0))} {asset}"
