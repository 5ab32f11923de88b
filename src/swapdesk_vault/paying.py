"""One payment, one step at a time: verify and decide, sign and keep, broadcast, follow to its end."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from swapdesk.assets import Asset, Registry
from swapdesk.chains.reader import BlockRef, Inclusion, NodeTrouble, Reader
from swapdesk.handoff import OrderDeposits
from swapdesk.rates.book import Book, Price
from swapdesk.world import World
from swapdesk_vault.journal import Journal
from swapdesk_vault.keys import Keyring
from swapdesk_vault.pace import Pace
from swapdesk_vault.payment import Bound, CannotPay, Payment, Signed, Worth
from swapdesk_vault.policy import (
    STALE,
    Case,
    Decision,
    Evidence,
    Hold,
    Limits,
    Pay,
    Refuse,
    decide,
    fee_units_max,
)
from swapdesk_vault.prices import OwnRates
from swapdesk_vault.senders.sender import Sender
from swapdesk_vault.verify import deposit_address, forbidden, look

log = structlog.get_logger("vault")

#: The wait after trouble doubles at most this often.
DOUBLINGS_MAX: Final = 10


class Paying:
    """See the module. Everything it needs is handed in; all that matters is in the journal."""

    def __init__(
        self,
        world: World,
        journal: Journal,
        readers: Mapping[str, Reader],
        senders: Mapping[str, Sender],
        keyring: Keyring,
        limits: Limits,
        rates: OwnRates,
        registry: Registry,
        pace: Pace,
    ) -> None:
        self._world, self._journal = world, journal
        self._readers, self._senders = readers, senders
        self._keyring, self._registry = keyring, registry
        self._limits, self._rates, self._pace = limits, rates, pace
        self._tips: dict[str, BlockRef] = {}  # of this round
        self._followed: dict[tuple[uuid.UUID, int], str] = {}  # tip at which it was looked for

    def new_round(self, live: Sequence[Payment]) -> None:
        """Forget what is only true for one round, and payments that are over."""
        self._tips.clear()
        keys = {(payment.order_id, payment.attempt) for payment in live}
        self._followed = {key: tip for key, tip in self._followed.items() if key in keys}

    def doubtful(self, live: Sequence[Payment]) -> list[str]:
        """Orders whose deposit could not be verified and is looked at again now."""
        now = self._world.now()
        return [
            str(payment.order_id)
            for payment in live
            if payment.doubt_ms and not payment.signed_ms and payment.next_ms <= now
        ]

    async def hint(self, row: OrderDeposits) -> None:
        """Where the desk says the deposits of an order lie now."""
        await self._journal.hint(uuid.UUID(row.order_id), row.deposits)

    async def advance(self, payment: Payment, trusted: frozenset[str], *, stopped: bool) -> None:
        """Whatever can be done for it now, on networks whose node is on the right chain."""
        if payment.signed_ms is not None:
            if payment.network in trusted:
                await self._follow(payment)
        elif not stopped and payment.next_ms <= self._world.now():
            await self._decide(payment, trusted)

    # Unsigned.

    async def _decide(self, payment: Payment, trusted: frozenset[str]) -> None:
        bound = await self._journal.bound(payment.order_id)
        asset = self._registry.assets.get(payment.asset)
        if bound is not None and asset is not None:
            if not {payment.network, bound.binding.network} <= trusted:
                return
            case = await self._case(payment, bound, asset)
        else:
            case = await self._bare_case(payment, bound)
        decision = decide(case, self._limits)
        if isinstance(decision, Pay) or decision.reason != payment.trouble:
            word = type(decision).__name__
            log.info("decided", **_names(payment), decision=word, **_why(decision))
        match decision:
            case Pay(worth):
                await self._sign(payment, worth)
            case Hold(reason, doubt):
                await self._journal.trouble(payment, reason, self._wait_ms(payment), doubt=doubt)
            case Refuse(reason):
                await self._journal.refuse(payment, reason)

    async def _bare_case(self, payment: Payment, bound: Bound | None) -> Case:
        """An order that was never bound, or an asset nobody knows: there is nothing to look at."""
        return Case(
            now_ms=self._world.now(),
            payment=payment,
            binding=bound.binding if bound else None,
            bound_ms=bound.stored_ms if bound else 0,
            forbidden=None,
            evidence=Evidence(),
            answered_units=0,
            answered_kinds=frozenset(),
            spending=await self._journal.spending(payment.asset),
            paid=None,
            received=None,
        )

    async def _case(self, payment: Payment, bound: Bound, asset: Asset) -> Case:
        binding = bound.binding
        address = deposit_address(binding, self._registry, self._keyring)
        hints = await self._journal.hints(payment.order_id)
        evidence = await look(self._readers[binding.network], binding, address, hints)
        answered_units, answered_kinds = await self._journal.answered(payment)
        book = await self._rates.book(self._world.now())
        return Case(
            now_ms=self._world.now(),
            payment=payment,
            binding=binding,
            bound_ms=bound.stored_ms,
            forbidden=await self._forbidden(payment),
            evidence=evidence,
            answered_units=answered_units,
            answered_kinds=answered_kinds,
            spending=await self._journal.spending(payment.asset),
            paid=_price(book, asset),
            received=_price(book, self._registry.assets[binding.from_asset]),
        )

    async def _forbidden(self, payment: Payment) -> str | None:
        """Why nobody may be paid at this destination: nobody's, a token's, or our own."""
        wrong = forbidden(payment.network, payment.destination, self._registry)
        if wrong is not None:
            return wrong
        if payment.destination in {sender.address for sender in self._senders.values()}:
            return "our own hot wallet"
        family = self._registry.networks[payment.network].family
        if await self._journal.owns(family, payment.destination):
            return "one of our deposit addresses"
        return None

    async def _sign(self, payment: Payment, worth: Worth) -> None:
        """Prepare, keep, broadcast: in this order, so that no bytes leave that are not kept."""
        book = await self._rates.book(self._world.now())
        native = self._registry.assets[self._registry.networks[payment.network].native]
        fee_max = fee_units_max(worth, _price(book, native), self._limits)
        if fee_max is None:
            await self._journal.trouble(payment, STALE, self._wait_ms(payment))
            return
        try:
            prepared = await self._senders[payment.network].prepare(payment, fee_max)
        except CannotPay as reason:
            log.warning("cannot_pay", **_names(payment), reason=str(reason))
            wait_ms = self._wait_ms(payment)
            await self._journal.trouble(payment, str(reason), wait_ms, alarm=True)
            return
        await self._journal.keep(payment, prepared, worth)
        log.info("signed", **_names(payment), txid=prepared.txid, fee_units=prepared.fee_units)
        await self._broadcast(payment, (await self._journal.variants(payment))[-1])

    # Signed.

    async def _broadcast(self, payment: Payment, signed: Signed) -> None:
        """The same bytes as ever. Whatever the node says, the payment stays live."""
        answer = await self._senders[payment.network].broadcast(signed.raw)
        if answer.outcome == "accepted":
            await self._journal.sent(payment, signed, self._pace.rebroadcast_ms)
            return
        trouble = f"broadcast {answer.outcome}: {answer.detail}"
        log.warning("alarm", **_names(payment), txid=signed.txid, trouble=trouble)
        await self._journal.trouble(payment, trouble, self._wait_ms(payment), alarm=True)

    async def _follow(self, payment: Payment) -> None:
        """Where its bytes are now: in a block, at final depth, or to be broadcast once more."""
        tip = await self._tip(payment.network)
        key = (payment.order_id, payment.attempt)
        due = payment.next_ms <= self._world.now()
        if not due and self._followed.get(key) == tip.hash:
            return
        variants = await self._journal.variants(payment)
        try:
            included = await self._look_for(payment, variants)
        except NodeTrouble:
            if due:  # perhaps it can still take bytes
                await self._broadcast(payment, variants[-1])
            raise
        if due and not included:
            await self._broadcast(payment, variants[-1])
        self._followed[key] = tip.hash

    async def _look_for(self, payment: Payment, variants: Sequence[Signed]) -> bool:
        """Whether one of its variants is in a block; what that means is journalled."""
        for signed in variants:
            found = await self._readers[payment.network].locate(signed.txid, signed.since_height)
            if found is not None:
                await self._included(payment, variants, signed, found)
                return True
        return False

    async def _included(
        self, payment: Payment, variants: Sequence[Signed], signed: Signed, found: Inclusion
    ) -> None:
        """One of its variants is in a block; at final depth that decides."""
        paid = next(each for each in variants if each.purpose == "pay")
        if payment.sent_ms is None or payment.trouble:
            await self._journal.sent(payment, paid, self._pace.rebroadcast_ms)
        if found.depth < self._readers[payment.network].network.confirmations:
            return
        fee = signed.fee_units if found.fee_units is None else found.fee_units
        log.info("final", **_names(payment), txid=signed.txid, ok=found.ok, fee_units=fee)
        if signed.purpose == "cancel":
            detail = f"its coins or nonce went to our own {signed.txid}"
            await self._journal.end(payment, "conflicted", paid.txid, fee, detail)
        else:
            await self._journal.end(payment, "final" if found.ok else "reverted", signed.txid, fee)

    async def _tip(self, network: str) -> BlockRef:
        if network not in self._tips:
            self._tips[network] = await self._readers[network].tip()
        return self._tips[network]

    def _wait_ms(self, payment: Payment) -> int:
        doubled = self._pace.retry_ms << min(payment.tries, DOUBLINGS_MAX)
        return min(doubled, self._pace.retry_ms_max)


def _price(book: Book, asset: Asset) -> tuple[Price, int] | None:
    price = book.prices.get(asset.coin)
    return (price, asset.decimals) if price else None


def _names(payment: Payment) -> dict[str, object]:
    return {"order_id": str(payment.order_id), "attempt": payment.attempt, "asset": payment.asset}


def _why(decision: Decision) -> dict[str, str]:
    return {} if isinstance(decision, Pay) else {"reason": decision.reason}
