"""The vault's keys: sealing, derivation against vectors and bip-utils, and what cannot leak."""

import copy
import hmac
import pickle
from collections.abc import Callable

import bip_utils
import coincurve
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapdesk.chains.codec import address_of_key
from swapdesk.chains.hd import HARDENED, DepositKeys, parse_xpub
from swapdesk_vault import keys
from swapdesk_vault.keys import (
    PATHS,
    BadSeal,
    BadWords,
    Keyring,
    PrivateKey,
    WrongPassphrase,
    check_words,
    new_words,
    open_seed,
    seal_seed,
    seed_of,
)

WORDS = "abandon " * 11 + "about"
OTHER = "legal winner thank year wave sausage worth useful legal winner thank yellow"
MAIN = Keyring.from_words(WORDS, "main")
WORLDS = ("main", "test", "dev")
#: Cheap stretching: the strength of scrypt is not under test.
LOG_N = keys.SCRYPT_LOG_N_MIN
SALT, NONCE = bytes(range(16)), bytes(range(12))
SEALED = seal_seed(WORDS, "correct horse", salt=SALT, nonce=NONCE, log_n=LOG_N)


def oracle(world: str, family: str, account: int, index: int) -> bytes:
    """The private key that bip-utils finds at the documented path."""
    coin = PATHS[family].coin if world == "main" else PATHS[family].coin_elsewhere
    path = f"{PATHS[family].purpose}'/{coin}'/{account}'/0/{index}"
    seed = bip_utils.Bip39SeedGenerator(WORDS.strip()).Generate()
    node = bip_utils.Bip32Slip10Secp256k1.FromSeed(seed).DerivePath(path)
    secret: bytes = node.PrivateKey().Raw().ToBytes()
    return secret


def test_documented_paths() -> None:
    """The paths are the ones that any wallet derives: SLIP-44 coins, BIP84 or BIP44."""
    assert {f: (p.purpose, p.coin, p.coin_elsewhere) for f, p in PATHS.items()} == {
        "bitcoin": (84, 0, 1),
        "litecoin": (84, 2, 1),
        "dogecoin": (44, 3, 1),
        "evm": (44, 60, 60),
        "tron": (44, 195, 195),
    }


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("family", list(PATHS))
def test_keys_agree_with_an_independent_library(world: str, family: str) -> None:
    """Deposit and hot keys of every family and world are what bip-utils derives at that path."""
    ring = Keyring.from_words(WORDS, world)
    public = DepositKeys(ring.deposit_xpub(family), world)
    for index in (0, 1, 77, HARDENED - 1):
        deposit = coincurve.PrivateKey(oracle(world, family, 0, index)).public_key.format()
        hot = coincurve.PrivateKey(oracle(world, family, 1, index)).public_key.format()
        assert ring.deposit_key(family, index).public == deposit == public.pubkey(index)
        assert ring.hot_key(family, index).public == hot


def test_official_addresses() -> None:
    """ "abandon … about" has BIP84's addresses, and the well-known ones of MetaMask and Tron."""
    expected = {
        ("bitcoin", "bitcoin", 0): "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
        ("bitcoin", "bitcoin", 1): "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
        ("evm", "ethereum", 0): "0x9858EfFD232B4033E47d90003D41EC34EcaEda94",
        ("tron", "tron", 0): "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH",
    }
    for (family, network, index), address in expected.items():
        assert address_of_key(network, "main", MAIN.deposit_key(family, index).public) == address


def test_bip32_private_vectors() -> None:
    """BIP32's vector 1, hardened and normal steps by turns, ends at its published public key."""
    node = keys._Node.master(bytes(range(16)))
    node = node.below(HARDENED, 1, HARDENED + 2, 2, 1000000000)
    assert node.neutered(main=True).serialise() == (
        "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy"
    )


