"""The time budget: what each stage of a call costs in one process, in microseconds of CPU."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks.rounds import ASK
from benchmarks.site import Bench
from swapdesk.engine.admit import admit, find_holder
from swapdesk.engine.ask_price import ask_price, moment
from swapdesk.engine.find_order import find_order
from swapdesk.engine.open_order import OrderAsk, open_order
from swapdesk.partners.partner import Caller
from swapdesk.partners.secrets import SigningKey
from swapdesk.pricing import Ask
from swapdesk.web import signed_v1_words as words
from swapdesk.web.doors import read_claims
from swapdesk.chains.codec import check_address
from swapdesk.webhooks.events import order_dto

TOGETHER = 64  #: calls that share a batch
REPEATS = 12


def _each(work: Callable[[], Any], times: int = 500) -> float:
    """The least CPU time of one call: what other programs add is noise."""
    best = float("inf")
    for _ in range(REPEATS):
        before = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - before)
    return best * 1e6 / times


async def _batched(work: Callable[[], Any]) -> float:
    """The same of a call that shares its batch with TOGETHER - 1 others."""
    best = float("inf")
    for _ in range(REPEATS):
        before = time.process_time()
        await asyncio.gather(*(work() for _ in range(TOGETHER)))
        best = min(best, time.process_time() - before)
    return best * 1e6 / TOGETHER


async def budget(bench: Bench) -> dict[str, float]:
    """Stage -> microseconds."""
    desk, registry = bench.desk, bench.desk.registry
    btc, usdt = registry.assets["btc"], registry.assets["usdt_trc20"]
    body = json.dumps(ASK).encode()
    key = SigningKey(bench.partner.api_secret.encode())
    holder = await find_holder(desk, bench.partner.api_key)
    assert holder is not None
    headers = {b"x-api-key": bench.partner.api_key.encode(), b"x-api-sign": b"0" * 64,
               b"x-api-nonce": b"n" * 24}  # fmt: skip
    now = await moment(desk)
    ask = Ask(btc, usdt, "from", 1_000_000, 50)
    order_ask = OrderAsk(
        holder.partner_id, btc, usdt, "from", 1_000_000, 50, ASK["toAddress"],
        ASK["refundAddress"], None, bytes(32),
    )  # fmt: skip
    numbers = iter(range(10**9))

    def caller() -> Caller:
        return Caller(holder, f"stage-{desk.world.now()}-{next(numbers):09}", 1)

    opened = await open_order(desk, order_ask)
    order, token = opened.view.order, opened.token
    assert token is not None
    priced = ask_price(desk, now, ask)
    await desk.pay_in.fill(desk.db)
    return {
        "read the headers": _each(lambda: read_claims(headers, required=True)),
        "check the signature (HMAC, states kept)": _each(lambda: key.sign(body)),
        "read the body of /create": _each(lambda: words.decode(body, words.CreateAsk)),
        "price": _each(lambda: ask_price(desk, now, ask)),
        "put a price into words": _each(lambda: words.success(words.price(registry, priced))),
        "check a Bitcoin and a Tron address": _each(lambda: _check(registry.world)),
        "derive a deposit address (ahead)": _each(lambda: desk.pay_in.address("bitcoin", 7), 100),
        "put an order into words": _each(lambda: words.success(order_dto(opened.view, registry))),
        f"let in, {TOGETHER} together": await _batched(lambda: admit(desk, caller())),
        f"find an order, {TOGETHER} together": await _batched(
            lambda: find_order(desk, order.partner_id, order.id, token, caller())
        ),
        f"open an order, {TOGETHER} together": await _batched(
            lambda: open_order(desk, _with(order_ask, caller()))
        ),
    }


def _check(world: str) -> None:
    check_address("bitcoin", world, ASK["refundAddress"])
    check_address("tron", world, ASK["toAddress"])


def _with(ask: OrderAsk, caller: Caller) -> OrderAsk:
    return OrderAsk(
        ask.partner_id, ask.src, ask.dst, ask.direction, ask.units, ask.markup_bps,
        ask.destination, ask.refund_address, None, ask.body_hash, caller,
    )  # fmt: skip
