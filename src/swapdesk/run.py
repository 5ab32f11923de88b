"""The `swapdesk` program: builds every process of the desk from one site file.

Everything heavy is imported inside the command that needs it, so that `--help` answers at once.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Never

import typer

from swapdesk.console import books, earnings, maintenance, order, partner, webhook
from swapdesk.demo import cli as demo

if TYPE_CHECKING:  # the site file's reader pulls in pydantic, which `--help` does not need
    from swapdesk.settings import Site

#: Exit status for a site file, database or address that cannot be used.
BAD_SITE: Final = 2

app = typer.Typer(
    help="A self-hosted instant-exchange desk: coins in on one chain, coins out on another.\n\n"
    "See it work:   swapdesk demo\n\n"
    "Run a site:    swapdesk migrate; swapdesk web & swapdesk worker & swapdesk-vault run &\n\n"
    "The site file is ./site.toml or $SWAPDESK_SITE; DATABASE_URL overrides its database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(partner.app, name="partner")
app.add_typer(order.app, name="order")
app.add_typer(books.app, name="books")
app.add_typer(earnings.app, name="earnings")
app.add_typer(maintenance.app, name="maintenance")
app.add_typer(webhook.app, name="webhook")
app.add_typer(demo.app, name="demo")


@app.command()
def migrate() -> None:
    """Bring the desk's database to the newest schema. Safe to repeat and to run concurrently."""
    from swapdesk.db import migrate as run_migrations

    def work(site: "Site") -> Awaitable[None]:
        return run_migrations(site.dsn("desk_owner"), "desk")

    _run(work)
    typer.echo("the desk's database has the newest schema")


@app.command()
def web() -> None:
    """Serve the Partner API on the public listener, the vault's link on the private one."""
    from swapdesk.serve_site import serve_site

    _run_until_stopped(serve_site)


@app.command()
def worker() -> None:
    """Watch chains, keep rates, run timers, deliver webhooks. Run as many as you like."""
    from swapdesk.worker import run_worker

    _run_until_stopped(run_worker)


@app.command()
def rates() -> None:
    """Show what the site's exchanges say, as JSON lines: the program that worker and vault listen to.

    Runs in the environment that `make rates` installs; ends with Ctrl-C.
    """
    from swapdesk.settings import BadSettings, load_site

    try:
        setup = load_site().market()
    except BadSettings as trouble:
        _fail(str(trouble))
    if setup is None:
        _fail("rates.sources names no exchange")
    argv = setup.argv()
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as missing:
        _fail(
            f"{argv[0]}: {missing.strerror}; `make rates` installs it, rates.python names another"
        )


@app.command()
def database(
    state: Annotated[Path, typer.Option(help="Folder of the cluster.")] = Path(".swapdesk"),
) -> None:
    """Run the embedded PostgreSQL with the desk's roles until stopped (Ctrl-C)."""
    from swapdesk.embedded import EmbeddedPostgres, NoPostgres
    from swapdesk.roles import provision
    from swapdesk.world import RealWorld

    async def wait() -> None:
        await provision(cluster.dsn(), cluster.secrets, RealWorld())
        typer.echo(f"PostgreSQL runs in {state}; next: swapdesk migrate. Ctrl-C stops it.")
        await _stopped().wait()

    try:
        with EmbeddedPostgres(state) as cluster:
            asyncio.run(wait())
    except NoPostgres as trouble:
        _fail(str(trouble))


@app.command()
def provision(
    superuser_url: Annotated[str, typer.Argument(help="postgresql://postgres:...@host/postgres")],
    secrets: Annotated[Path, typer.Option(help="Folder for one 0600 password file per role.")],
) -> None:
    """Create the databases and roles of the desk and the vault in a PostgreSQL of your own.

    Safe to repeat. Prints the URLs of the four roles without their passwords, which are in SECRETS.
    """
    import asyncpg

    from swapdesk import roles
    from swapdesk.world import RealWorld

    try:
        asyncio.run(roles.provision(superuser_url, secrets, RealWorld()))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as trouble:
        _fail(f"PostgreSQL does not let us in: {trouble}")
    for database, room in roles.ROOMS.items():
        for role in room:
            typer.echo(f"{role}: database {database}, password in {secrets / role}")


def _stopped() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, also when they were inherited as ignored."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _run(work: "Callable[[Site], Awaitable[None]]") -> None:
    """Load the site and run `work`; what the operator can mend is one line and BAD_SITE."""
    import uvloop

    from swapdesk.build import NoDatabase
    from swapdesk.logs import set_up
    from swapdesk.partners.secrets import Unsealable
    from swapdesk.settings import BadSettings, load_site

    async def session() -> None:
        await work(site)

    try:
        site = load_site()
        set_up(json=site.log_json)
        uvloop.run(session())
    except (BadSettings, NoDatabase, Unsealable) as trouble:
        _fail(str(trouble))
    except OSError as trouble:
        _fail(f"{trouble.filename or 'the site'}: {trouble.strerror or trouble}")


def _run_until_stopped(work: "Callable[[Site, asyncio.Event], Awaitable[None]]") -> None:
    async def session(site: "Site") -> None:
        await work(site, _stopped())

    _run(session)


def _fail(why: str) -> Never:
    typer.echo(f"swapdesk: {why}", err=True)
    sys.exit(BAD_SITE)


def main() -> None:
    """Entry point of the program."""
    app()
