"""How a vault begins: a seed is made or taken over and sealed, the database is given to it, and the
desk gets the public half. Safe to repeat: what is there already is kept, or the ceremony refuses.
"""

import os
from pathlib import Path

import msgspec

from swapdesk.world import RealWorld
from swapdesk_vault.keys import (
    ENTROPY_BYTES,
    NONCE_BYTES,
    PATHS,
    SALT_BYTES,
    Keyring,
    new_words,
    seal_seed,
)
from swapdesk_vault.operator import initialise
from swapdesk_vault.serve import link_key_of, open_keyring
from swapdesk_vault.site import BadSite, VaultSite


class Public(msgspec.Struct, frozen=True):
    """`vault.pub.json`: nothing in it can spend."""

    world: str
    link_key: str  #: Ed25519, hex: the desk checks requests of the link with it
    attestation_key: str  #: Ed25519, hex: everybody checks bindings with it
    xpubs: dict[str, str]  #: key family -> deposit account


def public_file(keyring: Keyring) -> bytes:
    """The file as bytes."""
    public = Public(
        world=keyring.world,
        link_key=keyring.link_key().public_key().public_bytes_raw().hex(),
        attestation_key=keyring.attestation_key().public_key().public_bytes_raw().hex(),
        xpubs={family: keyring.deposit_xpub(family) for family in PATHS},
    )
    return msgspec.json.format(msgspec.json.encode(public), indent=2) + b"\n"


async def initialise_site(
    site: VaultSite, passphrase: str, phrase: str | None, *, quiet: bool = False
) -> list[str]:
    """Do it; what to tell the operator, line by line: a new phrase too, unless it was given.

    `phrase` None makes a new one. BadSite, BadWords, NotOurs and asyncpg errors pass through.
    """
    site.registry()
    told: list[str] = []
    if site.seed_file.exists():
        if phrase is not None and not quiet:
            raise BadSite(f"{site.seed_file} exists; a vault keeps its seed")
        told.append(f"{site.seed_file} exists and is kept")
    else:
        told += _seal(site, passphrase, phrase)
    keyring = open_keyring(site, passphrase)
    await initialise(site.dsn("vault_owner"), RealWorld(), site.world, link_key_of(keyring))
    site.public_file.parent.mkdir(parents=True, exist_ok=True)
    site.public_file.write_bytes(public_file(keyring))
    return [*told, f"public file for the desk: {site.public_file}", "next: swapdesk-vault run"]


def _seal(site: VaultSite, passphrase: str, phrase: str | None) -> list[str]:
    world = RealWorld()
    words = phrase or new_words(world.bytes(ENTROPY_BYTES))
    salt, nonce = world.bytes(SALT_BYTES), world.bytes(NONCE_BYTES)
    _write_new(site.seed_file, seal_seed(words, passphrase, salt=salt, nonce=nonce))
    sealed = f"sealed seed: {site.seed_file}"
    if phrase is not None:
        return [sealed]
    return ["Seed phrase, shown this once. Write it on paper:", "", f"    {words}", "", sealed]


def _write_new(file: Path, content: bytes) -> None:
    """A 0600 file, whole or not at all; never over another one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.link(draft, file)
    draft.unlink()
