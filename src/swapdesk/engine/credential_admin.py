"""What the operator does with a partner's keys, and with the rules for its calls.

Everything holds from the next call on, in every process: callers are checked against the rows they
were read from (engine/admit.py).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from swapdesk.db import Tx
from swapdesk.engine.desk import Desk
from swapdesk.errors import No, Refused
from swapdesk.partners import credential_store as credentials
from swapdesk.partners.credential import (
    LABEL_CHARS_MAX,
    LIVE_KEYS_MAX,
    NETWORKS_MAX,
    Key,
    Network,
    NewCredential,
    NewKey,
    Scope,
    Signing,
)
from swapdesk.partners.partner import API_KEY_BYTES, SECRET_BYTES
from swapdesk.partners.secrets import Place, Sealer

#: A key that is said to live longer is meant to live for ever.
LIFE_MS_MAX: Final = 3650 * 86_400_000


async def add_key(
    desk: Desk,
    sealer: Sealer,
    *,
    partner: str,
    public_key: bytes | None = None,
    label: str = "",
    scopes: Sequence[Scope] = tuple(Scope),
    life_ms: int | None = None,
) -> NewKey:
    """One more key of a partner, which is given by name or id; the others live on.

    With `public_key` (Ed25519, 32 bytes) calls are signed as in RFC 9421 and no secret exists;
    without, a fresh secret is answered in clear, this once. `life_ms`: how long it lives. Refused:
    NOT_FOUND, INVALID, CONFLICT when LIVE_KEYS_MAX keys are alive.
    """
    if len(label) > LABEL_CHARS_MAX or not (label == "" or label.isprintable()):
        raise Refused(No.INVALID, f"a label has at most {LABEL_CHARS_MAX} characters")
    if not scopes:
        raise Refused(No.INVALID, "a key needs a scope")
    world, now = desk.world, desk.world.now()
    credential_id = world.uuid()
    secret = None if public_key else world.token(SECRET_BYTES)
    place = Place("credential", str(credential_id), "secret_sealed")
    made = NewKey(world.token(API_KEY_BYTES), secret)
    async with desk.db.transaction() as tx:
        owner = await _rules(tx, partner)
        live = [key for key in await credentials.keys(tx, owner.partner_id) if _lives(key, now)]
        if len(live) >= LIVE_KEYS_MAX:
            raise Refused(No.CONFLICT, f"{len(live)} keys are alive; revoke one first")
        await credentials.add(
            tx,
            NewCredential(
                id=credential_id,
                partner_id=owner.partner_id,
                api_key=made.api_key,
                secret_sealed=sealer.seal(world, place, secret) if secret else None,
                public_key=public_key,
                label=label,
                scopes=tuple(sorted(set(scopes))),
                expires_ms=None if life_ms is None else now + _life(life_ms),
                created_ms=now,
            ),
        )
    return made


async def list_keys(desk: Desk, partner: str) -> list[Key]:
    """Every key of a partner, oldest first, without secrets. Refused NOT_FOUND."""
    async with desk.db.transaction() as tx:
        return await credentials.keys(tx, (await _rules(tx, partner)).partner_id)


async def revoke_key(desk: Desk, api_key: str) -> None:
    """End a key at once and for good. Refused NOT_FOUND."""
    await _change(desk, lambda tx: credentials.revoke(tx, api_key))


async def expire_key(desk: Desk, api_key: str, life_ms: int | None) -> None:
    """Let a live key die after `life_ms` from now, or never (None). Refused NOT_FOUND, INVALID."""
    at_ms = None if life_ms is None else desk.world.now() + _life(life_ms)
    await _change(desk, lambda tx: credentials.expire(tx, api_key, at_ms))


async def scope_key(desk: Desk, api_key: str, scopes: Sequence[Scope]) -> None:
    """Say what a live key may be used for. Refused NOT_FOUND, INVALID."""
    if not scopes:
        raise Refused(No.INVALID, "a key needs a scope; revoke it instead")
    kept = sorted(set(scopes))
    await _change(desk, lambda tx: credentials.set_scopes(tx, api_key, kept))


async def partner_rules(desk: Desk, partner: str) -> credentials.Rules:
    """How a partner's calls must be signed and where they may come from. Refused NOT_FOUND."""
    async with desk.db.transaction() as tx:
        return await _rules(tx, partner)


async def set_rules(
    desk: Desk,
    partner: str,
    *,
    signing: Signing | None = None,
    networks: Sequence[Network] | None = None,
) -> credentials.Rules:
    """Change the rules of a partner; None leaves one as it is, no networks mean anywhere.

    Refused: NOT_FOUND; CONFLICT when no live key could meet the new rule; INVALID for more than
    NETWORKS_MAX networks.
    """
    if networks is not None and len(networks) > NETWORKS_MAX:
        raise Refused(No.INVALID, f"at most {NETWORKS_MAX} networks")
    async with desk.db.transaction() as tx:
        known = await _rules(tx, partner)
        kept = credentials.Rules(
            known.partner_id,
            known.name,
            known.signing if signing is None else signing,
            known.networks if networks is None else tuple(networks),
        )
        if signing is Signing.RFC9421:
            now, keys = desk.world.now(), await credentials.keys(tx, known.partner_id)
            if not any(key.kind == "ed25519" and _lives(key, now) for key in keys):
                raise Refused(No.CONFLICT, "the partner has no Ed25519 key yet: add one first")
        await credentials.keep_rules(tx, kept)
    return kept


async def _rules(tx: Tx, partner: str) -> credentials.Rules:
    known = await credentials.rules(tx, partner)
    if known is None:
        raise Refused(No.NOT_FOUND, f"there is no partner {partner!r}")
    return known


async def _change(desk: Desk, work: Callable[[Tx], Awaitable[bool]]) -> None:
    async with desk.db.transaction() as tx:
        if not await work(tx):
            raise Refused(No.NOT_FOUND, "there is no such live key")


def _lives(key: Key, now_ms: int) -> bool:
    return key.enabled and (key.expires_ms is None or now_ms < key.expires_ms)


def _life(life_ms: int) -> int:
    if not 0 <= life_ms <= LIFE_MS_MAX:
        raise Refused(No.INVALID, "a key lives for at most ten years")
    return life_ms
