"""From a site file to a Desk that can be asked: what web, worker and console have in common."""

import asyncpg

from swapdesk.db import Database
from swapdesk.deposits.addresses import PayIn
from swapdesk.engine.desk import Desk
from swapdesk.settings import BadSettings, Site
from swapdesk.world import RealWorld, World


class NoDatabase(Exception):
    """The desk's database does not answer or is not ready; the text says why and what to do."""


async def open_desk(site: Site, *, name: str, world: World | None = None) -> Desk:
    """The desk of `site`, connected; close it with `await desk.db.close()`.

    `name` shows in pg_stat_activity. BadSettings when the site file, its networks and the vault's
    public file do not fit together; NoDatabase when PostgreSQL cannot be asked.
    """
    registry = site.registry()
    try:
        pay_in = PayIn(registry, site.vault_public().xpubs)
    except ValueError as wrong:
        raise BadSettings(f"{site.vault_public_file}: {wrong}") from wrong
    return Desk(
        db=await _open(site, name),
        world=world or RealWorld(),
        registry=registry,
        terms=site.desk_terms(),
        pay_in=pay_in,
    )


async def _open(site: Site, name: str) -> Database:
    try:
        dsn = site.dsn()
    except OSError as missing:
        raise NoDatabase(
            f"there is no database in {site.state_dir} yet and DATABASE_URL is not set; "
            "run `swapdesk database`, then `swapdesk migrate`"
        ) from missing
    try:
        database = await Database.open(dsn, name=name)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as trouble:
        raise NoDatabase(f"PostgreSQL does not let us in: {trouble}") from trouble
    async with database.pool.acquire() as connection:
        ready = await connection.fetchval("SELECT to_regclass('public.orders')")
    if ready is None:
        await database.close()
        raise NoDatabase("the database has no tables yet; run `swapdesk migrate`")
    return database
