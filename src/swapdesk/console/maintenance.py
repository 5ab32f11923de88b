"""`swapdesk maintenance`: pausing new orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swapdesk.console.session import ask
from swapdesk.console.show import as_json, moment

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.engine.maintenance import Maintenance

app = typer.Typer(
    no_args_is_help=True, help="The maintenance switch: while it is on, no order opens."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a sentence.")]


@app.command()
def on() -> None:
    """Pause new orders in every process, within a second. Open orders go on.

    `create` answers MAINTENANCE, prices say so, feeds are empty.

    Example:

        swapdesk maintenance on
    """
    _say(_switch(on=True))


@app.command()
def off() -> None:
    """Take new orders again.

    Example:

        swapdesk maintenance off
    """
    _say(_switch(on=False))


@app.command()
def status(json: Json = False) -> None:
    """Whether new orders are paused, since when, and by whom.

    Example:

        swapdesk maintenance status
    """

    async def question(desk: Desk) -> Maintenance:
        from swapdesk.engine.maintenance import read_maintenance

        return await read_maintenance(desk)

    found = ask(question)
    if json:
        as_json(found)
    else:
        _say(found)


def _switch(*, on: bool) -> Maintenance:
    async def question(desk: Desk) -> Maintenance:
        import getpass

        from swapdesk.engine.maintenance import set_maintenance

        return await set_maintenance(desk, on=on, by=f"operator {getpass.getuser()}")

    return ask(question)


def _say(found: Maintenance) -> None:
    since = f" since {moment(found.since_ms)} UTC, by {found.by}" if found.since_ms else ""
    print(f"maintenance is {'on' if found.on else 'off'}{since}")
