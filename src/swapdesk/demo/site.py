"""The files a site needs, as the demo writes them: site files of desk and vault, key, environment.

An operator writes the same files by hand (docs/operate/install.md). Everything here is of the dev
world: fixed rates, a development seed, loopback webhooks, few confirmations.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from swapdesk.demo.customer import write_private
from swapdesk.world import World

#: Dollars per coin. The first is the price in the published examples of the API.
PRICES: Final[Mapping[str, str]] = {
    "BTC": "62450.12",
    "ETH": "2480.5",
    "USDT": "1",
    "USDC": "1",
    "TRX": "0.32",
}
#: Low, so that a swap takes seconds: one block is mined every second.
CONFIRMATIONS: Final[Mapping[str, int]] = {"bitcoin": 2, "ethereum": 3, "tron": 3}
#: What paying out costs a customer, in dollars.
NETWORK_USD: Final[Mapping[str, str]] = {"bitcoin": "0.9", "ethereum": "0.8", "tron": "1.2"}
POLL_SECONDS: Final = 1.0
PASSPHRASE_BYTES: Final = 24


class Places(msgspec.Struct, frozen=True):
    """Where everything of one demo lies. Absolute paths."""

    root: Path

    @property
    def cluster(self) -> Path:
        """The embedded PostgreSQL; the only thing that outlives a run."""
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        """One file per program."""
        return self.root / "logs"

    @property
    def nodes(self) -> Path:
        """The chains."""
        return self.root / "nodes"

    @property
    def desk(self) -> Path:
        """What the desk's processes read."""
        return self.root / "desk"

    @property
    def vault(self) -> Path:
        """What the vault reads; a real one has its own user, or its own machine."""
        return self.root / "vault"

    @property
    def desk_site(self) -> Path:
        """The desk's site file."""
        return self.desk / "site.toml"

    @property
    def vault_site(self) -> Path:
        """The vault's site file."""
        return self.vault / "vault.toml"

    @property
    def vault_public(self) -> Path:
        """What the vault's init gives to the desk."""
        return self.desk / "vault-public.json"

    @property
    def sealing_key(self) -> Path:
        """Seals partners' secrets."""
        return self.desk / "sealing.key"

    @property
    def env(self) -> Path:
        """For other programs: `source .demo/env`."""
        return self.root / "env"


class Dsns(msgspec.Struct, frozen=True):
    """How each program reaches its database."""

    desk_app: str
    desk_owner: str
    vault_app: str
    vault_owner: str


def write_desk_site(
    places: Places,
    dsns: Dsns,
    urls: Mapping[str, str],
    contracts: Mapping[str, str],
    ports: tuple[int, int],
) -> None:
    """The desk's site file: database, listeners (public, private), rates, networks."""
    public, private = ports
    write_private(
        places.desk_site,
        toml(
            {
                "world": "dev",
                "state_dir": str(places.cluster),
                "database_url": dsns.desk_app,
                "database_owner_url": dsns.desk_owner,
                "sealing_key_file": str(places.sealing_key),
                "vault_public_file": str(places.vault_public),
                "webhook_loopback": True,
                "public": {"port": public},
                "private": {"port": private},
                "rates": {"every_seconds": 1.0, "fixed": dict(PRICES)},
                "networks": {
                    key: {**_network(key, url, contracts), "network_usd": NETWORK_USD[key],
                          "poll_seconds": POLL_SECONDS}
                    for key, url in urls.items()
                },
            }
        ),
    )  # fmt: skip


def write_vault_site(
    places: Places,
    dsns: Dsns,
    urls: Mapping[str, str],
    contracts: Mapping[str, str],
    desk_url: str,
    world: World,
) -> None:
    """The vault's site file, with its database and passphrase in files of their own."""
    files = {
        "database_url_file": dsns.vault_app,
        "database_owner_url_file": dsns.vault_owner,
        "passphrase_file": world.token(PASSPHRASE_BYTES),
    }
    for name, secret in files.items():
        write_private(places.vault / name.removesuffix("_file"), secret + "\n")
    write_private(
        places.vault_site,
        toml(
            {
                "world": "dev",
                "desk_url": desk_url,
                "seed_file": "seed.sealed",
                "public_file": str(places.vault_public),
                **{name: name.removesuffix("_file") for name in files},
                "rates": {"fixed": dict(PRICES)},
                "networks": {key: _network(key, url, contracts) for key, url in urls.items()},
            }
        ),
    )


def _network(key: str, url: str, contracts: Mapping[str, str]) -> dict[str, Any]:
    """What desk and vault both say of a network."""
    table: dict[str, Any] = {"urls": [url], "confirmations": CONFIRMATIONS[key]}
    if key == "tron":
        table["reader"] = "simulated"
    if key == "ethereum":
        table["contracts"] = dict(contracts)
    return table


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """A 0600 file that a shell can source."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    write_private(path, "".join(lines))


def toml(table: Mapping[str, Any]) -> str:
    """A TOML document of plain values, lists and tables. Strings are written as in JSON."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()]
    for key, below in table.items():
        if isinstance(below, Mapping):
            lines += ["", *_section(key, below)]
    return "\n".join(lines) + "\n"


def _section(name: str, table: Mapping[str, Any]) -> list[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = [f"[{name}]"]
    lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in plain.items()]
    for key, below in table.items():
        if isinstance(below, Mapping):
            lines += ["", *_section(f"{name}.{key}", below)]
    return lines
