"""A vault as a process of its own that may be told where to die by SIGKILL.

    python -m tests.vault.launch SITE.toml [Class.step before|after]

The same program as `swapdesk-vault run`, without the half second that opening a seal takes.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn, cast

from swapdesk.world import RealWorld
from swapdesk_vault import logs
from swapdesk_vault.keys import Keyring
from swapdesk_vault.serve import build, run
from swapdesk_vault.site import load_site
from tests.vault.reaper import Point, Reaper, When
from tests.vault.site import WORDS


def die() -> NoReturn:
    """Really."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


async def main(path: Path, point: Point | None) -> None:
    """Run until SIGTERM, or until the point is reached."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    site = load_site(path)
    vault = await build(site, Keyring.from_words(WORDS, "dev"), site.dsn(), RealWorld())
    Reaper(die, point).stalk(vault)
    await run(vault, stop)


if __name__ == "__main__":
    logs.set_up()
    told = sys.argv[2:]
    asyncio.run(main(Path(sys.argv[1]), Point(told[0], cast(When, told[1])) if told else None))
