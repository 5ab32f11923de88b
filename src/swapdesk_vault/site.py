"""One site file (TOML) says what a vault is; the environment overrides where secrets are.

    SWAPDESK_VAULT_SITE                path of the site file (default ./vault.toml)
    SWAPDESK_VAULT_PASSPHRASE_FILE     file with the passphrase of the sealed seed
    SWAPDESK_VAULT_DATABASE_URL        the vault's database as role vault_app
    SWAPDESK_VAULT_DATABASE_OWNER_URL  the same as role vault_owner: for init, resume, judge

Relative paths are relative to the site file.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from swapdesk.assets import Network, NetworkSetup, Registry, load
from swapdesk.rates.book import Guards
from swapdesk.rates.market import MarketSetup, default_python
from swapdesk_vault.pace import Pace
from swapdesk_vault.policy import Limits
from swapdesk_vault.senders.bitcoin import BitcoinSetup
from swapdesk_vault.senders.evm import EvmSetup

T = TypeVar("T")

SITE: Final = "SWAPDESK_VAULT_SITE"
PASSPHRASE_FILE: Final = "SWAPDESK_VAULT_PASSPHRASE_FILE"  # noqa: S105 a name, no secret
DATABASE_URL: Final = "SWAPDESK_VAULT_DATABASE_URL"
DATABASE_OWNER_URL: Final = "SWAPDESK_VAULT_DATABASE_OWNER_URL"
#: In `main` no coin is priced by fewer live sources.
MAIN_SOURCES_MIN: Final = 2


class BadSite(Exception):
    """The site file cannot be used; the text says where and why."""


class NetworkSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One network as this vault uses it. `pay` is the table of its sender."""

    urls: list[str]  #: the first is asked, all of them get broadcasts
    reader: Literal["simulated"] | None = None
    confirmations: int | None = None
    contracts: Mapping[str, str] = {}
    pins: list[tuple[int, str]] = []  #: (height, hash) of blocks known good
    pay: Mapping[str, Any] = {}


class RatesSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vault's own rates. `fixed` (coin -> dollars) is for dev only, `urls` not for main."""

    fixed: Mapping[str, str] = {}
    sources: list[str] = []  #: exchanges as ccxt names them, such as "kraken"
    python: list[str] = []  #: the Python of the rates environment, with whatever runs it
    urls: Mapping[str, str] = {}  #: other hosts per source: a replay server, a sandbox
    age_seconds_max: int = 30
    settle_seconds: int = 600  #: how long a jump is confirmed until it is believed


class VaultSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything the vault needs to know, secrets excepted."""

    world: Literal["main", "test", "dev"]
    desk_url: str  #: the desk's private listener
    seed_file: Path
    public_file: Path  #: written by init, for the desk; holds nothing private
    networks: Mapping[str, NetworkSite]
    passphrase_file: Path | None = None
    database_url_file: Path | None = None
    database_owner_url_file: Path | None = None
    rates: RatesSite = RatesSite()
    policy: Limits = Limits()
    pace: Pace = Pace()

    def registry(self) -> Registry:
        """The registry of this site. BadSite when networks and world do not fit."""
        setups = {
            key: NetworkSetup(each.reader, each.confirmations, each.contracts)
            for key, each in self.networks.items()
        }
        try:
            return load(self.world, setups)
        except ValueError as wrong:
            raise BadSite(str(wrong)) from wrong

    def guards(self) -> Guards:
        """When own rates are trusted."""
        return Guards(
            age_ms_max=self.rates.age_seconds_max * 1000,
            sources_min=MAIN_SOURCES_MIN if self.world == "main" else 1,
            settle_ms=self.rates.settle_seconds * 1000,
        )

    def market(self) -> MarketSetup | None:
        """How the exchanges are asked; None when the site names none."""
        if not self.rates.sources:
            return None
        return MarketSetup(
            sources=self.rates.sources,
            coins=sorted({asset.coin for asset in self.registry().assets.values()}),
            guards=self.guards(),
            python=self.rates.python or default_python(),
            urls=self.rates.urls,
        )

    def bitcoin(self, network: Network) -> BitcoinSetup:
        """How a Bitcoin-like network is paid on. In dev the wallet is read from the first block."""
        table = dict(self.networks[network.key].pay)
        if self.world == "dev":
            table.setdefault("birth_height", 0)
        return _convert(table, BitcoinSetup, f"networks.{network.key}.pay")

    def evm(self, network: Network) -> EvmSetup:
        """How an EVM network is paid on."""
        table = self.networks[network.key].pay
        return _convert(table, EvmSetup, f"networks.{network.key}.pay")

    def dsn(self, role: Literal["vault_app", "vault_owner"] = "vault_app") -> str:
        """Where the vault's database is, as `role`. BadSite when nobody says."""
        owner = role == "vault_owner"
        name = DATABASE_OWNER_URL if owner else DATABASE_URL
        file = self.database_owner_url_file if owner else self.database_url_file
        if url := os.environ.get(name):
            return url
        if file is None:
            raise BadSite(f"set {name}, or {name[15:].lower()}_file in the site file")
        return read_secret(file)

    def passphrase(self) -> str | None:
        """What opens the sealed seed, from the file that the environment or the site names."""
        named = os.environ.get(PASSPHRASE_FILE)
        file = Path(named) if named else self.passphrase_file
        return read_secret(file) if file else None


def read_secret(file: Path) -> str:
    """The first line of a file. BadSite when it cannot be read or is empty."""
    try:
        text = file.read_text().partition("\n")[0].strip()
    except OSError as missing:
        raise BadSite(f"cannot read {file}: {missing.strerror}") from missing
    if not text:
        raise BadSite(f"{file} is empty")
    return text


def load_site(path: Path | None = None) -> VaultSite:
    """Read the site file. BadSite tells the file, the field and what is wrong with it."""
    path = path or Path(os.environ.get(SITE, "vault.toml"))
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as missing:
        raise BadSite(f"cannot read the site file {path}: {missing.strerror}; set {SITE}") from None
    except tomllib.TOMLDecodeError as wrong:
        raise BadSite(f"{path}: {wrong}") from wrong
    for key, value in raw.items():
        if key.endswith("_file") and isinstance(value, str):
            raw[key] = path.parent / value
    try:
        site = _convert(raw, VaultSite, str(path))
    except ValueError as wrong:  # of a struct's own checks
        raise BadSite(f"{path}: {wrong}") from wrong
    if site.rates.fixed and site.world != "dev":
        raise BadSite(f"{path}: rates.fixed is for the dev world only")
    if site.rates.urls and site.world == "main":
        raise BadSite(f"{path}: rates.urls is not for main")
    if not site.networks or not all(each.urls for each in site.networks.values()):
        raise BadSite(f"{path}: name at least one network, and a node's URL for each")
    return site


def _convert(raw: Any, shape: type[T], where: str) -> T:
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as wrong:
        raise BadSite(f"{where}: {wrong}") from None