@pytest.mark.parametrize("family", list(PATHS))
def test_no_hot_key_is_reachable_from_what_the_desk_knows(family: str) -> None:
    """From all deposit xpubs, every branch and index tried, no hot key; hardened steps refused.

    The worst case is worse: a leaked deposit key gives away the whole deposits account, so its
    private tree is searched too, with hardened steps.
    """
    hot = {MAIN.hot_key(family, index).public for index in range(30)}
    hot.add(parse_xpub(_hot_xpub(family)).key)
    account = parse_xpub(MAIN.deposit_xpub(family))
    reached = {account.key}
    for branch in (account.child(number) for number in range(8)):
        reached |= {branch.key} | {branch.child(index).key for index in range(30)}
    for number in (HARDENED, HARDENED + 1):
        with pytest.raises(ValueError, match="no such child"):
            account.child(number)
    leaked = _stolen_account(family)
    assert leaked.neutered(main=True).serialise() == MAIN.deposit_xpub(family)
    for number in (*range(4), *range(HARDENED, HARDENED + 4)):
        branch_node = leaked.below(number)
        reached |= {branch_node.private().public}
        reached |= {branch_node.below(index).private().public for index in range(30)}
    assert len(reached) == 1 + (8 + 4) * 31  # eight public branches, four more hardened ones
    assert not reached & hot


def _hot_xpub(family: str) -> str:
    path = PATHS[family]
    master = keys._Node.master(seed_of(WORDS))
    account = master.below(HARDENED + path.purpose, HARDENED + path.coin, keys.HOT_WALLET)
    return account.neutered(main=True).serialise()


def _stolen_account(family: str) -> keys._Node:
    """The deposits account rebuilt from its xpub and one deposit key, as a thief would."""
    order = int("FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141", 16)
    secret = int.from_bytes(oracle("main", family, 0, 5))
    account = parse_xpub(MAIN.deposit_xpub(family))
    branch = account.child(0)
    for parent, number in ((branch, 5), (account, 0)):
        tweak = hmac.digest(parent.chain_code, parent.key + number.to_bytes(4), "sha512")
        secret = (secret - int.from_bytes(tweak[:32])) % order
    return keys._Node(
        secret.to_bytes(32), account.chain_code, account.depth, account.parent, account.number
    )


def test_families_worlds_and_purposes_have_their_own_keys() -> None:
    """No key serves two purposes or, in main, two families; Bitcoin-likes of dev none of main."""
    seen: set[bytes] = set()
    for family in PATHS:
        seen |= {MAIN.deposit_key(family, 0).public, MAIN.hot_key(family, 0).public}
    assert len(seen) == 2 * len(PATHS)
    dev = Keyring.from_words(WORDS, "dev")
    for family in ("bitcoin", "litecoin", "dogecoin"):
        assert dev.deposit_key(family, 0).public not in seen
        assert dev.hot_key(family, 0).public not in seen
    with pytest.raises(KeyError):
        MAIN.hot_key("monero", 0)


def test_signing_keys_are_stable_and_separate() -> None:
    """Link and attestation keys follow from seed and world, and differ from each other."""
    again = Keyring.from_words(WORDS, "main")
    publics = set()
    for ring in (MAIN, again, Keyring.from_words(WORDS, "dev"), Keyring.from_words(OTHER, "main")):
        publics |= {
            ring.link_key().public_key().public_bytes_raw(),
            ring.attestation_key().public_key().public_bytes_raw(),
        }
    assert len(publics) == 6
    signature = MAIN.link_key().sign(b"GET /vault/bindings")
    again.link_key().public_key().verify(signature, b"GET /vault/bindings")


@settings(max_examples=50)
@given(st.binary(min_size=32, max_size=32), st.integers(min_value=0, max_value=1000))
def test_signatures_hold_and_are_canonical(digest: bytes, index: int) -> None:
    """DER verifies and is low-S; the recoverable form gives the signer back; both repeat."""
    key = MAIN.hot_key("bitcoin", index)
    der = key.sign_ecdsa(digest)
    assert coincurve.PublicKey(key.public).verify(der, digest, hasher=None)  # refuses a high s
    r, s, parity = key.sign_recoverable(digest)
    compact = r.to_bytes(32) + s.to_bytes(32) + bytes([parity])
    recovered = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    assert recovered.format() == key.public
    assert (der, (r, s, parity)) == (key.sign_ecdsa(digest), key.sign_recoverable(digest))


