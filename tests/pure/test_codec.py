"""Address codecs against the official vectors, an independent library and every kind of typo."""

from collections.abc import Callable

import bip_utils
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swapdesk.chains import base58, bech32, monero
from swapdesk.chains.codec import (
    FAMILY,
    PREFIXES,
    BadAddress,
    address_of_key,
    address_of_script,
    check_address,
    evm_address,
    evm_bytes,
    family_of,
    script_of,
    tron_address,
    tron_bytes,
)
from swapdesk.chains.digest import keccak256

WORLDS = ("main", "test", "dev")

#: BIP350, valid segwit addresses with their scripts, in Bitcoin's main or test world.
BIP350_VALID = {
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4": "0014751e76e8199196d454941c45d1b3a323f1433bd6",
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7": "0020"
    "1863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy": "0020"
    "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
    "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c": "5120"
    "000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": "5120"
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
}
#: BIP350, well-formed programs that no rule gives a meaning: money sent there may be anybody's.
BIP350_MEANINGLESS = {
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y": "5128"
    "751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
    "BC1SW50QGDZ25J": "6002751e",
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs": "5210751e76e8199196d454941c45d1b3a323",
}
#: BIP173 and BIP350, invalid segwit addresses.
BIP_INVALID = (
    "tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
    "BC13W508D6QEJXTDG4Y5R3ZARVARY0C5XW7KN40WF2",
    "bc1rw5uspcuh",
    "bc10w508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kw5rljs90",
    "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7",
    "bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du",
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3pjxtptv",
    "bc1gmk9yu",
    "tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf",
    "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
    "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47",
    "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
    "bc1pw5dgrnzv",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
    "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
    "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
)
#: BIP86, first receiving address of "abandon … about".
BIP86 = (
    "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
    "5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
)
#: BIP84, first receiving key and address of the same phrase.
BIP84 = (
    "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c",
    "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
)
EIP55 = (
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)
#: USDT's contract on Tron in both spellings.
TRON = ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "a614f803b6fd780986a42c78ec9c7f77e6ded13c")
#: Monero's donation address (main) and one key pair in every kind.
XMR = "44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A"
KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
HASH = bytes(range(20))


def monero_of(prefix: int, payment_id: bytes = b"") -> str:
    """XMR's two keys behind another network byte, perhaps with a payment id."""
    body = bytes([prefix]) + base58.decode_monero(XMR)[1:65] + payment_id
    return base58.encode_monero(body + keccak256(body)[:4])


def segwit(hrp: str) -> str:
    """Some P2WPKH address."""
    return bech32.encode(hrp, 0, HASH)


#: Where an address is at home: its family, the worlds it is good in, and the address.
HOMES = [
    ("bitcoin", ("main",), segwit("bc")),
    ("bitcoin", ("test",), segwit("tb")),
    ("bitcoin", ("dev",), segwit("bcrt")),
    ("litecoin", ("main",), segwit("ltc")),
    ("litecoin", ("test",), segwit("tltc")),
    ("litecoin", ("dev",), segwit("rltc")),
    ("dogecoin", ("main",), base58.encode_check(bytes([30]) + HASH)),
    ("dogecoin", ("test",), base58.encode_check(bytes([113]) + HASH)),
    ("evm", WORLDS, EIP55[0]),
    ("tron", WORLDS, TRON[0]),
    ("monero", ("main", "dev"), XMR),
    ("monero", ("test",), monero_of(24)),
]


@pytest.mark.parametrize(("text", "script"), [*BIP350_VALID.items(), BIP86])
def test_official_segwit_addresses_have_their_scripts(text: str, script: str) -> None:
    """BIP350's and BIP86's addresses give the published script and come back in lower case."""
    world = "main" if text.lower().startswith("bc1") else "test"
    assert script_of("bitcoin", world, text).hex() == script
    assert check_address("bitcoin", world, text) == text.lower()
    assert address_of_script("bitcoin", world, bytes.fromhex(script)) == text.lower()


