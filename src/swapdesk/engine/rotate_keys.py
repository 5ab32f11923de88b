"""Rotating a partner's secrets. The old value dies at once: there is no grace, in no process."""

import msgspec

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import rotation
from swapdesk.partners.partner import SECRET_BYTES, Holder
from swapdesk.partners.secrets import Place, Sealer


class Rotated(msgspec.Struct, frozen=True):
    """The fresh secrets in clear, this once; None for one that was not asked for."""

    api_secret: str | None
    webhook_secret: str | None

    def __repr__(self) -> str:
        """Never the secrets, even in a log of everything."""
        return "Rotated(...)"


async def rotate_keys(
    desk: Desk, sealer: Sealer, holder: Holder, *, api_secret: bool, webhook_secret: bool
) -> Rotated:
    """Replace the named secrets of the credential that signed, both or none.

    Compare and set on the versions that `holder` was read with: whoever rotated first wins, the
    others are Refused CONFLICT and have changed nothing. Refused INVALID for the api secret of an
    Ed25519 key: there is none here.
    """
    if api_secret and holder.secret_sealed is None:
        raise Refused(No.INVALID, "an Ed25519 key has no secret to rotate")
    world = desk.world
    api = world.token(SECRET_BYTES) if api_secret else None
    hook = world.token(SECRET_BYTES) if webhook_secret else None
    signing = Place("credential", str(holder.credential_id), "secret_sealed")
    webhook = Place("partner", str(holder.partner_id), "webhook_secret_sealed")
    of_credential = holder.credential_id, holder.version
    of_webhook = holder.partner_id, holder.webhook_version

    async def work(tx: Tx) -> None:
        # The partner comes before his credential, as in every other transaction.
        if hook is not None:
            sealed = sealer.seal(world, webhook, hook)
            _must(await rotation.rotate_webhook_secret(tx, *of_webhook, sealed))
        if api is not None:
            sealed = sealer.seal(world, signing, api)
            _must(await rotation.rotate_secret(tx, *of_credential, sealed))

    await desk.db.retrying(work)
    return Rotated(api, hook)


def _must(won: bool) -> None:  # noqa: FBT001 - it is the whole question
    if not won:
        raise Refused(No.CONFLICT, "somebody else rotated first")
