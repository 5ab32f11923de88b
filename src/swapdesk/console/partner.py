"""`swapdesk partner`: who may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swapdesk.console import partner_key, webhook
from swapdesk.console.session import ask, site_sealer
from swapdesk.console.show import as_json, as_table, moment

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.partners.codes import Code
    from swapdesk.partners.partner import Credentials, Partner

app = typer.Typer(no_args_is_help=True, help="Partners: who may open orders through the API.")
app.add_typer(partner_key.app, name="key")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What you call this partner.")],
    webhook_url: Annotated[
        str | None, typer.Option(help="Where order events go; public https.")
    ] = None,
    markup_bps: Annotated[
        int, typer.Option(help="The partner's own share in basis points; 50 is 0.5 %.")
    ] = 0,
    json: Json = False,
) -> None:
    """Create a partner and print its credentials, once.

    The secrets are stored sealed and can never be shown again: hand them over now.

    Example:

        swapdesk partner create "Blue Wallet" --webhook-url https://blue.example/hooks --markup-bps 50
    """

    async def question(desk: Desk) -> Credentials:
        from swapdesk.engine.partner_admin import create_partner

        return await create_partner(
            desk, site_sealer(), name=name, webhook_url=webhook_url, markup_bps=markup_bps
        )

    made = ask(question)
    if json:
        as_json(made)
        return
    rows = [
        ("API key", made.api_key),
        ("API secret", made.api_secret),
        ("webhook secret", made.webhook_secret),
    ]
    as_table(f"Partner {name} ({made.partner_id})", ("credential", "value"), rows)
    print("The secrets are not shown again.")


@app.command("seal-key")
def seal_key() -> None:
    """Make the key that seals partners' secrets, in the file that the site file names.

    Once per site, before the first partner. Keep a copy where the database's copies are not: with
    both, whoever has them reads every partner's secrets. An existing file is never overwritten.

    Example:

        swapdesk partner seal-key
    """
    from swapdesk.console.session import BAD_ASK, fail
    from swapdesk.partners.secrets import make_key_file
    from swapdesk.settings import BadSettings, load_site
    from swapdesk.world import RealWorld

    try:
        file = load_site().sealing_key_file
        make_key_file(file, RealWorld())
    except FileExistsError:
        fail(f"{file} exists; it is kept")
    except BadSettings as wrong:
        fail(str(wrong), BAD_ASK)
    except OSError as trouble:
        fail(f"cannot write {file}: {trouble.strerror}", BAD_ASK)
    print(f"sealing key: {file}")


@app.command()
def disable(name: Annotated[str, typer.Argument(help="The partner's name.")]) -> None:
    """Shut a partner out: every call answers AUTH_DISABLED from now on, in every process.

    Orders that are open go on, and their webhooks are delivered.

    Example:

        swapdesk partner disable "Blue Wallet"
    """
    _switch(name, enabled=False)
    print(f"{name} is shut out")


@app.command()
def enable(name: Annotated[str, typer.Argument(help="The partner's name.")]) -> None:
    """Let a partner in again.

    Example:

        swapdesk partner enable "Blue Wallet"
    """
    _switch(name, enabled=True)
    print(f"{name} is let in")


def _switch(name: str, *, enabled: bool) -> None:
    async def question(desk: Desk) -> None:
        from swapdesk.engine.partner_admin import switch_partner

        await switch_partner(desk, name, enabled=enabled)

    ask(question)


@app.command("codes")
def codes_(
    name: Annotated[str, typer.Argument(help="The partner's name.")],
    most: Annotated[
        int | None, typer.Option(help="How many he may have from now on, disabled ones included.")
    ] = None,
    json: Json = False,
) -> None:
    """A partner's reference codes, newest first; with --most change how many he may have.

    Example:

        swapdesk partner codes "Blue Wallet" --most 100
    """

    async def question(desk: Desk) -> tuple[list[Code], int]:
        from swapdesk.engine.codes import partners_codes

        return await partners_codes(desk, name, most=most)

    found, allowed = ask(question)
    if json:
        as_json({"codes": found, "most": allowed})
        return
    rows = [
        (c.code, "yes" if c.enabled else "no", c.markup_bps or "", c.label, moment(c.created_ms))
        for c in found
    ]
    title = f"Codes of {name}, {len(found)} of at most {allowed}"
    as_table(title, ("code", "on", "markup bps", "label", "since"), rows, right=("markup bps",))


@app.command("list")
def list_(json: Json = False) -> None:
    """Every partner, oldest first, without secrets.

    Example:

        swapdesk partner list
    """

    async def question(desk: Desk) -> list[Partner]:
        from swapdesk.engine.partner_admin import list_partners

        return await list_partners(desk)

    partners = ask(question)
    if json:
        as_json(partners)
        return
    as_table(
        "Partners",
        ("name", "on", "markup bps", "weight/min", "webhook", "API keys", "since", "id"),
        [
            (
                p.name, "yes" if p.enabled else "no", p.markup_bps, p.weight_per_minute,
                p.webhook_url, " ".join(p.api_keys), moment(p.created_ms), p.id,
            )
            for p in partners
        ],
        right=("markup bps", "weight/min"),
    )  # fmt: skip


app.command("rules")(partner_key.rules)
app.command("set")(webhook.set_)
