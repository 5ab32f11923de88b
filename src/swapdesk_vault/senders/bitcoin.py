"""Payments on Bitcoin and its segwit relatives: confirmed P2WPKH coins in, any standard script out.

The node holds no key and no wallet. Coins come from the vault's own reading of the blocks; each is
looked up again (gettxout) before it is spent. A coin of ours that somebody else spent stops all.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from swapdesk import money
from swapdesk.assets import Network, Registry
from swapdesk.chains import codec
from swapdesk.chains.reader import NodeTrouble, Reader
from swapdesk.chains.rpc import Caller, NodeRefused
from swapdesk.handoff import HotBalance
from swapdesk_vault import payment as words
from swapdesk_vault.hot_wallet import HotWallet
from swapdesk_vault.keys import Keyring
from swapdesk_vault.payment import CannotPay, Payment, Prepared, UnknownOutflow
from swapdesk_vault.senders import bitcoin_tx
from swapdesk_vault.senders.bitcoin_plan import FeeCaps, NoPlan, Plan, plan_payment
from swapdesk_vault.senders.bitcoin_tx import Coin
from swapdesk_vault.senders.hot_coins import HotCoins
from swapdesk_vault.senders.sender import REORG_BLOCKS_MAX, Broadcast, hand_over

#: The one hot key of a family.
HOT_INDEX: Final = 0
#: New coins of miners cannot be spent before (COINBASE_MATURITY).
COINBASE_DEPTH: Final = 100
#: Core's code for a transaction that is in a block already (RPC_VERIFY_ALREADY_IN_UTXO_SET).
IN_CHAIN: Final = -27
KNOWN: Final = ("txn-already-in-mempool", "txn-already-known")


class BitcoinSetup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a site pays on a Bitcoin-like network."""

    birth_height: int | None = None  #: no block below paid the hot wallet; None: start at the tip
    hot_coin_count: int = 8  #: coins to keep split, so that payments need not wait for change
    split_units_min: int = 200_000
    fee_blocks: int = 6  #: confirmation target of the fee estimate
    fee_rate_min_sat_kvb: int = 1_000
    fee_rate_max_sat_kvb: int = 500_000


class _Estimate(msgspec.Struct):
    feerate: Decimal | None = None


class _Mempool(msgspec.Struct):
    mempoolminfee: Decimal


class _Script(msgspec.Struct):
    hex: str


class _TxOut(msgspec.Struct):
    value: Decimal
    confirmations: int
    script: _Script = msgspec.field(name="scriptPubKey")
    coinbase: bool = False


