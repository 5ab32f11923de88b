"""Bitcoin transactions as bytes: build, sign P2WPKH inputs (BIP143), serialise, decode. Pure.

Serves Bitcoin and Litecoin. What is signed can be read back and compared (`check_signed`), which
the vault does before any byte leaves it. Choosing coins and fees is bitcoin_plan.py.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from coincurve import PublicKey

from swapdesk.chains.digest import hash160, sha256d

VERSION: Final = 2
#: Every input says that it may be replaced (BIP125); the vault bumps fees by replacing.
SEQUENCE: Final = 0xFFFFFFFD
SIGHASH_ALL: Final = 1
#: Largest transaction that nodes relay: 400,000 weight units.
RAW_BYTES_MAX: Final = 400_000
TXID_BYTES: Final = 32
SEGWIT_MARK: Final = b"\0\1"
#: Amounts are signed 64-bit numbers on the wire.
UNITS_END: Final = 1 << 63
P2WPKH_HEAD: Final = b"\0\x14"
P2WPKH_BYTES: Final = 22
#: A number below this is one byte; the three marks announce 2, 4 and 8 bytes.
SHORT_END: Final = 0xFD
#: Non-witness bytes weigh four units each, witness bytes one (BIP141).
WITNESS_SCALE: Final = 4


class BadTransaction(ValueError):
    """Not a well-formed transaction, or not the one that was meant; the message says why."""


class Signer(Protocol):
    """What a P2WPKH input takes of `keys.PrivateKey`."""

    @property
    def public(self) -> bytes:
        """Compressed, 33 bytes."""
        ...

    def sign_ecdsa(self, digest: bytes) -> bytes:
        """DER signature, low-S."""
        ...


class Coin(msgspec.Struct, frozen=True):
    """An unspent output of ours."""

    txid: str  #: 64 hexadecimal digits, as nodes show it
    vout: int
    units: int
    script: bytes
    key_index: int  #: which key of the account spends it


class Output(msgspec.Struct, frozen=True):
    """Where money goes."""

    script: bytes
    units: int


class Input(msgspec.Struct, frozen=True):
    """Which output is spent, and the proof."""

    txid: str
    vout: int
    sequence: int = SEQUENCE
    script_sig: bytes = b""
    witness: tuple[bytes, ...] = ()


class Tx(msgspec.Struct, frozen=True):
    """A whole transaction, signed or not."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    version: int = VERSION
    locktime: int = 0


def unsigned(coins: Sequence[Coin], outputs: Sequence[Output]) -> Tx:
    """The transaction that spends `coins` into `outputs`, in the order given, without proofs."""
    return Tx(tuple(Input(coin.txid, coin.vout) for coin in coins), tuple(outputs))


def sign(
    coins: Sequence[Coin], outputs: Sequence[Output], key_of: Callable[[Coin], Signer]
) -> bytes:
    """The signed bytes, checked. Every coin is P2WPKH and `key_of` its key (BadTransaction).

    Signatures are deterministic, so the same input always gives the same bytes and txid.
    """
    tx = unsigned(coins, outputs)
    inputs = []
    for index, coin in enumerate(coins):
        key = key_of(coin)
        proof = key.sign_ecdsa(sighash(tx, index, coin.script, coin.units)) + bytes([SIGHASH_ALL])
        inputs.append(msgspec.structs.replace(tx.inputs[index], witness=(proof, key.public)))
    raw = serialise(msgspec.structs.replace(tx, inputs=tuple(inputs)))
    check_signed(raw, coins, outputs)
    return raw


def check_signed(raw: bytes, coins: Sequence[Coin], outputs: Sequence[Output]) -> Tx:
    """Read signed bytes back: exactly these coins, these outputs, and proofs that hold.

    Raises BadTransaction on any difference.
    """
    tx = decode(raw)
    bare = tuple(msgspec.structs.replace(each, witness=()) for each in tx.inputs)
    if msgspec.structs.replace(tx, inputs=bare) != unsigned(coins, outputs):
        raise BadTransaction("the signed bytes say something else")
    for index, (each, coin) in enumerate(zip(tx.inputs, coins, strict=True)):
        digest = sighash(tx, index, coin.script, coin.units)
        if len(each.witness) != len(("proof", "key")) or not _proves(each.witness, coin, digest):
            raise BadTransaction(f"the proof of input {index} does not hold")
    return tx


def _proves(witness: tuple[bytes, ...], coin: Coin, digest: bytes) -> bool:
    proof, public = witness
    if P2WPKH_HEAD + hash160(public) != coin.script or proof[-1:] != bytes([SIGHASH_ALL]):
        return False
    try:
        return PublicKey(public).verify(proof[:-1], digest, hasher=None)
    except ValueError:
        return False


