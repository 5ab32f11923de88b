"""Everything a demo runs, put up in order and taken down in reverse: `async with Stage(...)`."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import asyncpg
import msgspec

from swapdesk import roles
from swapdesk.demo.chains import Chains
from swapdesk.demo.customer import Customer
from swapdesk.demo.nodes import free_port
from swapdesk.demo.partner import Credentials, Partner
from swapdesk.demo.programs import Failed, Program, command, in_thread, program
from swapdesk.demo.receiver import Receiver
from swapdesk.demo.site import (
    Dsns,
    Places,
    write_desk_site,
    write_env,
    write_vault_site,
)
from swapdesk.embedded import EmbeddedPostgres
from swapdesk.money import parse, show
from swapdesk.world import World

#: What the operator puts into the hot wallets, in whole coins. Bitcoin comes as several coins, so
#: that payouts need not wait for each other's change.
CAPITAL: Final = {
    "btc": ("0.5", "0.5", "0.5", "0.5"),
    "eth": ("40",),
    "usdt_eth": ("100000",),
    "usdc_eth": ("100000",),
    "trx": ("50000",),
    "usdt_trc20": ("100000",),
}
#: How long web, worker and vault may take until every network is alive.
READY_SECONDS_MAX: Final = 60
_POLL_SECONDS: Final = 0.1
_OK: Final = 200


class Stage:
    """A running site with its surroundings. `say` prints a step of the start."""

    def __init__(self, places: Places, world: World, say: Callable[[str], None]) -> None:
        self.places = places
        self.world = world
        self.receiver = Receiver(world, self._told)
        self.chains = Chains(places.nodes, world)
        self.programs: list[Program] = []
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        self._say = say
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._put_up()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def swapdesk(self, *words: str) -> str:
        """What a command of the operator prints."""
        env = {"SWAPDESK_SITE": str(self.places.desk_site)}
        return await command(program("swapdesk", *words), env)

    async def vault_command(self, *words: str) -> str:
        """What a command of the vault's operator prints."""
        env = {"SWAPDESK_VAULT_SITE": str(self.places.vault_site)}
        return await command(program("swapdesk-vault", *words), env)

    def require_alive(self) -> None:
        """Failed when a program has ended by itself."""
        for each in self.programs:
            each.require_alive()

    async def _put_up(self) -> None:
        self._say(
            f"starting; everything is kept in {self.places.root} and listens on loopback only"
        )
        cluster = EmbeddedPostgres(self.places.cluster, world=self.world)
        self._stack.callback(cluster.stop)
        await in_thread(cluster.start)  # also makes sure that no other demo runs here
        self._clear()
        await asyncio.gather(self._empty_databases(cluster), self.chains.start(self._stack))
        self._say("PostgreSQL, bitcoind (regtest), anvil and a SIMULATED Tron are running")
        self.dsns = Dsns(
            desk_app=cluster.dsn("desk_app", "desk"),
            desk_owner=cluster.dsn("desk_owner", "desk"),
            vault_app=cluster.dsn("vault_app", "vault"),
            vault_owner=cluster.dsn("vault_owner", "vault"),
        )
        purse = await self.chains.populate()
        purse.save(self.places.root)
        self.customer = await self._stack.enter_async_context(Customer(purse))
        self._say("a customer has BTC, ETH, USDT, USDC, and SIMULATED TRX and USDT")
        ports = free_port(), free_port()
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.private_url = f"http://127.0.0.1:{ports[1]}"
        write_desk_site(self.places, self.dsns, purse.urls, purse.contracts, ports)
        write_vault_site(
            self.places, self.dsns, purse.urls, purse.contracts, self.private_url, self.world
        )
        await asyncio.gather(
            self.swapdesk("migrate"),
            self.vault_command("init", "--dev-seed"),
            self.swapdesk("partner", "seal-key"),
        )
        self._say("both databases are migrated, the vault has a development seed")
        await self._run_programs()
        await self._open_for_business()

    def _clear(self) -> None:
        """Forget the last run: chains, keys, logs. Only the database cluster's files are kept."""
        for folder in (self.places.nodes, self.places.logs, self.places.desk, self.places.vault):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        self.places.env.unlink(missing_ok=True)

    async def _empty_databases(self, cluster: EmbeddedPostgres) -> None:
        connection = await asyncpg.connect(cluster.dsn())
        try:
            for database in roles.ROOMS:
                await connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        finally:
            await connection.close()
        await roles.provision(cluster.dsn(), cluster.secrets, self.world)

    async def _run_programs(self) -> None:
        desk = {"SWAPDESK_SITE": str(self.places.desk_site)}
        vault = {"SWAPDESK_VAULT_SITE": str(self.places.vault_site)}
        for name, argv, env in (
            ("web", program("swapdesk", "web"), desk),
            ("worker", program("swapdesk", "worker"), desk),
            ("vault", program("swapdesk-vault", "run"), vault),
        ):
            each = Program(name, argv, env, self.places.logs / f"{name}.log")
            self._stack.callback(each.stop)
            each.start()
            self.programs.append(each)
        miner = asyncio.create_task(self.chains.mine_on_schedule())
        self._stack.push_async_callback(_cancelled, miner)

    async def _open_for_business(self) -> None:
        """A partner, coins in the hot wallets, and every network alive."""
        await self._stack.enter_async_context(self.receiver)
        credentials, _ = await asyncio.gather(self._new_partner(), self._fund())
        self.credentials = credentials
        self.receiver.secret = credentials.webhook_secret
        self.partner = await self._stack.enter_async_context(
            Partner(self.url, credentials, self.world)
        )
        await self._until_ready()
        self._write_env()

    async def _new_partner(self) -> Credentials:
        words = ("partner", "create", "demo", "--webhook-url", self.receiver.url, "--json")
        return msgspec.json.decode(await self.swapdesk(*words), type=Credentials)

    async def _fund(self) -> None:
        """Coins for every hot wallet, and the same in the books."""
        told = await self.vault_command("addresses", "--json")
        self.hot: dict[str, str] = msgspec.json.decode(told)
        bookings: list[Awaitable[str]] = []
        for code, portions in CAPITAL.items():
            asset = self.customer.registry.assets[code]
            units = [parse(portion, asset.decimals) for portion in portions]
            txids = [
                await self.chains.give(self.customer, code, self.hot[asset.network], each)
                for each in units
            ]
            amount = show(sum(units), asset.decimals)
            bookings.append(
                self.swapdesk("books", "capital", code, amount, "--reference", txids[0])
            )
        await asyncio.gather(*bookings)
        self._say("the hot wallets are funded, and the books say so")

    async def _until_ready(self) -> None:
        """Wait for /readyz. Failed with what it said last."""
        said = "nothing"
        timeout = aiohttp.ClientTimeout(total=READY_SECONDS_MAX)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            try:
                async with asyncio.timeout(READY_SECONDS_MAX):
                    while True:
                        self.require_alive()
                        try:
                            async with session.get(f"{self.url}/readyz") as answer:
                                said = await answer.text()
                                if answer.status == _OK:
                                    break
                        except aiohttp.ClientConnectionError:
                            said = "no connection"
                        await asyncio.sleep(_POLL_SECONDS)
            except TimeoutError:
                raise Failed(f"the desk is not ready: {said}; see {self.places.logs}") from None
        self._say(f"the desk is open at {self.url}")

    def _write_env(self) -> None:
        purse = self.customer.purse
        self.env = {
            "SWAPDESK_URL": self.url,
            "SWAPDESK_PRIVATE_URL": self.private_url,
            "SWAPDESK_API_KEY": self.credentials.api_key,
            "SWAPDESK_API_SECRET": self.credentials.api_secret,
            "SWAPDESK_WEBHOOK_SECRET": self.credentials.webhook_secret,
            "SWAPDESK_DEMO": str(self.places.root),
            "SWAPDESK_SITE": str(self.places.desk_site),
            "SWAPDESK_VAULT_SITE": str(self.places.vault_site),
            "BITCOIN_URL": purse.urls["bitcoin"],
            "ETHEREUM_URL": purse.urls["ethereum"],
            "SIMULATED_TRON_URL": purse.urls["tron"],
            "DEMO_BTC_ADDRESS": purse.btc_address,
            "DEMO_ETH_ADDRESS": purse.eth_address,
            "DEMO_TRON_ADDRESS": purse.tron_address,
        }
        write_env(self.places.env, self.env)

    def _told(self, order: dict[str, Any]) -> None:
        if self.on_event:
            self.on_event(order)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    """End a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