class BitcoinSender:
    """See Sender."""

    def __init__(
        self,
        network: Network,
        registry: Registry,
        nodes: Sequence[Caller],
        keyring: Keyring,
        wallet: HotWallet,
        reader: Reader,
        setup: BitcoinSetup,
    ) -> None:
        """`nodes`: the first is asked, all get broadcasts. ValueError for a chain without segwit."""
        self.network = network
        self._world = registry.world
        self._decimals = registry.assets[network.native].decimals
        self._nodes, self._wallet, self._setup = nodes, wallet, setup
        self._key = keyring.hot_key(network.family, HOT_INDEX)
        self.address = codec.address_of_key(network.key, registry.world, self._key.public)
        self._script = codec.script_of(network.key, registry.world, self.address)
        if len(self._script) != bitcoin_tx.P2WPKH_BYTES:
            raise ValueError(
                f"{network.key} has no segregated witness; it cannot be paid from here"
            )
        self._hot = HotCoins(reader, wallet, self.address, setup.birth_height)

    async def observe(self) -> None:
        """See Sender.observe. At every new tip all coins are looked up."""
        if await self._hot.catch_up():
            for coin in await self._wallet.coins(self.network.key):
                await self._unspent(coin)

    async def balances(self) -> list[HotBalance]:
        """See Sender.balances."""
        coins = await self._wallet.coins(self.network.key)
        units = sum(coin.units for coin in coins if self._deep(coin))
        return [HotBalance(self.network.native, units)]

    async def prepare(self, payment: Payment, fee_units_max: int) -> Prepared:
        """See Sender.prepare."""
        if self._hot.height is None:
            raise CannotPay("the hot wallet's blocks are still being read")
        coins = await self._spendable()
        to = codec.script_of(self.network.key, self._world, payment.destination)
        try:
            plan = plan_payment(
                coins,
                to,
                payment.units,
                self._script,
                await self._fee_rate(),
                FeeCaps(units_max=fee_units_max, bps_max=money.BPS),
                hot_coin_count=self._setup.hot_coin_count,
                coin_count_now=len(coins),
                split_units_min=self._setup.split_units_min,
            )
        except NoPlan as wrong:
            raise CannotPay(str(wrong)) from None
        raw = bitcoin_tx.sign(plan.inputs, plan.outputs, lambda _: self._key)
        return Prepared(
            raw=raw,
            txid=self._compare(raw, payment, plan, fee_units_max),
            fee_units=plan.fee_units,
            since_height=max(self._hot.height - REORG_BLOCKS_MAX, 0),
            inputs=tuple((coin.txid, coin.vout) for coin in plan.inputs),
        )

    async def broadcast(self, raw: bytes) -> Broadcast:
        """See Sender.broadcast. One node that takes it is enough."""
        return await hand_over(self._nodes, "sendrawtransaction", raw.hex(), _is_known)

    async def close(self) -> None:
        """See Sender.close."""
        for node in self._nodes:
            await node.close()

    def _deep(self, coin: words.Coin) -> bool:
        """Nobody can take it back: our own change in a block, anything else at final depth."""
        if self._hot.height is None:
            return False
        depth = self._hot.height - coin.height + 1
        return depth >= (1 if coin.ours else self.network.confirmations)

    async def _spendable(self) -> list[Coin]:
        found = []
        for coin in await self._wallet.coins(self.network.key):
            if not self._deep(coin):
                continue
            out = await self._unspent(coin)
            if out is None or (out.coinbase and out.confirmations < COINBASE_DEPTH):
                continue
            found.append(Coin(coin.txid, coin.vout, coin.units, self._script, HOT_INDEX))
        return found

    async def _unspent(self, coin: words.Coin) -> _TxOut | None:
        """The coin as the node has it; None while the chain moves. UnknownOutflow when spent."""
        params = [coin.txid, coin.vout, True]
        out = await self._nodes[0].maybe("gettxout", params, _TxOut)
        if out is None:
            if await self._hot.catch_up() or self._hot.height is None:
                return None  # a new tip: look again with the coins as they are then
            raise UnknownOutflow(
                f"{self.network.key}: coin {coin.txid}:{coin.vout} of the hot wallet was spent"
                " by a transaction that is not in the journal"
            )
        units = money.from_wire(out.value, self._decimals)
        if (out.script.hex, units) != (self._script.hex(), coin.units):
            raise NodeTrouble(f"{self.network.key}: coin {coin.txid}:{coin.vout} looks different")
        return out

    async def _fee_rate(self) -> int:
        """Satoshi per 1,000 virtual bytes: the node's estimate, within the site's bounds."""
        node, setup = self._nodes[0], self._setup
        estimate = await node.call("estimatesmartfee", [setup.fee_blocks], _Estimate)
        least = await node.call("getmempoolinfo", [], _Mempool)
        needed = max(setup.fee_rate_min_sat_kvb, money.from_wire(least.mempoolminfee, 8))
        if needed > setup.fee_rate_max_sat_kvb:
            raise CannotPay(f"nodes ask for {needed} sat/kvB, more than this site allows")
        wished = money.from_wire(estimate.feerate, 8) if estimate.feerate else needed
        return min(max(wished, needed), setup.fee_rate_max_sat_kvb)

    def _compare(self, raw: bytes, payment: Payment, plan: Plan, fee_units_max: int) -> str:
        """Read the bytes back as a stranger would; the txid. AssertionError on any difference."""
        tx = bitcoin_tx.decode(raw)
        first, *rest = tx.outputs
        paid_to = codec.address_of_script(self.network.key, self._world, first.script)
        assert (paid_to, first.units) == (payment.destination, payment.units)
        assert all(output.script == self._script for output in rest)
        held = {(coin.txid, coin.vout): coin.units for coin in plan.inputs}
        assert {(each.txid, each.vout) for each in tx.inputs} == held.keys()
        fee = sum(held.values()) - sum(output.units for output in tx.outputs)
        assert fee == plan.fee_units
        assert 0 < fee <= fee_units_max
        return bitcoin_tx.txid(tx)


def _is_known(refused: NodeRefused) -> bool:
    return refused.code == IN_CHAIN or any(word in refused.message for word in KNOWN)
