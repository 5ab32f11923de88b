"""The closed list of reasons for which the desk says no.

`Refused` is expected and reaches the caller in the words of its dialect. Every other exception is
our own bug. No HTTP status and no wire code here: dialects translate (`web/<dialect>.py`).
"""

import enum


class No(enum.Enum):
    """Why the desk refuses. Every dialect has a word for each (tests/dialects)."""

    INVALID = "invalid"  #: the request breaks a rule of its form: asset, pair, amount, address
    KEY_REUSED = "key_reused"  #: an idempotency key came back with another body
    AUTH_MISSING = "auth_missing"  #: credentials are needed and were not given
    AUTH_INVALID = "auth_invalid"  #: unknown key, wrong signature, bad or replayed nonce
    AUTH_DISABLED = "auth_disabled"  #: valid signature of a partner who is switched off
    RATE_LIMIT = "rate_limit"  #: the partner's weight for this minute is used up
    NOT_FOUND = "not_found"  #: no such order for this caller
    BELOW_MIN = "below_min"  #: less than the pair's minimum
    ABOVE_MAX = "above_max"  #: more than the pair's maximum, or the operator's daily cap
    MAINTENANCE = "maintenance"  #: the operator paused new orders
    UNAVAILABLE = "unavailable"  #: no trustworthy rate, node or vault right now; retry later
    RESERVE = "reserve"  #: the hot wallet cannot cover it
    BAD_CHOICE = "bad_choice"  #: the order does not take this choice
    TAKEN = "taken"  #: the name is in use already, or there is no room for another
    CONFLICT = "conflict"  #: somebody else changed it first


class Refused(Exception):
    """An expected no. `why` is for logs and the operator; wires print only their own constant."""

    def __init__(self, no: No, why: str = "", *, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{no.value}: {why}" if why else no.value)
        self.no = no
        self.why = why
        self.retry_after_seconds = retry_after_seconds
