"""`swapdesk partner key` and `swapdesk partner rules`: how a partner's calls are signed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from swapdesk.console.session import BAD_ASK, ask, fail, site_sealer
from swapdesk.console.show import as_json, as_table, moment

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.partners.credential import Key, NewKey, Scope
    from swapdesk.partners.credential_store import Rules

app = typer.Typer(no_args_is_help=True, help="Keys of a partner: several may live at a time.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Who = Annotated[str, typer.Argument(help="The partner's name or id.")]
ApiKey = Annotated[str, typer.Argument(help="The API key, as `list` shows it.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="read, trade or admin; several are given one by one."),
]

#: What a duration may be written in.
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


@app.command()
def add(
    partner: Who,
    public_key: Annotated[
        str | None,
        typer.Option(help="Ed25519 public key: PEM file, hex or base64. Then there is no secret."),
    ] = None,
    label: Annotated[str, typer.Option(help="What you call this key.")] = "",
    scope: Scopes = None,
    life: Annotated[str | None, typer.Option(help="How long it lives: 90d, 12h, 30m.")] = None,
    json: Json = False,
) -> None:
    """Give a partner one more key; the others live on until they are revoked or expire.

    Without --public-key a secret is made and shown once. With it the desk stores only the public
    half, and calls are signed as in RFC 9421 (docs/partner/signing.md).

    Example, a change of keys with a day of overlap:

        swapdesk partner key add "Blue Wallet" --label 2027
        swapdesk partner key expire OLD_API_KEY --in 24h
    """
    raw, scopes, life_ms = _public_key(public_key), _scopes(scope), _duration(life)

    async def question(desk: Desk) -> NewKey:
        from swapdesk.engine.credential_admin import add_key

        return await add_key(
            desk, site_sealer(), partner=partner, public_key=raw, label=label, scopes=scopes,
            life_ms=life_ms,
        )  # fmt: skip

    made = ask(question)
    if json:
        as_json(made)
        return
    rows = [("API key", made.api_key)]
    if made.api_secret is not None:
        rows.append(("API secret", made.api_secret))
    as_table(f"A key of {partner}", ("credential", "value"), rows)
    if made.api_secret is not None:
        print("The secret is not shown again.")


@app.command("list")
def list_(partner: Who, json: Json = False) -> None:
    """Every key of a partner, oldest first, revoked and expired ones too; no secrets.

    Example:

        swapdesk partner key list "Blue Wallet"
    """

    async def question(desk: Desk) -> list[Key]:
        from swapdesk.engine.credential_admin import list_keys

        return await list_keys(desk, partner)

    keys = ask(question)
    if json:
        as_json(keys)
        return
    as_table(
        f"Keys of {partner}",
        ("API key", "label", "kind", "may", "revoked", "expires", "since"),
        [
            (
                key.api_key, key.label, key.kind, " ".join(key.scopes),
                "no" if key.enabled else "yes",
                "never" if key.expires_ms is None else moment(key.expires_ms),
                moment(key.created_ms),
            )
            for key in keys
        ],
    )  # fmt: skip


@app.command()
def revoke(api_key: ApiKey) -> None:
    """End a key, at once and for good, in every process.

    Example:

        swapdesk partner key revoke API_KEY
    """

    async def question(desk: Desk) -> None:
        from swapdesk.engine.credential_admin import revoke_key

        await revoke_key(desk, api_key)

    ask(question)
    print(f"revoked: {api_key}")


@app.command()
def expire(
    api_key: ApiKey,
    life: Annotated[str | None, typer.Option("--in", help="How long it still lives: 24h.")] = None,
    never: Annotated[bool, typer.Option("--never", help="Let it live until revoked.")] = False,
) -> None:
    """Say when a key dies: the end of an overlap.

    Example:

        swapdesk partner key expire API_KEY --in 24h
    """
    if (life is None) != never:
        fail("say either --in or --never", BAD_ASK)
    life_ms = _duration(life)

    async def question(desk: Desk) -> None:
        from swapdesk.engine.credential_admin import expire_key

        await expire_key(desk, api_key, life_ms)

    ask(question)
    print(f"never expires: {api_key}" if never else f"expires in {life}: {api_key}")


@app.command()
def scope(
    api_key: ApiKey,
    scope: Annotated[list[str], typer.Argument(help="read, trade, admin: what it may do.")],
) -> None:
    """Say what a key may be used for: read (catalogue, prices, orders, events), trade (opening
    orders, deciding about them), admin (secrets and reference codes).

    Example:

        swapdesk partner key scope API_KEY read trade
    """
    scopes = _scopes(scope)

    async def question(desk: Desk) -> None:
        from swapdesk.engine.credential_admin import scope_key

        await scope_key(desk, api_key, scopes)

    ask(question)
    print(f"may {' '.join(scopes)}: {api_key}")


def rules(
    partner: Who,
    signing: Annotated[
        str | None, typer.Option(help="The weakest signature let in: v1, v2 or rfc9421.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Let calls come from this network only; may be given several times."),
    ] = None,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Let calls come from all.")] = False,
    json: Json = False,
) -> None:
    """Show, or change, how a partner's calls must be signed and where they may come from.

    Networks given replace the ones before. What breaks a rule is answered like a wrong signature.

    Example:

        swapdesk partner rules "Blue Wallet" --signing v2 --allow 203.0.113.0/24
    """
    from swapdesk.partners.credential import Signing, parse_network

    if allow and anywhere:
        fail("say either --allow or --anywhere", BAD_ASK)
    try:
        networks = [parse_network(text) for text in allow] if allow else None
        least = None if signing is None else Signing[signing.upper()]
    except KeyError:
        fail("--signing is v1, v2 or rfc9421", BAD_ASK)
    except ValueError as wrong:
        fail(str(wrong), BAD_ASK)

    async def question(desk: Desk) -> Rules:
        from swapdesk.engine.credential_admin import partner_rules, set_rules

        if least is None and networks is None and not anywhere:
            return await partner_rules(desk, partner)
        return await set_rules(desk, partner, signing=least, networks=[] if anywhere else networks)

    kept = ask(question)
    told = {
        "partner": kept.name,
        "signing": kept.signing.name.lower(),
        "networks": [str(network) for network in kept.networks],
    }
    if json:
        as_json(told)
        return
    rows = [
        ("weakest signature", kept.signing.name.lower()),
        ("calls come from", " ".join(map(str, kept.networks)) or "anywhere"),
    ]
    as_table(f"Rules of {kept.name}", ("rule", "value"), rows)


def _public_key(text: str | None) -> bytes | None:
    from swapdesk.partners.credential import parse_public_key

    if text is None:
        return None
    try:
        file = Path(text)
        return parse_public_key(file.read_text() if file.is_file() else text)
    except (OSError, ValueError) as wrong:
        fail(str(wrong), BAD_ASK)


def _scopes(names: list[str] | None) -> tuple[Scope, ...]:
    from swapdesk.partners.credential import Scope

    try:
        return tuple(Scope) if not names else tuple(map(Scope, names))
    except ValueError:
        fail("a scope is read, trade or admin", BAD_ASK)


def _duration(text: str | None) -> int | None:
    """Milliseconds of 90d, 12h or 30m."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,8}[mhd]", text):
        fail("a duration is a number of days, hours or minutes: 90d, 12h, 30m", BAD_ASK)
    return int(text[:-1]) * _UNIT_MS[text[-1]]
