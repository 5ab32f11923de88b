"""Forgetting what only had to be remembered for minutes: nonces and weight buckets."""

from typing import Final

from swapdesk.engine.desk import Desk
from swapdesk.orders import vault_words
from swapdesk.partners import store as partners

#: A nonce is refused for at least the documented five minutes; we keep twice that (contract D4).
NONCE_MS: Final = 600_000
#: Rows deleted in one transaction: short locks, little to replay.
CHUNK: Final = 1_000
#: Chunks in one call; what is left waits for the next.
CHUNKS_MAX: Final = 100


async def sweep_nonces(desk: Desk) -> None:
    """Delete old nonces, weight buckets and link nonces, each chunk in its own transaction."""
    for _ in range(CHUNKS_MAX):
        now = desk.world.now()
        async with desk.db.transaction() as tx:
            nonces = await partners.forget_nonces(tx, now - NONCE_MS, CHUNK)
            buckets = await partners.forget_charges(tx, now, CHUNK)
            await vault_words.forget_nonces(tx, now - NONCE_MS, CHUNK)
        if CHUNK not in (nonces, buckets):
            return
