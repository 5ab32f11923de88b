"""Who is calling: the checks of the signed dialect, in the contract's order (D5).

    headers present (2) -> nonce form (3) -> key (3) -> HMAC (3) -> enabled (4) -> nonce burn (3)
    -> weight (5) -> body (1)

The signature covers the raw body bytes and nothing else; its key is the secret's ASCII text as it
was issued (contract A2, A3). Whatever is wrong about a key, a signature or a nonce is answered
with one and the same body, after the same work.
"""

import hmac
import re
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from swapdesk.engine.admit import admit, find_holder
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners.partner import Caller, Holder
from swapdesk.partners.secrets import SigningKey, SigningKeys, Unsealable

KEY, SIGN, NONCE = b"x-api-key", b"x-api-sign", b"x-api-nonce"

_API_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{16,64}")
_SIGN: Final = re.compile(rb"[0-9A-Fa-f]{64}")
_NONCE: Final = re.compile(rb"[\x21-\x7e]{16,64}")

log = structlog.get_logger()


class Claims(msgspec.Struct, frozen=True):
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


class Doors:
    """Checks claims against the database."""

    def __init__(self, desk: Desk, keys: SigningKeys) -> None:
        self._desk = desk
        self._keys = keys
        #: Unknown keys are checked against this one, so that they take as long as known ones.
        self._nobody = SigningKey(desk.world.bytes(32))

    async def enter(self, claims: Claims, body: bytes, weight: int) -> Caller:
        """The caller behind `claims`, with the nonce burnt and `weight` charged.

        Refused AUTH_INVALID, AUTH_DISABLED, RATE_LIMIT.
        """
        known = _API_KEY.fullmatch(claims.api_key) is not None
        holder = await find_holder(self._desk, claims.api_key.decode()) if known else None
        key = self._key_of(holder)
        told = bytes.fromhex(claims.sign.decode()) if _SIGN.fullmatch(claims.sign) else b""
        right = hmac.compare_digest(key.sign(body), told)
        if holder is None or key is self._nobody or not right:
            raise Refused(No.AUTH_INVALID, "key or signature")
        if not holder.enabled:
            raise Refused(No.AUTH_DISABLED)
        caller = Caller(holder.partner_id, holder.markup_bps)
        await admit(self._desk, caller, claims.nonce, weight)
        return caller

    def _key_of(self, holder: Holder | None) -> SigningKey:
        if holder is None:
            return self._nobody
        try:
            return self._keys.get(str(holder.credential_id), holder.version, holder.secret_sealed)
        except Unsealable:
            log.error("a credential does not open", credential_id=str(holder.credential_id))  # noqa: TRY400 - nothing to trace
            return self._nobody
