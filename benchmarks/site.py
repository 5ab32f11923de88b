"""A site to measure: durable PostgreSQL, the production web process, and the world around them.

No chains run: what watchers, vault and rates would write is written here as rows, once a second.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg
import msgspec

from swapdesk import db, roles
from swapdesk.build import open_desk
from swapdesk.child import Child
from swapdesk.demo.nodes import free_port
from swapdesk.demo.programs import environment, program
from swapdesk.demo.site import toml
from swapdesk.embedded import EmbeddedPostgres
from swapdesk.engine.desk import Desk
from swapdesk.engine.partner_admin import create_partner
from swapdesk.money import USD_SCALE, parse
from swapdesk.partners.partner import Credentials
from swapdesk.partners.secrets import make_key_file, read_key_file
from swapdesk.rates import store as rates
from swapdesk.rates.book import Tick
from swapdesk.settings import Site, load_site
from swapdesk.world import RealWorld
from swapdesk_vault.keys import Keyring

WORDS: Final = "abandon " * 11 + "about"
PRICES: Final = {"BTC": "62450.12", "ETH": "2480.5", "USDT": "1", "USDC": "1", "TRX": "0.32"}
NETWORKS: Final = ("bitcoin", "ethereum", "tron")
#: Nobody is refused for asking too often: that would measure refusals.
NO_LIMIT: Final = 2_000_000_000
READY_SECONDS_MAX: Final = 60
#: Partners of pgbench: one for each of its clients.
CLIENTS: Final = 16


class Bench(msgspec.Struct, frozen=True):
    """One site under load."""

    desk: Desk
    url: str
    web: Child | None
    partner: Credentials
    owner_dsn: str
    app_dsn: str


@contextmanager
def postgres(folder: Path) -> Any:
    """A durable cluster with the desk's roles, and its databases by name."""
    with EmbeddedPostgres(folder / "postgres") as cluster:
        yield cluster


async def prepare(cluster: EmbeddedPostgres, names: list[str]) -> None:
    """Migrated databases of these names."""
    await roles.provision(cluster.dsn(), cluster.secrets, RealWorld())
    await db.migrate(cluster.dsn("desk_owner", "desk"), "desk")
    connection = await asyncpg.connect(cluster.dsn())
    try:
        for name in names:
            room = roles.ROOMS["desk"]
            await roles.create_database(connection, name, room, template="desk")
    finally:
        await connection.close()


def write_site(folder: Path, name: str, database_url: str) -> Site:
    """The site file `folder/name.toml`, with the vault's public half and a sealing key."""
    keyring = Keyring.from_words(WORDS, "dev")
    link = keyring.link_key().public_key().public_bytes_raw().hex()
    families = ("bitcoin", "evm", "tron")
    public = {
        "world": "dev", "link_key": link, "attestation_key": link,
        "xpubs": {family: keyring.deposit_xpub(family) for family in families},
    }  # fmt: skip
    (folder / "vault-public.json").write_text(json.dumps(public))
    with suppress(FileExistsError):
        make_key_file(folder / "sealing.key", RealWorld())
    table: Mapping[str, Any] = {
        "world": "dev",
        "state_dir": str(folder / "postgres"),
        "database_url": database_url,
        "sealing_key_file": str(folder / "sealing.key"),
        "vault_public_file": str(folder / "vault-public.json"),
        "public": {"port": free_port()},
        "private": {"port": free_port()},
        "strangers": {"per_address": NO_LIMIT, "everybody": NO_LIMIT},
        "rates": {"fixed": PRICES},
        "networks": {key: {"urls": ["http://127.0.0.1:1"], "reader": "simulated", "network_usd": "1"}
                     for key in NETWORKS},
    }  # fmt: skip
    path = folder / f"{name}.toml"
    path.write_text(toml(table))
    return load_site(path)


@asynccontextmanager
async def site_up(
    folder: Path, cluster: EmbeddedPostgres, name: str, *, web: bool = True
) -> AsyncIterator[Bench]:
    """A site on database `name`, its web process answering; without `web` only the database."""
    site = write_site(folder, name, cluster.dsn("desk_app", name))
    owner = cluster.dsn("desk_owner", name)
    desk = await open_desk(site, name="bench")
    world = asyncio.create_task(live(desk))
    child = start_web(folder, name) if web else None
    try:
        sealer = read_key_file(site.sealing_key_file)
        partner = await create_partner(desk, sealer, name="bench")
        for number in range(CLIENTS):
            await create_partner(desk, sealer, name=f"bench-{number}")
        connection = await asyncpg.connect(owner)
        await connection.execute("UPDATE partner SET weight_per_minute = $1", NO_LIMIT)
        await connection.close()
        url = f"http://127.0.0.1:{site.public.port}"
        if child:
            await until_ready(url, child)
        yield Bench(desk, url, child, partner, owner, cluster.dsn("desk_app", name))
    finally:
        world.cancel()
        await asyncio.wait([world])
        if child:
            child.stop(15)
        await desk.db.close()


def start_web(folder: Path, name: str) -> Child:
    """The production program on the site file `folder/name.toml`."""
    env = environment({"SWAPDESK_SITE": str(folder / f"{name}.toml")})
    return Child(program("swapdesk", "web"), log=folder / f"{name}.log", env=env)


async def live(desk: Desk) -> None:
    """Rates, a beat of the vault and watchers at the tip, every second."""
    ticks = {coin: parse(text, len(str(USD_SCALE)) - 1) for coin, text in PRICES.items()}
    while True:
        now = desk.world.now()
        snapshot = rates.Snapshot(
            tuple(Tick("fixed", coin, price, price, now) for coin, price in ticks.items()), {}
        )
        async with desk.db.transaction() as tx:
            await rates.keep(tx, desk.world.uuid(), now, snapshot)
            await tx.execute(
                "INSERT INTO vault_beat (fence, at_ms) VALUES (1, $1)"
                " ON CONFLICT (one) DO UPDATE SET at_ms = excluded.at_ms", now,
            )  # fmt: skip
            await tx.execute(
                "INSERT INTO chain_cursor (network, height, hash, tip_height, synced_ms)"
                " SELECT unnest($1::text[]), 1, 'x', 1, $2"
                " ON CONFLICT (network) DO UPDATE SET synced_ms = excluded.synced_ms",
                NETWORKS, now,
            )  # fmt: skip
        await asyncio.sleep(1)


async def until_ready(url: str, web: Child) -> None:
    """Wait until a web process says that the site can swap."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_SECONDS_MAX):
        while True:
            assert web.status is None, web.last_words()
            with suppress(aiohttp.ClientError):
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


@contextmanager
def hello(folder: Path) -> Any:
    """The hello-world app in a process of its own; (url, child)."""
    port_file = folder / "hello.log"
    port_file.unlink(missing_ok=True)
    child = Child([sys.executable, "-m", "benchmarks.hello"], log=port_file, env=environment({}))
    try:
        while not (text := port_file.read_text() if port_file.exists() else "").endswith("\n"):
            assert child.wait(0.05) is None, text
        yield f"http://127.0.0.1:{int(text)}/api/v1/price", child
    finally:
        child.stop(15)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def family_cpu_seconds(pid: int) -> float:
    """The same of a process and its children."""
    total = cpu_seconds(pid)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                total += cpu_seconds(int(folder.name))
    return total