def sighash(tx: Tx, index: int, script: bytes, units: int) -> bytes:
    """What the key of a P2WPKH input signs (BIP143, SIGHASH_ALL). `script` and `units` are the
    spent output's; raises BadTransaction when that is not P2WPKH."""
    if len(script) != P2WPKH_BYTES or not script.startswith(P2WPKH_HEAD):
        raise BadTransaction("only P2WPKH coins are spent here")
    spent = tx.inputs[index]
    outpoints = b"".join(_outpoint(each) for each in tx.inputs)
    sequences = b"".join(_little(each.sequence, 4) for each in tx.inputs)
    code = b"\x76\xa9" + script[1:] + b"\x88\xac"
    return sha256d(
        _little(tx.version, 4)
        + sha256d(outpoints)
        + sha256d(sequences)
        + _outpoint(spent)
        + _sized(code)
        + _little(units, 8)
        + _little(spent.sequence, 4)
        + sha256d(b"".join(_output(each) for each in tx.outputs))
        + _little(tx.locktime, 4)
        + _little(SIGHASH_ALL, 4)
    )


def serialise(tx: Tx, *, witness: bool = True) -> bytes:
    """Wire bytes: with proofs when there are any (BIP144), or without them as the txid wants."""
    with_proofs = witness and any(each.witness for each in tx.inputs)
    return (
        _little(tx.version, 4)
        + (SEGWIT_MARK if with_proofs else b"")
        + compact(len(tx.inputs))
        + b"".join(
            _outpoint(each) + _sized(each.script_sig) + _little(each.sequence, 4)
            for each in tx.inputs
        )
        + compact(len(tx.outputs))
        + b"".join(_output(each) for each in tx.outputs)
        + (b"".join(_stack(each.witness) for each in tx.inputs) if with_proofs else b"")
        + _little(tx.locktime, 4)
    )


def decode(raw: bytes) -> Tx:
    """The transaction in wire bytes. Raises BadTransaction unless `serialise` gives them back."""
    if len(raw) > RAW_BYTES_MAX:
        raise BadTransaction("transaction is too large")
    read = _Reader(raw)
    version = read.number(4)
    with_proofs = read.rest().startswith(SEGWIT_MARK)
    if with_proofs:
        read.take(len(SEGWIT_MARK))
    inputs = [read.input() for _ in range(read.compact())]
    outputs = [read.output() for _ in range(read.compact())]
    if with_proofs:
        inputs = [msgspec.structs.replace(each, witness=read.stack()) for each in inputs]
    tx = Tx(tuple(inputs), tuple(outputs), version, read.number(4))
    if not inputs or not outputs:
        raise BadTransaction("a transaction has inputs and outputs")
    if read.rest() or serialise(tx) != raw:
        raise BadTransaction("bytes left over, or a number in a longer spelling than needed")
    return tx


def txid(tx: Tx) -> str:
    """The id as nodes show it. Proofs do not change it."""
    return sha256d(serialise(tx, witness=False))[::-1].hex()


def vsize(tx: Tx) -> int:
    """Virtual bytes, rounded up as nodes do (BIP141)."""
    bare, whole = len(serialise(tx, witness=False)), len(serialise(tx))
    weight = bare * (WITNESS_SCALE - 1) + whole
    return -(-weight // WITNESS_SCALE)


def compact(number: int) -> bytes:
    """Bitcoin's variable-length count."""
    if number < SHORT_END:
        return bytes([number])
    size = 2 if number < 1 << 16 else 4 if number < 1 << 32 else 8
    return bytes([SHORT_END + size.bit_length() - 2]) + _little(number, size)


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def rest(self) -> bytes:
        return self._raw[self._at :]

    def take(self, size: int) -> bytes:
        piece = self._raw[self._at : self._at + size]
        if len(piece) < size:
            raise BadTransaction("transaction ends early")
        self._at += size
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def compact(self) -> int:
        head = self.number(1)
        number = head if head < SHORT_END else self.number(2 << head - SHORT_END)
        if number > RAW_BYTES_MAX:
            raise BadTransaction("a count larger than any transaction")
        return number

    def input(self) -> Input:
        txid_shown = self.take(TXID_BYTES)[::-1].hex()
        vout = self.number(4)
        script_sig = self.take(self.compact())
        return Input(txid_shown, vout, self.number(4), script_sig)

    def output(self) -> Output:
        units = self.number(8)
        if units >= UNITS_END:
            raise BadTransaction("a negative amount")
        return Output(self.take(self.compact()), units)

    def stack(self) -> tuple[bytes, ...]:
        return tuple(self.take(self.compact()) for _ in range(self.compact()))


def _little(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")


def _sized(data: bytes) -> bytes:
    return compact(len(data)) + data


def _stack(witness: tuple[bytes, ...]) -> bytes:
    return compact(len(witness)) + b"".join(_sized(each) for each in witness)


def _outpoint(spent: Input) -> bytes:
    hashed = bytes.fromhex(spent.txid)[::-1]
    assert len(hashed) == TXID_BYTES
    return hashed + _little(spent.vout, 4)


def _output(output: Output) -> bytes:
    assert 0 <= output.units < UNITS_END
    return _little(output.units, 8) + _sized(output.script)
