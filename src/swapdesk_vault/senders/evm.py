"""Payments on EVM chains: EIP-1559, native coin and ERC-20 `transfer` of registered contracts.

Nonces are allotted in the journal. Gas and its price are bounded by the site and by the fee limit
of the payment; nothing but a plain transfer can be built, and what was signed is read back.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from swapdesk.assets import Asset, Network, Registry
from swapdesk.chains import codec
from swapdesk.chains.reader import NodeTrouble
from swapdesk.chains.rpc import Caller, NodeRefused
from swapdesk.handoff import HotBalance
from swapdesk.money import BPS, ceil_div
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.keys import Keyring
from swapdesk_vault.payment import CannotPay, Payment, Prepared
from swapdesk_vault.senders import evm_tx
from swapdesk_vault.senders.account import Account
from swapdesk_vault.senders.evm_tx import EvmTx
from swapdesk_vault.senders.sender import REORG_BLOCKS_MAX, Broadcast, hand_over

#: The one hot key of the family, the same account on all EVM networks.
HOT_INDEX: Final = 0
#: "0x" and 64 digits.
WORD_CHARS_MAX: Final = 66
NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
#: Call data of balanceOf(address): selector, then the address in a word.
BALANCE_OF: Final = "0x70a08231" + "00" * 12
#: Of a node that holds these very bytes (geth, anvil, erigon, nethermind, besu).
KNOWN: Final = ("already known", "already imported", "known transaction", "alreadyknown")


class EvmSetup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a site pays on an EVM network. Wei per gas."""

    gas_max: int = 200_000
    gas_margin_bps: int = 2_000  #: on top of the node's estimate
    max_fee_cap: int = 500 * 10**9
    priority_fee_cap: int = 5 * 10**9
    priority_fee_min: int = 1


class _Header(msgspec.Struct, rename="camel"):
    number: str
    base_fee_per_gas: str


