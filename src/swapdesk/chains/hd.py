"""Public BIP32: extended public keys and the deposit keys below them. Nothing private is here."""

import hmac
from typing import Final

import msgspec
from coincurve import PublicKey

from swapdesk.chains import base58
from swapdesk.chains.digest import hash160

#: Version bytes: "xpub" in world main, "tpub" elsewhere, on every chain. SLIP-132 spellings (zpub
#: and others) are refused: they say no more and are easily mixed up.
XPUB: Final = bytes.fromhex("0488b21e")
TPUB: Final = bytes.fromhex("043587cf")
SERIALISED_BYTES: Final = 78
FINGERPRINT_BYTES: Final = 4
TWEAK_BYTES: Final = 32
#: Child numbers from here on are hardened: only a private key has them.
HARDENED: Final = 1 << 31
#: Depth of m / purpose' / coin' / account' (BIP44).
ACCOUNT_DEPTH: Final = 3
#: The account of deposits. The hot wallet is account 1', which no public key reaches from here.
DEPOSITS_ACCOUNT: Final = HARDENED + 0
#: The branch of addresses handed out (BIP44 "external"), below the account.
EXTERNAL: Final = 0


class BadXpub(ValueError):
    """The text is no extended public key we take; the message says why and never repeats it."""


class ExtendedKey(msgspec.Struct, frozen=True):
    """A public key that has children (BIP32)."""

    main: bool  #: spelled xpub (world main), else tpub (test and dev)
    depth: int
    parent: bytes  #: fingerprint of the parent, 4 bytes
    number: int  #: which child of its parent; HARDENED and above are hardened
    chain_code: bytes
    key: bytes  #: compressed, 33 bytes

    def child(self, number: int) -> "ExtendedKey":
        """CKDpub of BIP32. `number` is below HARDENED."""
        tweak = _tweak(self.key, self.chain_code, number)
        return ExtendedKey(
            main=self.main,
            depth=self.depth + 1,
            parent=hash160(self.key)[:FINGERPRINT_BYTES],
            number=number,
            chain_code=tweak[TWEAK_BYTES:],
            key=PublicKey(self.key).add(tweak[:TWEAK_BYTES]).format(),
        )

    def serialise(self) -> str:
        """The xpub or tpub text of this key."""
        return base58.encode_check(
            (XPUB if self.main else TPUB)
            + bytes([self.depth])
            + self.parent
            + self.number.to_bytes(4)
            + self.chain_code
            + self.key
        )


def parse_xpub(text: str) -> ExtendedKey:
    """Read an xpub or tpub. Raises BadXpub, also for an xprv put in its place."""
    try:
        data = base58.decode_check(text)
    except ValueError as wrong:
        raise BadXpub(str(wrong)) from wrong
    if len(data) != SERIALISED_BYTES or data[:4] not in (XPUB, TPUB):
        raise BadXpub("not an xpub or tpub")
    depth, parent, number = data[4], data[5:9], int.from_bytes(data[9:13])
    if depth == 0 and (number or any(parent)):
        raise BadXpub("a master key has no parent")
    key = data[45:]
    try:
        PublicKey(key)  # of 33 bytes it takes only compressed points
    except ValueError as wrong:
        raise BadXpub("holds no public key") from wrong
    return ExtendedKey(
        main=data[:4] == XPUB,
        depth=depth,
        parent=parent,
        number=number,
        chain_code=data[13:45],
        key=key,
    )


class DepositKeys:
    """The public keys of deposit addresses: `0/index` below a deposits account."""

    def __init__(self, xpub: str, world: str | None = None) -> None:
        """`xpub` is what the vault exports for one family (`Keyring.deposit_xpub`).

        Raises BadXpub for anything that is not a deposits account (depth 3, child 0'), and, when
        `world` is given, for the key of another world.
        """
        account = parse_xpub(xpub)
        if (account.depth, account.number) != (ACCOUNT_DEPTH, DEPOSITS_ACCOUNT):
            raise BadXpub("not a deposits account: m/purpose'/coin'/0'")
        if world is not None and account.main != (world == "main"):
            raise BadXpub("extended key of another world")
        branch = account.child(EXTERNAL)
        self._key = branch.key
        self._point = PublicKey(branch.key)
        self._chain_code = branch.chain_code

    def pubkey(self, index: int) -> bytes:
        """The compressed public key at `index` (0 up to HARDENED), 33 bytes."""
        tweak = _tweak(self._key, self._chain_code, index)
        return self._point.add(tweak[:TWEAK_BYTES]).format()


def _tweak(key: bytes, chain_code: bytes, number: int) -> bytes:
    """What moves a parent to its child: 32 bytes to add, then the child's chain code.

    Adding a number outside the group makes coincurve raise ValueError: one chance in 2**127.
    """
    if not 0 <= number < HARDENED:
        raise ValueError("a public key has no such child")
    return hmac.digest(chain_code, key + number.to_bytes(4), "sha512")
