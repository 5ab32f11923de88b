"""Signed v1, the event log and the keys that sign webhooks: for partners who poll, and who verify.

Additive to the contract. Both are GETs without a body: X-API-SIGN signs zero bytes.
"""

import re
from typing import Final
from urllib.parse import parse_qs

import msgspec

from swapdesk.engine.desk import Desk
from swapdesk.engine.event_log import PAGE_MAX, read_events
from swapdesk.engine.webhook_keys import public_keys
from swapdesk.errors import No, Refused
from swapdesk.partners.partner import Caller
from swapdesk.partners.secrets import Sealer
from swapdesk.web import signed_v1_words as words
from swapdesk.web.call import Call
from swapdesk.webhooks.events import instant
from swapdesk.webhooks.log import Entry
from swapdesk.webhooks.signing import show_public_key

#: More parameters than this are nobody's question.
PARAMETERS_MAX: Final = 16
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


class EventDto(msgspec.Struct, frozen=True):
    """One event of the log."""

    seq: int
    id: str  #: X-Partner-Webhook-Id of its delivery
    body: msgspec.Raw | None  #: the very bytes of the webhook; null: its order was removed


class EventsDto(msgspec.Struct, frozen=True):
    """GET /api/v1/events."""

    events: list[EventDto]
    next: int  #: `after` of the next question
    more: bool  #: ask it at once
    oldest: int | None  #: smaller numbers are gone; null: the log is empty


class KeyDto(msgspec.Struct, frozen=True, rename="camel"):
    """A public key that signs this partner's webhooks."""

    id: str
    public_key: str  #: "whpk_" and base64 of 32 bytes (Ed25519)
    created_at: str
    retired_at: str | None  #: from then on it signs one day longer, beside its successor


class KeysDto(msgspec.Struct, frozen=True):
    """GET /api/v1/webhook-key."""

    keys: list[KeyDto]  #: newest first


class EventCalls:
    """The endpoints of this page on one desk."""

    def __init__(self, desk: Desk, sealer: Sealer) -> None:
        self._desk = desk
        self._sealer = sealer

    async def events(self, caller: Caller | None, call: Call, _body: bytes) -> bytes:
        """Events after a number, oldest first."""
        assert caller is not None, "the route requires a caller"
        asked = _parameters(call.scope["query_string"])
        after, limit = asked.get("after", 0), asked.get("limit", PAGE_MAX)
        page = await read_events(self._desk, caller.partner_id, after, limit)
        last = page.entries[-1].seq if page.entries else after
        told = [_event(entry) for entry in page.entries]
        return words.success(EventsDto(told, last, page.more, page.oldest))

    async def webhook_key(self, caller: Caller | None, _call: Call, _body: bytes) -> bytes:
        """The public keys of the caller's own webhooks."""
        assert caller is not None, "the route requires a caller"
        keys = await public_keys(self._desk, self._sealer, caller.partner_id)
        told = [
            KeyDto(
                str(key.id),
                show_public_key(key.public_key),
                instant(key.created_ms),
                None if key.retired_ms is None else instant(key.retired_ms),
            )
            for key in keys
        ]
        return words.success(KeysDto(told))


def _event(entry: Entry) -> EventDto:
    body = None if entry.body is None else msgspec.Raw(entry.body)
    return EventDto(entry.seq, str(entry.id), body)


def _parameters(query: bytes) -> dict[str, int]:
    """The numbers `after` and `limit`; other parameters mean nothing. Refused INVALID."""
    try:
        found = parse_qs(
            query.decode("ascii"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX
        )
    except ValueError:
        raise Refused(No.INVALID, "the query makes no sense") from None
    asked = {name: found[name] for name in ("after", "limit") if name in found}
    if not all(len(values) == 1 and _NUMBER.fullmatch(values[0]) for values in asked.values()):
        raise Refused(No.INVALID, "after and limit are whole numbers, each once")
    return {name: int(values[0]) for name, values in asked.items()}