@pytest.mark.parametrize(("text", "script"), list(BIP350_MEANINGLESS.items()))
def test_unknown_witness_programs_are_read_but_never_paid(text: str, script: str) -> None:
    """bech32 reads later versions as BIP350 says; the codec refuses money to them, both ways."""
    _, version, program = bech32.decode(text)
    assert bytes([version + 0x50, len(program)]) + program == bytes.fromhex(script)
    with pytest.raises(BadAddress, match="without a meaning"):
        check_address("bitcoin", "main", text)
    assert address_of_script("bitcoin", "main", bytes.fromhex(script)) is None


@pytest.mark.parametrize("text", BIP_INVALID)
def test_official_invalid_addresses_are_refused(text: str) -> None:
    """Nothing on the lists of BIP173 and BIP350 validates in any world."""
    for world in WORLDS:
        with pytest.raises(BadAddress):
            check_address("bitcoin", world, text)


def test_a_taproot_key_outside_the_curve_is_refused() -> None:
    """A well-spelled taproot address that nobody could ever spend is no address."""
    with pytest.raises(BadAddress, match="outside the curve"):
        check_address("bitcoin", "main", bech32.encode("bc", 1, b"\xff" * 32))
    assert address_of_script("bitcoin", "main", b"\x51\x20" + b"\xff" * 32) is None


@pytest.mark.parametrize(("family", "worlds", "text"), HOMES)
def test_an_address_is_at_home_in_one_family(
    family: str, worlds: tuple[str, ...], text: str
) -> None:
    """Every other network and world refuses it; EVM chains are one, as are Tron's worlds."""
    for network in FAMILY:
        for world in WORLDS:
            if family_of(network) == family and world in worlds:
                assert check_address(network, world, text) == text
            else:
                with pytest.raises(BadAddress):
                    check_address(network, world, text)


@pytest.mark.parametrize(
    ("network", "world", "text"),
    [
        ("bitcoin", "main", base58.encode_check(bytes([111]) + HASH)),
        ("bitcoin", "test", base58.encode_check(bytes([0]) + HASH)),
        ("bitcoin", "main", base58.encode_check(bytes([48]) + HASH)),
        ("litecoin", "main", base58.encode_check(bytes([5]) + HASH)),
        ("bitcoin", "main", base58.encode_check(bytes([0]) + HASH[1:])),
        ("bitcoin", "main", base58.encode_check(bytes([0]) + HASH + b"\0")),
        ("bitcoin", "main", base58.encode_check(b"")),
        ("dogecoin", "main", segwit("doge")),
        ("tron", "main", base58.encode_check(b"\x42" + HASH)),
        ("tron", "main", "41" + TRON[1]),
        ("monero", "main", monero_of(18, bytes(8))),
        ("monero", "main", monero_of(19)),
        ("monero", "main", XMR + "1"),
        ("monero", "main", XMR[:-1]),
        ("ethereum", "main", EIP55[0][2:]),
        ("ethereum", "main", "0X" + EIP55[0][2:]),
        ("ethereum", "main", EIP55[0] + "0"),
        ("ethereum", "main", "0x" + "é" * 40),
        ("ethereum", "main", "0x" + "_" * 40),
    ],
)
def test_near_misses_are_refused(network: str, world: str, text: str) -> None:
    """Another network's prefix, another size, another spelling: each has its reason."""
    with pytest.raises(BadAddress) as refusal:
        check_address(network, world, text)
    assert str(refusal.value)


@pytest.mark.parametrize(
    "text", ["", " ", "0", "1", "bc1", "1" * 111, "\0", "\u0661", "bitcoin:" + XMR]
)
@pytest.mark.parametrize("network", list(FAMILY))
def test_rubbish_is_refused_everywhere(network: str, text: str) -> None:
    """Neither blanks nor URIs nor foreign digits are an address anywhere, and nothing crashes."""
    for spelling in (text, " " + BIP84[1], EIP55[0] + "\n"):
        with pytest.raises(BadAddress):
            check_address(network, "main", spelling)


@given(st.sampled_from(list(FAMILY)), st.sampled_from(WORLDS), st.text(max_size=120))
def test_any_text_is_an_address_or_refused(network: str, world: str, text: str) -> None:
    """No text raises anything but BadAddress."""
    try:
        check_address(network, world, text)
    except BadAddress:
        return


