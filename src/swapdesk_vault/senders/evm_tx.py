"""EVM transactions as bytes: RLP, EIP-1559 signing and decoding, ERC-20 transfers. Pure.

Only what the vault sends can be built or decoded: type 2, a destination, no access list. A decoder
that knows nothing else is what decode-and-compare wants: any other bytes are refused.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import msgspec
from coincurve import PublicKey

from swapdesk.chains.codec import EVM_BYTES
from swapdesk.chains.digest import keccak256

#: First byte of an EIP-1559 transaction (EIP-2718).
TYPE: Final = b"\x02"
#: chain id, nonce, two fees, gas, to, value, data, access list; then y parity, r, s.
UNSIGNED_FIELDS: Final = 9
SIGNED_FIELDS: Final = UNSIGNED_FIELDS + 3
WORD_BYTES: Final = 32
WORD_END: Final = 1 << 8 * WORD_BYTES
#: A nonce stays below 2**64 - 1 (EIP-2681); gas is a 64-bit number in every node.
UINT64_MAX: Final = (1 << 64) - 1
#: Largest transaction we read; ours have under 200 bytes.
RAW_BYTES_MAX: Final = 4096
RLP_DEPTH_MAX: Final = 4
#: RLP's first byte: below SHORT_STRING the byte itself; from SHORT_LIST on a list. More than
#: SHORT_MAX bytes have their length written out.
SHORT_STRING: Final = 0x80
SHORT_LIST: Final = 0xC0
SHORT_MAX: Final = 55
#: Order of secp256k1; EIP-2 allows only the lower half for s.
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
#: keccak256("transfer(address,uint256)")[:4]
TRANSFER: Final = bytes.fromhex("a9059cbb")
TRANSFER_BYTES: Final = len(TRANSFER) + 2 * WORD_BYTES

#: What RLP holds: a string of bytes, or a list of the same.
Item: TypeAlias = bytes | Sequence["Item"]


class BadTransaction(ValueError):
    """Not a transaction that the vault could have made; the message says why."""


class Signer(Protocol):
    """What an EVM signature takes of `keys.PrivateKey`."""

    def sign_recoverable(self, digest: bytes) -> tuple[int, int, int]:
        """(r, s, y parity), s in the lower half."""
        ...


class EvmTx(msgspec.Struct, frozen=True):
    """A type 2 transaction before its signature. Fees are in wei per gas, `value` in wei."""

    chain_id: int
    nonce: int
    priority_fee: int  #: max_priority_fee_per_gas
    max_fee: int  #: max_fee_per_gas
    gas: int
    to: bytes  #: 20 bytes: the vault never creates a contract
    value: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if not (0 < self.chain_id <= UINT64_MAX and 0 <= self.nonce < UINT64_MAX):
            raise BadTransaction("chain id or nonce out of range")
        if not (0 < self.gas <= UINT64_MAX and 0 <= self.value < WORD_END):
            raise BadTransaction("gas or value out of range")
        if not 0 <= self.priority_fee <= self.max_fee < WORD_END:
            raise BadTransaction("fees out of range")
        if len(self.to) != EVM_BYTES:
            raise BadTransaction("no destination")

    @property
    def fee_units_max(self) -> int:
        """The most wei that gas can cost."""
        return self.gas * self.max_fee


def sign(tx: EvmTx, key: Signer) -> bytes:
    """The signed transaction, ready to broadcast. The same input always gives the same bytes."""
    r, s, parity = key.sign_recoverable(_digest(tx))
    return TYPE + rlp_encode([*_fields(tx), _number(parity), _number(r), _number(s)])


def decode(raw: bytes) -> tuple[EvmTx, bytes]:
    """The transaction inside signed bytes, and the 20 bytes of its sender.

    Raises BadTransaction for anything that `sign` could not have written: another type, a longer
    spelling, an access list, a high s, bytes left over.
    """
    if len(raw) > RAW_BYTES_MAX or not raw.startswith(TYPE):
        raise BadTransaction("not an EIP-1559 transaction")
    items = rlp_decode(raw[len(TYPE) :])
    if isinstance(items, bytes) or len(items) != SIGNED_FIELDS:
        raise BadTransaction("wrong number of fields")
    to, data, access_list = items[5], items[7], items[8]
    if not isinstance(to, bytes) or not isinstance(data, bytes) or access_list != []:
        raise BadTransaction("a field has the wrong kind, or there is an access list")
    chain_id, nonce, priority_fee, max_fee, gas = (_int(item) for item in items[:5])
    tx = EvmTx(chain_id, nonce, priority_fee, max_fee, gas, to, _int(items[6]), data)
    parity, r, s = (_int(item) for item in items[UNSIGNED_FIELDS:])
    if parity > 1 or not 0 < r < ORDER or not 0 < s <= ORDER // 2:
        raise BadTransaction("signature out of range")
    signature = r.to_bytes(WORD_BYTES) + s.to_bytes(WORD_BYTES) + bytes([parity])
    try:
        public = PublicKey.from_signature_and_message(signature, _digest(tx), hasher=None)
    except Exception as wrong:  # coincurve raises the bare class
        raise BadTransaction("no key made this signature") from wrong
    return tx, keccak256(public.format(compressed=False)[1:])[-EVM_BYTES:]


def txid(raw: bytes) -> str:
    """The hash by which nodes know signed bytes: "0x" and 64 digits."""
    return "0x" + keccak256(raw).hex()


def transfer_data(to: bytes, units: int) -> bytes:
    """Calldata of ERC-20 `transfer(to, units)`."""
    assert len(to) == EVM_BYTES
    assert 0 <= units < WORD_END
    return TRANSFER + to.rjust(WORD_BYTES, b"\0") + units.to_bytes(WORD_BYTES)


def decode_transfer(data: bytes) -> tuple[bytes, int]:
    """Destination (20 bytes) and units of `transfer_data`; BadTransaction for any other call."""
    if len(data) != TRANSFER_BYTES or not data.startswith(TRANSFER):
        raise BadTransaction("not an ERC-20 transfer")
    to, units = data[-WORD_BYTES - EVM_BYTES : -WORD_BYTES], int.from_bytes(data[-WORD_BYTES:])
    if transfer_data(to, units) != data:
        raise BadTransaction("not an ERC-20 transfer to an address")
    return to, units


def rlp_encode(item: Item) -> bytes:
    """Recursive length prefix of a string of bytes or a list of items."""
    if not isinstance(item, bytes):
        body = b"".join(rlp_encode(part) for part in item)
        return _prefix(len(body), SHORT_LIST) + body
    if len(item) == 1 and item[0] < SHORT_STRING:
        return item
    return _prefix(len(item), SHORT_STRING) + item


def rlp_decode(data: bytes) -> Item:
    """The one item in `data`. Raises BadTransaction unless this is its shortest spelling."""
    item, rest = _take(data, RLP_DEPTH_MAX)
    if rest:
        raise BadTransaction("bytes left over after RLP")
    if rlp_encode(item) != data:
        raise BadTransaction("RLP is not in its shortest spelling")
    return item


def _take(data: bytes, depth: int) -> tuple[Item, bytes]:
    if not data or not depth:
        raise BadTransaction("RLP ends early or nests too deeply")
    head = data[0]
    if head < SHORT_STRING:
        return data[:1], data[1:]
    base = SHORT_LIST if head >= SHORT_LIST else SHORT_STRING
    size, start = head - base, 1
    if size > SHORT_MAX:
        start += size - SHORT_MAX
        size = int.from_bytes(data[1:start])
    body, rest = data[start : start + size], data[start + size :]
    if len(body) < size:
        raise BadTransaction("RLP ends early")
    if base == SHORT_STRING:
        return body, rest
    items: list[Item] = []
    while body:
        item, body = _take(body, depth - 1)
        items.append(item)
    return items, rest


def _prefix(size: int, base: int) -> bytes:
    if size <= SHORT_MAX:
        return bytes([base + size])
    written = _number(size)
    return bytes([base + SHORT_MAX + len(written)]) + written


def _number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


def _int(item: Item) -> int:
    if not isinstance(item, bytes) or len(item) > WORD_BYTES or item.startswith(b"\0"):
        raise BadTransaction("not a number")
    return int.from_bytes(item)


def _fields(tx: EvmTx) -> list[Item]:
    numbers = tx.chain_id, tx.nonce, tx.priority_fee, tx.max_fee, tx.gas
    return [*map(_number, numbers), tx.to, _number(tx.value), tx.data, []]


def _digest(tx: EvmTx) -> bytes:
    return keccak256(TYPE + rlp_encode(_fields(tx)))
