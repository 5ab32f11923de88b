"""A simulated chain: accounts, signed transactions, a mempool, blocks that can be undone.

It stands for a network of which there is no node here, with that network's own addresses, in the
dev world only, and says so in its identity. It is a server of its own with a file of its own; desk
and vault reach it through SimulatedReader and the vault's sender. Rules are those of an EVM: one
next nonce per sender, a waiting transaction is replaced by the same nonce with a higher fee.

    python -m swapdesk.chains.simchain --network tron --file tron.sqlite --port 0 --block-ms 3000
"""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_type_hints

import msgspec

from swapdesk import money
from swapdesk.assets import Network, Registry
from swapdesk.chains import codec, simtx
from swapdesk.chains.reader import Block, BlockRef, Identity, Inclusion, Placed, Transfer
from swapdesk.chains.simfile import Row, SimFile
from swapdesk.world import World

#: Least fee of a transaction, in units of the native coin.
FEE_UNITS_MIN: Final = 1_000
#: How far ahead of its sender's next nonce a transaction may wait for the ones between.
NONCE_AHEAD_MAX: Final = 64
MEMPOOL_TXS_MAX: Final = 10_000
BLOCK_TXS_MAX: Final = 1_000
#: Blocks that one call mines at most.
MINE_BLOCKS_MAX: Final = 1_000
#: Answers to calls that break a rule, in the numbers of JSON-RPC and of EVM nodes.
NO_METHOD, BAD_PARAMS, REFUSED = -32601, -32602, -32000
NO_PARENT: Final = "00" * 32


