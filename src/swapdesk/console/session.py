"""One command, one engine call: open the desk, ask it, close it.

Everything heavy is imported inside functions, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from swapdesk.engine.desk import Desk
    from swapdesk.partners.secrets import Sealer
    from swapdesk.settings import Site

T = TypeVar("T")

#: Exit statuses: the desk said no or could not be asked; the command or the site file is wrong.
SAID_NO: Final = 1
BAD_ASK: Final = 2


@asynccontextmanager
async def desk_session(site: Site) -> AsyncIterator[Desk]:
    """The desk of `site` for one command. Raises BadSettings and NoDatabase like `open_desk`."""
    from swapdesk.build import open_desk

    desk = await open_desk(site, name="swapdesk console")
    try:
        yield desk
    finally:
        await desk.db.close()


def ask(question: Callable[[Desk], Awaitable[T]]) -> T:
    """The answer of this site's desk to one question; expected trouble ends the command.

    One line on stderr says what is wrong. Exit status SAID_NO: refused, or no database. BAD_ASK:
    the site file, or a ValueError of the question, which means that its words make no sense.
    """
    import asyncio

    from rich.console import Console

    from swapdesk.build import NoDatabase
    from swapdesk.errors import Refused
    from swapdesk.settings import BadSettings, load_site

    async def session() -> T:
        async with desk_session(load_site()) as desk:
            return await question(desk)

    try:
        with Console(stderr=True).status("asking the desk"):
            return asyncio.run(session())
    except Refused as refused:
        fail(f"refused ({refused.no.value}): {refused.why}" if refused.why else
             f"refused: {refused.no.value}")  # fmt: skip
    except NoDatabase as trouble:
        fail(str(trouble))
    except (BadSettings, ValueError) as wrong:
        fail(str(wrong), BAD_ASK)


def site_sealer() -> Sealer:
    """What seals partners' secrets on this site. BadSettings when its key cannot be read."""
    from swapdesk.partners.secrets import read_key_file
    from swapdesk.settings import BadSettings, load_site

    file = load_site().sealing_key_file
    try:
        return read_key_file(file)
    except OSError as missing:
        raise BadSettings(f"cannot read the sealing key {file}: {missing.strerror}") from missing


def fail(why: str, status: int = SAID_NO) -> NoReturn:
    """End the command with one line of reason."""
    print(f"swapdesk: {' '.join(why.split())}", file=sys.stderr)
    raise SystemExit(status)
