"""Who is calling: the checks of the signed dialect, in the contract's order (D5).

    headers present (2) -> nonce form (3) -> key (3) -> HMAC (3) -> enabled (4)
    and then, in one transaction with others (engine/admit.py): nonce burn (3) -> weight (5)
    and only then what the body says (1)

Holders are remembered, because a signature is checked for nearly every call. What is remembered may
be out of date in one direction only: a signature that does not fit is checked again against what
the database says, and whoever was let in with an old key is stopped when his nonce is burnt.

The signature covers the raw body bytes and nothing else; its key is the secret's ASCII text as it
was issued (contract A2, A3). Whatever is wrong about a key, a signature or a nonce is answered
with one and the same body, after the same work.
"""

import hmac
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from swapdesk.engine.admit import find_holder
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners.partner import Caller, Holder
from swapdesk.partners.secrets import SigningKey, SigningKeys, Unsealable

KEY, SIGN, NONCE = b"x-api-key", b"x-api-sign", b"x-api-nonce"

#: Holders one process remembers; more only cost asking for them again.
KNOWN_MAX: Final = 10_000

_API_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{16,64}")
_SIGN: Final = re.compile(rb"[0-9A-Fa-f]{64}")
_NONCE: Final = re.compile(rb"[\x21-\x7e]{16,64}")

log = structlog.get_logger()


class Claims(msgspec.Struct, frozen=True, gc=False):
    """What a caller says about himself, well formed and not yet believed."""

    api_key: bytes
    sign: bytes
    nonce: str


def read_claims(headers: Mapping[bytes, bytes], *, required: bool) -> Claims | None:
    """The claims of a signed call; None: unsigned, where that is allowed.

    A call with X-API-KEY is a signed attempt everywhere and never falls back to the public rate.
    Refused AUTH_MISSING without key or signature, AUTH_INVALID for an ill-formed nonce.
    """
    key = headers.get(KEY)
    if key is None and not required:
        return None
    sign = headers.get(SIGN)
    if not key or not sign:
        raise Refused(No.AUTH_MISSING)
    nonce = headers.get(NONCE, b"")
    if not _NONCE.fullmatch(nonce):
        raise Refused(No.AUTH_INVALID, "nonce")
    # `apiKey.code`: the code never decides whether a caller is let in.
    return Claims(key.partition(b".")[0], sign, nonce.decode("ascii"))


class Known(msgspec.Struct, frozen=True):
    """A holder with his key, opened."""

    holder: Holder | None  #: None: nobody
    key: SigningKey


class Doors:
    """Checks claims; against the database when memory does not do."""

    def __init__(self, desk: Desk, keys: SigningKeys) -> None:
        self._desk = desk
        self._keys = keys
        #: Unknown keys are checked against this one, so that they take as long as known ones.
        self._nobody = Known(None, SigningKey(desk.world.bytes(32)))
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    async def enter(
        self, claims: Claims, body: bytes, weight: int, *, afresh: bool = False
    ) -> Caller:
        """The caller behind `claims`; his nonce and weight are left to `admit`.

        Refused AUTH_INVALID, AUTH_DISABLED. `afresh`: nothing remembered is believed.
        """
        told = bytes.fromhex(claims.sign.decode()) if _SIGN.fullmatch(claims.sign) else b""
        known = self._known.get(claims.api_key, self._nobody)
        right = hmac.compare_digest(known.key.sign(body), told)
        if known.holder is None or not right or afresh:
            known = await self._ask(claims.api_key)
            right = hmac.compare_digest(known.key.sign(body), told)
        if known.holder is None or not right:
            raise Refused(No.AUTH_INVALID, "key or signature")
        if not known.holder.enabled:
            raise Refused(No.AUTH_DISABLED)
        return Caller(known.holder, claims.nonce, weight)

    async def _ask(self, api_key: bytes) -> Known:
        """What the database says now. Only a holder who may come in is remembered."""
        well_formed = _API_KEY.fullmatch(api_key) is not None
        holder = await find_holder(self._desk, api_key.decode()) if well_formed else None
        known = self._open(holder) if holder else self._nobody
        self._known.pop(api_key, None)
        if known.holder is not None and known.holder.enabled:
            self._known[api_key] = known
            if len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        return known

    def _open(self, holder: Holder) -> Known:
        try:
            key = self._keys.get(str(holder.credential_id), holder.version, holder.secret_sealed)
        except Unsealable:
            log.error("a credential does not open", credential_id=str(holder.credential_id))  # noqa: TRY400 - nothing to trace
            return self._nobody
        return Known(holder, key)
