"""What the operator does with partners: create one, list them."""

from typing import Final

from swapdesk.engine.desk import Desk
from swapdesk.engine.webhook_keys import add_key
from swapdesk.errors import No, Refused
from swapdesk.partners import rotation
from swapdesk.partners import store as partners
from swapdesk.partners.partner import API_KEY_BYTES, SECRET_BYTES, Credentials, Partner
from swapdesk.partners.secrets import Place, Sealer
from swapdesk.pricing import MARKUP_BPS_MAX
from swapdesk.webhooks.targets import BadTarget, check_url
from swapdesk.world import Kind

NAME_CHARS_MAX: Final = 64


async def create_partner(
    desk: Desk, sealer: Sealer, *, name: str, webhook_url: str | None = None, markup_bps: int = 0
) -> Credentials:
    """A new partner and its credentials, in clear this once; the database gets them sealed.

    Refused: INVALID (name, markup, webhook URL), CONFLICT when the name is taken. A loopback
    webhook is allowed in the dev world only.
    """
    if not (0 < len(name) <= NAME_CHARS_MAX and name.isprintable() and name == name.strip()):
        raise Refused(No.INVALID, f"a partner's name has 1 to {NAME_CHARS_MAX} characters")
    if not 0 <= markup_bps <= MARKUP_BPS_MAX:
        raise Refused(No.INVALID, f"the markup is 0 to {MARKUP_BPS_MAX} basis points")
    if webhook_url is not None:
        try:
            check_url(webhook_url, allow_loopback=desk.registry.world == Kind.DEV)
        except BadTarget as wrong:
            raise Refused(No.INVALID, str(wrong)) from wrong
    world, partner_id, credential_id = desk.world, desk.world.uuid(), desk.world.uuid()
    made = Credentials(
        partner_id=partner_id,
        api_key=world.token(API_KEY_BYTES),
        api_secret=world.token(SECRET_BYTES),
        webhook_secret=world.token(SECRET_BYTES),
    )
    webhook_place = Place("partner", str(partner_id), "webhook_secret_sealed")
    signing_place = Place("credential", str(credential_id), "secret_sealed")
    new = partners.NewPartner(
        id=partner_id,
        name=name,
        markup_bps=markup_bps,
        webhook_url=webhook_url,
        webhook_secret_sealed=sealer.seal(world, webhook_place, made.webhook_secret),
        credential_id=credential_id,
        api_key=made.api_key,
        secret_sealed=sealer.seal(world, signing_place, made.api_secret),
        created_ms=world.now(),
    )
    async with desk.db.transaction() as tx:
        if not await partners.create(tx, new):
            raise Refused(No.CONFLICT, f"there is a partner named {name!r} already")
        await add_key(desk, tx, sealer, partner_id)
    return made


async def switch_partner(desk: Desk, name: str, *, enabled: bool) -> None:
    """Let a partner's calls in or shut them out, in every process at once; his orders go on.

    Refused NOT_FOUND. A repeat changes nothing.
    """
    async with desk.db.transaction() as tx:
        if not await rotation.switch_partner(tx, name, enabled=enabled):
            raise Refused(No.NOT_FOUND, f"there is no partner named {name!r}")


async def list_partners(desk: Desk) -> list[Partner]:
    """Every partner, oldest first, without secrets."""
    async with desk.db.transaction() as tx:
        return await partners.everyone(tx)