TYPOS = {
    "p2pkh": ("bitcoin", "main", base58.encode_check(bytes([0]) + HASH), base58.ALPHABET),
    "p2sh": ("litecoin", "main", base58.encode_check(bytes([50]) + HASH), base58.ALPHABET),
    "doge": ("dogecoin", "main", base58.encode_check(bytes([30]) + HASH), base58.ALPHABET),
    "p2wpkh": ("bitcoin", "dev", segwit("bcrt"), bech32.CHARSET + "1bioQ"),
    "p2wsh": ("litecoin", "main", bech32.encode("ltc", 0, HASH + bytes(12)), bech32.CHARSET),
    "p2tr": ("bitcoin", "main", BIP86[0], bech32.CHARSET),
    "evm": ("bsc", "main", EIP55[0], "0123456789abcdefABCDEFx"),
    "tron": ("tron", "main", TRON[0], base58.ALPHABET),
    "monero": ("monero", "main", XMR, base58.ALPHABET),
}


@pytest.mark.parametrize("kind", TYPOS)
def test_one_changed_character_never_validates(kind: str) -> None:
    """Every position times every character of the alphabet, and every neighbour swap."""
    network, world, text, alphabet = TYPOS[kind]
    assert check_address(network, world, text) == text
    wrong = {
        text[:at] + char + text[at + 1 :] for at in range(len(text)) for char in alphabet + "0OIl"
    }
    wrong |= {text[:at] + text[at + 1] + text[at] + text[at + 2 :] for at in range(len(text) - 1)}
    for spelling in wrong - {text}:
        with pytest.raises(BadAddress):
            check_address(network, world, spelling)


@pytest.mark.parametrize("text", EIP55)
def test_eip55(text: str) -> None:
    """Mixed case is checked; all lower and all upper carry no checksum and become EIP-55."""
    digits = text[2:]
    for spelling in (text, "0x" + digits.lower(), "0x" + digits.upper()):
        assert check_address("ethereum", "main", spelling) == text
    with pytest.raises(BadAddress, match="EIP-55"):
        check_address("ethereum", "main", "0x" + digits.swapcase())


def test_tron() -> None:
    """USDT's Tron contract has the published twenty bytes."""
    assert tron_bytes(TRON[0]).hex() == TRON[1]
    assert tron_address(bytes.fromhex(TRON[1])) == TRON[0]


@pytest.mark.parametrize(
    ("world", "prefixes"), [("main", (18, 19, 42)), ("dev", (18, 19, 42)), ("test", (24, 25, 36))]
)
def test_monero_kinds(world: str, prefixes: tuple[int, int, int]) -> None:
    """Standard, integrated and subaddresses of the world's network are accepted as written."""
    standard, integrated, sub = prefixes
    for text in (monero_of(standard), monero_of(integrated, bytes(range(8))), monero_of(sub)):
        assert check_address("monero", world, text) == text


def test_monero_agrees_with_an_independent_library() -> None:
    """Addresses of random wallets validate; bip-utils decodes what we encode."""
    for seed in range(20):
        wallet = bip_utils.Monero.FromSeed(keccak256(bytes([seed])))
        integrated = wallet.IntegratedAddress(keccak256(b"id" + bytes([seed]))[:8])
        for text in (wallet.PrimaryAddress(), wallet.Subaddress(seed + 1, seed), integrated):
            assert check_address("monero", "main", text) == text
    decoded = bip_utils.XmrAddrDecoder.DecodeAddr(monero_of(18), net_ver=b"\x12")
    assert decoded == base58.decode_monero(XMR)[1:65]


def test_monero_keys_are_points() -> None:
    """A key off the curve, or in a second spelling, is refused however right its checksum is."""
    good = base58.decode_monero(XMR)[1:33]
    assert monero.is_point(good)
    y_too_large = (monero.P + 1).to_bytes(32, "little")
    minus_zero = (1 | 1 << 255).to_bytes(32, "little")
    outside = next(
        n for n in (bytes([n]) + bytes(31) for n in range(2, 20)) if not monero.is_point(n)
    )
    for key in (y_too_large, minus_zero, outside):
        assert not monero.is_point(key)
        body = b"\x12" + good + key
        with pytest.raises(BadAddress, match="curve"):
            check_address("monero", "main", base58.encode_monero(body + keccak256(body)[:4]))


