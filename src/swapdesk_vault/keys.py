"""The seed and every private key that comes from it. Only the vault imports this.

One BIP39 seed; below it one hardened account per family and purpose: 0' for deposits, whose public
half the desk may know, and 1' for the hot wallet. A hardened step cannot be taken with public keys,
so whoever holds all deposit xpubs (and even a leaked deposit key) reaches no hot address.
Nothing here prints a secret: `repr` shows public parts only and pickling is refused.
"""

import hmac
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Never

import coincurve
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from mnemonic import Mnemonic

from swapdesk.chains.digest import hash160
from swapdesk.chains.hd import EXTERNAL, FINGERPRINT_BYTES, HARDENED, TWEAK_BYTES, ExtendedKey

DEPOSITS: Final = HARDENED + 0
HOT_WALLET: Final = HARDENED + 1

#: A sealed seed: MAGIC, version, log2 of scrypt's N, salt, nonce, then AES-256-GCM with all of
#: these as additional data.
MAGIC: Final = b"SWAPSEED"
SEAL_VERSION: Final = 1
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
HEADER_BYTES: Final = len(MAGIC) + 2 + SALT_BYTES + NONCE_BYTES
#: scrypt with N = 2**17, r = 8, p = 1 takes 128 MiB and about half a second (OWASP's advice).
SCRYPT_LOG_N: Final = 17
#: A forged header must neither make opening free to guess at nor exhaust the memory.
SCRYPT_LOG_N_MIN: Final = 10
SCRYPT_LOG_N_MAX: Final = 18
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
KEY_BYTES: Final = 32
#: Entropy of a new seed: 24 words.
ENTROPY_BYTES: Final = 32
DIGEST_BYTES: Final = 32


class BadWords(ValueError):
    """Not a BIP39 phrase: unknown word, wrong count or wrong checksum. Never repeats the words."""


class BadSeal(ValueError):
    """The file is no sealed seed of ours."""


class WrongPassphrase(ValueError):
    """The passphrase does not open the seal, or somebody altered the file: both look the same."""


class Path(msgspec.Struct, frozen=True):
    """The first two steps to a family's accounts (BIP43, SLIP-44)."""

    purpose: int  #: 84 pays to P2WPKH, 44 to the older kinds
    coin: int  #: SLIP-44 number in world main
    coin_elsewhere: int  #: in worlds test and dev: 1 for everything like Bitcoin


PATHS: Final[Mapping[str, Path]] = MappingProxyType(
    {
        "bitcoin": Path(purpose=84, coin=0, coin_elsewhere=1),
        "litecoin": Path(purpose=84, coin=2, coin_elsewhere=1),
        "dogecoin": Path(purpose=44, coin=3, coin_elsewhere=1),
        "evm": Path(purpose=44, coin=60, coin_elsewhere=60),
        "tron": Path(purpose=44, coin=195, coin_elsewhere=195),
    }
)


