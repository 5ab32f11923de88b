"""Public BIP32 against its official vectors, and deposit keys that refuse every other key."""

import time

import bip_utils
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swapdesk.chains import base58
from swapdesk.chains.hd import HARDENED, BadXpub, DepositKeys, ExtendedKey, parse_xpub

#: BIP32, test vectors 1 and 2: (parent, child number, child), every step that is not hardened.
BIP32_STEPS = (
    (
        "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
        1,
        "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
    ),
    (
        "xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
        2,
        "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
    ),
    (
        "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
        1000000000,
        "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
    ),
    (
        "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
        0,
        "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
    ),
    (
        "xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
        1,
        "xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon",
    ),
    (
        "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
        2,
        "xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
    ),
)
MASTER_PRIVATE = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
#: "abandon … about", m/84'/0'/0' by an independent library, spelled xpub.
ORACLE = bip_utils.Bip32Slip10Secp256k1.FromSeed(
    bip_utils.Bip39SeedGenerator("abandon " * 11 + "about").Generate()
)
ACCOUNT = ORACLE.DerivePath("84'/0'/0'")
XPUB = ACCOUNT.PublicKey().ToExtended()


def oracle_key(path: str) -> bytes:
    """The compressed public key that bip-utils finds below the account."""
    key: bytes = ACCOUNT.DerivePath(path).PublicKey().RawCompressed().ToBytes()
    return key


@pytest.mark.parametrize(("parent", "number", "child"), BIP32_STEPS)
def test_bip32_vectors(parent: str, number: int, child: str) -> None:
    """Every public step of BIP32's vectors is reproduced to the last character."""
    assert parse_xpub(parent).child(number).serialise() == child
    assert parse_xpub(child).serialise() == child


@given(st.integers(min_value=0, max_value=HARDENED - 1))
def test_deposit_keys_agree_with_an_independent_library(index: int) -> None:
    """Key `index` is `0/index` below the account."""
    assert DepositKeys(XPUB, "main").pubkey(index) == oracle_key(f"0/{index}")


def test_deposit_keys_are_quick() -> None:
    """A thousand keys take far less than a second even on a busy machine (limit: two)."""
    keys = DepositKeys(XPUB)
    start = time.perf_counter()
    assert len({keys.pubkey(index) for index in range(1000)}) == 1000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("index", [-1, HARDENED, HARDENED + 1, 1 << 32])
def test_hardened_children_are_out_of_reach(index: int) -> None:
    """A public key has children 0 to 2**31 - 1 and no others."""
    with pytest.raises(ValueError, match="no such child"):
        DepositKeys(XPUB).pubkey(index)
    with pytest.raises(ValueError, match="no such child"):
        parse_xpub(XPUB).child(index)


@pytest.mark.parametrize(
    "path",
    ["84'/0'", "84'/0'/1'", "84'/0'/0'/0", "84'/0'/0'/0/0"],
)
def test_only_a_deposits_account_is_taken(path: str) -> None:
    """The hot wallet's account, a coin's key or an address's key is refused at start."""
    with pytest.raises(BadXpub, match="deposits account"):
        DepositKeys(ORACLE.DerivePath(path).PublicKey().ToExtended())


def test_an_xpub_belongs_to_a_world() -> None:
    """An xpub serves world main, a tpub the other two, and never the other way round."""
    account = parse_xpub(XPUB)
    tpub = ExtendedKey(
        False, account.depth, account.parent, account.number, account.chain_code, account.key
    ).serialise()
    assert tpub.startswith("tpub")
    assert DepositKeys(tpub, "dev").pubkey(3) == DepositKeys(XPUB, "main").pubkey(3)
    for xpub, world in ((XPUB, "dev"), (XPUB, "test"), (tpub, "main")):
        with pytest.raises(BadXpub, match="another world"):
            DepositKeys(xpub, world)


def respelled(at: int, with_bytes: bytes) -> str:
    """XPUB with some bytes replaced and a right checksum."""
    data = base58.decode_check(XPUB)
    return base58.encode_check(data[:at] + with_bytes + data[at + len(with_bytes) :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "xpub",
        MASTER_PRIVATE,
        XPUB[:-1],
        XPUB[:-1] + ("1" if XPUB[-1] != "1" else "2"),
        XPUB + "1",
        respelled(0, bytes.fromhex("04b24746")),  # zpub
        respelled(0, bytes.fromhex("0488ade4")),  # xprv around a public key
        respelled(4, b"\0"),  # a master key with a parent
        respelled(45, b"\0"),  # a private key behind public version bytes
        respelled(45, b"\4"),
        respelled(46, b"\xff" * 32),  # x outside the field
        base58.encode_check(base58.decode_check(XPUB) + b"\0"),
        base58.encode_check(base58.decode_check(XPUB)[:-1]),
    ],
)
def test_bad_extended_keys_are_refused(text: str) -> None:
    """Typos, private keys, other version bytes and impossible keys; the message repeats no key."""
    with pytest.raises(BadXpub) as refusal:
        parse_xpub(text)
    assert "xp" not in str(refusal.value) or "xpub or tpub" in str(refusal.value)
