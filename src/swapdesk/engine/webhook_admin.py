"""Looking after webhooks: where they go, dead letters, redelivery, the test event.

Asked by the operator's commands, and by the cabinet, which names its partner so that nobody
reaches another's.
"""

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import rotation
from swapdesk.partners.partner import SECRET_BYTES
from swapdesk.partners.secrets import Place, Sealer
from swapdesk.webhooks import endpoint, outbox
from swapdesk.webhooks.endpoint import Endpoint
from swapdesk.webhooks.events import EVENTS
from swapdesk.webhooks.outbox import DeadLetter
from swapdesk.webhooks.targets import BadTarget, check_url
from swapdesk.world import Kind

#: Dead letters in one answer.
DEAD_MAX: Final = 1_000


class Sent(msgspec.Struct, frozen=True):
    """A test event that was told."""

    id: uuid.UUID
    queued: bool  #: False: there is no URL, so it is in the event log only


async def webhook_of(desk: Desk, partner: str) -> Endpoint:
    """Where the events of a partner, given by name or id, go. Refused NOT_FOUND."""
    async with desk.db.transaction() as tx:
        return await _known(tx, partner)


async def set_webhook(
    desk: Desk,
    partner: str,
    *,
    url: str | msgspec.UnsetType | None = msgspec.UNSET,
    events: Sequence[str] | None = None,
) -> Endpoint:
    """Change where a partner's events go, and which; what is left out stays as it is.

    Without a URL (None) nothing is delivered, and the event log goes on. Refused: NOT_FOUND;
    INVALID for an unknown event, or a URL that is not public https (dev world: or loopback).
    """
    if isinstance(url, str):
        try:
            check_url(url, allow_loopback=desk.registry.world == Kind.DEV)
        except BadTarget as wrong:
            raise Refused(No.INVALID, str(wrong)) from wrong
    if unknown := sorted(set(events or ()) - set(EVENTS)):
        there_are = ", ".join(EVENTS)
        raise Refused(No.INVALID, f"no such event: {', '.join(unknown)}; there are {there_are}")
    async with desk.db.transaction() as tx:
        known = await _known(tx, partner)
        kept = replace(
            known,
            url=known.url if url is msgspec.UNSET else url,
            events=known.events if events is None else tuple(e for e in EVENTS if e in events),
        )
        await endpoint.keep(tx, kept)
    return kept


async def renew_secret(desk: Desk, sealer: Sealer, partner: str) -> str:
    """A fresh webhook secret, in clear this once. Everything not yet sent is signed with it.

    Refused: NOT_FOUND; CONFLICT when somebody else rotated at the same moment.
    """
    secret = desk.world.token(SECRET_BYTES)
    async with desk.db.transaction() as tx:
        known = await _known(tx, partner)
        place = Place("partner", str(known.partner_id), "webhook_secret_sealed")
        sealed = sealer.seal(desk.world, place, secret)
        version = known.secret_version
        if not await rotation.rotate_webhook_secret(tx, known.partner_id, version, sealed):
            raise Refused(No.CONFLICT, "somebody else rotated first")
    return secret


async def send_test(desk: Desk, partner: str) -> Sent:
    """Tell a partner webhook.test, through the same pipe as everything else. Refused NOT_FOUND."""
    async with desk.db.transaction() as tx:
        known = await _known(tx, partner)
        return Sent(*await outbox.tell_test(tx, desk.world, known.partner_id))


async def dead_letters(
    desk: Desk, *, partner_id: uuid.UUID | None = None, at_most: int = DEAD_MAX
) -> list[DeadLetter]:
    """Events that no attempt delivered, of one partner or of all, newest first."""
    async with desk.db.transaction() as tx:
        return await outbox.dead(tx, partner_id, min(at_most, DEAD_MAX))


async def redeliver(
    desk: Desk, event_id: uuid.UUID, *, partner_id: uuid.UUID | None = None
) -> None:
    """Deliver an event once more, dead or not, with the same id and bytes, by the whole ladder.

    Refused NOT_FOUND: unknown, not this partner's, removed with its order, under way right now,
    or the partner has no URL.
    """
    async with desk.db.transaction() as tx:
        if not await outbox.redeliver(tx, event_id, partner_id, desk.world.now()):
            raise Refused(
                No.NOT_FOUND, "no such event is kept, it is under way, or there is no webhook URL"
            )


async def _known(tx: Tx, partner: str) -> Endpoint:
    known = await endpoint.of(tx, partner)
    if known is None:
        raise Refused(No.NOT_FOUND, f"there is no partner {partner!r}")
    return known
