"""Builds the running vault from its site file, and keeps it ticking until it is told to stop."""

import asyncio
import signal
from typing import Final

import structlog

from swapdesk.assets import Network, Registry
from swapdesk.chains.connect import open_reader
from swapdesk.chains.reader import Reader
from swapdesk.chains.rpc import Rpc
from swapdesk.rates.fixed import FixedSource
from swapdesk.rates.market import MarketSource
from swapdesk.rates.source import RateSource
from swapdesk.world import RealWorld, World
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.journal import Journal
from swapdesk_vault.keys import Keyring, open_seed
from swapdesk_vault.link import Link
from swapdesk_vault.prices import OwnRates
from swapdesk_vault.senders.bitcoin import BitcoinSender
from swapdesk_vault.senders.evm import EvmSender
from swapdesk_vault.senders.sender import Sender
from swapdesk_vault.senders.simulated import SimulatedSender
from swapdesk_vault.site import MAIN_SOURCES_MIN, BadSite, VaultSite
from swapdesk_vault.vault import Vault

log = structlog.get_logger("vault")

MS: Final = 1_000


def link_key_of(keyring: Keyring) -> str:
    """The public link key, hexadecimal."""
    return keyring.link_key().public_key().public_bytes_raw().hex()


def open_keyring(site: VaultSite, passphrase: str) -> Keyring:
    """The keys behind the sealed seed. BadSite without the file; keys.py's errors pass through."""
    try:
        blob = site.seed_file.read_bytes()
    except OSError as missing:
        raise BadSite(
            f"cannot read {site.seed_file}: {missing.strerror}; run swapdesk-vault init"
        ) from None
    return Keyring.from_words(open_seed(blob, passphrase), site.world)


def rate_sources(site: VaultSite) -> list[RateSource]:
    """Whom the vault asks for its own rates. BadSite when there are too few for this world."""
    sources: list[RateSource] = []
    if site.rates.fixed:
        sources.append(FixedSource(site.rates.fixed))
    if setup := site.market():
        sources.append(MarketSource(setup))
    needed = MAIN_SOURCES_MIN if site.world == "main" else 1
    named = len(set(site.rates.sources)) + bool(site.rates.fixed)
    if named < needed:
        raise BadSite(f"the world {site.world} needs {needed} rate sources, {named} are set")
    return sources


async def build(
    site: VaultSite,
    keyring: Keyring,
    dsn: str,
    world: World,
) -> Vault:
    """Everything put together, the journal's lock taken. NotOurs, BadSite, asyncpg errors."""
    registry, sources = site.registry(), rate_sources(site)
    journal = await Journal.open(dsn, world, site.world, link_key_of(keyring))
    try:
        return assemble(site, registry, keyring, world, journal, sources)
    except ValueError as wrong:
        await journal.close()
        raise BadSite(str(wrong)) from wrong
    except BaseException:
        await journal.close()
        raise


def assemble(
    site: VaultSite,
    registry: Registry,
    keyring: Keyring,
    world: World,
    journal: Journal,
    sources: list[RateSource],
) -> Vault:
    """The pieces around an open journal."""
    wallet = HotWallet(journal)
    readers: dict[str, Reader] = {}
    senders: dict[str, Sender] = {}
    for key, network in registry.networks.items():
        readers[key] = open_reader(network, registry, site.networks[key].urls)
        senders[key] = _sender(site, network, registry, keyring, wallet, readers[key])
    return Vault(
        world=world,
        journal=journal,
        link=Link(site.desk_url, keyring.link_key(), world),
        readers=readers,
        senders=senders,
        keyring=keyring,
        limits=site.policy,
        rates=OwnRates(sources, site.guards()),
        registry=registry,
        pins={key: each.pins for key, each in site.networks.items()},
        pace=site.pace,
    )


def _sender(
    site: VaultSite,
    network: Network,
    registry: Registry,
    keyring: Keyring,
    wallet: HotWallet,
    reader: Reader,
) -> Sender:
    nodes = [Rpc(url) for url in site.networks[network.key].urls]
    if network.simulated:
        return SimulatedSender(network, registry, nodes, keyring, wallet)
    if network.reader == "bitcoin":
        setup = site.bitcoin(network)
        return BitcoinSender(network, registry, nodes, keyring, wallet, reader, setup)
    assert network.reader == "evm", network.reader
    return EvmSender(network, registry, nodes, keyring, wallet, site.evm(network))


async def run(vault: Vault, stop: asyncio.Event) -> None:
    """Tick until `stop` is set, then release everything. The loss of the journal passes through."""
    try:
        while not stop.is_set():
            await vault.tick()
            try:
                async with asyncio.timeout(vault.pace.poll_ms / MS):
                    await stop.wait()
            except TimeoutError:
                continue
    finally:
        await vault.close()


async def serve(site: VaultSite, keyring: Keyring) -> None:
    """`swapdesk-vault run`: until SIGINT or SIGTERM, also when those were inherited as ignored."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    vault = await build(site, keyring, site.dsn(), RealWorld())
    log.info("running", world=site.world, fence=vault.fence, networks=sorted(site.networks))
    await run(vault, stop)
    log.info("ended")
