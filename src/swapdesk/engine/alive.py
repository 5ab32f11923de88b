"""Which networks can be offered: the watcher stands at their tip and the vault is not silent."""

import msgspec

from swapdesk.deposits import store as deposits
from swapdesk.engine.desk import Desk
from swapdesk.orders import vault_words


class Alive(msgspec.Struct, frozen=True):
    """What `readyz` tells: one line per part."""

    networks: frozenset[str]
    vault: bool
    vault_stopped: str | None


async def alive_networks(desk: Desk) -> frozenset[str]:
    """Networks that are watched up to date while the vault is heard. Cached for a second."""
    return (await alive(desk)).networks


async def alive(desk: Desk) -> Alive:
    """The state of watchers and vault, read at most once a second."""
    return await desk.recent(_read)


async def _read(desk: Desk) -> Alive:
    now = desk.world.now()
    async with desk.db.pool.acquire() as connection:
        synced = await deposits.synced(connection)
        beat = await vault_words.last_beat(connection)
    heard = beat is not None and now - beat.at_ms <= desk.terms.vault_silence_ms
    stopped = beat.stopped if beat else None
    networks = frozenset(
        network
        for network in desk.registry.networks
        if heard and stopped is None and now - synced.get(network, 0) <= desk.terms.sync_silence_ms
    )
    return Alive(networks, heard, stopped)
