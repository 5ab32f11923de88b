"""The operator's commands. Everything heavy is imported inside the command that needs it."""

import asyncio
import getpass
import sys
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Never, TypeVar

import typer

if TYPE_CHECKING:  # `--help` answers at once
    from swapdesk_vault.site import VaultSite

T = TypeVar("T")

#: Exit status for a site file, database, seed or passphrase that cannot be used.
BAD_SITE: Final = 2
#: Exit status of `status` when the vault has stopped.
STOPPED: Final = 3
#: BIP39's own test vector: everybody knows it, so it can only ever be used in the dev world.
DEV_WORDS: Final = "abandon " * 11 + "about"
WORDS_CHARS_MAX: Final = 1_000

SiteFile = Annotated[
    Path | None, typer.Option("--site", help="The site file; default ./vault.toml.")
]

app = typer.Typer(
    help="The vault of a Swapdesk site: the only program that holds private keys.\n\n"
    "First:  swapdesk-vault init      then:  swapdesk-vault run\n\n"
    "It listens on nothing: it asks the desk's private listener and its own nodes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def init(
    site: SiteFile = None,
    words: Annotated[
        bool, typer.Option("--words", help="Read an existing seed phrase from standard input.")
    ] = False,
    dev_seed: Annotated[
        bool, typer.Option("--dev-seed", help="Use a publicly known seed; dev world only.")
    ] = False,
) -> None:
    """Make or take over a seed, prepare the database, write the public file for the desk.

    A new seed phrase is shown once: write it on paper. It is kept sealed under a passphrase, which
    comes from $SWAPDESK_VAULT_PASSPHRASE_FILE or the terminal. Safe to repeat: an existing sealed
    seed is kept, and a database never changes its world or seed.
    """
    from swapdesk_vault.ceremony import initialise_site

    phrase = sys.stdin.read(WORDS_CHARS_MAX) if words else DEV_WORDS if dev_seed else None

    async def session(known: "VaultSite") -> list[str]:
        if dev_seed and known.world != "dev":
            _fail("--dev-seed is for the dev world only")
        passphrase = _passphrase(known, new=not known.seed_file.exists())
        return await initialise_site(known, passphrase, phrase, quiet=dev_seed)

    typer.echo("\n".join(_run(site, session)))


@app.command()
def run(site: SiteFile = None) -> None:
    """Pull, verify, sign, journal, broadcast, report, until SIGTERM or Ctrl-C."""
    from swapdesk_vault import logs
    from swapdesk_vault.serve import open_keyring, serve

    logs.set_up()

    async def session(known: "VaultSite") -> None:
        await serve(known, open_keyring(known, _passphrase(known, new=False)))

    _run(site, session)


@app.command()
def status(site: SiteFile = None) -> None:
    """How the vault stands: running or not, stopped or not, what is live, recent alarms."""
    from swapdesk_vault.operator import status as ask
    from swapdesk_vault.show import show_status

    told = _run(site, lambda known: ask(known.dsn()))
    typer.echo(show_status(told))
    if told.stops:
        sys.exit(STOPPED)


@app.command()
def addresses(
    site: SiteFile = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Where to send the site's capital: the address of every hot wallet. Needs the passphrase.

    Book what you send with `swapdesk books capital`, or the books will not agree with the chains.
    """
    from msgspec.json import encode

    from swapdesk_vault.addresses import hot_addresses
    from swapdesk_vault.serve import open_keyring

    async def session(known: "VaultSite") -> dict[str, str]:
        return hot_addresses(known, open_keyring(known, _passphrase(known, new=False)))

    told = _run(site, session)
    lines = [f"{network:<12} {address}" for network, address in told.items()]
    typer.echo(encode(told).decode() if json else "\n".join(lines))


@app.command()
def resume(
    reason: Annotated[str, typer.Option(help="What was wrong and how it was mended.")],
    site: SiteFile = None,
) -> None:
    """Let a stopped vault sign again. Mend the cause first, or it stops at once again."""
    from swapdesk.world import RealWorld
    from swapdesk_vault.operator import resume as clear

    count = _run(site, lambda known: clear(known.dsn("vault_owner"), RealWorld(), reason))
    typer.echo(f"{count} stop(s) cleared" if count else "the vault was not stopped")


@app.command()
def judge(
    order: Annotated[uuid.UUID, typer.Argument(help="The order of the held payment.")],
    attempt: Annotated[int, typer.Argument(help="Its attempt, as `status` shows it.")],
    verdict: Annotated[str, typer.Argument(help="approve or refuse")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")],
    site: SiteFile = None,
) -> None:
    """Decide a held payment. `approve` lifts caps and lateness; nothing lifts verification.

    `refuse` ends it while nothing is signed; the desk then lists the order as held.
    """
    from swapdesk.world import RealWorld
    from swapdesk_vault.operator import judge as decide

    if verdict not in ("approve", "refuse"):
        _fail("the verdict is approve or refuse")
    word: Literal["approve", "refuse"] = "approve" if verdict == "approve" else "refuse"
    world = RealWorld()
    try:
        _run(
            site,
            lambda known: decide(known.dsn("vault_owner"), world, order, attempt, word, reason),
        )
    except LookupError as unknown:
        _fail(str(unknown))
    typer.echo(f"{order}/{attempt}: {word}")


def _passphrase(site: "VaultSite", *, new: bool) -> str:
    told = site.passphrase()
    if told is not None:
        return told
    if not sys.stdin.isatty():
        _fail("set SWAPDESK_VAULT_PASSPHRASE_FILE: there is no terminal to ask for the passphrase")
    first = getpass.getpass("Passphrase of the sealed seed: ")
    if new and getpass.getpass("Once more: ") != first:
        _fail("the passphrases differ")
    if not first:
        _fail("an empty passphrase protects nothing")
    return first


def _run(site: Path | None, work: "Callable[[VaultSite], Coroutine[Any, Any, T]]") -> T:
    """Load the site and await `work(site)`; what the operator can mend is one line and BAD_SITE."""
    import asyncpg

    from swapdesk_vault.journal import NotOurs
    from swapdesk_vault.keys import BadSeal, BadWords, WrongPassphrase
    from swapdesk_vault.site import BadSite, load_site

    try:
        return asyncio.run(work(load_site(site)))
    except (BadSite, NotOurs, BadSeal, BadWords, WrongPassphrase) as trouble:
        _fail(str(trouble))
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as trouble:
        _fail(f"the vault's database: {trouble}")
    except OSError as trouble:
        _fail(f"{trouble.filename or 'the vault'}: {trouble.strerror or trouble}")


def _fail(why: str) -> Never:
    typer.echo(f"swapdesk-vault: {why}", err=True)
    sys.exit(BAD_SITE)
