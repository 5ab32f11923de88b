"""Bitcoin bytes against BIP143, and signed bytes that say nothing else than was meant."""

import coincurve
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapdesk.chains.digest import hash160
from swapdesk_vault.keys import PrivateKey
from swapdesk_vault.senders import bitcoin_tx
from swapdesk_vault.senders.bitcoin_tx import BadTransaction, Coin, Input, Output, Tx

#: BIP143, "Native P2WPKH": a P2PK and a P2WPKH input.
NATIVE_UNSIGNED = "0100000002fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f0000000000eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac11000000"
NATIVE_SIGNED = "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000"
NATIVE_SCRIPT = "00141d0f172a0ecb48aee1be1f2687d2963ae33f71a1"
NATIVE_SECRET = "619c335025c7f4012e556c2a58b2506e30b8511b53ade95ea316fd8c3286feb9"
NATIVE_DIGEST = "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"
NATIVE_PROOF = "304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee"
#: BIP143, "P2SH-P2WPKH": the redeem script is what a native output would hold.
NESTED_UNSIGNED = "0100000001db6b1b20aa0fd7b23880be2ecbd4a98130974cf4748fb66092ac4d3ceb1a54770100000000feffffff02b8b4eb0b000000001976a914a457b684d7f0d539a46a45bbc043f35b59d0d96388ac0008af2f000000001976a914fd270b1ee6abcaea97fea7ad0402e8bd8ad6d77c88ac92040000"
NESTED_SCRIPT = "001479091972186c449eb1ded22b78e40d009bdf0089"
NESTED_DIGEST = "64f3b0f4dd2bb3aa1ce8566d220cc74dda9df97d8490cc81d89d735c92e59fb6"

KEYS = [PrivateKey(bytes([n]) * 32) for n in range(1, 4)]
COINS = [
    Coin(
        txid=bytes([n + 100] * 32).hex(),
        vout=n,
        units=100_000 * (n + 1),
        script=b"\0\x14" + hash160(key.public),
        key_index=n,
    )
    for n, key in enumerate(KEYS)
]
OUTPUTS = [
    Output(b"\x51\x20" + bytes(range(32)), 250_000),
    Output(COINS[0].script, 349_000),
]


def key_of(coin: Coin) -> PrivateKey:
    """The key that the coin names."""
    return KEYS[coin.key_index]


RAW = bitcoin_tx.sign(COINS, OUTPUTS, key_of)


@pytest.mark.parametrize(
    ("unsigned", "index", "script", "units", "digest"),
    [
        (NATIVE_UNSIGNED, 1, NATIVE_SCRIPT, 600_000_000, NATIVE_DIGEST),
        (NESTED_UNSIGNED, 0, NESTED_SCRIPT, 1_000_000_000, NESTED_DIGEST),
    ],
)
def test_bip143_digests(unsigned: str, index: int, script: str, units: int, digest: str) -> None:
    """Both published digests, and the unsigned bytes survive reading and writing."""
    tx = bitcoin_tx.decode(bytes.fromhex(unsigned))
    assert bitcoin_tx.serialise(tx).hex() == unsigned
    assert bitcoin_tx.sighash(tx, index, bytes.fromhex(script), units).hex() == digest


def test_bip143_signature() -> None:
    """The published deterministic signature comes out, and fits into the published bytes."""
    key = PrivateKey(bytes.fromhex(NATIVE_SECRET))
    assert key.sign_ecdsa(bytes.fromhex(NATIVE_DIGEST)).hex() == NATIVE_PROOF
    tx = bitcoin_tx.decode(bytes.fromhex(NATIVE_SIGNED))
    assert tx.inputs[1].witness == (bytes.fromhex(NATIVE_PROOF) + b"\1", key.public)
    assert bitcoin_tx.serialise(tx).hex() == NATIVE_SIGNED
    bare = msgspec.structs.replace(
        tx, inputs=tuple(Input(i.txid, i.vout, i.sequence) for i in tx.inputs)
    )
    assert bitcoin_tx.serialise(bare).hex() == NATIVE_UNSIGNED