def test_words() -> None:
    """24 words from 32 bytes as BIP39 says; blanks and case do not matter; typos are refused."""
    assert new_words(bytes(32)) == "abandon " * 23 + "art"
    assert new_words(b"\xff" * 32) == "zoo " * 23 + "vote"
    assert check_words("  Abandon\n" * 11 + "ABOUT ") == WORDS
    assert seed_of(WORDS) == bip_utils.Bip39SeedGenerator(WORDS).Generate()
    with pytest.raises(ValueError, match="32 bytes"):
        new_words(bytes(16))


@pytest.mark.parametrize(
    "words",
    ["", "abandon", "abandon " * 12, "abandon " * 11 + "abut", "zoo " * 11 + "zoö", WORDS + " a"],
)
def test_bad_words_are_refused(words: str) -> None:
    """Wrong words, number or checksum are refused without being repeated."""
    with pytest.raises(BadWords) as refusal:
        check_words(words)
    assert "abandon" not in str(refusal.value)


def test_seal_round_trip() -> None:
    """The right passphrase opens it, in any Unicode spelling; the file shows no word."""
    assert open_seed(SEALED, "correct horse") == WORDS
    assert b"abandon" not in SEALED
    composed, decomposed = "Schl\u00fcssel", "Schlu\u0308ssel"
    sealed = seal_seed(OTHER, composed, salt=SALT, nonce=NONCE, log_n=LOG_N)
    assert open_seed(sealed, decomposed) == OTHER


def test_default_stretching_is_strong() -> None:
    """Without being told otherwise scrypt takes N = 2**17, and says so in the header."""
    assert 1 << keys.SCRYPT_LOG_N == 131072
    sealed = seal_seed(WORDS, "x", salt=SALT, nonce=NONCE)
    assert sealed[len(keys.MAGIC) + 1] == keys.SCRYPT_LOG_N


@pytest.mark.parametrize("passphrase", ["", "correct horse ", "Correct horse", "correct hors"])
def test_wrong_passphrase(passphrase: str) -> None:
    """Any other passphrase is refused in words that help."""
    with pytest.raises(WrongPassphrase, match="wrong passphrase"):
        open_seed(SEALED, passphrase)


def test_every_byte_of_a_seal_counts() -> None:
    """One flipped bit anywhere, a cut or an addition, and nothing opens."""
    for at in range(len(SEALED)):
        with pytest.raises((WrongPassphrase, BadSeal)):
            open_seed(SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :], "correct horse")
    for blob in (b"", SEALED[:-1], SEALED + b"\0", SEALED[: keys.HEADER_BYTES], SEALED[:20]):
        with pytest.raises((WrongPassphrase, BadSeal)):
            open_seed(blob, "correct horse")


def test_absurd_stretching_is_refused_before_it_costs() -> None:
    """A forged header cannot ask for gigabytes, nor for a stretching that is free to guess at."""
    at = len(keys.MAGIC) + 1
    for log_n in (0, LOG_N - 1, keys.SCRYPT_LOG_N_MAX + 1, 255):
        with pytest.raises(BadSeal):
            open_seed(SEALED[:at] + bytes([log_n]) + SEALED[at + 1 :], "correct horse")


SECRET_HOLDERS: list[Callable[[], object]] = [
    lambda: MAIN,
    lambda: MAIN.hot_key("evm", 0),
    lambda: MAIN.deposit_key("bitcoin", 0),
    lambda: keys._Node.master(seed_of(WORDS)),
]


@pytest.mark.parametrize("make", SECRET_HOLDERS)
def test_secrets_stay_inside(make: Callable[[], object]) -> None:
    """No repr shows a secret; nothing that holds one can be pickled or copied."""
    holder = make()
    shown = f"{holder!r} {holder}"
    secrets = [seed_of(WORDS), oracle("main", "evm", 1, 0), oracle("main", "bitcoin", 0, 0)]
    assert not any(secret.hex() in shown or str(secret) in shown for secret in secrets)
    assert "abandon" not in shown
    assert not hasattr(holder, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            leak(holder)


def test_a_private_key_shows_its_public_half() -> None:
    """What a log may show of a key is its public half."""
    key = PrivateKey(bytes(31) + b"\1")
    assert repr(key) == f"PrivateKey(public={key.public.hex()})"
    with pytest.raises(ValueError, match=r"[Ss]ecret"):
        PrivateKey(bytes(32))
