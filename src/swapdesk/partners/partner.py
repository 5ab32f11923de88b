"""Who may ask: partners, and what the doors need to know about a caller."""

import uuid
from typing import Final

import msgspec

#: Random bytes of an api key and of each secret; base64url makes 32 and 43 characters of them.
API_KEY_BYTES: Final = 24
SECRET_BYTES: Final = 32


class Partner(msgspec.Struct, frozen=True):
    """A partner as the operator sees it. No secret is in here."""

    id: uuid.UUID
    name: str
    enabled: bool
    markup_bps: int
    weight_per_minute: int
    webhook_url: str | None
    webhook_events: tuple[str, ...]
    created_ms: int
    api_keys: tuple[str, ...]  #: of its credentials that are not revoked


class Holder(msgspec.Struct, frozen=True):
    """The holder of an api key, before its signature is checked.

    A process may remember it: `rows` tells whether it is still what the database says.
    """

    partner_id: uuid.UUID
    enabled: bool  #: the partner; told only after the signature verified
    markup_bps: int
    credential_id: uuid.UUID
    version: int
    webhook_version: int
    secret_sealed: bytes
    rows: tuple[int, int]  #: xmin of the partner's and the credential's row


class Caller(msgspec.Struct, frozen=True):
    """A partner whose signature verified. His nonce is not burnt and his weight not charged yet."""

    holder: Holder
    nonce: str
    weight: int

    @property
    def partner_id(self) -> uuid.UUID:
        """Who calls."""
        return self.holder.partner_id

    @property
    def markup_bps(self) -> int:
        """What applies unless the request names its own."""
        return self.holder.markup_bps


class StaleHolder(Exception):
    """Partner or credential changed since the holder was read; nothing was burnt or charged."""


class Credentials(msgspec.Struct, frozen=True):
    """The three things a partner is given, in clear, once."""

    partner_id: uuid.UUID
    api_key: str
    api_secret: str
    webhook_secret: str

    def __repr__(self) -> str:
        """Never the secrets, even in a log of everything."""
        return f"Credentials(partner_id={self.partner_id}, api_key={self.api_key!r})"