def new_words(entropy: bytes) -> str:
    """The 24 English words of 32 bytes of chance (`World.bytes(ENTROPY_BYTES)`)."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a new seed takes {ENTROPY_BYTES} bytes of entropy")
    return Mnemonic("english").to_mnemonic(entropy)


def check_words(words: str) -> str:
    """The phrase in lower case with single blanks. Raises BadWords."""
    phrase = " ".join(unicodedata.normalize("NFKD", words).lower().split())
    try:
        good = Mnemonic("english").check(phrase)
    except (ValueError, LookupError):
        good = False
    if not good:
        raise BadWords("not a BIP39 phrase: a word, their number or the checksum is wrong")
    return phrase


def seed_of(words: str) -> bytes:
    """The 64-byte BIP39 seed of a phrase, without a BIP39 passphrase. Raises BadWords."""
    return Mnemonic.to_seed(check_words(words), "")


def seal_seed(
    words: str, passphrase: str, *, salt: bytes, nonce: bytes, log_n: int = SCRYPT_LOG_N
) -> bytes:
    """The phrase encrypted under a passphrase, for a file of mode 0600.

    `salt` (SALT_BYTES) and `nonce` (NONCE_BYTES) are fresh chance for every call. Raises BadWords.
    """
    assert len(salt) == SALT_BYTES
    assert len(nonce) == NONCE_BYTES
    assert SCRYPT_LOG_N_MIN <= log_n <= SCRYPT_LOG_N_MAX
    header = MAGIC + bytes([SEAL_VERSION, log_n]) + salt + nonce
    cipher = AESGCM(_stretch(passphrase, salt, log_n))
    return header + cipher.encrypt(nonce, check_words(words).encode(), header)


def open_seed(blob: bytes, passphrase: str) -> str:
    """The phrase inside `seal_seed`'s bytes. Raises BadSeal or WrongPassphrase."""
    header, sealed = blob[:HEADER_BYTES], blob[HEADER_BYTES:]
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise BadSeal("this file is not a sealed seed")
    version, log_n = header[len(MAGIC) : len(MAGIC) + 2]
    if version != SEAL_VERSION or not SCRYPT_LOG_N_MIN <= log_n <= SCRYPT_LOG_N_MAX:
        raise BadSeal(f"sealed seed of an unknown version ({version}, scrypt 2**{log_n})")
    nonce = header[-NONCE_BYTES:]
    salt = header[-NONCE_BYTES - SALT_BYTES : -NONCE_BYTES]
    try:
        words = AESGCM(_stretch(passphrase, salt, log_n)).decrypt(nonce, sealed, header)
    except InvalidTag:
        raise WrongPassphrase("wrong passphrase, or the sealed seed was altered") from None
    return check_words(words.decode())


def _stretch(passphrase: str, salt: bytes, log_n: int) -> bytes:
    secret = unicodedata.normalize("NFKD", passphrase).encode()
    return Scrypt(salt, KEY_BYTES, 1 << log_n, SCRYPT_R, SCRYPT_P).derive(secret)


class PrivateKey:
    """One secp256k1 key. Signatures are deterministic (RFC 6979) and low-S."""

    __slots__ = ("_key", "public")

    def __init__(self, secret: bytes) -> None:
        self._key = coincurve.PrivateKey(secret)
        self.public: Final = self._key.public_key.format()  #: compressed, 33 bytes

    def sign_ecdsa(self, digest: bytes) -> bytes:
        """DER signature of a 32-byte digest, as Bitcoin wants it (without the hash type byte)."""
        assert len(digest) == DIGEST_BYTES
        return self._key.sign(digest, hasher=None)

    def sign_recoverable(self, digest: bytes) -> tuple[int, int, int]:
        """(r, s, y parity) of a 32-byte digest, as EVM and Tron want it."""
        assert len(digest) == DIGEST_BYTES
        signed = self._key.sign_recoverable(digest, hasher=None)
        return int.from_bytes(signed[:32]), int.from_bytes(signed[32:64]), signed[64]

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.hex()})"

    def __reduce__(self) -> Never:
        raise TypeError("a private key is not pickled")


