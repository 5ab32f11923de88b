"""Every spelling in which a seed or a key could show up where it must not."""

import base64
from collections.abc import Iterator

from swapdesk.chains import base58
from swapdesk_vault.keys import DEPOSITS, HOT_WALLET, PATHS, Keyring, _Node, seed_of

#: BIP32 version bytes of private keys, on the main chain and elsewhere.
XPRV, TPRV = bytes.fromhex("0488ade4"), bytes.fromhex("04358394")
#: First bytes of a WIF key, on the main chain and elsewhere.
WIF = (b"\x80", b"\xef")
#: Indexes whose keys are looked for: more than one demo uses.
INDEXES = 20


def spellings(words: str, world: str) -> dict[str, str]:
    """What must not be found -> what it is: words, seed, accounts and keys in every common form."""
    return dict(_spellings(words, world))


def forms(secret: bytes) -> Iterator[str]:
    """A secret as hexadecimal and as both kinds of base64, without padding."""
    yield secret.hex()
    yield base64.b64encode(secret).decode().rstrip("=")
    yield base64.urlsafe_b64encode(secret).decode().rstrip("=")


def _spellings(words: str, world: str) -> Iterator[tuple[str, str]]:
    yield words, "the words"
    yield words.encode().hex(), "the words as hexadecimal"
    seed, keyring = seed_of(words), Keyring.from_words(words, world)
    for text in forms(seed):
        yield text, "the seed"
    for name, key in (("link", keyring.link_key()), ("attestation", keyring.attestation_key())):
        for text in forms(key.private_bytes_raw()):
            yield text, f"the {name} key"
    yield from _of_node(_Node.master(seed), "the master key")
    for (family, purpose), branch in keyring._branches.items():
        assert purpose in (DEPOSITS, HOT_WALLET)
        assert family in PATHS
        yield from _of_node(branch, f"the {family} branch")
        for index in range(INDEXES):
            yield from _of_node(branch.below(index), f"{family} key {index}")


def _of_node(node: _Node, name: str) -> Iterator[tuple[str, str]]:
    secret = node._key.secret
    for text in forms(secret):
        yield text, name
    for first in WIF:
        yield base58.encode_check(first + secret + b"\x01"), f"{name} as WIF"
        yield base58.encode_check(first + secret), f"{name} as WIF"
    tail = bytes([node._depth]) + node._parent + node._number.to_bytes(4)
    for version in (XPRV, TPRV):
        whole = version + tail + node._chain_code + b"\0" + secret
        yield base58.encode_check(whole), f"{name} as xprv"
