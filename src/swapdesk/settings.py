"""One site file (TOML) says what a site is; the environment overrides where secrets are.

    SWAPDESK_SITE          path of the site file (default ./site.toml)
    DATABASE_URL           the desk's database as role desk_app; overrides `database_url`
    DATABASE_OWNER_URL     the same database as role desk_owner, for `swapdesk migrate`

Without a database URL the embedded PostgreSQL in `state_dir` is used; `swapdesk database` or
`swapdesk demo` runs it.
"""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from swapdesk.assets import NetworkSetup, Registry, load
from swapdesk.embedded import EmbeddedPostgres
from swapdesk.engine.desk import Terms
from swapdesk.money import USD_SCALE, parse
from swapdesk.partners.credential import parse_network
from swapdesk.rates.book import Guards
from swapdesk.rates.market import MarketSetup, default_python
from swapdesk.world import Kind

#: In `main` no leg is priced by fewer live sources.
MAIN_SOURCES_MIN: Final = 2
#: Ten years; whoever wants more says "never".
RETENTION_HOURS_MAX: Final = 87_600
_USD_DIGITS: Final = len(str(USD_SCALE)) - 1


class BadSettings(Exception):
    """The site file cannot be used; the text says where and why."""


class Strict(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Listen(Strict):
    """An address to listen on; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class NetworkSite(Strict):
    """One network as this site uses it."""

    urls: list[str] = Field(min_length=1)
    reader: Literal["simulated"] | None = None
    confirmations: int | None = Field(default=None, ge=1)
    contracts: dict[str, str] = {}
    network_usd: str = "0"  #: what paying out costs a customer, in dollars
    pins: list[tuple[int, str]] = []
    poll_seconds: float = Field(default=1.0, gt=0)

    @field_validator("network_usd")
    @classmethod
    def _dollars(cls, value: str) -> str:
        parse(value, _USD_DIGITS)
        return value


class TermsSite(Strict):
    """What the operator charges and allows."""

    base_fee_bps: int = Field(default=50, ge=0, le=5000)
    window_seconds: int = Field(default=1800, ge=60)
    vault_silence_seconds: int = Field(default=60, ge=1)
    sync_silence_seconds: int = Field(default=300, ge=1)
    #: Most that may be opened in any 24 hours, in dollars; left out: no cap.
    daily_cap_usd: str | None = None
    #: What is personal about an order is erased this long after its end.
    retention_hours: Annotated[int, Field(ge=0, le=RETENTION_HOURS_MAX)] | Literal["never"] = 72

    @field_validator("daily_cap_usd")
    @classmethod
    def _dollars(cls, value: str | None) -> str | None:
        if value is not None:
            parse(value, _USD_DIGITS)
        return value

    @property
    def daily_cap(self) -> int | None:
        """The cap in 1/USD_SCALE dollars; None: there is none."""
        return None if self.daily_cap_usd is None else parse(self.daily_cap_usd, _USD_DIGITS)

    @property
    def retention_ms(self) -> int | None:
        """The retention in milliseconds; None: for ever."""
        return None if self.retention_hours == "never" else self.retention_hours * 3_600_000


class StrangersSite(Strict):
    """How often callers without a key may ask this process: calls a minute."""

    per_address: int = Field(default=60, ge=1)
    everybody: int = Field(default=6_000, ge=1)


class RatesSite(Strict):
    """Where prices come from. `fixed` is for the dev world only, `urls` not for main."""

    fixed: dict[str, str] = {}
    sources: list[str] = []  #: exchanges as ccxt names them, such as "kraken"
    python: list[str] = []  #: the Python of the rates environment; default: .venv-rates beside ours
    urls: dict[str, str] = {}  #: other hosts per source: a replay server, an exchange's sandbox
    every_seconds: float = Field(default=5.0, gt=0)
    age_seconds_max: int = Field(default=30, ge=1)
    settle_seconds: int = Field(default=600, ge=0)  #: how long a jump is confirmed till believed


class Site(Strict):
    """Everything a process of the desk needs to know."""

    world: Kind
    state_dir: Path = Path(".swapdesk")
    database_url: str | None = None
    database_owner_url: str | None = None
    sealing_key_file: Path
    vault_public_file: Path
    public: Listen = Listen()
    private: Listen = Listen()
    base_url: str | None = None
    trusted_proxies: list[str] = []
    webhook_loopback: bool = False
    log_json: bool = True
    terms: TermsSite = TermsSite()
    strangers: StrangersSite = StrangersSite()
    rates: RatesSite = RatesSite()
    networks: dict[str, NetworkSite]

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        """Addresses and networks only: a "*" would believe whatever a stranger claims."""
        return [str(parse_network(text)) for text in value]

    @field_validator("base_url")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", value):
            raise ValueError("base_url is scheme://host in lower case, without a path")
        return value

    def registry(self) -> Registry:
        """The registry of this site. BadSettings when networks and world do not fit."""
        setups = {
            key: NetworkSetup(n.reader, n.confirmations, n.contracts)
            for key, n in self.networks.items()
        }
        try:
            return load(self.world.value, setups)
        except ValueError as wrong:
            raise BadSettings(str(wrong)) from wrong

    def desk_terms(self) -> Terms:
        """The terms in the units that the engine counts in."""
        main = self.world is Kind.MAIN
        return Terms(
            base_fee_bps=self.terms.base_fee_bps,
            network_usd={k: parse(n.network_usd, _USD_DIGITS) for k, n in self.networks.items()},
            window_ms=self.terms.window_seconds * 1000,
            guards=Guards(
                age_ms_max=self.rates.age_seconds_max * 1000,
                sources_min=MAIN_SOURCES_MIN if main else 1,
                settle_ms=self.rates.settle_seconds * 1000,
            ),
            vault_silence_ms=self.terms.vault_silence_seconds * 1000,
            sync_silence_ms=self.terms.sync_silence_seconds * 1000,
            daily_cap_usd=self.terms.daily_cap,
            retention_ms=self.terms.retention_ms,
        )

    def market(self) -> MarketSetup | None:
        """How the exchanges are asked; None when the site names none."""
        if not self.rates.sources:
            return None
        return MarketSetup(
            sources=self.rates.sources,
            coins=sorted({asset.coin for asset in self.registry().assets.values()}),
            guards=self.desk_terms().guards,
            python=self.rates.python or default_python(),
            urls=self.rates.urls,
        )

    def dsn(self, role: Literal["desk_app", "desk_owner"] = "desk_app") -> str:
        """Where the desk's database is, as `role`."""
        owner = role == "desk_owner"
        url = os.environ.get("DATABASE_OWNER_URL" if owner else "DATABASE_URL")
        url = url or (self.database_owner_url if owner else self.database_url)
        return url or EmbeddedPostgres(self.state_dir).dsn(role, "desk")

    def vault_public(self) -> "VaultPublic":
        """What the vault's `init` wrote for the desk. BadSettings without it or of another world."""
        try:
            public = VaultPublic.model_validate(json.loads(self.vault_public_file.read_text()))
        except (OSError, ValueError) as wrong:
            raise BadSettings(
                f"cannot read {self.vault_public_file}: {wrong}; `swapdesk-vault init` writes it"
            ) from wrong
        if public.world is not self.world:
            raise BadSettings(f"the vault lives in world {public.world}, this site in {self.world}")
        return public


class VaultPublic(Strict):
    """The public half of a vault: nothing in here can spend."""

    world: Kind
    link_key: str  #: Ed25519, hex: signs requests on the link
    attestation_key: str  #: Ed25519, hex: signs bindings
    xpubs: dict[str, str]  #: key family -> xpub of its deposit account


def load_site(path: Path | None = None) -> Site:
    """Read the site file. BadSettings tells the file, the field and what is wrong with it."""
    path = path or Path(os.environ.get("SWAPDESK_SITE", "site.toml"))
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as missing:
        raise BadSettings(
            f"cannot read the site file {path}: {missing.strerror}; set SWAPDESK_SITE"
        ) from missing
    except tomllib.TOMLDecodeError as wrong:
        raise BadSettings(f"{path}: {wrong}") from wrong
    try:
        site = Site.model_validate(raw)
    except ValidationError as wrong:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong.errors()]
        raise BadSettings(f"{path}: " + "; ".join(lines)) from wrong
    _dev_only(site, path)
    if site.world is Kind.MAIN and len(set(site.rates.sources)) < MAIN_SOURCES_MIN:
        raise BadSettings(f"{path}: rates.sources: main needs {MAIN_SOURCES_MIN} exchanges or more")
    return site


def _dev_only(site: Site, path: Path) -> None:
    """Fixed rates and loopback webhooks exist only in the dev world, other hosts not in main."""
    if site.world is Kind.MAIN and site.rates.urls:
        raise BadSettings(f"{path}: rates.urls is not for main")
    if site.world is Kind.DEV:
        return
    if site.rates.fixed:
        raise BadSettings(f"{path}: rates.fixed is for the dev world only")
    if site.webhook_loopback:
        raise BadSettings(f"{path}: webhook_loopback is for the dev world only")