ORACLES: dict[tuple[str, str], Callable[[bytes], str]] = {
    ("bitcoin", "main"): lambda key: bip_utils.P2WPKHAddrEncoder.EncodeKey(key, hrp="bc"),
    ("bitcoin", "dev"): lambda key: bip_utils.P2WPKHAddrEncoder.EncodeKey(key, hrp="bcrt"),
    ("litecoin", "main"): lambda key: bip_utils.P2WPKHAddrEncoder.EncodeKey(key, hrp="ltc"),
    ("dogecoin", "main"): lambda key: bip_utils.P2PKHAddrEncoder.EncodeKey(key, net_ver=b"\x1e"),
    ("arbitrum", "main"): bip_utils.EthAddrEncoder.EncodeKey,
    ("tron", "test"): bip_utils.TrxAddrEncoder.EncodeKey,
}


@pytest.mark.parametrize(("network", "world"), list(ORACLES))
def test_addresses_of_keys_agree_with_an_independent_library(network: str, world: str) -> None:
    """Forty keys per network have the address that bip-utils gives them, and it validates."""
    for number in range(1, 41):
        secret = keccak256(bytes([number]))
        key = bip_utils.Secp256k1PrivateKey.FromBytes(secret).PublicKey().RawCompressed().ToBytes()
        address = address_of_key(network, world, key)
        assert address == ORACLES[network, world](key)
        assert check_address(network, world, address) == address


def test_bip84_address() -> None:
    """BIP84's first key has BIP84's first address; Monero has no address of such a key."""
    assert address_of_key("bitcoin", "main", bytes.fromhex(BIP84[0])) == BIP84[1]
    with pytest.raises(ValueError, match="Monero"):
        address_of_key("monero", "main", KEY)


@settings(max_examples=300)
@given(
    st.sampled_from(list(PREFIXES)),
    st.sampled_from(["p2pkh", "p2sh", "p2wpkh", "p2wsh"]),
    st.binary(min_size=32, max_size=32),
)
def test_scripts_and_addresses_are_inverse(home: tuple[str, str], kind: str, data: bytes) -> None:
    """Every standard script has one address on its chain, and that address has this script."""
    short = data[:20]
    script = {
        "p2pkh": b"\x76\xa9\x14" + short + b"\x88\xac",
        "p2sh": b"\xa9\x14" + short + b"\x87",
        "p2wpkh": b"\0\x14" + short,
        "p2wsh": b"\0\x20" + data,
    }[kind]
    address = address_of_script(*home, script)
    if home[0] == "dogecoin" and kind.startswith("p2w"):
        assert address is None
    else:
        assert address is not None
        assert script_of(*home, address) == script
        assert address_of_script(*home, script + b"\0") is None
        assert address_of_script(*home, script[:-1]) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_script_or_none(script: bytes) -> None:
    """Scripts come from strangers' blocks: none of them crashes the reader."""
    address = address_of_script("bitcoin", "main", script)
    assert address is None or script_of("bitcoin", "main", address) == script


@given(st.binary(max_size=76))
def test_base58_round_trips(data: bytes) -> None:
    """All three spellings come back, as the independent library writes them."""
    assert base58.decode(base58.encode(data)) == data
    assert base58.encode(data) == bip_utils.Base58Encoder.Encode(data)
    assert base58.decode_check(base58.encode_check(data)) == data
    assert base58.decode_monero(base58.encode_monero(data)) == data
    assert base58.encode_monero(data) == bip_utils.Base58XmrEncoder.Encode(data)


@given(st.binary(min_size=20, max_size=20))
def test_accounts_round_trip(account: bytes) -> None:
    """Twenty bytes come back from EVM's and Tron's spelling."""
    assert evm_bytes(evm_address(account)) == account
    assert tron_bytes(tron_address(account)) == account


def test_every_network_is_covered() -> None:
    """A network without a family, or a Bitcoin-like without all three worlds, is our own bug."""
    assert {network for network, _ in PREFIXES} == {"bitcoin", "litecoin", "dogecoin"}
    assert len(PREFIXES) == 3 * len(WORLDS)
    with pytest.raises(KeyError):
        check_address("nowhere", "main", XMR)
    with pytest.raises(KeyError):
        script_of("ethereum", "main", EIP55[0])
