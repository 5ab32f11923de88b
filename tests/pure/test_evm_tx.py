"""EVM bytes against eth-account, the RLP specification, and everything that is not ours."""

import random
from typing import Any

import eth_account
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapdesk.chains.codec import evm_address, evm_bytes
from swapdesk_vault.keys import Keyring, PrivateKey
from swapdesk_vault.senders import evm_tx
from swapdesk_vault.senders.evm_tx import BadTransaction, EvmTx, Item

SECRET = bytes.fromhex("4646464646464646464646464646464646464646464646464646464646464646")
KEY = PrivateKey(SECRET)
TO = evm_bytes("0x3535353535353535353535353535353535353535")
TX = EvmTx(
    chain_id=31337,
    nonce=9,
    priority_fee=10**9,
    max_fee=3 * 10**9,
    gas=21_000,
    to=TO,
    value=10**18,
)
RAW = evm_tx.sign(TX, KEY)
LOREM = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit"

accounts = st.binary(min_size=20, max_size=20)
fees = st.tuples(st.integers(0, 2**80), st.integers(0, 2**80)).map(sorted)
transactions = st.builds(
    lambda fee, **rest: EvmTx(priority_fee=fee[0], max_fee=fee[1], **rest),
    fees,
    chain_id=st.integers(1, 2**40),
    nonce=st.integers(0, 2**64 - 2),
    gas=st.integers(1, 2**64 - 1),
    to=accounts,
    value=st.integers(0, 2**256 - 1),
    data=st.binary(max_size=300),
)


def eth_account_signs(tx: EvmTx, secret: bytes) -> Any:
    """The same transaction by the independent library."""
    return eth_account.Account.sign_transaction(
        {
            "type": 2,
            "chainId": tx.chain_id,
            "nonce": tx.nonce,
            "maxPriorityFeePerGas": tx.priority_fee,
            "maxFeePerGas": tx.max_fee,
            "gas": tx.gas,
            "to": evm_address(tx.to),
            "value": tx.value,
            "data": tx.data,
        },
        secret,
    )


def test_byte_equal_to_eth_account() -> None:
    """400 random transactions: the same bytes, hash and sender as eth-account's."""
    chance = random.Random(1559)
    for _ in range(400):
        secret = chance.randbytes(32)
        low, high = sorted(chance.randrange(1 << chance.randrange(1, 60)) for _ in "ab")
        tx = EvmTx(
            chain_id=chance.choice([1, 56, 42161, 31337, chance.randrange(1, 2**32)]),
            nonce=chance.choice([0, 1, 127, 128, 255, 256, chance.randrange(2**40)]),
            priority_fee=low,
            max_fee=high,
            gas=chance.randrange(1, 30_000_000),
            to=chance.randbytes(20),
            value=chance.choice([0, chance.randrange(1 << chance.randrange(1, 256))]),
            data=chance.choice(
                [
                    b"",
                    bytes([chance.randrange(256)]),
                    chance.randbytes(chance.randrange(200)),
                    evm_tx.transfer_data(chance.randbytes(20), chance.randrange(2**256)),
                ]
            ),
        )
        raw, signed = evm_tx.sign(tx, PrivateKey(secret)), eth_account_signs(tx, secret)
        assert raw == bytes(signed.raw_transaction)
        assert evm_tx.txid(raw) == "0x" + signed.hash.hex()
        sender = evm_bytes(eth_account.Account.from_key(secret).address)
        assert evm_tx.decode(raw) == (tx, sender)
        assert eth_account.Account.recover_transaction(raw) == evm_address(sender)


@settings(max_examples=200)
@given(transactions, st.integers(0, 50))
def test_signed_bytes_are_read_back(tx: EvmTx, index: int) -> None:
    """What is signed decodes to the same transaction and the address of the key."""
    key = PrivateKey(index.to_bytes(31) + b"\1")
    raw = evm_tx.sign(tx, key)
    decoded, sender = evm_tx.decode(raw)
    assert decoded == tx
    assert evm_address(sender) == eth_account.Account.recover_transaction(raw)
    assert raw == evm_tx.sign(tx, key)


def test_the_keyring_signs() -> None:
    """A hot key's transaction comes from the address that the desk shows for it."""
    ring = Keyring(bytes(64), "dev")
    key = ring.hot_key("evm", 3)
    _, sender = evm_tx.decode(evm_tx.sign(TX, key))
    account = eth_account.Account.from_key(key._key.secret)
    assert evm_address(sender) == account.address


def test_every_byte_counts() -> None:
    """A flipped bit, a cut or an addition never reads as the same transaction of the same key."""
    whole = evm_tx.decode(RAW)
    for at in range(len(RAW)):
        for bit in range(8):
            wrong = RAW[:at] + bytes([RAW[at] ^ 1 << bit]) + RAW[at + 1 :]
            try:
                assert evm_tx.decode(wrong) != whole
            except BadTransaction:
                continue
    for wrong in (RAW[:-1], RAW + b"\0", b"", b"\2", RAW[1:], b"\1" + RAW[1:], RAW * 40):
        with pytest.raises(BadTransaction):
            evm_tx.decode(wrong)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_transaction_or_refused(data: bytes) -> None:
    """Decoders meet strangers' bytes: nothing but BadTransaction comes out."""
    for raw in (data, b"\x02" + data):
        with pytest.raises(BadTransaction):
            evm_tx.decode(raw)


def fields() -> list[Item]:
    """The twelve RLP items of RAW."""
    items = evm_tx.rlp_decode(RAW[1:])
    assert not isinstance(items, bytes)
    return list(items)


