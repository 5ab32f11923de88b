"""Who may ask: partners, and what the doors need to know about a caller."""

import uuid
from typing import Final

import msgspec

from swapdesk.partners.credential import Network, Scope, Signing

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


class Holder(msgspec.Struct, frozen=True, gc=False):
    """The holder of an api key, before its signature is checked.

    A process may remember it: `rows` tells whether it is still what the database says.
    """

    partner_id: uuid.UUID
    enabled: bool  #: the partner; told only after the signature verified
    markup_bps: int
    credential_id: uuid.UUID
    version: int
    webhook_version: int
    secret_sealed: bytes | None  #: either this, for HMAC,
    public_key: bytes | None  #: or this, for Ed25519
    scopes: frozenset[Scope]  #: what the key may be used for
    expires_ms: int | None  #: when the key dies
    signing: Signing  #: the weakest signature that lets this partner in
    networks: tuple[Network, ...]  #: where the partner's calls come from; empty: anywhere
    rows: tuple[int, int]  #: xmin of the partner's and the credential's row


class Caller(msgspec.Struct, frozen=True, gc=False):
    """A partner whose signature verified. His nonce is not burnt and his weight not charged yet."""

    holder: Holder
    nonce: str
    weight: int
    lasting: bool = True  #: he may change something: his nonce must survive a crash of the database
    code_id: uuid.UUID | None = None  #: the reference code he named, if it counts
    code_markup_bps: int = 0  #: of that code; 0: it has none of its own

    @property
    def partner_id(self) -> uuid.UUID:
        """Who calls."""
        return self.holder.partner_id

    @property
    def markup_bps(self) -> int:
        """What applies unless the request names its own: the code's, else the partner's."""
        return self.code_markup_bps or self.holder.markup_bps


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
