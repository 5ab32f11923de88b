"""Who is calling: the checks of the signed dialect, in the contract's order (D5).

    headers present (2) -> nonce form (3) -> key (3) -> signature (3) -> the partner's own rules (3)
    -> enabled (4)
    and then, in one transaction with others (engine/admit.py): nonce burn (3) -> weight (5)
    and only then what the body says (1)

Holders are remembered, because a signature is checked for nearly every call. What is remembered may
be out of date in one direction only: a signature that does not fit is checked again against what
the database says, and whoever was let in with an old key is stopped when his nonce is burnt.

What a signature covers is in signatures.py. A partner's own rules are what it asks for beside a
valid one: a stronger way to sign, networks, and what a key may be used for; a plain key has none.
Whatever is wrong about a key, a signature, a nonce or a rule is answered with one and the same body,
after the same work.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from swapdesk.engine.admit import find_holder
from swapdesk.engine.codes import own_code
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners.credential import Scope, Signing, comes_from
from swapdesk.partners.partner import Caller, Holder
from swapdesk.partners.secrets import SigningKey, SigningKeys, Unsealable
from swapdesk.web.call import Call
from swapdesk.web.signatures import Request, signs_rfc9421, signs_v1, signs_v2

KEY, SIGN, NONCE = b"x-api-key", b"x-api-sign", b"x-api-nonce"
SIGN_V2, RFC9421 = b"x-api-sign-v2", frozenset({b"signature", b"signature-input"})

#: Holders one process remembers; more only cost asking for them again.
KNOWN_MAX: Final = 10_000

_API_KEY: Final = re.compile(rb"[A-Za-z0-9_-]{16,64}")
_NONCE: Final = re.compile(rb"[\x21-\x7e]{16,64}")

log = structlog.get_logger()


class Claims(msgspec.Struct, frozen=True, gc=False):
    """What a caller says about himself, well formed and not yet believed."""

    key: bytes  #: X-API-KEY as it came
    api_key: bytes
    sign: bytes | None  #: None: signed as in RFC 9421
    sign_v2: bytes | None
    nonce: str
    code: str  #: the reference code, "" without one


def read_claims(headers: Mapping[bytes, bytes], *, required: bool) -> Claims | None:
    """The claims of a signed call; None: unsigned, where that is allowed.

    A call with X-API-KEY is a signed attempt everywhere and never falls back to the public rate.
    Refused AUTH_MISSING without key or signature, AUTH_INVALID for an ill-formed nonce.
    """
    key = headers.get(KEY)
    if key is None and not required:
        return None
    sign, sign_v2 = headers.get(SIGN), headers.get(SIGN_V2)
    signed = bool(sign)
    if sign is None and sign_v2 is None:
        signed = not RFC9421.isdisjoint(headers)
    if not key or not signed:
        raise Refused(No.AUTH_MISSING)
    nonce = headers.get(NONCE, b"")
    if not _NONCE.fullmatch(nonce):
        raise Refused(No.AUTH_INVALID, "nonce")
    # `apiKey.code`: the code never decides whether a caller is let in.
    api_key, _, code = key.partition(b".")
    return Claims(key, api_key, sign, sign_v2, nonce.decode("ascii"), code.decode("latin-1"))


class Known(msgspec.Struct, frozen=True):
    """A holder with his key, opened. The kind of key he has not is nobody's."""

    holder: Holder | None  #: None: nobody
    key: SigningKey
    public: Ed25519PublicKey


class Doors:
    """Checks claims; against the database when memory does not do."""

    def __init__(self, desk: Desk, keys: SigningKeys, origin: str | None = None) -> None:
        """`origin`: what callers sign as scheme and host; None: what their request says."""
        self._desk = desk
        self._keys = keys
        self._origin = origin
        #: Unknown keys are checked against this one, so that they take as long as known ones.
        public = Ed25519PrivateKey.from_private_bytes(desk.world.bytes(32)).public_key()
        self._nobody = Known(None, SigningKey(desk.world.bytes(32)), public)
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    async def enter(
        self,
        claims: Claims,
        call: Call,
        body: bytes,
        weight: int,
        scope: Scope,
        *,
        afresh: bool = False,
    ) -> Caller:
        """The caller behind `claims`; his nonce and weight are left to `admit`.

        `scope`: what is asked for. Refused AUTH_INVALID, AUTH_DISABLED. `afresh`: nothing
        remembered is believed.
        """
        known = self._known.get(claims.api_key, self._nobody)
        right = self._is_right(known, claims, call, body, scope)
        if not right or afresh:
            known = await self._ask(claims.api_key)
            right = self._is_right(known, claims, call, body, scope)
        if known.holder is None or not right:
            raise Refused(No.AUTH_INVALID, "key, signature or rule")
        if not known.holder.enabled:
            raise Refused(No.AUTH_DISABLED)
        code = None
        if claims.code:
            code = await own_code(self._desk, known.holder.partner_id, claims.code)
        # A plain signature does not cover its nonce: burning it for a call that only reads keeps
        # nobody from sending the call again, so it need not survive a crash.
        plain = claims.sign is not None and claims.sign_v2 is None
        lasting = scope is not Scope.READ or not plain
        if code is None:
            return Caller(known.holder, claims.nonce, weight, lasting)
        return Caller(known.holder, claims.nonce, weight, lasting, code.id, code.markup_bps)

    def _is_right(
        self, known: Known, claims: Claims, call: Call, body: bytes, scope: Scope
    ) -> bool:
        """Whether the signature is his and all of his rules are kept."""
        signing, holder = self._signing(known, claims, call, body), known.holder
        if signing is None or holder is None:
            return False
        expires_ms = holder.expires_ms
        return (
            signing >= holder.signing
            and scope in holder.scopes
            and (expires_ms is None or self._desk.world.now() < expires_ms)
            and comes_from(call.peer, holder.networks)
        )

    def _signing(self, known: Known, claims: Claims, call: Call, body: bytes) -> Signing | None:
        """How `known` signed the call; None: he did not. The headers alone decide what is computed."""
        sign, told = claims.sign, claims.sign_v2
        if sign is not None and told is None:
            return Signing.V1 if signs_v1(known.key, body, sign) else None
        request = self._request(call, body)
        if sign is not None and told is not None:
            nonce = claims.nonce.encode()
            right = signs_v2(known.key, request, claims.key, nonce, told, sign)
            return Signing.V2 if right else None
        key_id, now_s = claims.api_key.decode("latin-1"), self._desk.world.now() // 1000
        return Signing.RFC9421 if signs_rfc9421(known.public, key_id, request, now_s) else None

    def _request(self, call: Call, body: bytes) -> Request:
        """The call as a signature sees it."""
        scope, query = call.scope, call.scope["query_string"]
        fields: list[tuple[bytes, bytes]] = list(scope["headers"])
        origin = self._origin
        if origin is None:
            host = next((value for name, value in fields if name == b"host"), b"")
            origin = f"{scope['scheme']}://{host.decode('latin-1')}"
        target = scope["raw_path"] + (b"?" + query if query else b"")
        return Request(scope["method"], target, origin, fields, body)

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
        nobody, credential_id = self._nobody, str(holder.credential_id)
        if holder.public_key is not None:
            return Known(holder, nobody.key, Ed25519PublicKey.from_public_bytes(holder.public_key))
        assert holder.secret_sealed is not None, "a credential has one key"
        try:
            key = self._keys.get(credential_id, holder.version, holder.secret_sealed)
        except Unsealable:
            log.error("a credential does not open", credential_id=credential_id)  # noqa: TRY400 - nothing to trace
            return nobody
        return Known(holder, key, nobody.public)
