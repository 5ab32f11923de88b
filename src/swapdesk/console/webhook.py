"""`swapdesk webhook` and `swapdesk partner set`: what partners are told, and where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from swapdesk.console.session import BAD_ASK, ask, fail, site_sealer
from swapdesk.console.show import as_json, as_table, moment

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.engine.webhook_admin import Sent
    from swapdesk.webhooks.endpoint import Endpoint, PublicKey
    from swapdesk.webhooks.outbox import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Webhooks: dead letters, redelivery, a test event.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Who = Annotated[str, typer.Argument(help="The partner's name or id.")]


@app.command()
def dead(
    partner: Annotated[str | None, typer.Option(help="Only of this partner; name or id.")] = None,
    json: Json = False,
) -> None:
    """Events that no attempt delivered, newest first.

    Eight attempts in nine hours, then an event is dead. It stays in the partner's event log.

    Example:

        swapdesk webhook dead --partner "Blue Wallet"
    """

    async def question(desk: Desk) -> list[DeadLetter]:
        from swapdesk.engine.webhook_admin import dead_letters, webhook_of

        known = await webhook_of(desk, partner) if partner else None
        return await dead_letters(desk, partner_id=known.partner_id if known else None)

    letters = ask(question)
    if json:
        as_json(letters)
        return
    as_table(
        "Dead letters",
        ("id", "partner", "event", "status", "order", "happened", "died", "why"),
        [
            (
                each.id, each.partner, each.event, each.status, each.order_id,
                moment(each.created_ms), moment(each.dead_ms), each.last_error,
            )
            for each in letters
        ],
    )  # fmt: skip


@app.command()
def redeliver(event_id: Annotated[UUID, typer.Argument(help="As `dead` shows it.")]) -> None:
    """Deliver an event once more, dead or not: the same id and bytes, a fresh ladder.

    Example:

        swapdesk webhook redeliver 01939b2e-7c1a-7000-8000-000000000000
    """

    async def question(desk: Desk) -> None:
        from swapdesk.engine.webhook_admin import redeliver

        await redeliver(desk, event_id)

    ask(question)
    print(f"queued again: {event_id}")


@app.command("test")
def probe(partner: Who, json: Json = False) -> None:
    """Send a partner `webhook.test`: signed, retried and logged like every other event.

    Example:

        swapdesk webhook test "Blue Wallet"
    """

    async def question(desk: Desk) -> Sent:
        from swapdesk.engine.webhook_admin import send_test

        return await send_test(desk, partner)

    sent = ask(question)
    if json:
        as_json(sent)
        return
    print(f"queued: {sent.id}" if sent.queued else
          f"no webhook URL; in the event log only: {sent.id}")  # fmt: skip


def set_(
    partner: Who,
    webhook_url: Annotated[str | None, typer.Option(help="Public https.")] = None,
    no_webhook_url: Annotated[
        bool, typer.Option("--no-webhook-url", help="Deliver nothing; the event log goes on.")
    ] = False,
    event: Annotated[
        list[str] | None,
        typer.Option(help="Deliver this type; given several times, and no others are delivered."),
    ] = None,
    no_events: Annotated[bool, typer.Option("--no-events", help="Deliver no type.")] = False,
    new_webhook_secret: Annotated[
        bool, typer.Option("--new-webhook-secret", help="The old one dies at once.")
    ] = False,
    new_webhook_key: Annotated[
        bool, typer.Option("--new-webhook-key", help="The old Ed25519 key signs for a day more.")
    ] = False,
    json: Json = False,
) -> None:
    """Show, or change, where a partner's events go, which, and what signs them.

    Events: order.status_changed, partner.paid_out, earnings.cleared. What was queued before a
    change goes to the new URL, signed with the new secret.

    Example:

        swapdesk partner set "Blue Wallet" --webhook-url https://blue.example/hooks \
            --event order.status_changed --event partner.paid_out
    """
    if (webhook_url and no_webhook_url) or (event and no_events):
        fail("say either the option or its --no- form", BAD_ASK)
    change: dict[str, Any] = {}
    if webhook_url or no_webhook_url:
        change["url"] = webhook_url
    if event or no_events:
        change["events"] = event or []

    async def question(desk: Desk) -> tuple[Endpoint, list[PublicKey], str | None]:
        from swapdesk.engine import webhook_admin, webhook_keys

        kept = await webhook_admin.set_webhook(desk, partner, **change)
        sealer, secret = site_sealer(), None
        if new_webhook_secret:
            secret = await webhook_admin.renew_secret(desk, sealer, partner)
        renew = webhook_keys.renew_key if new_webhook_key else webhook_keys.public_keys
        return kept, await renew(desk, sealer, kept.partner_id), secret

    _print_endpoint(*ask(question), json=json)


def _print_endpoint(
    kept: Endpoint, keys: list[PublicKey], secret: str | None, *, json: bool
) -> None:
    from swapdesk.webhooks.signing import show_public_key

    shown = [show_public_key(key.public_key) for key in keys]
    if json:
        told = {
            "partner": kept.name, "id": kept.partner_id, "url": kept.url, "events": kept.events,
            "publicKeys": shown,
        }  # fmt: skip
        as_json(told if secret is None else {**told, "webhookSecret": secret})
        return
    rows = [
        ("webhook URL", kept.url or "none: the event log only"),
        ("events", " ".join(kept.events) or "none"),
        *(("signed by", key) for key in shown),
    ]
    if secret is not None:
        rows.append(("webhook secret", secret))
    as_table(f"Webhooks of {kept.name}", ("what", "value"), rows)
    if secret is not None:
        print("The secret is not shown again.")
