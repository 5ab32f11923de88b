"""How often the vault does what."""

import msgspec

HOUR_MS = 3_600_000


class Pace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table [pace] of the site file. Milliseconds."""

    poll_ms: int = 500  #: between two ticks
    beat_ms: int = 2_000
    identity_ms: int = HOUR_MS  #: which chain a node follows; also asked after any trouble with it
    identity_retry_ms: int = 1_000
    retry_ms: int = 500  #: first wait after a hold or a broadcast that was not accepted; doubles
    retry_ms_max: int = 15_000
    rebroadcast_ms: int = 60_000  #: for what a node took, until it is in a block

    def __post_init__(self) -> None:
        if min(msgspec.structs.astuple(self)) <= 0:
            raise ValueError("a pace is positive")
