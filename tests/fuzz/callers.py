"""A partner for generated calls: signs whatever they are, and lets some of them reach an order."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import requests
from hypothesis import strategies as st
from requests.auth import AuthBase

from swapdesk.partners.partner import Credentials
from tests.http_site import sign
from tests.rig import BTC_ADDRESS, TRON_ADDRESS
from tests.wire_spec import judge, resolve


class Signing(AuthBase):
    """Signs the bytes that will be sent. Every call goes out signed, and rightly so."""

    def __init__(self, partner: Credentials) -> None:
        self.api_key = partner.api_key
        self.secret = partner.api_secret

    def __call__(self, call: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one prepared request."""
        body: Any = call.body or b""
        raw = body.encode() if isinstance(body, str) else body
        call.headers["X-API-KEY"] = self.api_key
        call.headers["X-API-SIGN"] = sign(self.secret, raw)
        call.headers["X-API-NONCE"] = secrets.token_hex(16)
        return call

    def heed(self, answer: Mapping[str, Any]) -> None:
        """A rotated secret is the one to sign with from now on."""
        self.secret = answer["data"].get("apiSecret", self.secret)


#: Reference codes that exist.
CODES: Final = ("desktop", "mobile")
#: What a field may be replaced with where what was generated is a good value already.
KNOWN: Final[Mapping[str, Sequence[object]]] = {
    "fromCcy": ("btc", "BTC", "usdt_trc20", "trx"),
    "toCcy": ("usdt_trc20", "trx", "btc"),
    "amount": ("0.01", "0.001", 1, "30", 0.02),
    "toAddress": (TRON_ADDRESS, TRON_ADDRESS, BTC_ADDRESS),
    "refundAddress": (BTC_ADDRESS, BTC_ADDRESS, TRON_ADDRESS),
    "fromNetwork": ("Bitcoin", "bitcoin"),
    "toNetwork": ("Tron",),
    "code": (*CODES, *CODES, *(f"ref-{number}" for number in range(20))),
}
#: Of six fields that fit, one stays as it was generated.
_REPLACED: Final = st.sampled_from((True,) * 5 + (False,))


def within_reach(
    schema: Mapping[str, Any], body: object, known: Mapping[str, Sequence[object]]
) -> st.SearchStrategy[Any]:
    """`body` with some values replaced by ones that mean something.

    A value that its schema refuses stays: what is wrong about a body stays wrong.
    """
    if not isinstance(body, dict):
        return st.just(body)
    parts = resolve(dict(schema)).get("properties", {})
    fits = [
        name for name in body
        if name in known and name in parts and judge(parts[name]).is_valid(body[name])
    ]  # fmt: skip

    def put(chosen: Mapping[str, object | None]) -> dict[str, Any]:
        return {**body, **{name: value for name, value in chosen.items() if value is not None}}

    return st.fixed_dictionaries({name: _maybe(known[name]) for name in fits}).map(put)


def _maybe(values: Sequence[object]) -> st.SearchStrategy[object]:
    return _REPLACED.flatmap(lambda yes: st.sampled_from(values) if yes else st.none())
