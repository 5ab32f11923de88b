"""Three swaps as a partner and a customer see them, told step by step while they run together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from swapdesk.demo.customer import Customer
from swapdesk.demo.partner import Partner
from swapdesk.demo.programs import Failed
from swapdesk.money import parse
from swapdesk.world import World

#: How often the partner asks for an order, and how long a swap may take.
ASK_SECONDS: Final = 0.25
SWAP_SECONDS_MAX: Final = 90
#: A person needs longer to copy an address. Whoever pays before the vault has written down where
#: the order pays to is "bound late", and the vault pays such orders by itself only up to a cap.
COPY_SECONDS: Final = 2.5


class Swap(msgspec.Struct, frozen=True):
    """One swap of the demo. `pays` is what the customer really sends, in whole coins."""

    name: str
    from_ccy: str
    to_ccy: str
    amount: str
    pays: str
    ends: str  #: state it must end in: DONE or REFUNDED


SWAPS: Final = (
    Swap("A", "btc", "usdt_eth", amount="0.01", pays="0.01", ends="DONE"),
    Swap("B", "eth", "btc", amount="0.5", pays="0.5", ends="DONE"),
    Swap("C", "btc", "usdt_eth", amount="0.01", pays="0.00015", ends="REFUNDED"),
    Swap("D", "btc", "usdt_trc20", amount="0.01", pays="0.01", ends="DONE"),
)


class Outcome(msgspec.Struct):
    """What became of a swap. Times in milliseconds; transaction ids as the chain spells them."""

    swap: Swap
    order_id: str = ""
    address: str = ""
    deposit_txid: str = ""
    paid_txid: str = ""  #: of the payout, or of the refund
    state: str = ""
    waited_ms: int | None = None  #: from the block that made the deposit final to the broadcast


class Told:
    """What the order of the last answer said; waits for the next thing to happen."""

    def __init__(self, partner: Partner, order_id: str, token: str) -> None:
        self._partner = partner
        self._ask = {"id": order_id, "token": token}

    async def until(self, wanted: Callable[[Mapping[str, Any]], bool], what: str) -> dict[str, Any]:
        """The order once `wanted` holds of it. Failed after SWAP_SECONDS_MAX, saying `what`."""
        order: dict[str, Any] = {}
        try:
            async with asyncio.timeout(SWAP_SECONDS_MAX):
                while True:
                    order = await self._partner.call("order", self._ask)
                    if wanted(order):
                        return order
                    await asyncio.sleep(ASK_SECONDS)
        except TimeoutError:
            raise Failed(
                f"order {self._ask['id']} is still {order.get('status')} after"
                f" {SWAP_SECONDS_MAX} s: {what}"
            ) from None


class Story:
    """Runs swaps. `say(name, text)` prints a step; `command` runs the operator's CLI."""

    def __init__(
        self,
        partner: Partner,
        customer: Customer,
        world: World,
        say: Callable[[str, str], None],
        command: Callable[..., Awaitable[str]],
    ) -> None:
        self._partner = partner
        self._customer = customer
        self._world = world
        self._say = say
        self._command = command

    async def run(self, swap: Swap, outcome: Outcome) -> None:
        """One swap from the signed call to its last status on the wire. Failed says what is off."""
        told = await self._open(swap, outcome)
        await asyncio.sleep(COPY_SECONDS)
        asset = self._customer.registry.assets[swap.from_ccy]
        units = parse(swap.pays, asset.decimals)
        outcome.deposit_txid = await self._customer.pay(asset, outcome.address, units)
        instead = "" if swap.pays == swap.amount else f" instead of {swap.amount}"
        self._say(
            swap.name,
            f"customer sends {swap.pays} {swap.from_ccy}{instead}: {outcome.deposit_txid}",
        )
        if swap.ends == "DONE":
            order = await told.until(lambda o: bool(o["status"] == "DONE"), "no payout")
            outcome.paid_txid = order["to"]["tx"]["id"]
            paid = f"{order['to']['tx']['amount']} {swap.to_ccy}"
            self._say(swap.name, f"desk paid {paid}: {outcome.paid_txid}")
            return
        order = await told.until(lambda o: bool(o["status"] == "EMERGENCY"), "not held")
        why = " ".join(order["emergency"]["status"])
        self._say(swap.name, f"held ({why}): {order['from']['tx']['amount']} arrived")
        said = await self._command(
            "order", "resolve", outcome.order_id, "--refund", "--reason", "underpaid"
        )
        self._say(swap.name, f"operator: swapdesk order resolve … --refund: {said.strip()}")
        order = await told.until(lambda o: bool(o["back"]["tx"]["id"]), "no refund")
        outcome.paid_txid = order["back"]["tx"]["id"]
        self._say(swap.name, f"desk refunds to {order['back']['address']}: {outcome.paid_txid}")

    async def _open(self, swap: Swap, outcome: Outcome) -> Told:
        registry = self._customer.registry
        src, dst = registry.assets[swap.from_ccy], registry.assets[swap.to_ccy]
        ask = {
            "type": "float",
            "fromCcy": src.code,
            "toCcy": dst.code,
            "direction": "from",
            "amount": swap.amount,
            "toAddress": self._customer.address(dst.network),
            "refundAddress": self._customer.address(src.network),
        }
        order = await self._partner.call("create", ask, key=str(self._world.uuid()))
        outcome.order_id, outcome.address = order["id"], order["from"]["address"]
        self._say(
            swap.name,
            f"signed create: {swap.amount} {src.code} → {order['to']['amount']} {dst.code};"
            f" order {order['id']}, pay in at {outcome.address}",
        )
        return Told(self._partner, order["id"], order["token"])
