"""Payments on a simulated chain: an account with nonces, like an EVM's, in the dev world only."""

import hashlib
from collections.abc import Sequence
from typing import Final

from swapdesk.assets import Network, Registry
from swapdesk.chains import codec, simtx
from swapdesk.chains.reader import BlockRef
from swapdesk.chains.rpc import Caller, NodeRefused
from swapdesk.handoff import HotBalance
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.keys import Keyring
from swapdesk_vault.payment import CannotPay, Payment, Prepared
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
        assert network.chain is not None
        assert network.simulated
        self.network = network
        self._chain = network.chain
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
        tx = simtx.SimTx(
            chain=self._chain,
            sender=self.address,
            nonce=nonce,
            to=payment.destination,
            asset=payment.asset,
            units=payment.units,
            fee_units=fee,
        )
        raw = self._sign(tx)
        if simtx.parse(self.network.key, raw) != tx:
            raise AssertionError("the signed bytes say something else")
        return Prepared(
            raw=raw,
            txid=simtx.txid_of(raw),
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

    def _sign(self, tx: simtx.SimTx) -> bytes:
        digest = hashlib.sha256(simtx.body(tx)).digest()
        r, s, parity = self._key.sign_recoverable(digest)
        return simtx.assemble(tx, r.to_bytes(32) + s.to_bytes(32) + bytes([parity]))


def _is_known(refused: NodeRefused) -> bool:
    return "already known" in refused.message
