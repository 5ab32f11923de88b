"""Signed v1, what a partner does with his own things: reference codes and keys (contract A5.8, A5.9)."""

from typing import Annotated, Final, Literal

import msgspec

from swapdesk.engine.codes import create_code, list_codes, switch_code
from swapdesk.engine.desk import Desk
from swapdesk.engine.rotate_keys import rotate_keys
from swapdesk.errors import No, Refused
from swapdesk.partners.codes import Code
from swapdesk.partners.partner import Caller
from swapdesk.partners.secrets import Sealer
from swapdesk.web import signed_v1_words as words
from swapdesk.web.call import Call
from swapdesk.webhooks.events import instant

#: Digits of an id on the wire: lower-case letters and digits, as clients know them.
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
#: 36 ** 25 is more than 2 ** 128.
_ID_CHARS: Final = 25


class CodeAsk(msgspec.Struct, frozen=True):
    """DELETE /api/v1/codes."""

    code: str


class NewCodeAsk(CodeAsk, frozen=True, rename="camel"):
    """POST /api/v1/codes. A blank label is none; 0 means the partner's own markup."""

    label: str | None = None
    afftax_bps: words.Afftax = 0


class EnableAsk(CodeAsk, frozen=True):
    """POST /api/v1/codes/enable."""

    enabled: bool = True


class RotateAsk(msgspec.Struct, frozen=True):
    """POST /api/v1/keys/rotate."""

    rotate: Annotated[
        list[Literal["apiSecret", "webhookSecret"]], msgspec.Meta(min_length=1, max_length=2)
    ]


class CodeDto(msgspec.Struct, frozen=True, rename="camel"):
    """A reference code as contract A5.9 spells it."""

    id: str
    code: str
    label: str | None
    afftax_bps: int
    enabled: bool
    created_at: str  #: ISO 8601, UTC


class Secrets(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The rotated secrets, and only those."""

    api_secret: str | None = None
    webhook_secret: str | None = None


class PartnerCalls:
    """The endpoints of this page on one desk."""

    def __init__(self, desk: Desk, sealer: Sealer) -> None:
        self._desk = desk
        self._sealer = sealer

    async def rotate(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """Fresh secrets, shown once; the old ones are dead when the answer leaves."""
        assert caller is not None, "the route requires a caller"
        which = words.decode(body, RotateAsk).rotate
        if len(set(which)) != len(which):
            raise Refused(No.INVALID, "a secret is named twice")
        fresh = await rotate_keys(
            self._desk,
            self._sealer,
            caller.holder,
            api_secret="apiSecret" in which,
            webhook_secret="webhookSecret" in which,
        )
        return words.success(Secrets(fresh.api_secret, fresh.webhook_secret))

    async def create_code(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """A new code."""
        assert caller is not None, "the route requires a caller"
        ask = words.decode(body, NewCodeAsk)
        made = await create_code(
            self._desk, caller.partner_id, ask.code, label=ask.label, markup_bps=ask.afftax_bps
        )
        return words.success(code_dto(made))

    async def list_codes(self, caller: Caller | None, _call: Call, _body: bytes) -> bytes:
        """Every code, newest first."""
        assert caller is not None, "the route requires a caller"
        found = await list_codes(self._desk, caller.partner_id)
        return words.success([code_dto(code) for code in found])

    async def disable_code(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """DELETE disables: the code keeps its name and its attribution (contract D44)."""
        assert caller is not None, "the route requires a caller"
        code = words.decode(body, CodeAsk).code
        await switch_code(self._desk, caller.partner_id, code, enabled=False)
        return words.success(True)  # noqa: FBT003 - that is the whole answer

    async def enable_code(self, caller: Caller | None, _call: Call, body: bytes) -> bytes:
        """Switch a code on again, or off."""
        assert caller is not None, "the route requires a caller"
        ask = words.decode(body, EnableAsk)
        code = await switch_code(self._desk, caller.partner_id, ask.code, enabled=ask.enabled)
        return words.success(code_dto(code))


def code_dto(code: Code) -> CodeDto:
    """A code in the words of this wire."""
    return CodeDto(
        id=_wire_id(code.id.int),
        code=code.code,
        label=code.label,
        afftax_bps=code.markup_bps,
        enabled=code.enabled,
        created_at=instant(code.created_ms),
    )


def _wire_id(number: int) -> str:
    """A UUID as clients expect ids of codes: a "c" and lower-case letters and digits."""
    text = ""
    for _ in range(_ID_CHARS):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return "c" + text
