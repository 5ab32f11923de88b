"""The Ed25519 keys that sign webhooks: one per partner, sealed like every other secret.

Not one per site: the signed text does not name its receiver, so with a common key one partner could
send what it was told to another, who would believe it.
"""

import base64
import uuid

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.partners.secrets import Place, Sealer
from swapdesk.webhooks import endpoint
from swapdesk.webhooks.endpoint import NewKey, PublicKey
from swapdesk.webhooks.signing import PRIVATE_KEY_BYTES, public_key


class SealedSecrets:
    """Opens webhook secrets and keys with the site's sealing key (webhooks.deliver.Opener)."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def webhook_secret(self, partner_id: uuid.UUID, sealed: bytes) -> str:
        """See Opener. Unsealable passes through."""
        return self._sealer.open(Place("partner", str(partner_id), "webhook_secret_sealed"), sealed)

    def webhook_key(self, key_id: uuid.UUID, sealed: bytes) -> bytes:
        """See Opener. Unsealable passes through."""
        return base64.b64decode(self._sealer.open(_place(key_id), sealed))


async def public_keys(desk: Desk, sealer: Sealer, partner_id: uuid.UUID) -> list[PublicKey]:
    """The keys that sign this partner's webhooks, newest first; made now if there is none."""
    async with desk.db.transaction() as tx:
        known = await endpoint.keys(tx, partner_id, desk.world.now())
        if any(key.retired_ms is None for key in known):
            return known
        await add_key(desk, tx, sealer, partner_id)
        return await endpoint.keys(tx, partner_id, desk.world.now())


async def renew_key(desk: Desk, sealer: Sealer, partner_id: uuid.UUID) -> list[PublicKey]:
    """A fresh key; the old one signs on beside it for a day. All that sign now, newest first."""
    async with desk.db.transaction() as tx:
        await endpoint.retire_keys(tx, partner_id, desk.world.now())
        await add_key(desk, tx, sealer, partner_id)
        return await endpoint.keys(tx, partner_id, desk.world.now())


async def add_key(desk: Desk, tx: Tx, sealer: Sealer, partner_id: uuid.UUID) -> None:
    """Make the partner's current key, unless somebody else just did."""
    world, key_id = desk.world, desk.world.uuid()
    private = world.bytes(PRIVATE_KEY_BYTES)
    sealed = sealer.seal(world, _place(key_id), base64.b64encode(private).decode())
    await endpoint.add_key(tx, NewKey(key_id, partner_id, public_key(private), sealed, world.now()))


def _place(key_id: uuid.UUID) -> Place:
    return Place("webhook_key", str(key_id), "private_sealed")
