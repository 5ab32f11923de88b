"""What the vault last said: signs of life, reserves, and the nonces of its requests."""

import msgspec

from swapdesk.db import Tx, queries
from swapdesk.handoff import Beat, HotBalance

Q = queries(__package__, "vault_words.sql")


class Heard(msgspec.Struct, frozen=True):
    """The newest beat."""

    fence: int
    at_ms: int
    stopped: str | None


async def last_beat(tx: Tx) -> Heard | None:
    """The newest beat, None before the first."""
    row = await tx.fetchrow(Q.last_beat)
    return Heard(**dict(row)) if row else None


async def keep_beat(tx: Tx, beat: Beat, at_ms: int) -> bool:
    """Store a beat and its reserves; False when a vault with a higher fence spoke before."""
    if await tx.fetchval(Q.keep_beat, beat.fence, at_ms, beat.stopped) is None:
        return False
    for balance in sorted(beat.balances, key=lambda b: b.asset):
        await tx.execute(Q.keep_balance, balance.asset, balance.units, at_ms)
    return True


async def hot_balances(tx: Tx) -> list[HotBalance]:
    """What the vault said it holds."""
    return [HotBalance(row["asset"], row["units"]) for row in await tx.fetch(Q.hot_balances)]


async def burn_nonce(tx: Tx, nonce: str, at_ms: int) -> bool:
    """True the first time."""
    return await tx.fetchval(Q.burn_nonce, nonce, at_ms) is not None


async def forget_nonces(tx: Tx, before_ms: int, at_most: int) -> None:
    """Drop nonces whose requests are too old to be accepted anyway."""
    await tx.execute(Q.forget_nonces, before_ms, at_most)
