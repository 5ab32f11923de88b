"""Changing what lets a partner in: his secrets, and whether he is let in at all.

Every process compares the rows it remembers with these at each call, so a change counts at once.
"""

import uuid

from swapdesk.db import Tx, queries

Q = queries(__package__, "rotation.sql")


async def rotate_secret(tx: Tx, credential_id: uuid.UUID, version: int, sealed: bytes) -> bool:
    """Replace the signing secret if its version is still `version`."""
    return await tx.fetchval(Q.rotate_secret, credential_id, version, sealed) is not None


async def rotate_webhook_secret(tx: Tx, partner_id: uuid.UUID, version: int, sealed: bytes) -> bool:
    """Replace the webhook secret if its version is still `version`."""
    return await tx.fetchval(Q.rotate_webhook_secret, partner_id, version, sealed) is not None


async def switch_partner(tx: Tx, name: str, *, enabled: bool) -> bool:
    """Let a partner in or shut him out; False when there is none of this name."""
    return await tx.fetchval(Q.switch_partner, name, enabled) is not None