class EvmSender:
    """See Sender."""

    def __init__(
        self,
        network: Network,
        registry: Registry,
        nodes: Sequence[Caller],
        keyring: Keyring,
        wallet: HotWallet,
        setup: EvmSetup,
    ) -> None:
        """`nodes`: the first is asked, all get broadcasts."""
        assert network.chain is not None
        self.network = network
        self._chain_id = int(network.chain)
        self._assets = {asset.code: asset for asset in registry.on(network.key)}
        self._nodes, self._setup = nodes, setup
        self._key = keyring.hot_key(network.family, HOT_INDEX)
        self.address = codec.address_of_key(network.key, registry.world, self._key.public)
        self._account = Account(wallet, network.key, network.native, self.address)

    async def observe(self) -> None:
        """See Sender.observe."""
        await self._account.require_known(await self._nonce("latest"), await self._nonce("pending"))

    async def balances(self) -> list[HotBalance]:
        """See Sender.balances."""
        used = await self._nonce("latest")
        return [
            HotBalance(asset.code, await self._spendable(asset, used))
            for asset in self._assets.values()
        ]

    async def prepare(self, payment: Payment, fee_units_max: int) -> Prepared:
        """See Sender.prepare."""
        asset = self._assets.get(payment.asset)
        if asset is None:
            raise CannotPay(f"{payment.asset} is not an asset of {self.network.key}")
        used = await self._nonce("latest")
        nonce = await self._account.require_known(used, await self._nonce("pending"))
        await self._account.require_no_gap()
        tip = await self._nodes[0].call("eth_getBlockByNumber", ["latest", False], _Header)
        await self._require_funds(asset, payment.units, 0, used)
        priority, max_fee = await self._fees(_number(tip.base_fee_per_gas))
        to, value, data = _target(asset, payment)
        tx = EvmTx(
            chain_id=self._chain_id,
            nonce=nonce,
            priority_fee=priority,
            max_fee=max_fee,
            gas=await self._gas(to, value, data),
            to=to,
            value=value,
            data=data,
        )
        if tx.fee_units_max > fee_units_max:
            raise CannotPay("the fee may exceed its limit")
        await self._require_funds(asset, payment.units, tx.fee_units_max, used)
        raw = evm_tx.sign(tx, self._key)
        self._compare(raw, asset, payment, nonce, fee_units_max)
        return Prepared(
            raw=raw,
            txid=evm_tx.txid(raw),
            fee_units=tx.fee_units_max,
            since_height=max(_number(tip.number) - REORG_BLOCKS_MAX, 0),
            nonce=(self.address, nonce),
        )

    async def broadcast(self, raw: bytes) -> Broadcast:
        """See Sender.broadcast. One node that takes it is enough."""
        return await hand_over(self._nodes, "eth_sendRawTransaction", "0x" + raw.hex(), _is_known)

    async def close(self) -> None:
        """See Sender.close."""
        for node in self._nodes:
            await node.close()

    async def _nonce(self, when: str) -> int:
        return _number(
            await self._nodes[0].call("eth_getTransactionCount", [self.address, when], str)
        )

    async def _held(self, asset: Asset) -> int:
        node = self._nodes[0]
        if asset.contract is None:
            return _number(await node.call("eth_getBalance", [self.address, "latest"], str))
        ask = {"to": asset.contract, "data": BALANCE_OF + codec.evm_bytes(self.address).hex()}
        return _number(await node.call("eth_call", [ask, "latest"], str))

    async def _spendable(self, asset: Asset, used: int) -> int:
        promised = await self._account.promised(asset.code, used)
        return max(await self._held(asset) - promised, 0)

    async def _require_funds(self, asset: Asset, units: int, fee_units: int, used: int) -> None:
        native = self._assets[self.network.native]
        dues = {asset.code: units}
        dues[native.code] = dues.get(native.code, 0) + fee_units
        for code, due in dues.items():
            if await self._spendable(self._assets[code], used) < due:
                raise CannotPay(f"the hot wallet holds too little {code}")

    async def _fees(self, base_fee: int) -> tuple[int, int]:
        """(priority, max) per gas: room for the base fee to double, within the site's caps."""
        setup = self._setup
        wished = _number(await self._nodes[0].call("eth_maxPriorityFeePerGas", [], str))
        priority = min(max(wished, setup.priority_fee_min), setup.priority_fee_cap)
        max_fee = min(2 * base_fee + priority, setup.max_fee_cap)
        if base_fee + priority > max_fee:
            raise CannotPay("gas is dearer than this site allows")
        return priority, max_fee

    async def _gas(self, to: bytes, value: int, data: bytes) -> int:
        """The node's estimate with a margin. What would revert is not sent."""
        ask = {
            "from": self.address,
            "to": codec.evm_address(to),
            "value": hex(value),
            "data": "0x" + data.hex(),
        }
        try:
            estimate = _number(await self._nodes[0].call("eth_estimateGas", [ask], str))
        except NodeRefused as refused:
            raise CannotPay(f"it would revert: {refused.message}") from None
        gas = ceil_div(estimate * (BPS + self._setup.gas_margin_bps), BPS)
        if gas > self._setup.gas_max:
            raise CannotPay(f"it needs {gas} gas, more than this site allows")
        return gas

    def _compare(
        self, raw: bytes, asset: Asset, payment: Payment, nonce: int, fee_units_max: int
    ) -> None:
        """Read the bytes back as a stranger would. AssertionError on any difference."""
        tx, sender = evm_tx.decode(raw)
        if asset.contract is None:
            paid = (codec.evm_address(tx.to), tx.value)
            assert tx.data == b""
        else:
            to, units = evm_tx.decode_transfer(tx.data)
            paid = (codec.evm_address(to), units)
            assert (tx.to, tx.value) == (codec.evm_bytes(asset.contract), 0)
        assert paid == (payment.destination, payment.units)
        assert (codec.evm_address(sender), tx.nonce) == (self.address, nonce)
        assert tx.chain_id == self._chain_id
        assert tx.fee_units_max <= fee_units_max


def _is_known(refused: NodeRefused) -> bool:
    return any(word in refused.message.lower() for word in KNOWN)


def _target(asset: Asset, payment: Payment) -> tuple[bytes, int, bytes]:
    """(to, value, data) of a payment."""
    to = codec.evm_bytes(payment.destination)
    if asset.contract is None:
        return to, payment.units, b""
    return codec.evm_bytes(asset.contract), 0, evm_tx.transfer_data(to, payment.units)


def _number(text: str) -> int:
    """A quantity or word of the wire. NodeTrouble when it is none."""
    if NUMBER.fullmatch(text) is None:
        raise NodeTrouble(f"not a number: {text[:WORD_CHARS_MAX]!r}")
    return int(text, 16)
