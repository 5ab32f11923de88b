"""Payments on a simulated chain: an account with nonces, like an EVM's, in the dev world only."""

from collections.abc import Sequence
from typing import Final

from swapdesk.assets import Network, Registry
from swapdesk.chains import codec
from swapdesk.chains.reader import BlockRef
from swapdesk.chains.rpc import Caller, NodeRefused
from swapdesk.handoff import HotBalance
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.keys import Keyring
from swapdesk_vault.payment import CannotPay, Payment, Prepared
from swapdesk_vault.senders import simulated_tx
from swapdesk_vault.senders.account import Account
from swapdesk_vault.senders.sender import REORG_BLOCKS_MAX, Broadcast, hand_over

#: The one hot key of a network.
HOT_INDEX: Final = 0


class SimulatedSender:
    """See Sender."""

    def __init__(
        self,
        network: Network,
        registry: Registry,
        nodes: Sequence[Caller],
        keyring: Keyring,
        wallet: HotWallet,
    ) -> None:
        assert network.simulated
        self.network = network
        self._assets = [asset.code for asset in registry.on(network.key)]
        self._nodes = nodes
        self._key = keyring.hot_key(network.family, HOT_INDEX)
        self.address = codec.address_of_key(network.key, registry.world, self._key.public)
        self._account = Account(wallet, network.key, network.native, self.address)

    async def observe(self) -> None:
        """See Sender.observe."""
        await self._account.require_known(await self._nonce(), await self._nonce(pending=True))

    async def balances(self) -> list[HotBalance]:
        """See Sender.balances."""
        used = await self._nonce()
        return [HotBalance(asset, await self._spendable(asset, used)) for asset in self._assets]

    async def prepare(self, payment: Payment, fee_units_max: int) -> Prepared:
        """See Sender.prepare."""
        node = self._nodes[0]
        used, pending = await self._nonce(), await self._nonce(pending=True)
        nonce = await self._account.require_known(used, pending)
        await self._account.require_no_gap()
        fee = await node.call("sim_fee", [], int)
        if fee > fee_units_max:
            raise CannotPay(f"the fee is {fee} units, allowed are {fee_units_max}")
        native = payment.asset == self.network.native
        for asset, due in (
            (payment.asset, payment.units + (fee if native else 0)),
            (self.network.native, fee),
        ):
            if await self._spendable(asset, used) < due:
                raise CannotPay(f"the hot wallet holds too little {asset}")
        tip = await node.call("sim_tip", [], BlockRef)
        tx = simulated_tx.build(
            self.network,
            self._key,
            nonce=nonce,
            to=payment.destination,
            asset=payment.asset,
            units=payment.units,
            fee_units=fee,
        )
        raw = simulated_tx.sign(tx, self._key)
        self._compare(raw, payment, nonce, fee_units_max)
        return Prepared(
            raw=raw,
            txid=simulated_tx.txid(raw),
            fee_units=fee,
            since_height=max(tip.height - REORG_BLOCKS_MAX, 0),
            nonce=(self.address, nonce),
        )

    async def broadcast(self, raw: bytes) -> Broadcast:
        """See Sender.broadcast."""
        return await hand_over(self._nodes, "sim_send", raw.hex(), _is_known)

    async def close(self) -> None:
        """See Sender.close."""
        for node in self._nodes:
            await node.close()

    async def _nonce(self, *, pending: bool = False) -> int:
        return await self._nodes[0].call("sim_nonce", [self.address, pending], int)

    async def _spendable(self, asset: str, used: int) -> int:
        held = await self._nodes[0].call("sim_balance", [self.address, asset], int)
        return max(held - await self._account.promised(asset, used), 0)

    def _compare(self, raw: bytes, payment: Payment, nonce: int, fee_units_max: int) -> None:
        """Read the bytes back as a stranger would. AssertionError on any difference."""
        tx = simulated_tx.decode(self.network, raw)
        assert (tx.to, tx.asset, tx.units) == (payment.destination, payment.asset, payment.units)
        assert (tx.chain, tx.sender, tx.nonce) == (self.network.chain, self.address, nonce)
        assert tx.fee_units <= fee_units_max


def _is_known(refused: NodeRefused) -> bool:
    return "already known" in refused.message
