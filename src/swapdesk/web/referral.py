"""Referral links: GET /r/{code}?from=&to= (contract A12, D47).

The visitor gets a cookie that names partner and code, signed, for as long as his browser runs, and
goes to the front page with the pair filled in. Nothing about the visitor is in it or kept. Whether
the code still counts is looked at again when he opens an order (`attribution_of`).
"""

import base64
import hmac
import uuid
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route as Page

from swapdesk.engine.attribution import Attribution, attribution
from swapdesk.engine.codes import referring_code
from swapdesk.engine.desk import Desk
from swapdesk.errors import Refused
from swapdesk.partners.secrets import Sealer
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.signed_v1 import refusal
from swapdesk.world import Kind

COOKIE: Final = "swapdesk_ref"
HOME: Final = "/"
#: What is signed begins with this, so that nothing else we sign is ever a cookie.
_PURPOSE: Final = b"referral-cookie-v1|"
#: Longest asset id in a link that is looked up; the registry knows none so long.
_ID_CHARS_MAX: Final = 32


class Referral:
    """Referral links of one desk."""

    def __init__(self, desk: Desk, sealer: Sealer, bucket: PublicBucket) -> None:
        self._desk = desk
        self._bucket = bucket
        self._key = sealer.derive("referral")

    def routes(self) -> list[Page]:
        """GET /r/{code}."""
        return [Page("/r/{code}", self._follow)]

    async def _follow(self, request: Request) -> Response:
        """302 to the front page; with cookie and pair when the code counts."""
        try:
            self._bucket.take(request.client.host if request.client else "")
        except Refused as no:
            said = refusal(no)
            return Response(said.body, said.status, _text(said.headers), "application/json")
        known = await referring_code(self._desk, request.path_params["code"])
        if known is None:
            return _redirect(HOME)
        pair = {side: code for side in ("from", "to") if (code := self._asset(request, side))}
        if pair.get("from") == pair.get("to"):
            pair.pop("to", None)
        answer = _redirect(f"{HOME}?{urlencode(pair)}" if pair else HOME)
        answer.set_cookie(
            COOKIE,
            self.cookie(known.partner_id, known.id),
            httponly=True,
            secure=self._desk.registry.world != Kind.DEV,
            samesite="lax",
        )
        return answer

    def _asset(self, request: Request, side: str) -> str | None:
        """Our id of the asset that a link names, in whichever dialect; None for none of ours."""
        word = request.query_params.get(side, "")
        asset = self._desk.registry.find(word) if len(word) <= _ID_CHARS_MAX else None
        return asset.code if asset else None

    def cookie(self, partner_id: uuid.UUID, code_id: uuid.UUID) -> str:
        """The cookie's value: both ids in hex and the HMAC over them."""
        named = f"{partner_id.hex}.{code_id.hex}"
        return f"{named}.{self._sign(named)}"

    async def attribution_of(self, cookie: str | None) -> Attribution | None:
        """Whom an order opened now with this cookie belongs to.

        None without a cookie, for one that we did not sign, and when partner or code have been
        switched off since.
        """
        named, _, signature = (cookie or "").rpartition(".")
        if not hmac.compare_digest(self._sign(named).encode(), signature.encode()):
            return None
        partner_id, _, code_id = named.partition(".")
        return await attribution(self._desk, uuid.UUID(hex=partner_id), uuid.UUID(hex=code_id))

    def _sign(self, named: str) -> str:
        mac = hmac.digest(self._key, _PURPOSE + named.encode(), "sha256")
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _redirect(url: str) -> RedirectResponse:
    """Never cached: the code may be switched off in the next minute."""
    return RedirectResponse(url, 302, {"cache-control": "no-store"})


def _text(headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}