def test_txid_and_vsize() -> None:
    """The genesis coinbase has its famous id; one input and two outputs take 141 vbytes."""
    genesis = bitcoin_tx.decode(
        bytes.fromhex(
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ff"
            "ff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272"
            "696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000"
            "434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f3"
            "5504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
        )
    )
    assert bitcoin_tx.txid(genesis) == (
        "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    )
    assert bitcoin_tx.vsize(genesis) == 204
    two = [Output(COINS[0].script, 1000), Output(COINS[1].script, 2000)]
    assert bitcoin_tx.vsize(bitcoin_tx.decode(bitcoin_tx.sign(COINS[:1], two, key_of))) in (
        140,
        141,
    )


def test_signed_bytes_say_what_was_meant() -> None:
    """Inputs, outputs, replaceable sequence, version 2, no lock time; the same bytes every time."""
    tx = bitcoin_tx.decode(RAW)
    assert [(i.txid, i.vout) for i in tx.inputs] == [(c.txid, c.vout) for c in COINS]
    assert list(tx.outputs) == OUTPUTS
    assert {i.sequence for i in tx.inputs} == {0xFFFFFFFD}
    assert (tx.version, tx.locktime) == (2, 0)
    assert bitcoin_tx.check_signed(RAW, COINS, OUTPUTS) == tx
    assert bitcoin_tx.sign(COINS, OUTPUTS, key_of) == RAW
    bare = bitcoin_tx.unsigned(COINS, OUTPUTS)
    assert bitcoin_tx.txid(tx) == bitcoin_tx.txid(bare)
    assert bitcoin_tx.decode(bitcoin_tx.serialise(bare)) == bare


def test_every_byte_counts() -> None:
    """A flipped bit anywhere, a cut or an addition never passes the check before sending."""
    for at in range(len(RAW)):
        for bit in (0, 3, 7):
            wrong = RAW[:at] + bytes([RAW[at] ^ 1 << bit]) + RAW[at + 1 :]
            with pytest.raises(BadTransaction):
                bitcoin_tx.check_signed(wrong, COINS, OUTPUTS)
    for wrong in (b"", RAW[:-1], RAW + b"\0", RAW[:60], RAW * 2000):
        with pytest.raises(BadTransaction):
            bitcoin_tx.check_signed(wrong, COINS, OUTPUTS)


def test_another_payment_never_passes_the_check() -> None:
    """Other units, script, order, coin, key or sequence: not what was meant."""
    richer = [msgspec.structs.replace(OUTPUTS[0], units=250_001), OUTPUTS[1]]
    elsewhere = [msgspec.structs.replace(OUTPUTS[0], script=COINS[1].script), OUTPUTS[1]]
    for outputs in (richer, elsewhere, OUTPUTS[::-1], OUTPUTS[:1], [*OUTPUTS, OUTPUTS[0]]):
        with pytest.raises(BadTransaction, match="something else"):
            bitcoin_tx.check_signed(RAW, COINS, outputs)
    for coins in (COINS[::-1], COINS[:2]):
        with pytest.raises(BadTransaction, match="something else"):
            bitcoin_tx.check_signed(RAW, coins, OUTPUTS)
    # The amount of a coin is in the digest: a desk that lies about it gets no valid signature.
    lied = [msgspec.structs.replace(COINS[0], units=1), *COINS[1:]]
    with pytest.raises(BadTransaction, match="proof of input 0"):
        bitcoin_tx.check_signed(RAW, lied, OUTPUTS)
    with pytest.raises(BadTransaction, match="proof of input"):
        bitcoin_tx.sign(COINS, OUTPUTS, lambda _: KEYS[0])
    tx = bitcoin_tx.decode(RAW)
    final = [msgspec.structs.replace(i, sequence=0xFFFFFFFF) for i in tx.inputs]
    with pytest.raises(BadTransaction, match="something else"):
        bitcoin_tx.check_signed(
            bitcoin_tx.serialise(msgspec.structs.replace(tx, inputs=tuple(final))), COINS, OUTPUTS
        )


def test_a_high_s_is_refused() -> None:
    """The mirrored signature proves the same on chain, but it is not the one we made."""
    tx = bitcoin_tx.decode(RAW)
    proof, public = tx.inputs[0].witness
    half = proof[4 : 4 + proof[3]]
    s = int.from_bytes(proof[6 + len(half) : -1])
    order = int.from_bytes(coincurve.utils.GROUP_ORDER)
    mirrored = (order - s).to_bytes(33)
    body = b"\2" + bytes([len(half)]) + half + b"\2" + bytes([33]) + mirrored
    forged = b"\x30" + bytes([len(body)]) + body + b"\1"
    inputs = (msgspec.structs.replace(tx.inputs[0], witness=(forged, public)), *tx.inputs[1:])
    raw = bitcoin_tx.serialise(msgspec.structs.replace(tx, inputs=inputs))
    with pytest.raises(BadTransaction, match="proof of input 0"):
        bitcoin_tx.check_signed(raw, COINS, OUTPUTS)


@pytest.mark.parametrize(
    "script",
    [
        b"",
        b"\x76\xa9\x14" + bytes(20) + b"\x88\xac",
        b"\0\x20" + bytes(32),
        b"\x51\x14" + bytes(20),
    ],
)
def test_only_p2wpkh_coins_are_spent(script: bytes) -> None:
    """Any other coin is refused before a key is touched."""
    coin = msgspec.structs.replace(COINS[0], script=script)
    with pytest.raises(BadTransaction, match="only P2WPKH"):
        bitcoin_tx.sign([coin], OUTPUTS[:1], key_of)


@pytest.mark.parametrize(
    "raw",
    [
        "020000000001000000000000",  # neither inputs nor outputs
        # a marker without any proof
        "02000000000101" + "11" * 32 + "0000000000fdffffff01e803000000000000000000000000",
        # a count in a longer spelling
        "02000000fd0100" + "11" * 32 + "0000000000fdffffff01e8030000000000000000000000",
        # a script longer than the transaction
        "0200000001" + "11" * 32 + "00000000fe00000010",
        # an output of 2**63 units
        "0200000001" + "11" * 32 + "0000000000fdffffff0100000000000000800000000000",
    ],
)
def test_malformed_bytes_are_refused(raw: str) -> None:
    """Each rule of the format on its own."""
    with pytest.raises(BadTransaction):
        bitcoin_tx.decode(bytes.fromhex(raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_transaction_or_refused(raw: bytes) -> None:
    """Decoders meet strangers' bytes: nothing but BadTransaction comes out."""
    try:
        tx = bitcoin_tx.decode(raw)
    except BadTransaction:
        return
    assert bitcoin_tx.serialise(tx) == raw


scripts = st.binary(max_size=80)
uint32 = st.integers(0, 2**32 - 1)
inputs = st.builds(
    Input,
    txid=st.binary(min_size=32, max_size=32).map(bytes.hex),
    vout=uint32,
    sequence=uint32,
    script_sig=scripts,
    witness=st.lists(scripts, max_size=3).map(tuple),
)
outputs = st.builds(Output, script=scripts | st.just(bytes(300)), units=st.integers(0, 2**63 - 1))


@settings(max_examples=200)
@given(
    st.builds(
        Tx,
        inputs=st.lists(inputs, min_size=1, max_size=4).map(tuple),
        outputs=st.lists(outputs, min_size=1, max_size=4).map(tuple),
        version=uint32,
        locktime=uint32,
    )
)
def test_transactions_round_trip(tx: Tx) -> None:
    """Every transaction comes back from its bytes; proofs do not change its id."""
    raw = bitcoin_tx.serialise(tx)
    assert bitcoin_tx.decode(raw) == tx
    bare = tuple(msgspec.structs.replace(i, witness=()) for i in tx.inputs)
    assert bitcoin_tx.txid(msgspec.structs.replace(tx, inputs=bare)) == bitcoin_tx.txid(tx)
    assert bitcoin_tx.vsize(tx) <= len(raw)


@pytest.mark.parametrize(
    ("number", "spelling"),
    [
        (0, "00"),
        (252, "fc"),
        (253, "fdfd00"),
        (65535, "fdffff"),
        (65536, "fe00000100"),
        (2**32, "ff0000000001000000"),
    ],
)
def test_compact_counts(number: int, spelling: str) -> None:
    """The four sizes of Bitcoin's count."""
    assert bitcoin_tx.compact(number).hex() == spelling
