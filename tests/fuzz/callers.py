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
#: Values that make sense together: what a body is given where it has the field.
TOGETHER: Final[Sequence[Mapping[str, object]]] = (
    {
        "fromCcy": "btc", "toCcy": "usdt_trc20", "direction": "from", "amount": "0.01",
        "toAddress": TRON_ADDRESS, "refundAddress": BTC_ADDRESS, "fromNetwork": "Bitcoin",
        "toNetwork": "tron",
    },
    {
        "fromCcy": "USDT_TRC20", "toCcy": "btc", "direction": "to", "amount": 0.001,
        "toAddress": BTC_ADDRESS, "refundAddress": TRON_ADDRESS, "fromNetwork": "Tron",
        "toNetwork": "Bitcoin",
    },
    *({"code": code} for code in CODES),
    *({"code": f"ref-{number}"} for number in range(20)),
)  # fmt: skip


def within_reach(
    schema: Mapping[str, Any], body: object, sets: Sequence[Mapping[str, object]]
) -> st.SearchStrategy[Any]:
    """`body` with values replaced by those of one of `sets`, all or all but one of them, or none.

    A value that its schema refuses stays: what is wrong about a body stays wrong.
    """
    if not isinstance(body, dict):
        return st.just(body)
    parts = resolve(dict(schema)).get("properties", {})
    fits = [
        name for name in parts if name in body and judge(parts[name]).is_valid(body[name])
    ]  # fmt: skip

    def put(known: Mapping[str, object], spared: str) -> dict[str, Any]:
        chosen = {name: known[name] for name in fits if name in known and name != spared}
        return {**body, **chosen}

    useful = [known for known in sets if not known.keys().isdisjoint(fits)]
    if not useful:
        return st.just(body)
    spared = st.sampled_from([*[""] * len(fits), *sorted(fits)])
    return st.builds(put, st.sampled_from([*useful, {}]), spared)
