"""What the vault reports about an intent. "Unknown" is never reported; only the chain ends one."""

import uuid
from collections.abc import Sequence
from functools import partial

import structlog

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.engine.follow import moved
from swapdesk.handoff import PayoutReport
from swapdesk.ledger import entries
from swapdesk.ledger import store as ledger
from swapdesk.orders import intents
from swapdesk.orders import store as orders
from swapdesk.orders.intents import Intent
from swapdesk.orders.order import Order
from swapdesk.orders.states import Cause
from swapdesk.orders.store import Move
from swapdesk.partners import earnings

log = structlog.get_logger()


async def note_reports(desk: Desk, reports: Sequence[PayoutReport]) -> list[PayoutReport]:
    """Carry out each report in a transaction of its own; those accepted, repeats included.

    A report that contradicts what is recorded is not accepted and raises an alarm: the vault will
    repeat it and the operator has to look.
    """
    accepted = []
    for report in reports:
        if await desk.db.retrying(partial(_note, desk, report)):
            accepted.append(report)
        else:
            log.error("report contradicts the desk", order=report.order_id,
                      attempt=report.attempt, outcome=report.outcome)  # fmt: skip
    return accepted


async def _note(desk: Desk, report: PayoutReport, tx: Tx) -> bool:
    order = await orders.lock(tx, uuid.UUID(report.order_id))
    intent = await intents.lock(tx, order.id, report.attempt) if order else None
    if order is None or intent is None or not _agrees(intent, report):
        return False
    if intent.ended_ms is not None:
        return True  # an old message: everything it can say has happened
    if report.outcome == "sent":
        return await _sent(desk, tx, order, intent, report)
    if report.outcome == "final":
        return await _final(desk, tx, order, intent, report)
    return await _void(desk, tx, order, intent, report)


def _agrees(intent: Intent, report: PayoutReport) -> bool:
    """A report may add to what is known, never change it."""
    if report.outcome == "refused":
        return intent.sent_ms is None and (intent.outcome in (None, "refused"))
    if report.txid is None:
        return False
    if report.outcome == "sent":
        return intent.outcome != "refused"
    return intent.outcome in (None, report.outcome)


async def _sent(desk: Desk, tx: Tx, order: Order, intent: Intent, report: PayoutReport) -> bool:
    assert report.txid is not None
    if intent.sent_ms is not None:
        return True
    now = desk.world.now()
    await intents.sent(tx, intent, report.txid, now)
    if intent.kind == "payout":
        await moved(desk, tx, order, Cause.PAYOUT_SENT, Move(paid_ms=now))
    return True


async def _final(desk: Desk, tx: Tx, order: Order, intent: Intent, report: PayoutReport) -> bool:
    now = desk.world.now()
    await intents.ended(tx, intent, "final", now, txid=report.txid, fee=report.fee_units, why=None)
    network = desk.registry.network_of(intent.asset)
    for entry in (
        entries.paid(order.id, intent.attempt, network.key, intent.asset, intent.units),
        entries.network_fee(
            order.id, intent.attempt, network.key, network.native, report.fee_units
        ),
    ):
        await ledger.post(tx, desk.world, entry)
    if intent.kind == "refund":
        kept = intent.covers_units - intent.units
        fee = entries.refund_fee(order.id, intent.attempt, intent.asset, kept)
        await ledger.post(tx, desk.world, fee)
        await moved(desk, tx, order, Cause.REFUND_FINAL, Move())
    else:
        await earnings.payable(tx, order.id, now)
        await moved(desk, tx, order, Cause.PAYOUT_FINAL, Move(paid_ms=now))
    return True


async def _void(desk: Desk, tx: Tx, order: Order, intent: Intent, report: PayoutReport) -> bool:
    """Refused before signing, or at depth never to happen: what was promised on is owed again."""
    await intents.ended(
        tx, intent, report.outcome, desk.world.now(), txid=report.txid, fee=report.fee_units,
        why=(report.reason or "no reason given") if report.outcome == "refused" else None,
    )  # fmt: skip
    network = desk.registry.network_of(intent.asset)
    fee = entries.network_fee(
        order.id, intent.attempt, network.key, network.native, report.fee_units
    )
    await ledger.post(tx, desk.world, fee)
    note = report.reason or report.outcome
    if intent.kind == "refund":
        await moved(desk, tx, order, Cause.REFUND_REFUSED, Move(note=note))
        return True
    made = await ledger.last_exchange(tx, order.id)
    assert made is not None, "a payout was promised, so an exchange was posted"
    rev = int(made.key.rpartition("/")[2])
    await ledger.post(tx, desk.world, entries.reversed_exchange(order.id, rev, made))
    await earnings.unbook(tx, order.id)
    refused = report.outcome == "refused"
    cause = Cause.PAYOUT_REFUSED if refused else Cause.PAYOUT_VOID
    await moved(
        desk, tx, order, cause,
        Move(hold_reasons=("REFUSED" if refused else "VOID",), choice="NONE", note=note),
    )  # fmt: skip
    return True