class SimRefused(Exception):
    """The chain does not take it; code and message as an EVM node would answer."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class SimChain:
    """The chain. `call` is its whole surface; every call is one transaction of its file."""

    def __init__(self, network: Network, registry: Registry, world: World, path: str) -> None:
        """Opens or starts the chain in `path` (":memory:" keeps none). ValueError: not simulated."""
        if not network.simulated or network.chain is None:
            raise ValueError(f"network {network.key!r} is not simulated at this site")
        self.network = network
        self._chain = network.chain
        self._assets = {asset.code for asset in registry.on(network.key)}
        self._world = world
        self._file = SimFile(path)
        verbs = {name: getattr(self, name) for name in dir(self) if name.startswith("sim_")}
        self._verbs = {name: (verb, _params(verb)) for name, verb in verbs.items()}
        with self._file.transaction():
            if self._file.tip() is None:
                self._append([], world.now())

    def call(self, method: str, params: Sequence[object]) -> Any:
        """The answer of a `sim_` method, made of plain values and Reader structs. SimRefused."""
        if method not in self._verbs:
            raise SimRefused("no such method", NO_METHOD)
        verb, shape = self._verbs[method]
        try:
            given = msgspec.convert(list(params), shape)
        except msgspec.ValidationError as wrong:
            raise SimRefused(str(wrong), BAD_PARAMS) from None
        with self._file.transaction():
            return verb(*msgspec.structs.astuple(given))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # What a reader asks.

    def sim_identity(self) -> Identity:
        """Which chain this is."""
        return Identity(chain=self._chain, subversion="/Swapdesk-Simulated:1/")

    def sim_tip(self) -> BlockRef:
        """The newest block."""
        tip = self._file.tip()
        assert tip is not None
        return tip

    def sim_ref(self, height: int) -> BlockRef | None:
        """The block at a height."""
        return self._file.ref("height", height)

    def sim_block(self, block_hash: str) -> Block | None:
        """The block with this hash, if it is in the chain."""
        ref = self._file.ref("hash", block_hash)
        if ref is None:
            return None
        rows = self._file.rows("WHERE height = ? AND ok ORDER BY place", ref.height)
        return Block(ref, tuple(map(self._transfer, rows)))

    def sim_mempool(self) -> list[Transfer]:
        """What waits to be mined."""
        return [self._transfer(row) for row in self._file.rows("WHERE height IS NULL ORDER BY seq")]

    def sim_find(self, txid: str, position: str, block_hash: str) -> Placed | None:
        """See Reader.find."""
        for row in self._file.rows("WHERE txid = ? AND ok", txid):
            transfer, ref = self._transfer(row), self._file.ref("height", row.height)
            if ref is not None and (transfer.position, ref.hash) == (position, block_hash):
                return Placed(transfer, ref, self._depth(ref))
        return None

    def sim_locate(self, txid: str, since_height: int) -> Inclusion | None:
        """See Reader.locate."""
        for row in self._file.rows("WHERE txid = ? AND height >= ?", txid, since_height):
            ref = self._file.ref("height", row.height)
            assert ref is not None
            return Inclusion(ref, self._depth(ref), ok=bool(row.ok), fee_units=row.fee_units)
        return None

    # What a sender asks.

    def sim_nonce(self, address: str, pending: bool = False) -> int:  # noqa: FBT001, FBT002 JSON array
        """The next nonce of an address; `pending` counts what waits without a gap, too."""
        nonce = self._file.next_nonce(address)
        while pending and self._file.rows("WHERE sender = ? AND nonce = ?", address, nonce):
            nonce += 1
        return nonce

    def sim_balance(self, address: str, asset: str) -> int:
        """Units of an asset at an address, as of the newest block."""
        return self._file.balance(address, asset)

    def sim_fee(self) -> int:
        """What a transaction costs at least, in native units."""
        return FEE_UNITS_MIN

    def sim_send(self, raw_hex: str) -> str:
        """Take a signed transaction into the mempool; its txid. "already known" is a refusal."""
        try:
            raw = bytes.fromhex(raw_hex)
            tx = simtx.parse(self.network.key, raw)
        except ValueError as wrong:
            raise SimRefused(f"invalid transaction: {wrong}") from None
        txid = simtx.txid_of(raw)
        if self._file.rows("WHERE txid = ?", txid):
            raise SimRefused("already known")
        if tx.chain != self._chain or tx.asset not in self._assets:
            raise SimRefused("transaction of another chain")
        next_nonce = self._file.next_nonce(tx.sender)
        if tx.nonce < next_nonce:
            raise SimRefused("nonce too low")
        if tx.nonce > next_nonce + NONCE_AHEAD_MAX:
            raise SimRefused("nonce too high")
        if tx.fee_units < FEE_UNITS_MIN:
            raise SimRefused("transaction underpriced")
        rivals = self._file.rows("WHERE sender = ? AND nonce = ?", tx.sender, tx.nonce)
        if any(tx.fee_units <= rival.fee_units for rival in rivals):
            raise SimRefused("replacement transaction underpriced")
        self._require_funds(tx)
        return self._admit(raw, tx.sender, tx.nonce, tx.to, tx.asset, tx.units, tx.fee_units)

    # What a developer does to the chain.

    def sim_faucet(self, address: str, asset: str, units: int) -> str:
        """New coins from nowhere, waiting to be mined like every transaction; the txid."""
        try:
            to = codec.check_address(self.network.key, "dev", address)
        except codec.BadAddress as wrong:
            raise SimRefused(f"address: {wrong}") from None
        if asset not in self._assets or not 0 < units < money.UNITS_END:
            raise SimRefused("no such asset or amount")
        number = self._file.count("faucet")
        raw = msgspec.json.encode([self._chain, "faucet", number, to, asset, units])
        return self._admit(raw, None, number, to, asset, units, 0)

    def sim_mine(self, count: int = 1, at_ms: int | None = None) -> BlockRef:
        """Mine `count` blocks at `at_ms` (default now), the first with what waits; the newest."""
        if not 1 <= count <= MINE_BLOCKS_MAX:
            raise SimRefused(f"between 1 and {MINE_BLOCKS_MAX} blocks at a time")
        at = self._world.now() if at_ms is None else at_ms
        order = "WHERE height IS NULL ORDER BY sender IS NOT NULL, nonce, seq LIMIT ?"
        for _ in range(count):
            self._append(self._file.rows(order, BLOCK_TXS_MAX), at)
        return self.sim_tip()

    def sim_reorg(self, depth: int, keep: Literal["mempool", "drop"] = "mempool") -> BlockRef:
        """Undo the newest `depth` blocks; their transactions wait again or are gone. The new tip."""
        tip = self.sim_tip()
        if not 1 <= depth <= tip.height:
            raise SimRefused("the chain is not so long")
        self._file.count("forks")
        first = tip.height - depth + 1
        for row in self._file.rows("WHERE height >= ? ORDER BY height DESC, place DESC", first):
            self._apply(row, ok=bool(row.ok), sign=-1)
        self._file.cut(first, keep=keep == "mempool")
        return self.sim_tip()

    def sim_evict(self, txid: str) -> bool:
        """Throw a waiting transaction out of the mempool; False when it does not wait there."""
        return self._file.evict(txid)

    def sim_freeze(self, address: str, asset: str, frozen: bool = True) -> None:  # noqa: FBT001, FBT002 JSON array
        """Transfers of this token from or to the address are included but fail, as issuers can."""
        if asset not in self._assets - {self.network.native}:
            raise SimRefused("only tokens can be frozen")
        self._file.freeze(address, asset, frozen=frozen)

    # How it works.

    def _append(self, waiting: Sequence[Row], at_ms: int) -> None:
        """One block with those of `waiting` that can be executed, in this order."""
        parent = self._file.tip()
        height = parent.height + 1 if parent else 0
        time_ms = max(at_ms, parent.time_ms) if parent else at_ms
        mined: list[str] = []
        for row in waiting:
            ok = self._execute(row)
            if ok is not None:
                self._file.mined(row.txid, height, len(mined), ok=ok)
                mined.append(row.txid)
        parent_hash = parent.hash if parent else NO_PARENT
        # The count of reorganisations makes a block that is mined again another block.
        content = [self._chain, parent_hash, height, time_ms, self._file.counted("forks"), mined]
        block_hash = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
        self._file.add_block(BlockRef(height, block_hash, parent_hash, time_ms))

    def _execute(self, row: Row) -> bool | None:
        """Move the money. False: failed, only the fee is gone. None: cannot be in a block yet."""
        ok = True
        if row.sender is not None:
            native = row.asset == self.network.native
            due = row.fee_units + (row.units if native else 0)
            funds = self._file.balance(row.sender, self.network.native)
            if row.nonce != self._file.next_nonce(row.sender) or funds < due:
                return None
            short = not native and self._file.balance(row.sender, row.asset) < row.units
            ok = not short and not any(
                self._file.frozen(address, row.asset) for address in (row.sender, row.to)
            )
        self._apply(row, ok=ok, sign=1)
        return ok

    def _apply(self, row: Row, *, ok: bool, sign: Literal[1, -1]) -> None:
        """Do (1) or undo (-1) what a transaction does to balances; credits first, then debits."""
        moves = [(row.sender, self.network.native, -row.fee_units)]
        if ok:
            moves += [(row.to, row.asset, row.units), (row.sender, row.asset, -row.units)]
        for address, asset, units in sorted(moves, key=lambda move: -sign * move[2]):
            if address is not None:
                self._file.move(address, asset, sign * units)

    def _require_funds(self, tx: simtx.SimTx) -> None:
        """The sender can pay for this and all else of it that waits, save what this replaces."""
        others = self._file.rows(
            "WHERE sender = ? AND height IS NULL AND nonce <> ?", tx.sender, tx.nonce
        )
        spent: list[simtx.SimTx | Row] = [tx, *others]
        for asset in {tx.asset, self.network.native}:
            due = sum(each.units for each in spent if each.asset == asset)
            if asset == self.network.native:
                due += sum(each.fee_units for each in spent)
            if self._file.balance(tx.sender, asset) < due:
                raise SimRefused("insufficient funds")

    def _admit(
        self, raw: bytes, sender: str | None, nonce: int, to: str, asset: str, units: int, fee: int
    ) -> str:
        if self._file.waiting() >= MEMPOOL_TXS_MAX:
            raise SimRefused("mempool is full")
        txid = simtx.txid_of(raw)
        self._file.add(Row(txid, sender, nonce, to, asset, units, fee, None, None), raw)
        return txid

    def _transfer(self, row: Row) -> Transfer:
        position = "value" if row.asset == self.network.native else "log:0"
        return Transfer(row.txid, position, row.asset, row.to, row.units)

    def _depth(self, ref: BlockRef) -> int:
        return self.sim_tip().height - ref.height + 1


def _params(verb: Callable[..., Any]) -> type[msgspec.Struct]:
    """The parameters of a method as a JSON array, types and defaults from its signature."""
    hints = get_type_hints(verb)
    fields: list[Any] = [
        (name, hints[name]) if p.default is p.empty else (name, hints[name], p.default)
        for name, p in inspect.signature(verb).parameters.items()
    ]
    return msgspec.defstruct(verb.__name__, fields, array_like=True, forbid_unknown_fields=True)


if __name__ == "__main__":
    from swapdesk.chains.simserver import main

    main()