class _Node:
    """A private key that has children (BIP32)."""

    __slots__ = ("_chain_code", "_depth", "_key", "_number", "_parent")

    def __init__(
        self, secret: bytes, chain_code: bytes, depth: int = 0, parent: bytes = bytes(4), n: int = 0
    ) -> None:
        self._key = coincurve.PrivateKey(secret)
        self._chain_code = chain_code
        self._depth, self._parent, self._number = depth, parent, n

    @classmethod
    def master(cls, seed: bytes) -> "_Node":
        both = hmac.digest(b"Bitcoin seed", seed, "sha512")
        return cls(both[:TWEAK_BYTES], both[TWEAK_BYTES:])

    def below(self, *path: int) -> "_Node":
        """CKDpriv of BIP32, step by step."""
        node = self
        for number in path:
            node = node._child(number)
        return node

    def _child(self, number: int) -> "_Node":
        assert 0 <= number < 2 * HARDENED
        public = self._key.public_key.format()
        head = b"\0" + self._key.secret if number >= HARDENED else public
        tweak = hmac.digest(self._chain_code, head + number.to_bytes(4), "sha512")
        secret = self._key.add(tweak[:TWEAK_BYTES]).secret
        parent = hash160(public)[:FINGERPRINT_BYTES]
        return _Node(secret, tweak[TWEAK_BYTES:], self._depth + 1, parent, number)

    def neutered(self, *, main: bool) -> ExtendedKey:
        """The public half."""
        return ExtendedKey(
            main=main,
            depth=self._depth,
            parent=self._parent,
            number=self._number,
            chain_code=self._chain_code,
            key=self._key.public_key.format(),
        )

    def private(self) -> PrivateKey:
        return PrivateKey(self._key.secret)

    def __repr__(self) -> str:
        return f"_Node(depth={self._depth})"

    def __reduce__(self) -> Never:
        raise TypeError("a private key is not pickled")


class Keyring:
    """All keys of one site: derived from its seed and world, so a restored seed restores them all.

    A family is bitcoin, litecoin, dogecoin, evm or tron (`chains.codec.family_of`); a simulated
    chain uses the family of the network it stands for. Unknown families raise KeyError.
    """

    __slots__ = ("_attestation", "_branches", "_link", "_xpubs", "world")

    def __init__(self, seed: bytes, world: str) -> None:
        """`seed` is the 64 bytes of `seed_of`; `world` is main, test or dev."""
        master = _Node.master(seed)
        self.world = world
        self._branches: dict[tuple[str, int], _Node] = {}
        self._xpubs: dict[str, str] = {}
        for family, path in PATHS.items():
            coin = path.coin if world == "main" else path.coin_elsewhere
            for purpose in (DEPOSITS, HOT_WALLET):
                account = master.below(HARDENED + path.purpose, HARDENED + coin, purpose)
                self._branches[family, purpose] = account.below(EXTERNAL)
                if purpose == DEPOSITS:
                    self._xpubs[family] = account.neutered(main=world == "main").serialise()
        self._link = _ed25519(seed, f"swapdesk/{world}/link/1")
        self._attestation = _ed25519(seed, f"swapdesk/{world}/attestation/1")

    @classmethod
    def from_words(cls, words: str, world: str) -> "Keyring":
        """The keyring of a BIP39 phrase. Raises BadWords."""
        return cls(seed_of(words), world)

    def deposit_xpub(self, family: str) -> str:
        """The neutered deposits account (xpub in main, tpub elsewhere): the only key to leave."""
        return self._xpubs[family]

    def deposit_key(self, family: str, index: int) -> PrivateKey:
        """The key of the deposit address at `index`; its public half is DepositKeys.pubkey."""
        return self._branches[family, DEPOSITS].below(index).private()

    def hot_key(self, family: str, index: int) -> PrivateKey:
        """Key `index` of the hot wallet."""
        return self._branches[family, HOT_WALLET].below(index).private()

    def link_key(self) -> Ed25519PrivateKey:
        """Signs the vault's requests to the desk."""
        return self._link

    def attestation_key(self) -> Ed25519PrivateKey:
        """Signs bindings and receipts."""
        return self._attestation

    def __repr__(self) -> str:
        return f"Keyring(world={self.world!r})"

    def __reduce__(self) -> Never:
        raise TypeError("a keyring is not pickled")


def _ed25519(seed: bytes, label: str) -> Ed25519PrivateKey:
    secret = HKDF(SHA256(), KEY_BYTES, b"swapdesk", label.encode()).derive(seed)
    return Ed25519PrivateKey.from_private_bytes(secret)
