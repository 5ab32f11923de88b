"""The registry: which coins exist, on which networks, in which spellings.

`assets.toml` holds the facts. A site configures some of its networks; only assets of configured
networks are offered. Everything here is immutable after `load`.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

_FILE: Final = Path(__file__).with_name("assets.toml")


class Network(msgspec.Struct, frozen=True):
    """One chain as this site uses it."""

    key: str  #: "bitcoin", "ethereum", ...
    name: str  #: as wires print it: "Bitcoin"
    family: str  #: networks of one family share deposit keys and one index sequence
    native: str  #: asset code that pays the network's fees
    reader: str  #: which reader looks at it: bitcoin, evm, simulated
    confirmations: int  #: depth at which a deposit or payout counts as final; 1 = in the tip
    block_seconds: int
    chain: str | None  #: genesis hash or chain id in this site's world; None: not offered there
    refuse_subversion: tuple[str, ...]  #: a node whose version string contains one is refused
    explorer: str

    @property
    def simulated(self) -> bool:
        """True when no real node stands behind it; pages and the demo say so."""
        return self.reader == "simulated"


class Asset(msgspec.Struct, frozen=True):
    """One coin on one network."""

    code: str  #: canonical id, lower case: "usdt_trc20"
    coin: str  #: ticker: "USDT"
    name: str
    network: str  #: Network.key
    decimals: int  #: minor units per coin = 10**decimals
    dust_units: int  #: outputs below never change a state or a price
    min_usd: int  #: whole dollars an order must be worth
    max_usd: int
    priority: int  #: order in lists, 1 first
    contract: str | None = None  #: token contract in this site's world; None for native coins
    tag: str | None = None  #: name of the memo field the network needs, if any
    spelling: Mapping[str, str] = {}  #: code per dialect
    aliases: tuple[str, ...] = ()  #: further spellings accepted from callers


class NetworkSetup(msgspec.Struct, frozen=True):
    """What a site says about a network it has nodes for. None keeps the registry's value."""

    reader: str | None = None  #: "simulated" is allowed in the dev world only
    confirmations: int | None = None
    contracts: Mapping[str, str] = {}  #: asset code -> contract, where the registry has none


class Registry:
    """The assets and networks one site offers. Look-ups never guess: unknown is None."""

    def __init__(self, world: str, networks: Mapping[str, Network], assets: list[Asset]) -> None:
        self.world = world
        self.networks = dict(networks)
        self.assets = {asset.code: asset for asset in sorted(assets, key=lambda a: a.priority)}
        self._names = _names(assets)

    def find(self, text: str) -> Asset | None:
        """The asset a caller means by `text`: id, spelling of any dialect or alias, any case."""
        return self._names.get(text.lower())

    def network_of(self, asset: Asset | str) -> Network:
        """The network of an asset or asset code. KeyError for assets this site does not offer."""
        code = asset if isinstance(asset, str) else asset.code
        return self.networks[self.assets[code].network]

    def on(self, network: str) -> list[Asset]:
        """All assets of a network, native coin included."""
        return [asset for asset in self.assets.values() if asset.network == network]

    def by_contract(self, network: str) -> dict[str, Asset]:
        """Lower-case contract address -> asset, the allow-list of tokens on a network."""
        return {a.contract.lower(): a for a in self.on(network) if a.contract}


def _names(assets: list[Asset]) -> dict[str, Asset]:
    """Every accepted spelling. Ids win over spellings of dialects, and those over aliases."""
    names: dict[str, Asset] = {}
    for asset in assets:
        for alias in asset.aliases:
            names.setdefault(alias.lower(), asset)
    for asset in assets:
        for word in asset.spelling.values():
            names[word.lower()] = asset
    for asset in assets:
        names[asset.code] = asset
    return names


def load(world: str, site: Mapping[str, NetworkSetup]) -> Registry:
    """The registry of a site in `world` with the networks of `site`. ValueError says what is off.

    A network without an identity in this world is refused, and so is a simulated chain outside
    `dev`. A token without a contract in this world is not offered.
    """
    raw = tomllib.loads(_FILE.read_text())
    networks = {key: _network(key, raw["network"], world, setup) for key, setup in site.items()}
    assets = [
        asset
        for code, entry in raw["asset"].items()
        if entry["network"] in networks
        and (asset := _asset(code, entry, world, site[entry["network"]])) is not None
    ]
    return Registry(world, networks, assets)


def _network(key: str, known: Mapping[str, Any], world: str, setup: NetworkSetup) -> Network:
    if key not in known:
        raise ValueError(f"network {key!r} is not in the registry; known: {', '.join(known)}")
    entry = dict(known[key])
    reader = setup.reader or entry["reader"]
    if reader == "simulated" and world != "dev":
        raise ValueError(f"network {key!r}: simulated chains exist only in the dev world")
    chain = f"simulated-{key}" if reader == "simulated" else entry["chain"].get(world)
    if chain is None:
        raise ValueError(f"network {key!r} has no known identity in the world {world!r}")
    entry.update(
        key=key,
        reader=reader,
        chain=chain,
        confirmations=setup.confirmations or entry["confirmations"],
        refuse_subversion=tuple(entry.get("refuse_subversion", {}).get(world, ())),
    )
    return msgspec.convert(entry, Network)


def _asset(code: str, entry: Mapping[str, Any], world: str, setup: NetworkSetup) -> Asset | None:
    token = "contract" in entry
    contract = setup.contracts.get(code) or entry.get("contract", {}).get(world)
    if token and contract is None:
        return None
    return msgspec.convert({**entry, "code": code, "contract": contract}, Asset)