@pytest.mark.parametrize(
    ("at", "item"),
    [
        (0, b""),  # no chain
        (1, b"\0"),  # zero has no bytes
        (1, b"\0\x09"),
        (1, b"\xff" * 8),  # EIP-2681
        (2, (4 * 10**9).to_bytes(4)),  # tip above the cap
        (4, b""),
        (5, b""),  # contract creation
        (5, TO + b"\0"),
        (5, []),
        (6, b"\1" + bytes(32)),  # 257 bits
        (7, []),
        (8, [[TO, []]]),  # access list
        (8, b""),
        (9, b"\2"),
        (10, b""),
        (10, evm_tx.ORDER.to_bytes(32)),
        (11, b""),
        (11, (evm_tx.ORDER // 2 + 1).to_bytes(32)),  # EIP-2
    ],
)
def test_fields_out_of_range_are_refused(at: int, item: Item) -> None:
    """Each rule of the format on its own, in otherwise good bytes."""
    wrong = fields()
    wrong[at] = item
    with pytest.raises(BadTransaction):
        evm_tx.decode(b"\x02" + evm_tx.rlp_encode(wrong))


def test_the_mirrored_signature_is_refused() -> None:
    """(r, n - s) with the other parity proves the same, but only one spelling is ours (EIP-2)."""
    wrong = fields()
    assert isinstance(wrong[9], bytes)
    assert isinstance(wrong[11], bytes)
    wrong[9] = b"" if wrong[9] else b"\1"
    wrong[11] = (evm_tx.ORDER - int.from_bytes(wrong[11])).to_bytes(32)
    with pytest.raises(BadTransaction, match="signature"):
        evm_tx.decode(b"\x02" + evm_tx.rlp_encode(wrong))


@pytest.mark.parametrize("count", [0, 9, 11, 13])
def test_the_number_of_fields_is_fixed(count: int) -> None:
    """Twelve items and no others; the unsigned nine are not a transaction yet."""
    with pytest.raises(BadTransaction, match="number of fields"):
        evm_tx.decode(b"\x02" + evm_tx.rlp_encode([*fields(), b""][:count]))


#: Ethereum's specification of RLP, "Examples".
RLP = [
    (b"dog", b"\x83dog"),
    ([b"cat", b"dog"], b"\xc8\x83cat\x83dog"),
    (b"", b"\x80"),
    ([], b"\xc0"),
    (b"\x00", b"\x00"),
    (b"\x0f", b"\x0f"),
    (b"\x04\x00", b"\x82\x04\x00"),
    ([[], [[]], [[], [[]]]], bytes.fromhex("c7c0c1c0c3c0c1c0")),
    (LOREM, b"\xb8\x38" + LOREM),
    (bytes(1024), b"\xb9\x04\x00" + bytes(1024)),
    ([LOREM], b"\xf8\x3a\xb8\x38" + LOREM),
]


@pytest.mark.parametrize(("item", "data"), RLP)
def test_rlp_vectors(item: Item, data: bytes) -> None:
    """The specification's examples, both ways."""
    assert evm_tx.rlp_encode(item) == data
    assert evm_tx.rlp_decode(data) == item


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81\x05",  # a small byte is its own spelling
        b"\xb8\x01\x80",  # short length written long
        b"\xb9\x00\x38" + LOREM,  # length with a leading zero
        b"\xb8\x39" + LOREM,
        b"\x83do",
        b"\xc2\x83do",
        b"\x83dogs",
        b"\xbf" + b"\xff" * 8,
        b"\xc1" * 400,
        b"\xc4\xc3\xc2\xc1\xc0",  # deeper than anything we read
    ],
)
def test_rlp_has_one_spelling(data: bytes) -> None:
    """Longer spellings, early ends, leftovers and deep nests are refused."""
    with pytest.raises(BadTransaction):
        evm_tx.rlp_decode(data)


def test_erc20_transfer() -> None:
    """The well-known calldata of 1 USDT, byte by byte."""
    data = evm_tx.transfer_data(TO, 1_000_000)
    assert data.hex() == (
        "a9059cbb"
        "0000000000000000000000003535353535353535353535353535353535353535"
        "00000000000000000000000000000000000000000000000000000000000f4240"
    )
    assert evm_tx.decode_transfer(data) == (TO, 1_000_000)


@given(accounts, st.integers(0, 2**256 - 1))
def test_erc20_round_trip(to: bytes, units: int) -> None:
    """Every destination and amount comes back."""
    assert evm_tx.decode_transfer(evm_tx.transfer_data(to, units)) == (to, units)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        evm_tx.TRANSFER,
        evm_tx.transfer_data(TO, 1)[:-1],
        evm_tx.transfer_data(TO, 1) + b"\0",
        bytes.fromhex("095ea7b3") + evm_tx.transfer_data(TO, 1)[4:],  # approve
        evm_tx.TRANSFER + b"\1" + evm_tx.transfer_data(TO, 1)[5:],  # dirty upper bytes
    ],
)
def test_other_calls_are_not_transfers(data: bytes) -> None:
    """approve, short or long calldata and dirty addresses are refused."""
    with pytest.raises(BadTransaction):
        evm_tx.decode_transfer(data)


def test_impossible_transactions_cannot_be_built() -> None:
    """The struct itself refuses what no node would take; gas has a worst price."""
    assert TX.fee_units_max == 21_000 * 3 * 10**9
    good = {name: getattr(TX, name) for name in TX.__struct_fields__}
    for name, value in [
        ("chain_id", 0),
        ("nonce", -1),
        ("nonce", 2**64 - 1),
        ("priority_fee", 4 * 10**9),
        ("priority_fee", -1),
        ("max_fee", 2**256),
        ("gas", 0),
        ("gas", 2**64),
        ("to", b""),
        ("value", -1),
        ("value", 2**256),
    ]:
        with pytest.raises(BadTransaction):
            EvmTx(**{**good, name: value})
